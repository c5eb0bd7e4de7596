"""The strategies as cards, generated from their declarations."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from reglab.errors import ReglabError, nearest
from reglab.strategies import CATALOGUE, Strategy
from reglab.strategies.declare import Param, params
from reglab.text import format_value

__all__ = ["card", "cards"]


def cards() -> list[dict[str, Any]]:
    """Return the card of every strategy, in the order of the catalogue."""
    return [card(name) for name in CATALOGUE]


def card(name: str) -> dict[str, Any]:
    """Return all that a strategy says of itself: formula, hyperparameters with ranges and units, paper, conflicts.

    Raises:
        ReglabError: for an unknown name, with the nearest one.
    """
    cls = CATALOGUE.get(name.lower())
    if cls is None:
        raise ReglabError(f"Unknown strategy {name!r}.{nearest(name, CATALOGUE)} Known are {', '.join(CATALOGUE)}.")
    doc = inspect.getdoc(cls) or ""
    return {
        "name": cls.name,
        "class": cls.__name__,
        "summary": doc.split("\n\n", 1)[0].replace("\n", " "),
        "description": doc,
        "formula": cls.formula,
        "paper": cls.paper,
        "order": cls.order,
        "rider": cls.rider,
        "conflicts": _conflicts(cls),
        "zero": _zero(cls),
        "example": doc.rsplit("Example:", 1)[1].strip().strip("`") if "Example:" in doc else "",
        "hyperparameters": [_parameter(field, params(cls)[field.name]) for field in dataclasses.fields(cls)],
    }


def _parameter(field: Any, declared: Param) -> dict[str, Any]:
    return {
        "name": field.name,
        "default": format_value(field.default),
        "range": declared.range(),
        "search": _search(declared),
        "unit": declared.unit,
        "strength": declared.strength,
        "doc": declared.doc + (f" [{declared.unit}]" if declared.unit else ""),
    }


def _search(declared: Param) -> str:
    if declared.search is None:
        return ""
    if len(declared.search) == 3 and declared.search[2] in {"log", "linear"}:
        low, high, scale = declared.search
        return f"{low:g} to {high:g}, {scale}"
    return ", ".join(format_value(value) for value in declared.search)


def _conflicts(cls: type[Strategy]) -> dict[str, str]:
    """Return the strategies it cannot be combined with, whoever of the two declares it."""
    declared = {other.name: other.conflicts[cls.name] for other in CATALOGUE.values() if cls.name in other.conflicts}
    return {**declared, **cls.conflicts}


def _zero(cls: type[Strategy]) -> str:
    if cls.zero is None:
        return ""
    return ", ".join(f"{key}={format_value(value)}" for key, value in cls.zero.items())
