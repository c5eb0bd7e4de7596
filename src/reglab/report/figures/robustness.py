"""What is left under attack."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from reglab import inert
from reglab.analysis.robustness import epsilon_text
from reglab.errors import ReglabError
from reglab.report import words
from reglab.report.bands import Band, band, under_attack
from reglab.report.extras import robustness_of
from reglab.report.figures import theme
from reglab.results import Results
from reglab.tasks import Metric

__all__ = ["robustness"]

_UNITS = {"pixel": "in units of a pixel's range", "input": "in units of the model's input"}
_DASHES = ("solid", "dash", "dot", "dashdot")
_BANDS = 3  # recipes; bands of more lie on each other


def robustness(
    results: Results, measured: Mapping[str, Any] | None = None, *, names: Sequence[str] | None = None
) -> go.Figure:
    """Return the deciding metric against the size of an adversary's perturbation: a line a recipe, a dash an attack.

    Lines are means over seeds. Bands, of the strongest attack and where there are few recipes, reach from the lowest to
    the highest seed. Epsilons stand at equal distances.

    Args:
        results: of a study.
        measured: what ``robustness.json`` holds; by default that of the study's folder.
        names: the recipes; by default all.

    Raises:
        ReglabError: if it was not measured.

    Example:
        >>> results = reglab.Results.load("reglab-out/demo")
        >>> reglab.figures.robustness(results).show()
    """
    if measured is None:
        measured = robustness_of(results.folder)
    found = {} if measured is None else under_attack(results, measured)
    if names is not None:
        found = {attack: {n: of[n] for n in names if n in of} for attack, of in found.items()}
    if measured is None or not any(found.values()):
        raise ReglabError(
            f"No robustness was measured in {results.folder}. Measure it with: reglab robustness {results.folder}"
        )
    epsilons, metric = measured["epsilons"], results.task.metric(measured["metric"])
    alone = names is not None and len(names) == 1
    made = theme.figure(height=250 if alone else 420, message=words.robustness(results, found, measured))
    if alone and names and names[0] != results.baseline:
        behind = under_attack(results, measured)[next(iter(found))].get(results.baseline)
        if behind:
            made.add_scatter(x=list(range(len(epsilons))), y=metric.scale * band(behind).mean, mode="lines",
                             hoverinfo="skip", line={"color": theme.BASELINE, "width": 1.5},
                             meta="baseline")  # fmt: skip
    for (attack, of_attack), dash in zip(found.items(), _DASHES, strict=False):
        for name, curves in of_attack.items():
            _line(made, results, name, attack, band(curves), metric=metric, epsilons=epsilons,
                  unit=measured.get("unit"), dash=dash, alone=alone,
                  shaded=dash == "solid" and len(of_attack) <= _BANDS)  # fmt: skip
    title, marks = _ticks(epsilons, measured.get("unit"))
    made.update_xaxes(title_text=title, tickvals=list(range(len(epsilons))), ticktext=marks, zeroline=False)
    made.update_yaxes(title_text=None if alone else theme.axis(metric))
    if math.isfinite(metric.span):
        around = 0.02 * metric.scale * metric.span
        made.update_yaxes(range=[metric.scale * metric.lowest - around, metric.scale * metric.highest + around])
    return made.update_layout(margin={"l": 40 if alone else 48, "r": 12, "t": 12, "b": 48}, showlegend=not alone)


def _line(
    made: go.Figure, results: Results, name: str, attack: str, found: Band, *, metric: Metric,
    epsilons: Sequence[float], unit: str | None, dash: str, shaded: bool, alone: bool,
) -> None:  # fmt: skip
    look, x = theme.looks(results)[name], list(range(len(found.x)))
    if shaded and found.seeds > 1:
        made.add_scatter(
            x=[*x, *x[::-1]], y=metric.scale * np.concatenate([found.high, found.low[::-1]]), fill="toself",
            fillcolor=look.color, opacity=0.14, line={"width": 0, "color": look.color}, mode="lines", hoverinfo="skip",
            showlegend=False, legendgroup=look.name, meta="band",
        )  # fmt: skip
    strongest = dash == "solid"
    made.add_scatter(
        x=x, y=metric.scale * found.mean, mode="lines+markers" if strongest else "lines", showlegend=strongest,
        meta=attack,
        line={"color": look.color, "dash": dash, "width": 2 if strongest else 1.25},
        opacity=1 if strongest or alone else 0.55, name=inert.plotly(name, length=40), legendgroup=look.name,
        marker={"color": look.color, "symbol": look.symbol, "size": 6}, hoverinfo="text",
        hovertext=[
            f"{look.name}, {inert.plotly(attack.upper())} {epsilon_text(epsilon, unit)}: "
            f"{metric.shown(mean, metric.rough)}"
            for epsilon, mean in zip(epsilons, found.mean, strict=False)
        ],
    )  # fmt: skip


def _ticks(epsilons: Sequence[float], unit: str | None) -> tuple[str, list[str]]:
    """Return the axis' title and its marks: of pixels in levels of 255."""
    texts = [epsilon_text(epsilon, unit) for epsilon in epsilons]
    if unit == "pixel" and all(text == "0" or text.endswith("/255") for text in texts):
        return "epsilon, in 255ths of a pixel's range", [text.removesuffix("/255") for text in texts]
    return f"epsilon, {_UNITS[unit]}" if unit in _UNITS else "epsilon", texts
