"""What the probes found, judged: is it short of data, does it memorize, does noise move it? Numbers in and out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reglab.analysis.diagnosis import Estimate, Finding, State, Topic, estimate

__all__ = [
    "LabelProbe",
    "LearningCurve",
    "NoiseProbe",
    "Probes",
    "WeightProbe",
    "label_probe",
    "learning_curve",
    "noise_probe",
    "weight_probe",
]

# What doubling the data has to bring, in level, for more data to be worth its cost: half a typical strategy.
DOUBLING_MATTERS = 0.01
# A random label can only be memorized; chance alone gets one in as many as there are classes.
MEMORIZES = 0.5
# Level lost to noise of a tenth of an input's standard deviation: what one would not see in an image.
NOISE_MATTERS = 0.02


@dataclass(frozen=True)
class LearningCurve:
    """The level over the number of training examples.

    Attributes:
        sizes: numbers of training examples, growing.
        val, train: at the best epoch, for each size.
        doubling: what the last doubling brought on validation, paired by seed; scaled by ``log2`` where the last two
            sizes are not twice each other.
    """

    sizes: tuple[int, ...]
    val: tuple[Estimate, ...]
    train: tuple[Estimate, ...]
    doubling: Estimate

    @property
    def short_of_data(self) -> bool:
        """Whether more data surely helps: the last doubling brought a point, and more than seeds differ by."""
        return self.doubling.above(DOUBLING_MATTERS)

    def finding(self) -> Finding:
        return Finding(Topic.LEARNING_CURVE, State.PROBLEM if self.short_of_data else State.FINE)


@dataclass(frozen=True)
class LabelProbe:
    """What came of training with a share of random labels; validation keeps its labels.

    Attributes:
        share: of training labels that were replaced by others.
        memorized: the share of wrong labels that is learned at the end, at least; of numbers, of their variance.
        val, clean_val: success on validation at the end, with and without wrong labels in training.
        best_val: at the best epoch, with wrong labels.
    """

    share: float
    memorized: Estimate
    val: Estimate
    best_val: Estimate
    clean_val: Estimate

    @property
    def memorizes(self) -> bool:
        """Whether it memorizes most wrong labels."""
        return self.memorized.mean >= MEMORIZES

    def finding(self) -> Finding:
        return Finding(Topic.WRONG_LABELS, State.PROBLEM if self.memorizes else State.FINE)


@dataclass(frozen=True)
class NoiseProbe:
    """The level on validation under Gaussian noise on the inputs of trained networks.

    Attributes:
        stddevs: of the noise, in standard deviations of the network's inputs, the first one 0.
        level: for each.
        lost: what is lost of it at a tenth of a standard deviation, or the nearest noise to that; paired by seed.
        at: that noise.
    """

    stddevs: tuple[float, ...]
    level: tuple[Estimate, ...]
    lost: Estimate
    at: float

    @property
    def sensitive(self) -> bool:
        return self.lost.above(NOISE_MATTERS)

    def finding(self) -> Finding:
        return Finding(Topic.INPUT_NOISE, State.PROBLEM if self.sensitive else State.FINE)


@dataclass(frozen=True)
class WeightProbe:
    """What the weights look like.

    It explains, and ranks nothing: rescaling a layer and undoing it in the next changes both numbers and not the
    function (Dinh et al. 2017, arXiv:1703.04933).

    Attributes:
        growth: norm of the kernels at the best epoch, as a multiple of what it was before training.
        sharpness: by how much the criterion on training examples rises when each kernel is moved at random by
            ``radius`` of its norm (after Li et al. 2018, arXiv:1712.09913).
        radius: that share.
    """

    growth: Estimate
    sharpness: Estimate
    radius: float

    def finding(self) -> Finding:
        return Finding(Topic.WEIGHTS, State.NOTE)


@dataclass(frozen=True)
class Probes:
    """What was probed; None where it was not."""

    learning_curve: LearningCurve | None = None
    labels: LabelProbe | None = None
    noise: NoiseProbe | None = None
    weights: WeightProbe | None = None

    def findings(self) -> tuple[Finding, ...]:
        probes = (self.learning_curve, self.labels, self.noise, self.weights)
        return tuple(each.finding() for each in probes if each is not None)


def learning_curve(
    validation: Mapping[int, Mapping[int, float]], training: Mapping[int, Mapping[int, float]]
) -> LearningCurve | None:
    """Return the learning curve from levels by size and seed; None with fewer than two sizes.

    Args:
        validation: for each number of training examples, the level of each seed.
        training: the same on the training part.
    """
    sizes = sorted(size for size, of_size in validation.items() if of_size)
    if len(sizes) < 2:
        return None
    before, last = (validation[size] for size in sizes[-2:])
    gains = [last[seed] - before[seed] for seed in last if seed in before]
    doublings = math.log2(sizes[-1] / sizes[-2])
    return LearningCurve(
        tuple(sizes), _estimates([validation[size].values() for size in sizes]),
        _estimates([training[size].values() for size in sizes]), _estimates([[gain / doublings for gain in gains]])[0],
    )  # fmt: skip


def label_probe(
    share: float, *, memorized: Sequence[float], val: Sequence[float], best_val: Sequence[float],
    clean_val: Sequence[float],
) -> LabelProbe:  # fmt: skip
    """Return the label probe from successes, one per seed."""
    found = _estimates([memorized, val, best_val, clean_val])
    return LabelProbe(share, *found)


def noise_probe(stddevs: Sequence[float], level: Sequence[Sequence[float]], *, at: float = 0.1) -> NoiseProbe:
    """Return the noise probe.

    Args:
        stddevs: of the noise, the first one 0.
        level: for each of them, one number per seed.
        at: the level that is judged by, or the nearest to it that was tried.
    """
    nearest = min(range(1, len(stddevs)), key=lambda i: abs(stddevs[i] - at))
    lost = [clean - noisy for clean, noisy in zip(level[0], level[nearest], strict=True)]
    return NoiseProbe(tuple(stddevs), _estimates(level), _estimates([lost])[0], stddevs[nearest])


def weight_probe(growth: Sequence[float], sharpness: Sequence[float], *, radius: float) -> WeightProbe:
    """Return the weight probe from numbers, one per seed."""
    grown, sharp = _estimates([growth, sharpness])
    return WeightProbe(grown, sharp, radius)


def _estimates(many: Sequence) -> tuple[Estimate, ...]:
    found = tuple(estimate(list(values)) for values in many)
    assert all(each is not None for each in found)
    return found  # type: ignore[return-value]
