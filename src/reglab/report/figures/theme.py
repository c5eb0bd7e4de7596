"""How figures look: a colour a recipe, the same in every figure, and what the page needs to turn them dark.

Colours are told apart with the common colour-vision deficiencies (after Okabe and Ito 2008, darkened so that each has a
contrast of 3:1 with its background); where there are more recipes than colours, symbols differ too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from reglab import inert
from reglab.results import Results
from reglab.tasks import Metric

__all__ = [
    "DARK", "DIVERGING", "FAINT", "GRID", "INK", "MUTED", "SEQUENTIAL", "SURFACE", "Look", "axis", "figure", "looks",
    "named",
]  # fmt: skip

SURFACE, INK, MUTED, GRID, FAINT = "#ffffff", "#1c2128", "#5b6472", "#e3e6ea", "#b4bac4"
BASELINE = "#6f7885"
_HUES = ("#0071b5", "#d15c00", "#00855f", "#b04f8e", "#2b93c4", "#9c7600", "#5d54b4", "#8d5543", "#b8405a")
_HUES_AT_NIGHT = ("#5aaeea", "#f0904f", "#35bf93", "#de8fc0", "#7fcdf0", "#d8b03a", "#a69df0", "#c99780", "#f48ba0")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "star", "cross", "x")

#: Light colours and what stands for them on a dark page. The page replaces them in a figure's text.
DARK: Mapping[str, str] = {
    SURFACE: "#16191f", INK: "#e8eaed", MUTED: "#a3abb8", GRID: "#2d323b", FAINT: "#59616e", BASELINE: "#9aa3b0",
    **dict(zip(_HUES, _HUES_AT_NIGHT, strict=True)),
    "#b35900": "#f0904f", "#f3c398": "#6b4423", "#a5cdea": "#1f4a68", "#00629f": "#5aaeea",
    "#f6f8fa": "#1d2129",
}  # fmt: skip
DIVERGING = ((0.0, "#b35900"), (0.25, "#f3c398"), (0.5, "#f6f8fa"), (0.75, "#a5cdea"), (1.0, "#00629f"))
SEQUENTIAL = ((0.0, "#f6f8fa"), (0.5, "#f3c398"), (1.0, "#b35900"))


@dataclass(frozen=True)
class Look:
    """How a recipe is drawn: its name as Plotly shows it literally, a colour and a symbol."""

    name: str
    color: str
    symbol: str


def looks(results: Results) -> dict[str, Look]:
    """Return how each recipe is drawn, by its place in the study; the baseline is grey."""
    others = [row.name for row in results.comparison.rows if row.name != results.baseline]
    found = {
        name: Look(inert.plotly(name), _HUES[i % len(_HUES)], _SYMBOLS[i // len(_HUES) % len(_SYMBOLS)])
        for i, name in enumerate(others)
    }
    baseline = Look(inert.plotly(results.baseline), BASELINE, "circle")
    return {row.name: found.get(row.name, baseline) for row in results.comparison.rows}


def named(names: Sequence[str], *, length: int = 30) -> list[str]:
    """Return names for an axis, shortened, and literal."""
    return [inert.plotly(name, length=length) for name in names]


def figure(*, height: int, message: str, **layout: object) -> go.Figure:
    """Return an empty figure in the style of all; ``message``, what it shows in a sentence, is kept in ``meta``."""
    axis = {
        "gridcolor": GRID, "zerolinecolor": GRID, "linecolor": GRID, "tickcolor": GRID, "ticks": "", "title": {
            "standoff": 8, "font": {"size": 12, "color": MUTED}}, "tickfont": {"color": MUTED}, "automargin": True,
    }  # fmt: skip
    template = go.layout.Template(
        layout={
            "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12, "color": INK},
            "paper_bgcolor": SURFACE, "plot_bgcolor": SURFACE, "xaxis": axis, "yaxis": axis,
            "margin": {"l": 48, "r": 16, "t": 16, "b": 44}, "hovermode": "closest", "dragmode": False,
            "hoverlabel": {"bgcolor": SURFACE, "bordercolor": FAINT, "font": {"color": INK}, "align": "left"},
            "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.18, "yanchor": "top",
                       "font": {"color": INK}},
            "annotationdefaults": {"font": {"color": INK}, "showarrow": False},
        }
    )  # fmt: skip
    made = go.Figure(layout={"template": template, "height": height, "meta": {"message": message}})
    return made.update_layout(**layout)


def axis(metric: Metric, of: str = "") -> str:
    """Return what an axis of a metric is called, with its unit: ``test accuracy, %``."""
    return f"{of}{of and ' '}{metric.title}{metric.unit and ', '}{metric.unit}"
