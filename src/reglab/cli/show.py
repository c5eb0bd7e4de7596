"""Running a study from the command line, and showing what came out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rich.table import Table as RichTable
from rich.text import Text

from reglab.cli.console import Console
from reglab.cli.interrupt import keeping
from reglab.cli.progress import bars
from reglab.cli.quiet import start_backend
from reglab.experiments.references import MOST_EXAMPLES, references
from reglab.report import words
from reglab.report.tables import Table, comparison_table, conclusion, legend
from reglab.results import Results
from reglab.studies import Study

__all__ = ["run_and_show", "show_table", "trained"]

_NAME = 24  # characters of a recipe's name in a line
_STYLES = {1: "green", -1: "red", 0: ""}
# On a narrow terminal columns go in this order, the least needed first; other metrics than the deciding one between.
_FIRST = (("run",), ("tries",), ("s/run",))
_THEN = (
    ("p",), ("epochs",), ("runs",), ("train",), ("gap",), ("verdict",), ("paper precision", "our precision"), ("MB",),
    ("measuring",),
)  # fmt: skip


def run_and_show(
    study: Study, *, notes: tuple[str, ...] = (), execution: Mapping[str, Any] = MappingProxyType({}),
    console: Console | None = None, seen_beside: bool = False,
) -> Results:  # fmt: skip
    """Run a study with bars, then print its table and where it was written.

    ``seen_beside`` says whether models of scikit-learn's are trained on a table for reference.
    """
    console = console or Console()
    results = trained(study, console, notes=notes, execution=execution)
    if seen_beside and len(study.dataset) <= MOST_EXAMPLES:
        with keeping(lambda: study.out), console.status("Reference lines ..."):
            references(study)
    console.print()
    show_results(results, console)
    return results


def show_results(results: Results, console: Console) -> None:
    """Print the table of a study, what follows from it, and where it was written."""
    console.print(Text(results.headline, style="bold"))
    columns = show_table(comparison_table(results), console)
    console.print(Text(conclusion(results)))
    if beside := words.references(results):
        console.print(Text(beside))
    console.print(Text(legend(results, columns), style="dim"))
    console.print(Text("written: ") + Text(str(results.folder / "results.json"), style="cyan"))


def trained(
    study: Study, console: Console, *, notes: tuple[str, ...] = (), execution: Mapping[str, Any] = MappingProxyType({})
) -> Results:  # fmt: skip
    """Run a study with bars and return its results."""
    if execution.get("workers") == 0:
        start_backend()
    for note in notes:  # those of the study itself come with its progress
        console.print(Text("note: ", style="yellow") + Text(note))
    with keeping(lambda: study.out), bars(console) as (progress, _):
        return study.run(progress, **execution)


def show_table(table: Table, console: Console) -> list[str]:
    """Print a table in as many of its columns as fit, and return which those are."""
    dropped: list[str] = []
    for names in ((), *_FIRST, table.second, *_THEN):
        dropped += names
        kept = [i for i, column in enumerate(table.columns) if column not in dropped]
        if _width(table, kept) <= console.width:
            break
    rich = RichTable(box=None, pad_edge=False, header_style="bold")
    for i in kept:
        first = i == 0
        rich.add_column(
            table.columns[i], justify="left" if first else "right", no_wrap=not first, overflow="fold",
            min_width=min(_NAME, max(len(row[0]) for row in table.rows)) if first else None,
        )  # fmt: skip
    for row, emphasis in zip(table.rows, table.emphasis, strict=True):
        rich.add_row(*(Text(row[i], style=_STYLES[emphasis] if i in (1, 2) else "") for i in kept))
    console.print(rich)
    return [table.columns[i] for i in kept]


def _width(table: Table, kept: list[int]) -> int:
    longest = [max(len(row[i]) for row in (table.columns, *table.rows)) for i in kept]
    longest[0] = min(longest[0], _NAME)  # names may fold
    return sum(longest) + 2 * len(kept)
