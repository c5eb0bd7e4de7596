"""What figures draw, computed from results before anything is drawn: arrays in, arrays out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reglab.lazy import stats
from reglab.results import Results
from reglab.study.records import FINISHED
from reglab.tasks import ByName

__all__ = [
    "Band", "Changes", "Reliability", "band", "by_name", "changes", "detail", "histories", "pooled_confusion",
    "reliability_of", "under_attack",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Band:
    """A mean with the lowest and highest of its seeds, at each of ``x``."""

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: int


def band(curves: Sequence[Sequence[float]], x: Sequence[float] | None = None) -> Band:
    """Return the mean over curves, one a seed, of which some may end earlier.

    It ends where fewer than half of the seeds go on: a mean over the last few says more of who is left than of the
    recipe.

    Args:
        curves: for each seed its values; None and NaN are left out.
        x: where they were taken; by default epochs, counted from 1.
    """
    if not curves:
        return Band(np.empty(0), np.empty(0), np.empty(0), np.empty(0), 0)
    longest = max(map(len, curves))
    values = np.full((len(curves), longest), math.nan)
    for row, curve in zip(values, curves, strict=True):
        row[: len(curve)] = np.asarray(curve, dtype="float64")  # None becomes NaN
    there = np.isfinite(values).sum(axis=0)
    few = np.flatnonzero(2 * there < len(curves))
    end = int(few[0]) if len(few) else longest
    values = np.where(np.isfinite(values), values, math.nan)[:, :end]
    steps = np.arange(1, end + 1) if x is None else np.asarray(x, dtype="float64")[:end]
    return Band(steps, np.nanmean(values, axis=0), np.nanmin(values, axis=0), np.nanmax(values, axis=0), len(curves))


def histories(results: Results, name: str, metric: str) -> list[list[float]]:
    """Return a recipe's curves of a metric, one for each seed that finished."""
    return [
        list(run.history[metric])
        for run in results.runs.get(name, {}).values()
        if run.status == FINISHED and run.history.get(metric)
    ]


def detail(results: Results, name: str, what: str) -> dict[int, Any]:
    """Return what the task has of the finished runs of a recipe under a name, by seed."""
    return {seed: run.details[what] for seed, run in results.runs.get(name, {}).items() if what in run.details}


def pooled_confusion(results: Results, name: str) -> np.ndarray | None:
    """Return the counts of a recipe's confusions, summed over seeds, or None if it has no finished run."""
    found = list(detail(results, name, "confusion").values())
    return np.sum(found, axis=0) if found else None


def by_name(results: Results, name: str) -> ByName | None:
    """Return what the task tells of each class or label, of all finished runs of a recipe, or None."""
    found = [run.details for run in results.runs.get(name, {}).values() if run.details]
    return results.task.by_name(found) if found else None


@dataclass(frozen=True, eq=False)
class Changes:
    """What recipes are compared by of each class or label, minus the baseline's, paired by seed: arrays, shares.

    ``low`` and ``high`` bound ``mean`` with 95 % confidence by the paired t interval, each by itself: they are not
    adjusted for the number of classes or recipes, and no smaller spread than one test example of the class is believed.
    ``told`` says what it is; ``value`` and ``baseline`` are both sides of the difference.
    NaN with fewer than two seeds.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    value: np.ndarray
    baseline: np.ndarray
    seeds: int
    told: ByName


def changes(results: Results, name: str, *, confidence: float = 0.95) -> Changes | None:
    """Return how a recipe changes each class or label, or None if no seed finished in both or there are none."""
    mine, theirs = (_of_seeds(results, which) for which in (name, results.baseline))
    seeds = [seed for seed in mine if seed in theirs]
    if not seeds:
        return None
    value = np.array([_compared(mine[seed]) for seed in seeds])
    baseline = np.array([_compared(theirs[seed]) for seed in seeds])
    difference = value - baseline
    told = mine[seeds[0]]
    mean, half = difference.mean(axis=0), np.full(difference.shape[1], math.nan)
    if len(seeds) > 1:
        quantile = float(stats.t.ppf((1 + confidence) / 2, len(seeds) - 1))
        least = 1 / np.maximum(told.support, 1)
        half = quantile * np.maximum(difference.std(axis=0, ddof=1), least) / math.sqrt(len(seeds))
    return Changes(mean, mean - half, mean + half, value.mean(axis=0), baseline.mean(axis=0), len(seeds), told)


def _of_seeds(results: Results, name: str) -> Mapping[int, ByName]:
    found = {seed: run.details for seed, run in results.runs.get(name, {}).items() if run.details}
    told = {seed: results.task.by_name([details]) for seed, details in found.items()}
    return {seed: each for seed, each in told.items() if each is not None}


def _compared(told: ByName) -> np.ndarray:
    """Return what recipes are compared by; a class without test examples has none."""
    return np.where(told.support > 0, told.scores[told.compared], math.nan)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy, test examples of all seeds pooled: arrays over bins that are not empty."""

    confidence: np.ndarray
    accuracy: np.ndarray
    share: np.ndarray
    error: float


def reliability_of(results: Results, name: str, *, bins: int = 15) -> Reliability | None:
    """Return a recipe's calibration pooled over seeds, or None if it has no finished run.

    ``error`` is the mean over seeds of the expected calibration error, as in the table; the one of the pooled bins
    would be smaller, for seeds err in different directions.
    """
    found = list(detail(results, name, "calibration").values())
    if not found:
        return None
    confidence, accuracy, share = (
        np.concatenate([getattr(each, part) for each in found]) for part in ("confidence", "accuracy", "share")
    )
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)  # the mean of a bin lies in it
    sums = [np.bincount(index, weights=share * what, minlength=bins) for what in (confidence, accuracy, 1.0)]
    kept = sums[2] > 0
    return Reliability(
        sums[0][kept] / sums[2][kept], sums[1][kept] / sums[2][kept], sums[2][kept] / len(found),
        float(np.mean([each.error for each in found])),
    )  # fmt: skip


def under_attack(results: Results, measured: Mapping[str, Any]) -> dict[str, dict[str, list[list[float]]]]:
    """Return, for each attack and recipe, what is left of the metric in its seeds, each a list over epsilons.

    The strongest attack, the one that leaves the least, comes first.
    """
    runs = measured["runs"]
    found: dict[str, dict[str, list[list[float]]]] = {}
    for attack in measured["attacks"]:
        of_attack = {}
        for name, of_name in results.runs.items():
            curves = [runs[run.id][attack] for run in of_name.values() if attack in runs.get(run.id, {})]
            if curves:
                of_attack[name] = curves
        if of_attack:
            found[attack] = of_attack
    sign = results.task.metric(measured["metric"]).sign
    return dict(sorted(found.items(), key=lambda item: sign * np.mean([np.mean(of) for of in item[1].values()])))
