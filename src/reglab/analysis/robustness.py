"""What is left under attack: curves over epsilon, and whether a model resists one attack and not the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reglab.analysis.paired import paired, smallest_step
from reglab.tasks import Metric

__all__ = ["Curve", "curves", "epsilon_text", "resists_fgsm_only"]

ALPHA = 0.05
_MATTERS = 0.1  # of the examples, or of what the baseline has: less is within what training by chance brings


@dataclass(frozen=True, eq=False)
class Curve:
    """What is left of one recipe under one attack.

    Attributes:
        attack: ``fgsm`` or ``pgd``.
        metric: in what.
        mean, low, high: for each epsilon, over seeds; the 95 % t interval of the mean, NaN with one seed.
        values: ``(seeds, epsilons)``.
        seeds: which seeds, in the order of ``values``.
        step: the step in which values come, one example; 0 where that is not known.
    """

    attack: str
    metric: Metric
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    values: np.ndarray
    seeds: tuple[int, ...]
    step: float = 0.0


def curves(
    runs: Mapping[int, Mapping[str, list[float]]], *, metric: Metric, examples: int | None = None
) -> dict[str, Curve]:  # fmt: skip
    """Return a curve for each attack, from the values of a metric of each seed, on so many examples."""
    step = 1 / examples if examples and metric.counts else 0.0
    found = {}
    for attack in next(iter(runs.values()), {}):
        values = np.array([of_seed[attack] for of_seed in runs.values()], dtype="float64")
        intervals = [paired(column, resolution=step).interval(1 - ALPHA) for column in values.T]
        low, high = np.array(intervals).clip(metric.lowest, metric.highest).T
        found[attack] = Curve(attack, metric, values.mean(axis=0), low, high, values, tuple(runs), step)
    return found


def resists_fgsm_only(found: Mapping[str, Curve], baseline: Mapping[str, Curve]) -> int | None:
    """Return the position of the epsilon at which most of what was won against FGSM is lost to PGD, or None.

    Compared is with the baseline, since a better attack fools every model more often. Won against FGSM has to be a
    tenth of the examples at least (of a metric without bounds, of what the baseline has), and of that more than half is
    not won against PGD; both, paired over the seeds that both have, by more than seeds vary (t interval above zero;
    with one seed the numbers alone). Such a model was
    trained to hide from one step along the gradient, and not to resist (gradient masking; Tramer et al. 2018,
    arXiv:1705.07204).
    """
    if not all({"fgsm", "pgd"} <= set(curves) and len(curves["fgsm"].values) for curves in (found, baseline)):
        return None
    both = [seed for seed in found["fgsm"].seeds if seed in baseline["fgsm"].seeds]
    if not both:
        return None
    metric = baseline["fgsm"].metric
    won = {
        attack: metric.sign * (_of_seeds(found[attack], both) - _of_seeds(baseline[attack], both))
        for attack in ("fgsm", "pgd")
    }
    lost = won["fgsm"] - won["pgd"]
    worst = int(np.argmax(lost.mean(axis=0)))
    gain = paired(won["fgsm"][:, worst])
    matters = _MATTERS * metric.size(float(_of_seeds(baseline["fgsm"], both)[:, worst].mean()))
    if gain.mean < matters or lost[:, worst].mean() <= gain.mean / 2:
        return None
    step = baseline["fgsm"].step or smallest_step(np.concatenate([won["fgsm"].ravel(), lost.ravel()]))
    return worst if all(_above_zero(values[:, worst], step) for values in (won["fgsm"], lost)) else None


def _of_seeds(curve: Curve, seeds: Sequence[int]) -> np.ndarray:
    return np.asarray(curve.values[[curve.seeds.index(seed) for seed in seeds]])


def _above_zero(values: np.ndarray, step: float) -> bool:
    low, _ = paired(values, resolution=step).interval(1 - ALPHA)
    return math.isnan(low) or low > 0


def epsilon_text(epsilon: float, unit: str | None) -> str:
    """Return the size of a perturbation as people write it: of pixels in 255ths, ``8/255`` or ``25.5/255``.

    >>> epsilon_text(8 / 255, "pixel"), epsilon_text(0.1, "pixel"), epsilon_text(0.1, "input"), epsilon_text(0, "pixel")
    ('8/255', '25.5/255', '0.1', '0')
    """
    steps = round(epsilon * 255, 1)
    if unit == "pixel" and steps and abs(epsilon * 255 - steps) < 1e-6:
        return f"{steps:g}/255"
    return f"{epsilon:.3g}"
