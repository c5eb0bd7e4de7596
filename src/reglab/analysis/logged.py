"""Metrics of a training log under the names that a task gives them: which column is which, what a loss stands for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reglab.data.numerals import COMMA, POINT, notations, read_numerals
from reglab.errors import ReglabError
from reglab.tasks import Metric, Task

__all__ = ["LOSS", "History", "Reader", "bare", "number", "unknown"]

History = dict[str, list[float]]

LOSS = "loss"
_PERCENT = 100.0
_ROUNDING = 1e-3  # of numbers in a log


def bare(name: object) -> str:
    """Return the name of a metric without the part that it is of."""
    return str(name).removeprefix("val_").removeprefix("train_")


def unknown(where: str, names: Sequence[str]) -> ReglabError:
    """Return what is raised for a log of which it cannot be told what it is of."""
    if LOSS in names:
        return ReglabError(
            f"{where} has a loss and no metric that tells the task, and a loss alone does not say what is learned: "
            "classification or something else. Log a metric (metrics=['accuracy'], or "
            "metrics=[keras.metrics.R2Score()] for numbers to predict), or say that the loss is a squared error: "
            "--target-std (deviation=) gives the standard deviation of the target."
        )
    return ReglabError(
        f"{where} has no metric that is known; it has {', '.join(names) or 'nothing'}. Expected are accuracy, loss, "
        "val_accuracy, val_loss, as Keras names them, r2_score, mse, mae for numbers to predict, or a study's own."
    )


@dataclass(frozen=True)
class Reader:
    """Reads histories of a task; see :func:`read_log`. ``told`` is whether the task was said."""

    where: str
    task: Task
    loss: str
    told: bool
    deviation: float | None

    @property
    def criterion(self) -> Metric:
        """What is read as the cost: the deciding metric where only that can be, as its name chose it."""
        return self.task.decides if self.task.decides.better == "lower" else self.task.criterion

    def read(self, history: Mapping[str, Sequence[Any]]) -> tuple[History, bool, list[str]]:
        """Return a history under the study's names, whether it is clean, and what has to be said.

        Epochs that lack a metric, as those without validation under ``validation_freq``, are left out.
        """
        read: dict[str, list[float | None]] = {}
        notes: list[str] = []
        clean = True
        other = self._other_loss(history)
        for metric in dict.fromkeys((self.task.level, self.criterion)):
            for part, prefixes in (("train", ("train_", "")), ("val", ("val_",))):
                key, power = self._found(history, metric, prefixes, other)
                if not key:
                    continue
                values = self._checked(_numbers(history[key], f"{self.where}: {key}"), key, metric)
                read[f"{part}_{metric.name}"] = [None if v is None else v ** (1 / power) for v in values]
                clean = clean and (part == "val" or key.startswith("train_"))
                if bare(key) == LOSS:
                    notes.append(_stands_for(metric, power))
        if other and LOSS in history:
            notes.append(f"loss is the same as {other}, so it is no {self.criterion.title} and was left out.")
        notes += self._as_shares(read) + self._completed(read)
        return self._whole(read, history), clean, notes

    def _found(
        self, history: Mapping[str, Any], metric: Metric, prefixes: tuple[str, ...], other: str
    ) -> tuple[str, int]:
        """Return the name that a metric has in a history, and 2 where that is of its square, else 1."""
        named = [(name, 1) for name in (metric.name, *metric.aliases)] + [(name, 2) for name in metric.squares]
        if metric == self.criterion and not other and (power := self._of_loss(history)):
            named.append((LOSS, power))
        return next(((p + name, power) for p in prefixes for name, power in named if p + name in history), ("", 1))

    def _of_loss(self, history: Mapping[str, Any]) -> int:
        """Return which power of the criterion ``loss`` is, or 0 where it is not known to be one."""
        metric = self.criterion
        if self.loss:
            power = 1 if self.loss in metric.aliases else 2 if self.loss in metric.squares else 0
        elif metric != self.task.criterion:
            power = 0
        else:
            power = 1 if not metric.squares else 2 * self.told
        if power == 2:
            self._check_square(history, metric)
        return power

    def _check_square(self, history: Mapping[str, Any], metric: Metric) -> None:
        """Raise a ReglabError if ``loss`` is smaller than the square of a mean error, which a mean square never is."""
        means = (each for each in self.task.metrics if each.better == "lower" and each.per_example and each != metric)
        for lower in means:
            key = next((name for name in (lower.name, *lower.aliases) if name in history), "")
            loss, error = (_numbers(history.get(name, ()), self.where) for name in (LOSS, key))
            pairs = zip(loss, error, strict=False)
            if any(a is not None and b is not None and a < b * b * (1 - _ROUNDING) for a, b in pairs):
                raise ReglabError(
                    f"{self.where}: loss is smaller than the square of {key}, so it is no mean squared error. Log "
                    "r2_score or mse among the metrics."
                )

    def _checked(self, values: list[float | None], key: str, metric: Metric) -> list[float | None]:
        lowest = min((v for v in values if v is not None and math.isfinite(v)), default=metric.lowest)
        if lowest < metric.lowest and metric.better == "lower":
            raise ReglabError(
                f"{self.where}: {key} is {lowest:g}, and {metric.title} is never below {metric.lowest:g}, so it is "
                f"something else. Log {metric.title} among the metrics, or leave the loss out."
            )
        return values

    def _other_loss(self, history: Mapping[str, Sequence[Any]]) -> str:
        """Return the metric, not the criterion, that the loss is, number for number; an empty text if it is none."""
        criterion = self.criterion
        own = {LOSS, criterion.name, *criterion.aliases, *criterion.squares}
        loss = list(history.get(LOSS, ()))
        return next(
            (str(key) for key, values in history.items() if loss and key not in own and list(values) == loss), ""
        )

    def _as_shares(self, read: dict[str, list[float | None]]) -> list[str]:
        """Turn what is shown in percent and is so in the log into shares, in place; return what has to be said.

        Raises:
            ReglabError: for what is neither.
        """
        level = self.task.level
        known = {
            key: [value for value in values if value is not None and math.isfinite(value)]
            for key, values in read.items()
            if level.scale == _PERCENT and key in (f"train_{level.name}", f"val_{level.name}")
        }
        every = [value for values in known.values() for value in values]
        if every and (min(every) < 0 or max(every) > _PERCENT):
            raise ReglabError(
                f"{self.where}: {level.title} from {min(every):g} to {max(every):g}. Expected are shares from 0 to 1, "
                "or percent."
            )
        percent = [key for key, values in known.items() if values and max(values) > 1 + _ROUNDING]
        for key in percent:
            read[key] = [None if value is None else value / _PERCENT for value in read[key]]
        if percent and len(percent) < sum(bool(values) for values in known.values()):
            raise ReglabError(
                f"{self.where}: {', '.join(percent)} is in percent, and the other part's is not. Give both alike."
            )
        return [f"{level.title} is in percent in the log, and was divided by 100."] if percent else []

    def _completed(self, read: dict[str, list[float | None]]) -> list[str]:
        """Add the level that follows from errors and the target's deviation, in place; return what has to be said."""
        level, criterion, added = self.task.level, self.criterion, False
        for part in ("train", "val"):
            errors = read.get(f"{part}_{criterion.name}")
            if self.deviation is None or errors is None or f"{part}_{level.name}" in read:
                continue
            found = [None if value is None else self.task.level_at(value, self.deviation) for value in errors]
            if any(value is not None for value in found):
                read[f"{part}_{level.name}"], added = found, True
        return [f"{level.title} follows from {criterion.title} and the deviation that was given."] if added else []

    def _whole(self, read: dict[str, list[float | None]], history: Mapping[str, Any]) -> History:
        """Return the epochs that have every metric."""
        lengths = {key: len(values) for key, values in read.items()}
        if not read or not any(lengths.values()):
            raise unknown(self.where, sorted({bare(name) for name in history}))
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{key} {length}" for key, length in lengths.items())
            raise ReglabError(f"{self.where}: metrics of different lengths ({said} epochs). Each needs one per epoch.")
        whole: list[Any] = [epoch for epoch in zip(*read.values(), strict=True) if None not in epoch]
        if not whole:
            raise ReglabError(f"{self.where}: no epoch has all of {', '.join(read)}. Each needs one number per epoch.")
        return {key: [epoch[i] for epoch in whole] for i, key in enumerate(read)}


def _stands_for(metric: Metric, power: int) -> str:
    what = metric.title if power == 1 else metric.squares[-1].replace("_", " ")
    return f"loss and val_loss stand for the {what}; they contain penalties, if there are any."


def _numbers(values: Sequence[Any], where: str) -> list[float | None]:
    """Return numbers, None where a metric lacks one; texts may have decimal commas or a sign of per cent."""
    try:
        return [number(value, where) for value in values]
    except ReglabError:
        texts = {value for value in values if isinstance(value, str)}
        found = read_numerals(texts)
        mark = notations(found) or next(
            (mark for mark in (POINT, COMMA) if found.fits(mark) and "%" in found.units), ""
        )
        if found.odd or mark not in (COMMA, POINT) or set(found.units) not in ({""}, {"%"}):
            raise
        known = found.values(mark)
        return [
            None if value in found.missing else known.get(value) if isinstance(value, str) else number(value, where)
            for value in values
        ]


def number(value: Any, where: str = "epoch") -> float | None:
    """Return a number of a log, None where there is none."""
    if value is None or value in ("", "NA"):  # what CSVLogger and JSON write for a metric that an epoch lacks
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ReglabError(f"{where}: {value!r} is no number. Expected is one number an epoch.") from None
