"""How the deciding metric depends on a hyperparameter that a study sweeps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from reglab import inert
from reglab.errors import ReglabError
from reglab.report import words
from reglab.report.figures import theme
from reglab.report.sweeps import Sweep, sweeps
from reglab.results import Results

__all__ = ["sensitivity"]


def sensitivity(results: Results, sweep: Sweep | None = None) -> go.Figure:
    """Return the deciding metric against a hyperparameter: test and training part, means with standard deviations.

    The axis is logarithmic where the values span a decade or more. The baseline's test set is the grey line.

    Args:
        results: of a study.
        sweep: one of :func:`sweeps`; by default the first.

    Raises:
        ReglabError: if the study sweeps nothing, or no run of the sweep has finished.

    Example:
        >>> results = reglab.Results.load("reglab-out/digits-mlp")
        >>> reglab.figures.sensitivity(results).show()
    """
    found = sweeps(results)
    if sweep is None:
        if not found:
            raise ReglabError("No hyperparameter is swept: that takes three recipes that differ in one number alone.")
        sweep = found[0]
    rows = [(value, results.comparison.row(name)) for value, name in zip(sweep.values, sweep.names, strict=True)]
    rows = [(value, row) for value, row in rows if row.finished]
    if not rows:
        raise ReglabError(f"No run of the sweep of {sweep.title} has finished.")
    made = theme.figure(height=340, message=words.sensitivity(results, sweep))
    logarithmic = rows[0][0] > 0 and rows[-1][0] >= 10 * rows[0][0]
    looks = theme.looks(results)
    color = looks[next(row.name for _, row in rows if row.name != results.baseline)].color if len(rows) > 1 else (
        looks[rows[0][1].name].color)  # fmt: skip
    x = [value for value, _ in rows]
    metric = results.metric
    for name, said, dash in ((metric.name, "test", "solid"), (f"train_{metric.name}", "training part", "dot")):
        mean = np.array([row.mean(name) for _, row in rows])
        spread = np.nan_to_num(np.array([row.std(name) for _, row in rows]))
        hover = [
            f"{inert.plotly(row.name)}: {said} {metric.scale * m:{metric.form}} ± {metric.shown(s)}"
            for (_, row), m, s in zip(rows, mean, spread, strict=True)
        ]
        _curve(made, x, metric.scale * mean, metric.scale * spread, said=said, dash=dash, color=color, hover=hover)
    baseline = results.comparison.row(results.baseline)
    if baseline.finished:
        level = metric.scale * baseline.mean(metric.name)
        made.add_hline(y=level, line={"color": theme.BASELINE, "width": 1.5, "dash": "dash"})
        made.add_annotation(x=1, xref="x domain", xanchor="right", y=level, yanchor="bottom",
                            text=inert.plotly(results.baseline, length=24), font={"color": theme.MUTED})  # fmt: skip
    made.update_xaxes(title_text=inert.plotly(f"{sweep.strategy}: {sweep.parameter}"), zeroline=False)
    if logarithmic:
        made.update_xaxes(type="log", dtick=1, exponentformat="power")
    made.update_yaxes(title_text=theme.axis(metric))
    return made.update_layout(margin={"l": 48, "r": 12, "t": 12, "b": 48}, meta={
        **made.layout.meta, "logarithmic": logarithmic and math.isfinite(x[0])})  # fmt: skip


def _curve(
    made: go.Figure, x: Sequence[float], mean: np.ndarray, spread: np.ndarray, *, said: str, dash: str, color: str,
    hover: Sequence[str],
) -> None:  # fmt: skip
    made.add_scatter(
        x=[*x, *x[::-1]], y=np.concatenate([mean + spread, (mean - spread)[::-1]]), fill="toself", fillcolor=color,
        opacity=0.14, mode="lines", line={"width": 0, "color": color}, hoverinfo="skip", showlegend=False, meta="band",
    )  # fmt: skip
    made.add_scatter(
        x=x, y=mean, mode="lines+markers", name=said, line={"color": color, "dash": dash, "width": 2}, meta=said,
        marker={"size": 8, "color": color}, hoverinfo="text",
        hovertext=list(hover),
    )  # fmt: skip
