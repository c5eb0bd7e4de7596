"""Learning curves: a panel a recipe, train and validation, the mean over seeds in the band of all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from reglab import inert
from reglab.errors import ReglabError
from reglab.report import words
from reglab.report.bands import Band, band, histories
from reglab.report.figures import theme
from reglab.results import Results

__all__ = ["common_reach", "learning_curves"]

_PANEL = 230  # pixels


def learning_curves(
    results: Results, names: Sequence[str] | None = None, *, metric: str | None = None, columns: int = 3,
    reach: tuple[float, float] | None = None, onset: Mapping[str, float] | None = None,
) -> go.Figure:  # fmt: skip
    """Return a metric by epoch, in inference mode: validation as a line, training part dotted.

    Bands reach from the lowest to the highest seed. Behind each recipe stands the baseline's validation, in grey.

    Args:
        results: of a study.
        names: the recipes; by default all.
        metric: one of those that are measured after each epoch; by default the deciding one.
        columns: panels in a row.
        reach: of the vertical axis; by default of what all recipes of the study need, so that panels compare.
        onset: for each recipe the epoch from which it overfits, which is marked.

    Raises:
        ReglabError: for another metric, or if none of these recipes has a finished run.

    Example:
        >>> results = reglab.Results.load("reglab-out/demo")
        >>> reglab.figures.learning_curves(results, ["dropout", "combination"], metric="cross_entropy").show()
    """
    metric, known = metric or results.metric.name, [each.name for each in results.task.watched]
    if metric not in known:
        raise ReglabError(f"There are learning curves of {' and '.join(known)}; given was {metric!r}.")
    wanted = [row.name for row in results.comparison.rows] if names is None else list(names)
    shown = [name for name in wanted if histories(results, name, f"val_{metric}")]
    if not shown:
        raise ReglabError("No run of these recipes has finished, so there are no curves.")
    columns = min(columns, len(shown))
    rows = math.ceil(len(shown) / columns)
    made = theme.figure(height=40 + _PANEL * rows, message=words.curves(results, shown, metric))
    if len(shown) > 1:
        made.set_subplots(
            rows=rows, cols=columns, shared_xaxes="all", shared_yaxes="all", horizontal_spacing=0.03,
            vertical_spacing=min(0.1, 0.2 / rows), subplot_titles=theme.named(shown),
        )  # fmt: skip
    for i, name in enumerate(shown):
        at = {"row": i // columns + 1, "col": i % columns + 1} if len(shown) > 1 else {}
        _panel(made, results, name, metric, at, first=i == 0)
        if onset and onset.get(name) is not None:
            made.add_vline(x=onset[name], line={"color": theme.INK, "width": 1, "dash": "dash"}, **at)
    low, high = reach or common_reach(results, metric)
    made.update_yaxes(range=[low, high], nticks=6)
    made.update_xaxes(nticks=6)
    if len(shown) == 1:
        made.update_xaxes(title_text="epoch")
    made.update_annotations(font_size=12)
    return made.update_layout(showlegend=len(shown) > 1, margin={"l": 40, "r": 10, "t": 24 if len(shown) > 1 else 8,
                                                                 "b": 40})  # fmt: skip


def common_reach(results: Results, metric: str) -> tuple[float, float]:
    """Return the vertical axis that the curves of all recipes need, in the units of the figure."""
    of = results.task.metric(metric)
    scale = of.scale
    found = [
        band(histories(results, row.name, f"{part}_{metric}"))
        for row in results.comparison.rows
        for part in ("train", "val")
    ]
    found = [each for each in found if len(each.x)]
    highs = np.concatenate([each.high for each in found])
    if of.better == "higher" and math.isfinite(of.span):
        # The first epochs, from chance on, would take half of the axis: curves come in from below.
        late = np.concatenate([each.low[len(each.low) // 5 :] for each in found])
        low = math.floor(scale * float(late.min()) / 10) * 10
        return low - 1.0, min(scale * of.highest, scale * float(highs.max())) + 2
    # A run that diverges for an epoch would press all others to the floor.
    top = float(np.quantile(np.concatenate([each.mean for each in found]), 0.99)) * 1.15
    return 0.0, min(top, float(highs.max()) * 1.05)


def _panel(
    made: go.Figure, results: Results, name: str, metric: str, at: Mapping[str, int], *, first: bool
) -> None:  # fmt: skip
    scale = results.task.metric(metric).scale
    look = theme.looks(results)[name]
    if name != results.baseline:
        behind = band(histories(results, results.baseline, f"val_{metric}"))
        made.add_scatter(
            x=behind.x, y=scale * behind.mean, mode="lines", line={"color": theme.BASELINE, "width": 1.5},
            name=f"{inert.plotly(results.baseline)}, validation", legendgroup="baseline", hoverinfo="skip",
            showlegend=False, meta="baseline", **at,
        )  # fmt: skip
    for part, dash, width in (("train", "dot", 1.5), ("val", "solid", 2)):
        found = band(histories(results, name, f"{part}_{metric}"))
        if not len(found.x):
            continue
        said = "training part" if part == "train" else "validation"
        _shade(made, found, scale, look.color, at)
        made.add_scatter(
            x=found.x, y=scale * found.mean, mode="lines", line={"color": look.color, "dash": dash, "width": width},
            name=said, legendgroup=part, showlegend=first, meta=part,
            customdata=scale * np.column_stack([found.low, found.high]),
            hovertemplate=f"epoch %{{x}}, {said}: %{{y:.4~g}} [%{{customdata[0]:.4~g}}, %{{customdata[1]:.4~g}}]"
            "<extra></extra>",
            **at,
        )  # fmt: skip


def _shade(made: go.Figure, found: Band, scale: float, color: str, at: Mapping[str, int]) -> None:
    if found.seeds > 1:
        made.add_scatter(
            x=np.concatenate([found.x, found.x[::-1]]), y=scale * np.concatenate([found.high, found.low[::-1]]),
            fill="toself", fillcolor=color, opacity=0.16, line={"width": 0, "color": color}, mode="lines",
            hoverinfo="skip", showlegend=False, meta="band", **at,
        )  # fmt: skip
