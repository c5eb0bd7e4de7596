"""A strength that changes from epoch to epoch: ``L2(kernel=Linear(0, 1e-3, epochs=10))``.

A schedule is evaluated in Python at the start of each epoch and its value is assigned to the strength's variable, so
the compiled step stays the same.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from reglab.errors import ReglabError, nearest
from reglab.expressions import Call, format_value

__all__ = ["SCHEDULES", "Cosine", "Linear", "Schedule", "Steps"]


@dataclass(frozen=True)
class Schedule:
    """A number as a function of the epoch, counted from 0."""

    def at(self, epoch: int) -> float:
        """Return the value during ``epoch``."""
        raise NotImplementedError

    def extremes(self) -> tuple[float, ...]:
        """Return values between which all others lie; the range of the hyperparameter is checked on them."""
        raise NotImplementedError

    def to_text(self) -> str:
        """Write it as recipes do: ``"linear(0.0, 0.001, 10)"``."""
        values = ", ".join(format_value(getattr(self, field.name)) for field in dataclasses.fields(self))
        return f"{type(self).__name__.lower()}({values})"


@dataclass(frozen=True)
class Linear(Schedule):
    """From ``start`` in epoch 0 to ``end`` in epoch ``epochs`` along a straight line, then constant.

    ``value(e) = start + (end - start) * min(e / epochs, 1)``

    >>> [Linear(0.0, 1.0, 4).at(epoch) for epoch in (0, 1, 4, 9)]
    [0.0, 0.25, 1.0, 1.0]
    """

    start: float
    end: float
    epochs: int

    def __post_init__(self) -> None:
        _check(self, numbers=(self.start, self.end), epochs=(self.epochs,))

    def at(self, epoch: int) -> float:
        return _between(self.start, self.end, min(epoch / self.epochs, 1.0))

    def extremes(self) -> tuple[float, ...]:
        return (self.start, self.end)


@dataclass(frozen=True)
class Cosine(Linear):
    """From ``start`` to ``end`` over ``epochs`` epochs along half a cosine, then constant.

    ``value(e) = end + (start - end) * (1 + cos(pi * min(e / epochs, 1))) / 2``

    >>> [round(Cosine(1.0, 0.0, 4).at(epoch), 3) for epoch in (0, 1, 2, 4)]
    [1.0, 0.854, 0.5, 0.0]
    """

    def at(self, epoch: int) -> float:
        return _between(self.start, self.end, (1 - math.cos(math.pi * min(epoch / self.epochs, 1.0))) / 2)


@dataclass(frozen=True)
class Steps(Schedule):
    """``values[0]`` until epoch ``boundaries[0]``, then ``values[1]`` until ``boundaries[1]``, and so on.

    >>> [Steps((0.5, 0.1), (3,)).at(epoch) for epoch in (2, 3)]
    [0.5, 0.1]
    """

    values: tuple[float, ...]
    boundaries: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        object.__setattr__(self, "boundaries", tuple(self.boundaries))
        _check(self, numbers=self.values, epochs=self.boundaries)
        if len(self.values) != len(self.boundaries) + 1 or list(self.boundaries) != sorted(set(self.boundaries)):
            raise ReglabError(
                f"{self.to_text()}: expected one value more than boundaries, and boundaries that grow. "
                "Example: steps((0.5, 0.1), (30,))."
            )

    def at(self, epoch: int) -> float:
        return self.values[sum(epoch >= boundary for boundary in self.boundaries)]

    def extremes(self) -> tuple[float, ...]:
        return self.values


SCHEDULES = {cls.__name__.lower(): cls for cls in (Linear, Cosine, Steps)}


def from_call(call: Call) -> Schedule:
    """Build the schedule that a recipe's text names: ``linear(0, 1e-3, epochs=10)``."""
    cls = SCHEDULES.get(call.name)
    if cls is None:
        raise ReglabError(
            f"Unknown schedule {call.name!r}; one of {', '.join(SCHEDULES)}.{nearest(call.name, SCHEDULES)}"
        )
    try:
        return cls(*call.args, **call.kwargs)
    except TypeError:
        fields = ", ".join(field.name for field in dataclasses.fields(cls))
        raise ReglabError(f"{call.name} takes {fields}; given were {call.args} and {call.kwargs}.") from None


def _between(start: float, end: float, share: float) -> float:
    """Return the number at a share of the way, the very ends at 0 and 1, and never one beyond them by rounding."""
    value = start * (1.0 - share) + end * share
    return min(max(value, min(start, end)), max(start, end))


def _check(schedule: Schedule, *, numbers: tuple[float, ...], epochs: tuple[int, ...]) -> None:
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise ReglabError(f"{schedule.to_text()}: {number!r} is not a finite number.")
    for epoch in epochs:
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 1:
            raise ReglabError(f"{schedule.to_text()}: {epoch!r} is not a whole number of epochs, 1 or more.")
