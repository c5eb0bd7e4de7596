"""Results as CSV, for spreadsheets and data frames: a row a recipe, a row a run, and a row a class of a recipe.

Numbers are in full precision, shares between 0 and 1. Text that a spreadsheet would take for a formula is led by an
apostrophe.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

from reglab.analysis.compare import Row
from reglab.inert import cell
from reglab.report.bands import by_name
from reglab.results import Results
from reglab.study.records import reason

__all__ = ["classes", "recipes", "run_rows", "runs"]


def recipes(results: Results) -> str:
    """Return a row a recipe: verdict, difference and its interval, and mean and standard deviation of every metric."""
    head = [
        "recipe", "text", "baseline",
        "seeds", "finished", "verdict", "difference", "low", "high", "confidence", "bound",
        "p", "p_adjusted", "margin",
    ]  # fmt: skip
    head += [f"{metric}_{what}" for metric in results.task.recorded for what in ("mean", "std")]
    return _written(head, (_recipe(results, row) for row in results.comparison.rows))


def _recipe(results: Results, row: Row) -> list[Any]:
    found = row.verdict
    judged: list[Any] = [None] * 9
    if found is not None:
        judged = [found.word, found.paired.mean, found.low, found.high, found.confidence,
                  found.bound or None, found.paired.p, found.p_adjusted, found.margin]  # fmt: skip
    spreads = [value for metric in results.task.recorded for value in (row.mean(metric), row.std(metric))]
    return [row.name, row.recipe, row.name == results.baseline, len(row.seeds), row.finished, *judged, *spreads]


def runs(results: Results) -> str:
    """Return a row a run: how it ended, every metric, and of a failure the reason in a line."""
    return _written(*run_rows(results))


def run_rows(results: Results) -> tuple[list[str], list[list[Any]]]:
    """Return the names of the columns of :func:`runs`, and its rows."""
    rows = [
        [name, seed, run.id, run.status, *(run.metrics.get(metric) for metric in results.task.recorded),
         reason(run.error) if run.error else None]
        for name, of_name in results.runs.items()
        for seed, run in of_name.items()
    ]  # fmt: skip
    return ["recipe", "seed", "run", "status", *results.task.recorded, "error"], rows


def classes(results: Results) -> str:
    """Return a row per class or label of each recipe: its examples in the test set, and its scores of all seeds."""
    told = {name: each for name in results.runs if (each := by_name(results, name)) is not None}
    if not told:
        return _written(["recipe", "class", "examples"], [])
    first = next(iter(told.values()))
    rows = (
        [name, label, *(value.item() for value in values)]
        for name, each in told.items()
        for label, *values in zip(results.task.names, each.support, *each.scores.values(), strict=True)
    )
    return _written(
        ["recipe", first.what, first.of, *(score.lower().replace(" ", "_") for score in first.scores)], rows
    )


def _written(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_value(value) for value in row] for row in rows)
    return file.getvalue()


def _value(value: object) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return value if isinstance(value, int | float) else cell(value)
