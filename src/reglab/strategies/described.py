"""What ``help`` says of a strategy: its docstring with an ``Args`` section, made from the declarations."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
from typing import Any

from reglab.declare import Param

__all__ = ["described"]

_WIDTH = 110


def described(cls: type[Any]) -> tuple[str, str] | None:
    """Return the docstring of a class as it is written, and with its arguments; None if it has none of its own.

    The class need not be a dataclass yet: that is made after ``__init_subclass__`` has run.
    """
    if vars(cls).get("__doc__") is None:
        return None
    written = inspect.cleandoc(cls.__doc__ or "")
    arguments = [_argument(name, field) for name, field in _fields(cls).items() if "param" in field.metadata]
    if not arguments:
        return written, written
    section = "\n".join(["Args:", *(textwrap.indent(each, "    ") for each in arguments)])
    before, example, after = written.rpartition("\n\nExample:")
    return written, f"{before}\n\n{section}{example}{after}" if example else f"{written}\n\n{section}"


def _fields(cls: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """Return the fields of a class and of what it is made of, in their order."""
    found: dict[str, dataclasses.Field[Any]] = {}
    for base in reversed(cls.__mro__):
        found |= vars(base).get("__dataclass_fields__", {})
        found |= {name: value for name, value in vars(base).items() if isinstance(value, dataclasses.Field)}
    return found


def _argument(name: str, field: dataclasses.Field[Any]) -> str:
    declared: Param = field.metadata["param"]
    unit = f" [{declared.unit}]" if declared.unit else ""
    text = f"{name}: {declared.doc}{unit} ({declared.range()}; default {field.default!r})."
    if declared.strength:
        text += " It can follow a schedule."
    return textwrap.fill(text, _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
