"""What recipes do to single classes or labels: changes of their scores, and which classes are taken for which."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from reglab import inert
from reglab.errors import ReglabError
from reglab.report import words
from reglab.report.bands import by_name, changes, pooled_confusion
from reglab.report.figures import theme
from reglab.results import Results

__all__ = ["confusion", "per_class"]

_CELLS_WITH_TEXT = 16  # columns; with more, numbers would lie on each other


def per_class(results: Results) -> go.Figure:
    """Return how each class's recall, or what a task has in its place, changes against the baseline, in points.

    It is the mean over seeds, paired.

    Bold are the cells whose own 95 % paired t interval is clear of zero. That is not adjusted for how many cells there
    are: of those without an effect, one in twenty is bold by chance.

    Raises:
        ReglabError: if no recipe has a seed that finished as well as the baseline's.

    Example:
        >>> results = reglab.Results.load("reglab-out/demo")
        >>> reglab.figures.per_class(results).show()
    """
    found = {row.name: changes(results, row.name) for row in results.comparison.rows if row.name != results.baseline}
    kept = {name: each for name, each in found.items() if each is not None}
    if not kept:
        raise ReglabError("No recipe has a difference from the baseline yet: a seed has to finish in both.")
    classes, told = list(results.task.names), next(iter(kept.values())).told
    z = np.array([100 * each.mean for each in kept.values()])
    clear = np.array([(each.low > 0) | (each.high < 0) for each in kept.values()])
    reach = max(float(np.nanmax(np.abs(z))), 1e-9)
    made = theme.figure(height=70 + 30 * len(kept) + (60 if max(map(len, classes)) > 4 else 0),
                        message=words.classes(list(kept), classes, z, results.baseline, told))  # fmt: skip
    made.add_heatmap(
        z=z, x=list(range(len(classes))), y=list(range(len(kept))), zmin=-reach, zmax=reach, zmid=0,
        colorscale=theme.DIVERGING, xgap=2, ygap=2, hoverinfo="text", showscale=False,
        text=[[_cell(value, bold) for value, bold in zip(*row, strict=True)] for row in zip(z, clear, strict=True)],
        texttemplate="%{text}" if len(classes) <= _CELLS_WITH_TEXT else None, textfont={"size": 11},
        hovertext=[
            [
                f"{inert.plotly(name)}, {told.what} {inert.plotly(label)}: {told.compared} "
                f"{100 * each.baseline[i]:.1f} → {100 * each.value[i]:.1f} %, {100 * each.mean[i]:+.1f} points "
                f"[{100 * each.low[i]:+.1f}, {100 * each.high[i]:+.1f}]"
                for i, label in enumerate(classes)
            ]
            for name, each in kept.items()
        ],
    )  # fmt: skip
    _name_axes(made, classes, list(kept), row_length=26)
    return made.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 40})


def _cell(value: float, bold: bool) -> str:
    if np.isnan(value):
        return ""
    return f"<b>{value:+.1f}</b>" if bold else f"{value:+.1f}"


def confusion(results: Results, name: str) -> go.Figure:
    """Return which classes a recipe takes for which: shares of the true class (row), pooled over seeds, in %.

    Two traces: ``errors``, coloured by size, and ``right``, the diagonal, which is not, or it would drown the errors.

    Raises:
        ReglabError: if the recipe has no finished run.

    Example:
        >>> results = reglab.Results.load("reglab-out/demo")
        >>> reglab.figures.confusion(results, "dropout").show()
    """
    counts, told = pooled_confusion(results, name), by_name(results, name)
    if counts is None:
        raise ReglabError(f"No run of {name} has finished, so there is no confusion matrix.")
    classes = list(results.task.names)
    with np.errstate(invalid="ignore"):
        shares = 100 * counts / counts.sum(axis=1, keepdims=True)
    diagonal = np.eye(len(classes), dtype=bool)
    hover = [
        [
            f"{inert.plotly(true)} taken for {inert.plotly(given)}: {counts[i, j]} of {counts[i].sum()}, all seeds"
            if i != j else f"{inert.plotly(true)} recognized: {counts[i, j]} of {counts[i].sum()}, all seeds"
            for j, given in enumerate(classes)
        ]
        for i, true in enumerate(classes)
    ]  # fmt: skip
    made = theme.figure(height=360, message=words.confusion(name, counts, classes, told.of if told else "examples"))
    text = len(classes) <= _CELLS_WITH_TEXT
    for what, mask, scale in (
        ("errors", ~diagonal, theme.SEQUENTIAL), ("right", diagonal, ((0.0, theme.GRID), (1.0, theme.GRID)))
    ):  # fmt: skip
        z = np.where(mask, shares, np.nan)
        made.add_heatmap(
            z=z, name=what, meta=what, colorscale=scale, zmin=0, zmax=worst_share(results) if what == "errors" else 100,
            xgap=1, ygap=1, showscale=False, hoverinfo="text", hovertext=hover, hoverongaps=False,
            text=[["" if np.isnan(v) or v < 0.5 else f"{v:.0f}" for v in row] for row in z],
            texttemplate="%{text}" if text else None, textfont={"size": 10},
        )  # fmt: skip
    _name_axes(made, classes, classes, row_length=12)
    made.update_xaxes(title_text="taken for")
    made.update_yaxes(title_text="true class")
    return made.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 40})


def worst_share(results: Results) -> float:
    """Return the largest share of a class that any recipe takes for another one, in %: colours of all compare."""
    most = 1.0
    for row in results.comparison.rows:
        counts = pooled_confusion(results, row.name)
        if counts is not None:
            off = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
            most = max(most, float((100 * off / np.maximum(counts.sum(axis=1, keepdims=True), 1)).max()))
    return most


def _name_axes(made: go.Figure, columns: list[str], rows: list[str], *, row_length: int) -> None:
    made.update_xaxes(tickvals=list(range(len(columns))), ticktext=theme.named(columns, length=14), showgrid=False,
                      zeroline=False)  # fmt: skip
    made.update_yaxes(tickvals=list(range(len(rows))), ticktext=theme.named(rows, length=row_length), showgrid=False,
                      zeroline=False, autorange="reversed")  # fmt: skip
    if len(columns) > 2 * _CELLS_WITH_TEXT:
        made.update_xaxes(tickvals=None, ticktext=None, showticklabels=False)
        if rows == columns:
            made.update_yaxes(tickvals=None, ticktext=None, showticklabels=False)
