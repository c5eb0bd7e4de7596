"""What a diagnosis is: the thresholds it goes by, and what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reglab.analysis.curves import Turn
from reglab.analysis.decompose import Decomposition
from reglab.analysis.plain import plain

__all__ = ["WORDS", "Diagnosis", "Estimate", "Finding", "Run"]

WORDS = ("underfitting", "fitting", "overfitting", "cannot tell")

# Accuracy on training minus validation examples from which regularization is worth its trouble: about what the
# strategies that help are worth in the paper's Table 2 (dropout 1.8, L2 2.2, augmentation 5.2 points).
GAP_MATTERS = 0.03
# The share of the way from chance to what is attainable that training accuracy has to go. Below it the training set
# itself is not learned, whatever validation says.
FIT_ENOUGH = 0.75
# Below this nothing was learned: a class that is a little more frequent than others gives as much.
NOTHING_LEARNED = 0.05
# A fall of validation accuracy from its smoothed best; less is what an epoch differs by on a few hundred examples.
ACCURACY_FALLS = 0.01
# Standard deviation of validation accuracy from epoch to epoch, late in training, from which the last epoch is luck: as
# much as a typical strategy is worth.
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


@dataclass(frozen=True)
class Finding:
    """One thing that the runs show.

    Attributes:
        name: what it is about: ``fit``, ``gap``, ``onset``, ``progress``, ``calibration``, ``stability``,
            ``bias and variance``, ``divergence``, ``seeds``, ``measurement``.
        state: ``problem``, ``fine``, ``note`` (it explains or limits), or ``unknown``.
        sentence: it in words.
    """

    name: str
    state: str
    sentence: str


@dataclass(frozen=True)
class Run:
    """What one run's history says; numbers are NaN where it does not tell.

    Attributes:
        epochs: how many epochs are numbers.
        diverged: whether something was not a number.
        turn: where validation cross-entropy turns for good, or None.
        accuracy_lost: by how much validation accuracy ends below its best level, see :func:`curves.lost`.
        lost_error: the standard error of that, of one run by itself.
        train_accuracy, val_accuracy, train_cross_entropy, val_cross_entropy: at the end, a mean of the last epochs.
        gap, cross_entropy_gap: at the end: training minus validation accuracy, validation minus training cross-entropy.
        best_epoch: of validation accuracy, or else cross-entropy, counted from 1; 0 without validation.
        best_gap, best_cross_entropy_gap: there.
        opened: since when training accuracy has been ahead of validation by three points for good, or None.
        levelled: since when validation cross-entropy has been within a tenth of its minimum, or None.
        falls: whether validation cross-entropy (or else the error) still falls at the end.
        train_falls: whether training cross-entropy or the error on training examples does.
        train_stopped: whether neither of them falls, steadily or not.
        shake: standard deviation of validation accuracy from epoch to epoch, in the last third.
    """

    epochs: int
    diverged: bool
    turn: Turn | None
    accuracy_lost: float
    train_accuracy: float
    val_accuracy: float
    train_cross_entropy: float
    val_cross_entropy: float
    gap: float
    cross_entropy_gap: float
    best_epoch: int
    best_gap: float
    best_cross_entropy_gap: float
    opened: int | None
    levelled: int | None
    falls: bool
    shake: float
    lost_error: float = float("nan")
    train_falls: bool = False
    train_stopped: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """What the runs of one recipe say of the model.

    Attributes:
        word: ``underfitting``, ``fitting``, ``overfitting`` or ``cannot tell``.
        kind: of overfitting ``accuracy`` (it is better on training examples, or validation accuracy falls) or
            ``confidence`` (only cross-entropy gets worse); of underfitting ``unfinished`` (still improving),
            ``limited`` (it does not improve steadily any more) or ``nothing learned``; else empty.
        onset: the median epoch after which validation cross-entropy rises for good, counted from 1; None unless
            more than half of the runs turn.
        onset_range: the earliest and the latest of those runs.
        turned: how many runs turn.
        apart: whether the gap in accuracy matters: three points, and more than luck gives.
        gap, cross_entropy_gap: at the end of training; None where histories lack what it needs.
        best_gap, best_cross_entropy_gap: at the best epoch by validation.
        train_accuracy, val_accuracy: at the end.
        fit: how far training accuracy went from chance (0) to what is attainable (1).
        falls: whether more than half of the runs still improve on validation.
        train_falls: whether more than half of the runs still improve on training examples.
        unstable: whether the last epoch is luck: accuracy on validation jumps by more than the size of that part
            makes it uncertain by.
        shared: whether gaps allow for the luck of one validation part that all runs share.
        overconfidence, temperature: of the kept predictions, of each seed; None without predictions.
        decomposition: bias and variance over seeds; None without predictions of the same examples by two seeds.
        sentence: the verdict in words.
        evidence: the findings, the most telling first.
        runs: what each run says.
        clean: whether training metrics were measured in inference mode, without penalties.
    """

    word: str
    kind: str
    onset: int | None
    onset_range: tuple[int, int] | None
    turned: int
    apart: bool
    gap: Estimate | None
    cross_entropy_gap: Estimate | None
    best_gap: Estimate | None
    best_cross_entropy_gap: Estimate | None
    train_accuracy: Estimate | None
    val_accuracy: Estimate | None
    fit: float
    falls: bool
    unstable: bool
    overconfidence: Estimate | None
    temperature: Estimate | None
    decomposition: Decomposition | None
    sentence: str
    evidence: tuple[Finding, ...]
    runs: tuple[Run, ...]
    clean: bool = True
    train_falls: bool = False
    shared: bool = False

    @property
    def seeds(self) -> int:
        return len(self.runs)

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
        return {**plain(self), "seeds": self.seeds, "overconfident": self.overconfident}
