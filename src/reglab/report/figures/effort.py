"""What tuning brings: the expected best of n trials, a line a strategy."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from reglab import inert
from reglab.errors import ReglabError
from reglab.report import words
from reglab.report.extras import effort_of
from reglab.report.figures import theme
from reglab.results import Results

__all__ = ["effort"]


def effort(results: Results) -> go.Figure:
    """Return what, on validation, the best of n random trials is expected to have, for each strategy.

    Good at the left is easy to tune, good at the right is good (Dodge et al. 2019, arXiv:1909.03004).

    Args:
        results: of the confirmation of strategies that were tuned with equal budgets (``reglab compare --tune-each``).

    Raises:
        ReglabError: if they were not.

    Example:
        >>> results = reglab.Results.load("reglab-out/digits-mlp-tuned/confirmation")
        >>> reglab.figures.effort(results).show()
    """
    curves = effort_of(results.folder)
    if not curves:
        raise ReglabError(
            f"Nothing was tuned with equal budgets in {results.folder}. reglab compare --tune-each N does it."
        )
    looks, metric = theme.looks(results), results.metric
    shown = {name: np.asarray(curve) for name, curve in curves.items() if name in looks and len(curve)}
    made = theme.figure(height=380, message=words.effort(shown, metric))
    for name, curve in shown.items():
        look, n = looks[name], list(range(1, len(curve) + 1))
        made.add_scatter(
            x=n, y=metric.scale * curve, mode="lines+markers", name=inert.plotly(name, length=40), meta=name,
            line={"color": look.color, "width": 2}, marker={"color": look.color, "symbol": look.symbol, "size": 6},
            hoverinfo="text",
            hovertext=[f"{look.name}, best of {i}: {metric.shown(v)}" for i, v in zip(n, curve, strict=True)],
        )  # fmt: skip
    made.update_xaxes(title_text="trials", zeroline=False)
    made.update_yaxes(title_text=theme.axis(metric, "expected best validation"))
    return made.update_layout(margin={"l": 56, "r": 12, "t": 12, "b": 48})
