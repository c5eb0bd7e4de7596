"""Accuracy under attack: curves over epsilon, and whether a model resists one attack and not the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reglab.analysis.paired import paired

__all__ = ["Curve", "curves", "resists_fgsm_only"]

ALPHA = 0.05
_MATTERS = 0.1  # of the examples: less is within what training by chance brings


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracy of one recipe under one attack.

    Attributes:
        attack: ``fgsm`` or ``pgd``.
        mean, low, high: for each epsilon, over seeds; the 95 % t interval of the mean, NaN with one seed.
        values: ``(seeds, epsilons)``.
    """

    attack: str
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    values: np.ndarray


def curves(runs: Mapping[int, Mapping[str, list[float]]]) -> dict[str, Curve]:
    """Return a curve for each attack, from the accuracies of each seed."""
    found = {}
    for attack in next(iter(runs.values()), {}):
        values = np.array([of_seed[attack] for of_seed in runs.values()], dtype="float64")
        bounds = np.array([paired(column).interval(1 - ALPHA) for column in values.T])
        found[attack] = Curve(attack, values.mean(axis=0), bounds[:, 0], bounds[:, 1], values)
    return found


def resists_fgsm_only(found: Mapping[str, Curve], baseline: Mapping[str, Curve]) -> int | None:
    """Return the position of the epsilon at which most of what was won against FGSM is lost to PGD, or None.

    Compared is with the baseline, since a better attack fools every model more often. Won against FGSM has to be a
    tenth of the examples at least, and of that more than half is not won against PGD; both, paired, by more than seeds
    vary (t interval above zero; with one seed the numbers alone). Such a model was trained to hide from one step
    along the gradient, and not to resist (gradient masking; Tramer et al. 2018, arXiv:1705.07204).
    """
    if not all({"fgsm", "pgd"} <= set(curves) and len(curves["fgsm"].values) for curves in (found, baseline)):
        return None
    n = min(len(found["fgsm"].values), len(baseline["fgsm"].values))
    won = {attack: found[attack].values[:n] - baseline[attack].values[:n] for attack in ("fgsm", "pgd")}
    lost = won["fgsm"] - won["pgd"]
    worst = int(np.argmax(lost.mean(axis=0)))
    gain = paired(won["fgsm"][:, worst])
    if gain.mean < _MATTERS or lost[:, worst].mean() <= gain.mean / 2:
        return None
    return worst if all(_above_zero(values[:, worst]) for values in (won["fgsm"], lost)) else None


def _above_zero(values: np.ndarray) -> bool:
    low, _ = paired(values).interval(1 - ALPHA)
    return math.isnan(low) or low > 0
