"""What a recipe does to the gap, against what it does to the deciding metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import plotly.graph_objects as go

from reglab import inert
from reglab.analysis.compare import Row
from reglab.errors import ReglabError
from reglab.report import words
from reglab.report.figures import theme
from reglab.results import Results
from reglab.tasks import Metric

__all__ = ["gap_against_accuracy"]

_HEIGHT = 440
_WIDTH = 640  # pixels that labels are placed for; narrower pages show the legend alone
_LINE, _LETTER = 15, 6.4  # pixels of a label


def gap_against_accuracy(results: Results) -> go.Figure:
    """Return the deciding metric on the test set against the gap, means over seeds with standard deviations.

    Regularization that works moves to the left and to better values from the baseline. To the left and to worse ones is
    a network that is too restrained to learn.

    Raises:
        ReglabError: if no run has finished.

    Example:
        >>> results = reglab.Results.load("reglab-out/demo")
        >>> reglab.figures.gap_against_accuracy(results).show()
    """
    rows = [row for row in results.comparison.rows if row.finished and not math.isnan(row.mean("gap"))]
    if not rows:
        raise ReglabError("No run has finished, so there is no gap to show.")
    looks, metric, scale = theme.looks(results), results.metric, results.metric.scale
    made = theme.figure(height=_HEIGHT, message=words.gap(results))
    for row in rows:
        look, x, y = looks[row.name], scale * row.mean("gap"), scale * row.mean(metric.name)
        dx, dy = (np.nan_to_num(scale * row.std(each)) for each in ("gap", metric.name))
        made.add_scatter(
            x=[x - dx, x + dx, None, x, x], y=[y, y, None, y - dy, y + dy], mode="lines+markers", opacity=0.3,
            marker={"opacity": 0, "size": 6}, meta="spread",
            line={"color": look.color, "width": 1.5}, hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        made.add_scatter(
            x=[x], y=[y], mode="markers", name=inert.plotly(row.name, length=40), hoverinfo="text", meta="mean",
            marker={"color": look.color, "symbol": look.symbol, "size": 11,
                    "line": {"color": theme.SURFACE, "width": 1}},
            hovertext=[f"{look.name}: {metric.title} {metric.shown(y / scale)}, gap "
                       f"{metric.differs(x / scale, metric.rough)}"],
        )  # fmt: skip
    _guide(made, results)
    points = [(scale * row.mean("gap"), scale * row.mean(metric.name), row.name) for row in rows]
    ends = [_ends(row, metric) for row in rows]
    width, height = _span([each[0] for each in ends]), _span([each[1] for each in ends])
    for x, y, text in _labels(points, width, height):
        made.add_annotation(x=x, y=y, text=inert.plotly(text, length=24), xanchor="left", yanchor="middle", name="wide",
                            font={"size": 12}, bgcolor=theme.SURFACE, borderpad=0, opacity=0.9)  # fmt: skip
    made.update_xaxes(title_text=_gap_axis(metric), zeroline=False)
    made.update_yaxes(title_text=theme.axis(metric, "test"), zeroline=False)
    return made.update_layout(margin={"l": 52, "r": 12, "t": 12, "b": 44})


def _guide(made: go.Figure, results: Results) -> None:
    """Draw where the baseline is."""
    baseline, metric = results.comparison.row(results.baseline), results.metric
    if baseline.finished:
        line = {"color": theme.FAINT, "width": 1, "dash": "dot"}
        made.add_hline(y=metric.scale * baseline.mean(metric.name), line=line, layer="below")
        made.add_vline(x=metric.scale * baseline.mean("gap"), line=line, layer="below")


def _gap_axis(metric: Metric) -> str:
    """Return what the axis of the gap is called: which part is taken from which, and the unit of differences."""
    minus = "training minus validation" if metric.better == "higher" else "validation minus training"
    return f"gap: {minus}{metric.apart and ', '}{metric.apart}"


def _ends(row: Row, metric: Metric) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return where a recipe's spreads end, of the gap and of the metric."""
    found = []
    for each in ("gap", metric.name):
        mean, spread = metric.scale * row.mean(each), float(np.nan_to_num(metric.scale * row.std(each)))
        found.append((mean - spread, mean + spread))
    return found[0], found[1]


def _span(ends: Sequence[tuple[float, float]]) -> float:
    return max(max(high for _, high in ends) - min(low for low, _ in ends), 1e-9)


def _labels(points: list[tuple[float, float, str]], width: float, height: float) -> list[tuple[float, float, str]]:
    """Return where names can stand beside their points without lying on another; the others are in the legend."""
    per_x, per_y = 1.1 * width / _WIDTH, 1.1 * height / (_HEIGHT - 140)
    taken = [(x - 8 * per_x, x + 8 * per_x, y - 8 * per_y, y + 8 * per_y) for x, y, _ in points]
    placed = []
    for x, y, text in sorted(points, key=lambda point: -point[1]):
        length = min(len(text), 24) * _LETTER * per_x
        for right, up in product((1, -1), (0, 1, -1)):
            left = x + 10 * per_x if right > 0 else x - 10 * per_x - length
            middle = y + up * _LINE * per_y
            box = (left, left + length, middle - _LINE / 2 * per_y, middle + _LINE / 2 * per_y)
            if not any(box[0] < b[1] and b[0] < box[1] and box[2] < b[3] and b[2] < box[3] for b in taken):
                taken.append(box)
                placed.append((left, middle, text))
                break
    return placed
