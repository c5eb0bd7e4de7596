"""The noise of a set-up, from repetitions of one recipe: how much it gives by itself, and how often it deceives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from reglab.analysis.paired import t_statistics
from reglab.analysis.verdict import ALPHA
from reglab.lazy import stats

__all__ = ["Noise", "noise"]

RELABELLINGS = 10_000
_AT_ONCE = 2_000_000  # numbers, so that many seeds do not take gigabytes


@dataclass(frozen=True)
class Noise:
    """What a recipe differs from itself by.

    Attributes:
        seeds, repetitions: how many of each; every seed has every repetition.
        spread: standard deviation of a run over seeds: of split, initial weights, batches and draws together.
        within: standard deviation between repetitions of a seed: of batches and random draws alone.
        pair: standard deviation of the difference of two repetitions of a seed, ``sqrt(2) * within``: what a recipe
            that does nothing differs from the baseline by.
        unpaired: standard deviation of the difference of two runs of different seeds: what pairing saves one from.
        largest: the largest mean difference between two repetitions.
        false_claims: share of relabelled studies in which some repetition was called better or worse than another.
        relabellings: how many there were.
    """

    seeds: int
    repetitions: int
    spread: float
    within: float
    pair: float
    unpaired: float
    largest: float
    false_claims: float
    relabellings: int

    @property
    def standard_error(self) -> float:
        """Of ``false_claims``, from the number of relabellings alone."""
        return math.sqrt(self.false_claims * (1 - self.false_claims) / self.relabellings)


def noise(values: np.ndarray, *, alpha: float = ALPHA, random_seed: int = 0) -> Noise:
    """Return the noise of a recipe from repetitions of it.

    Repetitions of a seed share split and initial weights, and are exchangeable: which of them is called the baseline is
    only a name. So names are exchanged at random within each seed, the first is compared with the others as a study
    compares recipes (paired t tests, Holm), and every claim is false.

    The rate is that of recipes with the noise of the one that was repeated, for these seeds. Exchanging names makes
    every difference symmetric, so it says nothing of recipes whose noise is another: one that collapses now and then is
    called better far more often (docs/statistics.md).

    Args:
        values: ``(seeds, repetitions)``, two of each at least.
        alpha: familywise error rate of the verdict.
        random_seed: of the relabellings.
    """
    seeds, repetitions = values.shape
    within = math.sqrt(float(values.var(axis=1, ddof=1).mean()))
    means = values.mean(axis=1)
    total = float(means.var(ddof=1)) + within**2 * (1 - 1 / repetitions)  # variance of a single run
    differences = values.mean(axis=0)[None, :] - values.mean(axis=0)[:, None]
    claims = _claims(values, alpha=alpha, random=np.random.default_rng(random_seed))
    return Noise(
        seeds, repetitions, math.sqrt(total), within, math.sqrt(2) * within, math.sqrt(2 * total),
        float(np.abs(differences).max()), float(claims.mean()), len(claims),
    )  # fmt: skip


def _claims(values: np.ndarray, *, alpha: float, random: np.random.Generator) -> np.ndarray:
    """Return, for each relabelling, whether any repetition was called better or worse than the first."""
    pieces, left = [], RELABELLINGS
    while left:
        count = min(left, max(1, _AT_ONCE // values.size))
        pieces.append(_claims_of(values, count, alpha=alpha, random=random))
        left -= count
    return np.concatenate(pieces)


def _claims_of(values: np.ndarray, count: int, *, alpha: float, random: np.random.Generator) -> np.ndarray:
    seeds, repetitions = values.shape
    order = random.random((count, seeds, repetitions)).argsort(axis=2)
    shuffled = np.take_along_axis(np.broadcast_to(values, order.shape), order, axis=2)
    d = shuffled[:, :, 1:] - shuffled[:, :, :1]
    t = t_statistics(d.mean(axis=1), d.std(axis=1, ddof=1), seeds)
    p = 2 * stats.t.sf(np.abs(t), seeds - 1)
    # Holm rejects something exactly where Bonferroni rejects the smallest.
    return p.min(axis=1) <= alpha / (repetitions - 1)
