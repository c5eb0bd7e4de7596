"""What tuning brings, as a table."""

from __future__ import annotations

from reglab.report.tables import Table
from reglab.tuning.each import Tuning

__all__ = ["effort_table"]

_STEPS = (1, 2, 4, 8, 16, 32, 64, 128)


def effort_table(found: Tuning) -> Table:
    """Return a row for each strategy: what the best of n trials is expected to reach."""
    curves, metric = found.curves(), found.results.metric
    most = max(len(curve) for curve in curves.values())
    steps = [n for n in _STEPS if n < most] + [most]
    rows = []
    for name, curve in curves.items():
        cells = [f"{metric.scale * curve[min(n, len(curve)) - 1]:{metric.form}}" for n in steps]
        rows.append((name, *cells))
    return Table(("strategy", *(f"n={n}" for n in steps)), tuple(rows), (0,) * len(rows))
