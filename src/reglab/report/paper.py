"""Our figures beside the paper's."""

from __future__ import annotations

import math

from reglab import paper
from reglab.report import tables
from reglab.report.tables import Table
from reglab.results import Results

__all__ = ["assumptions", "markdown", "published_table"]


def published_table(results: Results, table: str) -> Table:
    """Return published and measured accuracy and precision, and the differences from the baseline in both."""
    published = {"table2": paper.TABLE2, "table3": paper.TABLE3}[table]
    base = published[paper.BASELINE]
    rows = []
    for row in results.comparison.rows:
        theirs = published[row.name]
        difference = row.differences.get("accuracy")
        ours = difference.mean if difference is not None else math.nan
        rows.append((
            row.name,
            f"{100 * theirs.accuracy:.2f}",
            _percent(row.mean("accuracy")),
            "" if row.name == paper.BASELINE else f"{100 * (theirs.accuracy - base.accuracy):+.2f}",
            "" if math.isnan(ours) else f"{100 * ours:+.2f}",
            f"{100 * theirs.precision:.2f}",
            _percent(row.mean("precision")),
        ))  # fmt: skip
    columns = ("arm", "paper", "ours", "paper vs base", "ours vs base", "paper precision", "our precision")
    return Table(columns, tuple(rows), (0,) * len(rows))


def markdown(results: Results, table: str) -> str:
    """Return the whole of it as Markdown: our comparison, the published figures beside it, and what is left open."""
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return "\n".join([
        tables.markdown(results),
        f"Versions: {versions}.",
        "",
        "Beside the paper (its figures are single runs on CIFAR-10):",
        "",
        *tables.markdown_rows(published_table(results, table)),
        "",
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
