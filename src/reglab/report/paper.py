"""Our figures beside the paper's."""

from __future__ import annotations

import math
from collections.abc import Mapping

from reglab import paper
from reglab.report import tables
from reglab.report.tables import Table
from reglab.results import Results

__all__ = ["assumptions", "markdown", "published_tables"]


def published_tables(results: Results, table: str) -> dict[str, Table]:
    """Return published and measured accuracy and precision, and the differences from the baseline in both.

    Args:
        results: of a study of arms of the paper. Those that it does not have are left out.
        table: ``table2``, ``table3``, or ``both``.

    Returns:
        By the name that the paper gives it, each table that was asked for.
    """
    return {
        f"Table {key[-1]}": _published_table(results, published)
        for key, published in paper.PUBLISHED.items()
        if table in (key, "both")
    }


def _published_table(results: Results, published: Mapping[str, paper.Published]) -> Table:
    base, measured = published[paper.BASELINE], {row.name: row for row in results.comparison.rows}
    rows = []
    for name, theirs in published.items():
        row = measured.get(name, measured.get(paper.IN_BOTH.get(name, "")))
        if row is None:
            continue
        difference = row.differences.get("accuracy")
        ours = difference.mean if difference is not None else math.nan
        rows.append((
            name,
            f"{100 * theirs.accuracy:.2f}",
            _percent(row.mean("accuracy")),
            "" if name == paper.BASELINE else f"{100 * (theirs.accuracy - base.accuracy):+.2f}",
            "" if math.isnan(ours) else f"{100 * ours:+.2f}",
            f"{100 * theirs.precision:.2f}",
            _percent(row.mean("precision")),
        ))  # fmt: skip
    columns = ("arm", "paper", "ours", "paper vs base", "ours vs base", "paper precision", "our precision")
    return Table(columns, tuple(rows), (0,) * len(rows))


def markdown(results: Results, table: str) -> str:
    """Return the whole of it as Markdown: our comparison, the published figures beside it, and what is left open."""
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    beside = [
        line
        for title, found in published_tables(results, table).items()
        for line in (f"{title} of the paper, whose figures are single runs on CIFAR-10:", "",
                     *tables.markdown_rows(found), "")
    ]  # fmt: skip
    return "\n".join([
        tables.markdown(results),
        f"Versions: {versions}.",
        "",
        *beside,
        "What the paper does not say, and our choice:",
        "",
        *(f"- {what}: {choice}." for what, choice in assumptions()),
        "",
    ])  # fmt: skip


def assumptions() -> tuple[tuple[str, str], ...]:
    """Return what the paper leaves open, and our choice."""
    return paper.ASSUMPTIONS


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2f}"
