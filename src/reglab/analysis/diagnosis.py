"""What a diagnosis is: the thresholds it goes by, and what it holds. Numbers and names; its words are the report's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from reglab.analysis.curves import Turn
from reglab.analysis.decompose import Decomposition
from reglab.analysis.paired import paired
from reglab.analysis.plain import plain
from reglab.tasks import Metric, Task

__all__ = ["Diagnosis", "Estimate", "Finding", "Kind", "Run", "State", "Topic", "Word", "estimate"]


class Word(StrEnum):
    """What is the matter."""

    UNDERFITTING = "underfitting"
    FITTING = "fitting"
    OVERFITTING = "overfitting"
    CANNOT_TELL = "cannot tell"


class Kind(StrEnum):
    """Which kind of it.

    Of overfitting: it is better on training examples, or worse on validation than it was (``PERFORMANCE``), or only
    surer of itself (``CONFIDENCE``). Of underfitting: still improving (``UNFINISHED``), not improving steadily any more
    (``LIMITED``), or no better than without inputs (``NOTHING_LEARNED``). Of what cannot be told: whether the rest is
    noise of the labels (``NOISE``), where it is not known what is attainable.
    """

    NONE = ""
    PERFORMANCE = "performance"
    CONFIDENCE = "confidence"
    UNFINISHED = "unfinished"
    LIMITED = "limited"
    NOTHING_LEARNED = "nothing learned"
    NOISE = "noise"


class State(StrEnum):
    """What a finding is: ``NOTE`` explains or limits."""

    PROBLEM = "problem"
    UNKNOWN = "unknown"
    FINE = "fine"
    NOTE = "note"


class Topic(StrEnum):
    """What a finding is about; those from ``LEARNING_CURVE`` on are of probes."""

    FIT = "fit"
    GAP = "gap"
    ONSET = "onset"
    PROGRESS = "progress"
    CALIBRATION = "calibration"
    STABILITY = "stability"
    BIAS_AND_VARIANCE = "bias and variance"
    DIVERGENCE = "divergence"
    SEEDS = "seeds"
    MEASUREMENT = "measurement"
    LAST_EPOCH = "last epoch"
    LEARNING_CURVE = "learning curve"
    WRONG_LABELS = "wrong labels"
    INPUT_NOISE = "input noise"
    WEIGHTS = "weights"


# All of these are of the level that a diagnosis goes by, a share: of examples that are right, of a variance explained.
# Level on training minus validation examples from which regularization is worth its trouble: about what the
# strategies that help are worth in the paper's Table 2 (dropout 1.8, L2 2.2, augmentation 5.2 points).
GAP_MATTERS = 0.03
# The share of the way from chance to what is attainable that the level on training examples has to go. Below it the
# training set itself is not learned, whatever validation says.
FIT_ENOUGH = 0.75
# Below this nothing was learned: a class that is a little more frequent than others gives as much.
NOTHING_LEARNED = 0.05
# A fall of the level on validation from its smoothed best; less is what an epoch differs by on a few hundred examples.
LEVEL_FALLS = 0.01
# Standard deviation of the level on validation from epoch to epoch, late in training, from which the last epoch is
# luck: as much as a typical strategy is worth.
SHAKES = 0.02
# Mean confidence minus accuracy; and the temperature from which the softmax is clearly too sharp (Guo et al. 2017 find
# 1.1 to 3 for networks trained without remedy).
OVERCONFIDENT = 0.03
TOO_SHARP = 1.1
# A gap that is surely as large as this is overfitting, however little of the training set is learned.
GAP_ALONE = 0.10
# Two seeds give an interval of 12.7 standard errors, which says nothing.
INTERVAL_SEEDS = 3


@dataclass(frozen=True)
class Estimate:
    """A number for each seed, their mean and its 95 % t interval, which is NaN with one seed."""

    values: tuple[float, ...]
    mean: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether there are seeds enough for the interval to say something."""
        return len(self.values) >= INTERVAL_SEEDS

    def above(self, size: float) -> bool:
        """Whether the mean is ``size`` at least, and, where seeds can tell, surely above zero."""
        return self.mean >= size and (not self.sure or self.low > 0)


def estimate(values: Sequence[float], *, within: tuple[float, float] | None = None) -> Estimate | None:
    """Return mean and 95 % t interval of numbers over seeds; None of no numbers.

    Args:
        values: one per seed. Where they are all the same, the interval is that one number: nothing more is known.
        within: where such a number can lie at all, such as 0 to 1 for an accuracy.
    """
    if not len(values):
        return None
    found = paired(values)
    low, high = found.interval(0.95) if found.std != 0 else (found.mean, found.mean)
    if within is not None and not math.isnan(low):
        low, high = max(low, within[0]), min(high, within[1])
    return Estimate(tuple(map(float, values)), found.mean, low, high)


@dataclass(frozen=True)
class Finding:
    """One thing that the runs show: what it is about, and what it is. Its numbers stand in the diagnosis."""

    name: Topic
    state: State


