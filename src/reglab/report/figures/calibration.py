"""How sure the networks are against how often they are right."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from reglab.errors import ReglabError
from reglab.report import words
from reglab.report.bands import reliability_of
from reglab.report.figures import theme
from reglab.results import Results

__all__ = ["reliability"]

_PANEL = 240  # pixels


def reliability(results: Results, names: Sequence[str] | None = None, *, columns: int = 3) -> go.Figure:
    """Return accuracy against confidence on the test set, in 15 bins, examples of all seeds pooled.

    Below the diagonal a network is surer than it is right. The size of a dot is the share of examples in its bin; the
    baseline stands behind in grey.

    Raises:
        ReglabError: if none of these recipes has a finished run.

    Example:
        >>> results = reglab.Results.load("reglab-out/demo")
        >>> reglab.figures.reliability(results, ["no regularization", "dropout"]).show()
    """
    wanted = [row.name for row in results.comparison.rows] if names is None else list(names)
    found = {name: reliability_of(results, name) for name in wanted}
    shown = {name: each for name, each in found.items() if each is not None}
    if not shown:
        raise ReglabError("No run of these recipes has finished, so there is no calibration to show.")
    columns = min(columns, len(shown))
    rows = math.ceil(len(shown) / columns)
    made = theme.figure(height=30 + _PANEL * rows, message=words.reliability(results, list(shown)))
    if len(shown) > 1:
        made.set_subplots(
            rows=rows, cols=columns, shared_xaxes="all", shared_yaxes="all", horizontal_spacing=0.03,
            vertical_spacing=min(0.1, 0.2 / rows), subplot_titles=theme.named(list(shown)),
        )  # fmt: skip
    looks, behind = theme.looks(results), reliability_of(results, results.baseline)
    for i, (name, each) in enumerate(shown.items()):
        at = {"row": i // columns + 1, "col": i % columns + 1} if len(shown) > 1 else {}
        made.add_scatter(x=[0, 100], y=[0, 100], mode="lines", line={"color": theme.FAINT, "width": 1, "dash": "dot"},
                         hoverinfo="skip", meta="diagonal", **at)  # fmt: skip
        if behind is not None and name != results.baseline:
            made.add_scatter(x=100 * behind.confidence, y=100 * behind.accuracy, mode="lines", hoverinfo="skip",
                             line={"color": theme.BASELINE, "width": 1.5}, meta="baseline", **at)  # fmt: skip
        made.add_scatter(
            x=100 * each.confidence, y=100 * each.accuracy, mode="lines+markers", name=looks[name].name, meta="recipe",
            line={"color": looks[name].color, "width": 2}, customdata=100 * each.share,
            marker={"color": looks[name].color, "size": 4 + 14 * np.sqrt(each.share), "line": {"width": 0}},
            hovertemplate="sure to %{x:.1f} %, right in %{y:.1f} %; %{customdata:.1f} % of examples<extra></extra>",
            **at,
        )  # fmt: skip
    made.update_xaxes(range=[-2, 103], nticks=5)
    made.update_yaxes(range=[-2, 103], nticks=5)
    if len(shown) == 1:
        made.update_xaxes(title_text="confidence, %")
    made.update_annotations(font_size=12)
    return made.update_layout(showlegend=False, margin={"l": 40, "r": 10, "t": 24 if len(shown) > 1 else 8, "b": 40})
