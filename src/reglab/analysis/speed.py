"""How fast backends were, which can be told apart, and what follows.

What is compared is an epoch of a study: its training steps, and the predictions by which it is measured each epoch. A
backend can be the fastest in one and slow in the other.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from reglab.lazy import stats

__all__ = ["Speed", "Speeds", "Visit", "advice"]

_ALPHA = 0.05  # chance that two backends of the same speed are told apart
_LATER_S = 1.0  # a first step that comes later by less is not worth a word


@dataclass(frozen=True)
class Visit:
    """What was seen in one turn, in seconds: a training step, measuring once, and both for a whole epoch."""

    step: float
    measuring: float
    epoch: float


@dataclass(frozen=True)
class Speed:
    """What a backend was measured to be, or why it was not.

    Attributes:
        backend: its name.
        installed: whether it can be imported at all.
        problem: why it was not measured, or None.
        version, device: of the backend; on what it computes.
        visits: what was seen in each turn.
        first_step: seconds from the start of its process until the first step is done: import, build, compile.
        memory: bytes that its process has had at most, or None where the system does not tell. Not a GPU's.
    """

    backend: str
    installed: bool = True
    problem: str | None = None
    version: str | None = None
    device: str | None = None
    visits: tuple[Visit, ...] = ()
    first_step: float | None = None
    memory: int | None = None

    @property
    def step(self) -> float:
        """Seconds of a training step: the median of the visits."""
        return statistics.median(visit.step for visit in self.visits)

    @property
    def measuring(self) -> float:
        """Seconds of what is measured after each epoch: the median of the visits."""
        return statistics.median(visit.measuring for visit in self.visits)

    @property
    def epoch(self) -> float:
        """Seconds of an epoch of the study: the median of the visits."""
        return statistics.median(self.epochs())

    @property
    def spread(self) -> float:
        """Half of what lies between the fastest and the slowest visit, as a share of the median."""
        return (max(self.epochs()) - min(self.epochs())) / 2 / self.epoch

    def epochs(self) -> list[float]:
        """Return the seconds of an epoch, in each visit."""
        return [visit.epoch for visit in self.visits]

    def apart(self, other: Speed) -> bool:
        """Return whether the visits tell the two apart: the exact rank test of Mann and Whitney at 5 %."""
        return bool(stats.mannwhitneyu(self.epochs(), other.epochs(), method="exact").pvalue < _ALPHA)


@dataclass(frozen=True)
class Speeds:
    """The backends, measured with one model on this machine.

    Attributes:
        headline: data, model, recipe and what a step is, in a line.
        threads: processor threads that each had.
        steps: of an epoch of the study; 0 where nothing could be measured.
        examples: on which it is measured after each.
        backends: each of them, whether it could be measured or not.
    """

    headline: str
    threads: int
    steps: int
    examples: int
    backends: tuple[Speed, ...]

    def ranked(self) -> list[Speed]:
        """Return those that were measured, the fastest first."""
        return sorted((speed for speed in self.backends if speed.visits), key=lambda speed: speed.epoch)

    def leading(self) -> list[Speed]:
        """Return the fastest, and those that cannot be told apart from it."""
        ranked = self.ranked()
        return [speed for speed in ranked if speed is ranked[0] or not speed.apart(ranked[0])]


def advice(found: Speeds) -> str:
    """Return in a sentence which backend is fastest for this model on this machine, as far as it can be told."""
    ranked, leading = found.ranked(), found.leading()
    if not ranked:
        return "No backend could be measured."
    best, behind = ranked[0], [speed for speed in ranked if speed not in leading]
    if len(ranked) == 1:
        return f"{best.backend} is the only backend that could be measured, so there is nothing to choose."
    if len(leading) > 1:
        text = f"{_and(leading)} cannot be told apart for this model on this machine"
        told = [f"{speed.backend} takes {_times(speed, best)} as long as {best.backend}" for speed in behind]
        return f"{text}; {_listed(told)}." if told else f"{text}: what they take varies more than it differs."
    by_factor: dict[str, list[Speed]] = {}
    for speed in behind:
        by_factor.setdefault(_times(speed, best), []).append(speed)
    factors = [f"{times} as fast as {_and(speeds)}" for times, speeds in by_factor.items()]
    return f"{best.backend} is fastest for this model on this machine: {_listed(factors)}{_made_up(best, behind)}."


def _made_up(best: Speed, behind: Sequence[Speed]) -> str:
    """Return after how many epochs the fastest has made up for beginning later than others, where it does."""
    found = [
        ((best.first_step - speed.first_step) / (speed.epoch - best.epoch), speed)
        for speed in behind
        if best.first_step is not None and speed.first_step is not None
        and best.first_step - speed.first_step > _LATER_S
    ]  # fmt: skip
    if not found:
        return ""
    epochs, speed = max(found, key=lambda pair: pair[0])
    later = (best.first_step or 0) - (speed.first_step or 0)
    made_up = f"{epochs:,.0f} epochs" if epochs >= 1.5 else "one epoch"
    verb = "make" if epochs >= 1.5 else "makes"
    return f"; its first step comes {later:.0f} s later than that of {speed.backend}, which {made_up} {verb} up for"


def _times(slower: Speed, faster: Speed) -> str:
    ratio = slower.epoch / faster.epoch
    return f"{ratio:.2f} times" if ratio < 1.2 else f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"


def _and(speeds: Sequence[Speed]) -> str:
    return _listed([speed.backend for speed in speeds])


def _listed(texts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))
