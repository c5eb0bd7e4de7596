"""What came out of a study, as a table: computed once, rendered as text, as Markdown, or in colour by the CLI."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from reglab.analysis.compare import Row
from reglab.analysis.verdict import ENOUGH_SEEDS, Verdict
from reglab.inert import markdown as escaped
from reglab.recipe import spoken
from reglab.report import verdicts
from reglab.results import Results
from reglab.tasks import Metric

__all__ = [
    "Table",
    "capitalized",
    "comparison_table",
    "conclusion",
    "legend",
    "markdown",
    "markdown_rows",
    "p_value",
    "plain",
    "spread",
]


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes:
        columns, rows: what is in it.
        emphasis: for each row whether it is better or worse than the baseline: 1, -1 or 0.
        second: columns of other metrics than the one that decides, which are less needed.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    emphasis: tuple[int, ...]
    second: tuple[str, ...] = ()


def comparison_table(results: Results) -> Table:
    """Return the table of a study: for each recipe its test metrics, its gap, and its difference from the baseline."""
    comparison, metric, second = results.comparison, results.metric, results.task.columns[0]
    columns = (
        "recipe",
        metric.title,
        f"vs {comparison.baseline} [95 %]",
        "verdict",
        "p",
        second.title,
        "train",
        "gap",
        "epochs",
        "s/run",
        "runs",
    )
    rows = tuple(_cells(row, metric, second) for row in comparison.rows)
    signs = {"better": 1, "worse": -1}
    emphasis = tuple(signs.get(row.verdict.word, 0) if row.verdict else 0 for row in comparison.rows)
    return Table(columns, rows, emphasis, second=(second.title,))


def legend(results: Results, columns: Collection[str] | None = None) -> str:
    """Return what the columns mean, and what may and may not be concluded.

    Args:
        results: of the table.
        columns: those that are there, where some were left out.
    """
    there = set(comparison_table(results).columns if columns is None else columns)
    seeds = max((len(row.seeds) for row in results.comparison.rows), default=0)
    enough = seeds >= ENOUGH_SEEDS
    interval = "95 % interval, adjusted for the number of recipes" if enough else "95 % paired t interval"
    metric, second = results.metric, results.task.columns[0]
    minus = "train minus validation" if metric.better == "higher" else "validation minus train"
    of_training = {
        "train": f"train: clean training {metric.title} at the best epoch",
        "gap": f"gap: {minus}{_in(metric.apart, ', ')}",
    }
    said = [
        f"{_measured(metric, *([second] if second.title in there else []))}, mean ± standard deviation over seeds.",
        f"vs {results.comparison.baseline}: difference in {metric.title}{_in(metric.apart)}, paired by seed, with its "
        f"{interval}.",
    ]
    if enough and there & {"verdict", "p"}:
        said.append(
            "verdict: paired t test, p adjusted by Holm; familywise error rate 5 % over recipes, if differences are "
            "about symmetric."
        )
    if any(row.verdict is not None and row.verdict.bound for row in results.comparison.rows):
        said.append(
            ">0 or <0: the test shows the sign (p adjusted, familywise 5 %), though the adjusted interval alone would "
            "reach over zero."
        )
    if words := [of for name, of in of_training.items() if name in there]:
        said.append(f"{'; '.join(words)}.")
    if not enough:
        few = "seed is" if seeds == 1 else "seeds are"
        said.append(f"{seeds} {few} screening: too few to tell small differences apart.")
    return " ".join(said)


def _measured(*metrics: Metric) -> str:
    """Return which metrics stand in the table, on what and in which unit: of all, where they have the same."""
    names = [f"{each.title}{each.averaged and f' ({each.averaged})'}" for each in metrics]
    if len({each.unit for each in metrics}) == 1:
        return f"{', '.join(names)}: test set{_in(metrics[0].unit, ', ')}"
    said = zip(names, metrics, strict=True)
    return "; ".join(f"{name}: test set{_in(each.unit, ', ')}" for name, each in said)


def _in(unit: str, before: str = " ") -> str:
    return f"{before}in {unit}" if unit else ""


def capitalized(text: str) -> str:
    """Return a text with a capital first letter; the others stay as they are."""
    return f"{text[:1].upper()}{text[1:]}"


def conclusion(results: Results) -> str:
    """Return what validation says of which recipe to use."""
    choice = results.comparison.choice
    if choice is None:
        return "No run has finished, so nothing can be said."

    def name(of: str) -> str:
        return spoken(of, results.baseline)

    if choice.screening:
        return (
            f"By validation {name(choice.best)} looks best. With fewer than {ENOUGH_SEEDS} seeds that is screening: "
            f"give {ENOUGH_SEEDS} or more to know."
        )
    others = [name(each) for each in choice.candidates if each != choice.best]
    if not others:
        text = f"By validation {name(choice.best)} is the best recipe of these."
    else:
        text = f"By validation {name(choice.best)} looks best, and cannot be told from {_listed(others)}."
    if choice.margin is None:
        return text + (f" Recommended is what looks best: {name(choice.best)}." if others else "")
    within = f"shown to be less than {results.metric.differs(choice.margin, 'g')} behind any other"
    if choice.recommended != choice.best:
        return f"{text} Recommended is {name(choice.recommended)}: it has fewer strategies, and is {within}."
    return f"{text} Recommended is {name(choice.best)}: no recipe with fewer strategies is {within}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def markdown(results: Results) -> str:
    """Return the table as Markdown, with headline, notes and legend."""
    lines = [f"**{escaped(results.headline)}**", ""]
    lines += [f"> {escaped(note)}\n" for note in results.notes]
    return "\n".join([*lines, *markdown_rows(comparison_table(results)), "", escaped(conclusion(results)), "",
                      legend(results), ""])  # fmt: skip


def markdown_rows(table: Table) -> list[str]:
    """Return the lines of a table in Markdown."""
    head = "| " + " | ".join(escaped(column) for column in table.columns) + " |"
    rows = ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in table.rows]
    return [head, "|---|" + "---:|" * (len(table.columns) - 1), *rows]


def plain(results: Results) -> str:
    """Return the table as aligned text."""
    table = comparison_table(results)
    grid = [table.columns, *table.rows]
    widths = [max(len(row[i]) for row in grid) for i in range(len(table.columns))]
    lines = [_aligned(row, widths) for row in grid]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join([results.headline, *results.notes, "", *lines, "", conclusion(results), "", legend(results)])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def _cells(row: Row, metric: Metric, second: Metric) -> tuple[str, ...]:
    return (
        row.name,
        spread(row, metric),
        verdicts.difference(row.verdict) if row.verdict else "",
        row.verdict.word if row.verdict else "",
        p_value(row.verdict),
        spread(row, second),
        _number(metric.scale * row.mean(f"train_{metric.name}"), metric.rough),
        _number(metric.scale * row.mean("gap"), metric.rough),
        _number(row.mean("epochs"), ".0f"),
        _number(row.mean("seconds"), ".1f"),
        str(row.finished) if row.finished == len(row.seeds) else f"{row.finished} of {len(row.seeds)}",
    )


def spread(row: Row, metric: Metric) -> str:
    """Return mean and standard deviation of a metric over seeds, as it is shown."""
    mean, std = metric.scale * row.mean(metric.name), metric.scale * row.std(metric.name)
    return _number(mean, metric.form) if math.isnan(std) else f"{mean:{metric.form}} ± {std:{metric.form}}"


def p_value(verdict: Verdict | None) -> str:
    """Return the adjusted p value as a table holds it; nothing where no test was made."""
    p = math.nan if verdict is None else verdict.p_adjusted
    return (
        ""
        if math.isnan(p)
        else "<0.0001"
        if p < 1e-4
        else f"{p:.4f}"
        if p < 0.01
        else f"{p:.3f}"
        if p < 0.1
        else f"{p:.2f}"
    )


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
