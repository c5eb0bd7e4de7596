"""Figures as they stand in the page: small JSON beside an empty box of the right height, drawn by the page's script."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from reglab.inert import visible

__all__ = ["Drawn", "as_json", "drawn"]

_DIGITS = 6  # significant; a page is looked at, and numbers to compute with are in the CSV files


@dataclass(frozen=True)
class Drawn:
    """A figure of the page.

    Attributes:
        id: of its box.
        message: what it shows, in a sentence.
        height: in pixels.
        json: its data and layout, safe inside ``<script type="application/json">``.
        title: over the figure, where it is one of many.
        caption: the message under that title, which it need not say again.
    """

    id: str
    message: str
    height: int
    json: str
    title: str = ""

    @property
    def caption(self) -> str:
        rest = self.message.removeprefix(f"{visible(self.title)}: ") if self.title else self.message
        return rest[:1].upper() + rest[1:] if rest != self.message else rest


def drawn(figure: go.Figure, id: str, *, title: str = "") -> Drawn:
    """Return a figure as the page holds it."""
    layout = figure.layout
    # A whole figure's own JSON holds arrays as base64 of all their digits, which is longer and compresses badly.
    held = {"data": [trace.to_plotly_json() for trace in figure.data], "layout": layout.to_plotly_json()}
    return Drawn(id, layout.meta["message"], int(layout.height), as_json(held), title)


def as_json(value: object) -> str:
    """Return a value as JSON that HTML takes for text wherever it stands."""
    text = json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)
    # Inside a script element only "</script" and "<!--" mean something; without "<" there is neither.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: object) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return _rounded(float(value))
    return int(value) if isinstance(value, np.integer) else value


def _rounded(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{_DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
