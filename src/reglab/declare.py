"""Declaring a hyperparameter once: the check, the error, the help, the search space and the invalid test values.

A strategy is a frozen dataclass whose fields are made by :func:`param`. What is said there is the only place where a
range is written; everything that has to know it asks the declaration.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from reglab.errors import ReglabError, nearest
from reglab.expressions import shown
from reglab.schedules import Schedule

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Param", "Places", "param", "params"]

Places = tuple[str, ...] | str  # what `where` is given as; a strategy holds it as a tuple

_LARGEST = 2**53  # of whole numbers: more than any count here, and what every part of a study can hold exactly

Kind = Literal["float", "int", "bool", "choice", "pair", "places", "bounds", "text", "options"]


@dataclass(frozen=True)
class Param:
    """What is known of one hyperparameter.

    Attributes:
        doc: what it does, in a sentence.
        kind: ``float``, ``int``, ``bool``, ``choice``; ``pair`` is one float or two; ``places`` names layers;
            ``bounds`` is a lower and an upper number, or a word of ``choices``; ``text`` is any text; ``options`` are
            all arguments that are not declared, by name.
        low, high: the range, both ends included unless ``open_low`` or ``open_high``.
        optional: whether ``None`` is allowed.
        strength: whether it can change without changing the compiled program, and follow a schedule.
        search: where to look for a good value: ``(low, high, "log" or "linear")``, or the values to try.
        unit: what one is one of.
    """

    doc: str
    kind: Kind = "float"
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    choices: tuple[str, ...] = ()
    optional: bool = False
    strength: bool = False
    search: tuple[Any, ...] | None = None
    unit: str = ""

    def range(self) -> str:
        """The range as text: ``"[0, 1)"``, ``"linf or l2"``."""
        if self.kind == "bool":
            return "true or false"
        if self.kind == "choice":
            return " or ".join(self.choices)
        if self.kind == "places":
            return f"{', '.join(self.choices)}, or names of layers"
        if self.kind == "options":
            return "name=value, as many as it takes"
        if self.kind == "text":
            return "text" + (", or none" if self.optional else "")
        low = "(" if self.open_low or math.isinf(self.low) else "["
        high = ")" if self.open_high or math.isinf(self.high) else "]"
        interval = f"{low}{self.low:g}, {self.high:g}{high}"
        words = {"int": "a whole number in ", "pair": "one number or two in ", "bounds": "a pair (low, high) in "}
        text = words.get(self.kind, "") + interval
        if self.kind == "bounds" and self.choices:
            text += f", or {' or '.join(self.choices)}"
        return text + (", or none" if self.optional else "")

    def check(self, owner: str, name: str, value: object) -> Any:
        """Return ``value`` in its canonical type, or raise an error that names the range."""
        if value is None and self.optional:
            return None
        if isinstance(value, Schedule):
            if not self.strength:
                raise self._error(owner, name, value, "it is fixed for a run and cannot follow a schedule")
            for number in value.extremes():
                self.check(owner, name, number)
            return value
        try:
            return getattr(self, f"_check_{self.kind}")(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._error(owner, name, value, str(error)) from None

    def invalid_values(self) -> list[Any]:
        """Values that :meth:`check` must refuse, for tests."""
        wrong: list[Any] = [object(), "no such value"] if self.kind != "places" else [object(), 3.5, ()]
        if self.kind == "text":
            wrong = [object(), 3.5, " "]
        if self.kind == "options":
            wrong = [object(), 3.5, {"no name": 1}, {"x": object()}]
        if self.kind in {"float", "int", "pair"}:
            wrong += [math.nan, True]
            wrong += [self.low - 1] if math.isfinite(self.low) else [-math.inf]
            wrong += [self.high + 1] if math.isfinite(self.high) else [math.inf]
            wrong += [self.low] if self.open_low else []
            wrong += [self.high] if self.open_high else []
        if self.kind == "bounds":
            wrong += [(1.0,), (2.0, 1.0), 0.5]
        if not self.optional:
            wrong.append(None)
        return wrong

    def _error(self, owner: str, name: str, value: object, reason: str) -> ReglabError:
        given = shown(value) if not isinstance(value, Schedule) else value.to_text()
        reason = f" ({reason})" if reason else ""
        return ReglabError(f"{owner}: {name}={given} is not possible{reason}. Expected {self.range()}: {self.doc}")

    def _check_float(self, value: Any) -> float:
        if isinstance(value, bool | str | bytes):
            raise TypeError("not a number")
        number = float(value)
        if math.isnan(number) or math.isinf(number):
            raise ValueError("not finite")
        below = number <= self.low if self.open_low else number < self.low
        above = number >= self.high if self.open_high else number > self.high
        if below or above:
            raise ValueError("out of range")
        return number + 0.0  # -0.0 is 0.0, and one recipe has one fingerprint

    def _check_int(self, value: Any) -> int:
        number = self._check_float(value)
        if number != int(number):
            raise ValueError("not a whole number")
        if abs(int(value)) > _LARGEST:  # the value's own digits: a float has 53 bits
            raise ValueError(f"larger than {_LARGEST:,}")
        return int(value)

    def _check_bool(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise TypeError("not true or false")
        return value

    def _check_choice(self, value: object) -> str:
        if value not in self.choices:
            hint = nearest(value, self.choices) if isinstance(value, str) else ""
            raise ValueError("unknown" + hint)
        return value

    def _check_text(self, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise TypeError("not a text")
        return value

    def _check_options(self, value: Any) -> tuple[tuple[str, Any], ...]:
        found = dict(value)
        for name, given in found.items():
            if not isinstance(name, str) or not name.isidentifier():
                raise ValueError(f"{name!r} is no name")
            if not all(isinstance(each, str | bool | int | float | None) for each in _flat(given)):
                raise TypeError(f"{name} is neither a number nor a text, nor several of them")
        return tuple(sorted((name, tuple(v) if isinstance(v, list) else v) for name, v in found.items()))

    def _check_pair(self, value: Any) -> float | tuple[float, float]:
        if isinstance(value, tuple | list):
            first, second = (self._check_float(item) for item in value)
            return (first, second)
        return self._check_float(value)

    def _check_bounds(self, value: Any) -> str | tuple[float, float]:
        if isinstance(value, str) and value in self.choices:
            return value
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise TypeError("not a pair")
        low, high = (self._check_float(item) for item in value)
        if low > high:
            raise ValueError("the first is larger than the second")
        return (low, high)

    def _check_places(self, value: Any) -> tuple[str, ...]:
        names = (value,) if isinstance(value, str) else tuple(value)
        if not names or not all(isinstance(name, str) and name for name in names):
            raise TypeError("not names of layers")
        if len(set(names)) != len(names):
            raise ValueError("a place is named twice")
        return names


def _flat(value: object) -> list[Any]:
    return [each for item in value for each in _flat(item)] if isinstance(value, tuple | list) else [value]


def param(default: Any, doc: str, **declaration: Any) -> Any:
    """Declare a hyperparameter: a dataclass field with its :class:`Param`."""
    return dataclasses.field(default=default, metadata={"param": Param(doc=doc, **declaration)})


def params(strategy: DataclassInstance | type[DataclassInstance]) -> dict[str, Param]:
    """Return the declarations of a strategy or strategy class, in order."""
    return {field.name: field.metadata["param"] for field in dataclasses.fields(strategy)}