@dataclass(frozen=True)
class Run:
    """What one run's history says; numbers are NaN where it does not tell.

    The level and the cost are metrics, see :class:`Diagnosis`.

    Attributes:
        epochs: how many epochs are numbers.
        diverged: whether something was not a number.
        turn: where the cost on validation turns for good, or None.
        lost: by how much the level on validation ends below its best, see :func:`curves.lost`.
        lost_error: the standard error of that, of one run by itself.
        train, val, train_cost, val_cost: level and cost at the end, a mean of the last epochs.
        gap, cost_gap: at the end: level on training minus validation, cost on validation minus training.
        best_epoch: on validation, by the metric that decides, else the level, else the cost, as far as the history
            has them, counted from 1; 0 without validation.
        best_gap, best_cost_gap: there.
        opened: since when the level on training has been ahead of validation by three points for good, or None.
        levelled: since when the cost on validation has been within a tenth of its minimum, or None.
        falls: whether the cost on validation (or else what the level lacks) still falls at the end.
        train_falls: whether the cost on training examples, or what the level lacks there, does.
        train_stopped: whether neither of them falls, steadily or not.
        shake: standard deviation of the level on validation from epoch to epoch, in the last third.
    """

    epochs: int
    diverged: bool
    turn: Turn | None
    lost: float
    lost_error: float
    train: float
    val: float
    train_cost: float
    val_cost: float
    gap: float
    cost_gap: float
    best_epoch: int
    best_gap: float
    best_cost_gap: float
    opened: int | None
    levelled: int | None
    falls: bool
    shake: float
    train_falls: bool
    train_stopped: bool


@dataclass(frozen=True)
class Diagnosis:
    """What the runs of one recipe say of the model.

    The *level* is a share that should rise, such as accuracy or R²; the *cost* is what should fall, such as the
    cross-entropy or the root mean squared error.

    Attributes:
        task: what is predicted.
        cost: the metric that is the cost; the level is :attr:`level`.
        word, kind: the verdict.
        onset: the median epoch after which the cost on validation rises for good, counted from 1; None unless
            more than half of the runs turn.
        onset_range: the earliest and the latest of those runs.
        turned: how many runs turn.
        apart: whether the gap in level matters: three points, and more than luck gives.
        gap, cost_gap: at the end of training; None where histories lack what it needs.
        best_gap, best_cost_gap: at the best epoch by validation.
        train, val: level at the end.
        fit: how far the level on training examples went from chance (0) to what is attainable, or to all (1).
        attainable: which level is attainable there; None where that is not known.
        falls: whether more than half of the runs still improve on validation.
        train_falls: whether more than half of the runs still improve on training examples.
        unstable: whether the last epoch is luck: the level on validation jumps by more than the size of that part
            makes it uncertain by.
        shared: whether gaps allow for the luck of one validation part that all runs share.
        overconfidence, temperature: of the kept predictions, of each seed; None without predictions, or of a task
            whose predictions have no confidence.
        decomposition: bias and variance over seeds; None without predictions of the same examples by two seeds.
        runs: what each run says.
        clean: whether training metrics were measured in inference mode, without penalties.
        before: the word and kind without the last epoch of each run, where that is another word; else None.
        evidence: the findings, the most telling first.
    """

    task: Task
    cost: Metric
    word: Word
    kind: Kind
    onset: int | None
    onset_range: tuple[int, int] | None
    turned: int
    apart: bool
    gap: Estimate | None
    cost_gap: Estimate | None
    best_gap: Estimate | None
    best_cost_gap: Estimate | None
    train: Estimate | None
    val: Estimate | None
    fit: float
    attainable: float | None
    falls: bool
    train_falls: bool
    unstable: bool
    shared: bool
    overconfidence: Estimate | None
    temperature: Estimate | None
    decomposition: Decomposition | None
    runs: tuple[Run, ...]
    clean: bool
    before: tuple[Word, Kind] | None = None
    evidence: tuple[Finding, ...] = ()

    def __repr__(self) -> str:
        kind = f" ({self.kind})" if self.kind else ""
        gap = "" if self.gap is None else f", gap {self.gap.mean:.3f}"
        return f"{type(self).__name__}({self.word}{kind}, {self.seeds} runs{gap})"

    @property
    def seeds(self) -> int:
        return len(self.runs)

    @property
    def level(self) -> Metric:
        return self.task.level

    @property
    def told(self) -> tuple[Run, ...]:
        """The runs that did not diverge, of which everything is."""
        return tuple(run for run in self.runs if not run.diverged)

    @property
    def overconfident(self) -> bool:
        """Whether kept predictions are surer than they are right."""
        return (
            self.overconfidence is not None
            and self.temperature is not None
            and self.overconfidence.above(OVERCONFIDENT)
            and self.temperature.mean >= TOO_SHARP
        )

    def finding(self, name: str) -> Finding | None:
        return next((finding for finding in self.evidence if finding.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON; what is not a number is None."""
        named = {"task": self.task.to_dict(), "level": self.level.name, "cost": self.cost.name}
        return {**plain(self), **named, "seeds": self.seeds, "overconfident": self.overconfident}
