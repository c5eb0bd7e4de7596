"""The report as Markdown: what the page says, without its plots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reglab.inert import fenced
from reglab.inert import markdown as escaped
from reglab.report import extras, sections, words
from reglab.report.bands import changes, under_attack
from reglab.report.sections import Sheet
from reglab.report.tables import conclusion, legend
from reglab.results import Results

__all__ = ["report"]


def report(results: Results, *, made: str) -> str:
    """Return the report; every name in it is inert, in tables and in code alike."""
    return "\n".join(_lines(results, made)).rstrip() + "\n"


def _lines(results: Results, made: str) -> Iterator[str]:
    first, *others = words.verdict(results)
    yield f"# {escaped(first)}\n"
    if others:
        yield f"{escaped(' '.join(others))}\n"
    yield f"{escaped(results.headline)}. Made {made}.\n"
    for note in (*results.notes, *words.unfinished(results)):
        yield f"> {escaped(note)}\n"
    yield f"## What to use\n\n{escaped(conclusion(results))}\n"
    yield "## The table\n"
    yield from _table(sections.main_table(results))
    yield f"\n{escaped(legend(results))}\n"
    if beside := words.references(results):
        yield f"{escaped(beside)}\n"
    found = extras.diagnosis_of(results)
    if found is not None:
        yield f"## Does {escaped(words.called(results, results.baseline))} overfit?\n\n{escaped(found.sentence)}\n"
        yield from (f"- {escaped(finding.sentence)}" for finding in found.evidence)
        yield ""
    yield from _classes(results)
    yield from _robustness(results)
    failed = sections.failures(results)
    if failed:
        yield "## Failures\n"
        yield from (f"- {each.status}: {escaped(f'{each.name}, seed {each.seed}: {each.reason}')}" for each in failed)
        yield ""
    yield "## Run it again\n"
    yield fenced("\n".join(f"{command}" for command, _ in sections.commands(results)), "sh")
    if sections.read(results):
        yield "\nThe data, as it was read:\n"
        yield fenced(sections.read(results))
    yield "\nThe spec, study.yaml:\n"
    yield fenced(sections.study_yaml(results), "yaml")
    yield "\nVersions, and what else results depend on:\n"
    yield from (f"- {escaped(key)}: {escaped(value)}" for key, value in {**results.versions, **results.facts}.items())


def _classes(results: Results) -> Iterator[str]:
    names = [row.name for row in results.comparison.rows if row.name != results.baseline]
    found = {name: each for name in names if (each := changes(results, name)) is not None}
    if not found:
        return
    baseline, told = escaped(words.called(results, results.baseline)), next(iter(found.values())).told
    yield f"## {told.many.capitalize()}\n"
    yield f"Change of each {told.what}'s {told.compared} against {baseline}, in points.\n"
    labels = results.task.names
    yield _row([told.what, *found])
    yield "|---|" + "---:|" * len(found)
    for i, label in enumerate(labels):
        yield _row([label, *(f"{100 * each.mean[i]:+.1f}" for each in found.values())])
    yield ""
    often = sections.confused(results)
    if often is not None:
        yield "Most frequent confusions on the test set:\n"
        yield from _table(often)
        yield ""


def _robustness(results: Results) -> Iterator[str]:
    measured = extras.robustness_of(results.folder)
    found = under_attack(results, measured) if measured else {}
    if measured is None or not found:
        return
    yield f"## Robustness\n\n{escaped(words.robustness(results, found, measured))}\n"


def _table(table: Sheet) -> Iterator[str]:
    yield _row(table.columns)
    yield "|" + "".join("---:|" if cell.kind == "number" else "---|" for cell in table.rows[0])
    yield from (_row([cell.text for cell in row]) for row in table.rows)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(map(escaped, cells)) + " |"
