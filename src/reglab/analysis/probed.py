"""What the probes found, judged: is it short of data, does it memorize, does noise move it? Numbers in, words out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reglab.analysis.diagnose import estimate
from reglab.analysis.diagnosis import Estimate, Finding
from reglab.analysis.findings import percent, points

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

# What doubling the data has to bring, in accuracy, for more data to be worth its cost: half a typical strategy.
DOUBLING_MATTERS = 0.01
# A random label can only be learned by heart; chance alone gets one in as many as there are classes.
MEMORIZES = 0.5
# Accuracy lost to noise of a tenth of an input's standard deviation: what one would not see in an image.
NOISE_MATTERS = 0.02


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy over the number of training examples.

    Attributes:
        sizes: numbers of training examples, growing.
        val_accuracy, train_accuracy: at the best epoch, for each size.
        doubling: what the last doubling brought on validation, paired by seed; scaled by ``log2`` where the last two
            sizes are not twice each other.
    """

    sizes: tuple[int, ...]
    val_accuracy: tuple[Estimate, ...]
    train_accuracy: tuple[Estimate, ...]
    doubling: Estimate

    @property
    def short_of_data(self) -> bool:
        """Whether more data surely helps: the last doubling brought a point, and more than seeds differ by."""
        return self.doubling.above(DOUBLING_MATTERS)

    def finding(self) -> Finding:
        low, high = self.val_accuracy[0], self.val_accuracy[-1]
        text = (
            f"From {self.sizes[0]:,} to {self.sizes[-1]:,} training examples validation goes from {100 * low.mean:.1f} "
            f"to {100 * high.mean:.1f} %; the last doubling brought {points(self.doubling)}"
        )
        if self.short_of_data:
            return Finding("learning curve", "problem", f"{text}: it is short of data.")
        return Finding("learning curve", "fine", f"{text}: more data would bring little.")


@dataclass(frozen=True)
class LabelProbe:
    """What came of training with a share of random labels; validation keeps its labels.

    Attributes:
        share: of training labels that were replaced by others.
        memorized: the share of wrong labels that is learned at the end, at least.
        val_accuracy, clean_val_accuracy: on validation at the end, with and without wrong labels in training.
        best_val_accuracy: at the best epoch, with wrong labels.
    """

    share: float
    memorized: Estimate
    val_accuracy: Estimate
    best_val_accuracy: Estimate
    clean_val_accuracy: Estimate

    @property
    def memorizes(self) -> bool:
        """Whether it learns most wrong labels by heart."""
        return self.memorized.mean >= MEMORIZES

    def finding(self) -> Finding:
        ends, best, without = (
            100 * e.mean for e in (self.val_accuracy, self.best_val_accuracy, self.clean_val_accuracy)
        )
        text = (
            f"With {100 * self.share:.0f} % of the training labels wrong it learns {percent(self.memorized)} of "
            f"the wrong ones at least, and validation ends at {ends:.1f} % (best epoch {best:.1f} %, without wrong "
            f"labels {without:.1f} %)"
        )
        if self.memorizes:
            return Finding("wrong labels", "problem", f"{text}: it memorizes.")
        return Finding("wrong labels", "fine", f"{text}: it does not memorize them.")


@dataclass(frozen=True)
class NoiseProbe:
    """Validation accuracy under Gaussian noise on the inputs of trained networks.

    Attributes:
        stddevs: of the noise, in standard deviations of the network's inputs, the first one 0.
        accuracy: for each.
        lost: accuracy lost at a tenth of a standard deviation, or the level nearest to it; paired by seed.
        at: that level.
    """

    stddevs: tuple[float, ...]
    accuracy: tuple[Estimate, ...]
    lost: Estimate
    at: float

    @property
    def sensitive(self) -> bool:
        return self.lost.above(NOISE_MATTERS)

    def finding(self) -> Finding:
        state = "problem" if self.sensitive else "fine"
        curve = ", ".join(f"{100 * a.mean:.1f} at {s:g}" for s, a in zip(self.stddevs, self.accuracy, strict=True))
        text = (
            f"Noise of {self.at:g} standard deviations on inputs costs {points(self.lost)} (validation accuracy in %: "
            f"{curve})."
        )
        return Finding("input noise", state, text)


@dataclass(frozen=True)
class WeightProbe:
    """What the weights look like.

    It explains, and ranks nothing: rescaling a layer and undoing it in the next changes both numbers and not the
    function (Dinh et al. 2017, arXiv:1703.04933).

    Attributes:
        growth: norm of the kernels at the best epoch, as a multiple of what it was before training.
        sharpness: by how much the training cross-entropy rises when each kernel is moved at random by ``radius`` of its
            norm (after Li et al. 2018, arXiv:1712.09913).
        radius: that share.
    """

    growth: Estimate
    sharpness: Estimate
    radius: float

    def finding(self) -> Finding:
        text = (
            f"Kernels are {self.growth.mean:.2f} times as large as before training; moved at random by "
            f"{100 * self.radius:g} % of their norm they cost {self.sharpness.mean:.4f} nats on training examples. "
            "This explains and ranks nothing."
        )
        return Finding("weights", "note", text)


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
    """Return the learning curve from accuracies by size and seed; None with fewer than two sizes.

    Args:
        validation: for each number of training examples, accuracy of each seed.
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
    """Return the label probe from accuracies, one a seed."""
    found = _estimates([memorized, val, best_val, clean_val])
    return LabelProbe(share, *found)


def noise_probe(stddevs: Sequence[float], accuracy: Sequence[Sequence[float]], *, at: float = 0.1) -> NoiseProbe:
    """Return the noise probe.

    Args:
        stddevs: of the noise, the first one 0.
        accuracy: for each of them, one number a seed.
        at: the level that is judged by, or the nearest to it that was tried.
    """
    level = min(range(1, len(stddevs)), key=lambda i: abs(stddevs[i] - at))
    lost = [clean - noisy for clean, noisy in zip(accuracy[0], accuracy[level], strict=True)]
    return NoiseProbe(tuple(stddevs), _estimates(accuracy), _estimates([lost])[0], stddevs[level])


def weight_probe(growth: Sequence[float], sharpness: Sequence[float], *, radius: float) -> WeightProbe:
    """Return the weight probe from numbers, one a seed."""
    grown, sharp = _estimates([growth, sharpness])
    return WeightProbe(grown, sharp, radius)


def _estimates(many: Sequence) -> tuple[Estimate, ...]:
    found = tuple(estimate(list(values)) for values in many)
    assert all(each is not None for each in found)
    return found  # type: ignore[return-value]
