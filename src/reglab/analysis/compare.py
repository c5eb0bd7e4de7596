"""Recipes side by side: means over seeds, differences from the baseline paired by seed, and what they allow to say."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from reglab.analysis.choice import Choice, choose
from reglab.analysis.paired import Crossed, crossed, paired
from reglab.analysis.verdict import Verdict, collapsed, judge

__all__ = ["METRICS", "Comparison", "Difference", "Row", "compare"]

METRICS = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "top_5",
    "cross_entropy",
    "brier",
    "ece",
    "overconfidence",
    "temperature",
    "ece_tempered",
    "cross_entropy_tempered",
    "sparsity",
    "train_accuracy",
    "val_accuracy",
    "gap",
    "train_cross_entropy",
    "val_cross_entropy",
    "cross_entropy_gap",
    "epochs",
    "best_epoch",
    "seconds",
)
# What a run cost is in its record. It differs between two equal studies, whose results are the same.
_COMPARED = tuple(metric for metric in METRICS if metric != "seconds")


@dataclass(frozen=True)
class Difference:
    """A metric minus the baseline's, seed by seed.

    ``low`` and ``high`` bound the mean with 95 % confidence by the paired t interval, not adjusted for the number of
    recipes; both are NaN with fewer than two seeds, and infinite where no seed differs.
    """

    values: dict[int, float]
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """One recipe of a study.

    Attributes:
        name, recipe: its name, and what it is, as text.
        status: how each seed ended, in the order of ``seeds``.
        values: for each metric its value a seed; seeds that did not finish are absent.
        differences: for each metric its difference from the baseline; empty for the baseline.
        verdict: what may be said of its accuracy against the baseline; None for the baseline.
        crossed: the difference in accuracy with an interval for other seeds and other test examples; None for the
            baseline, or where predictions are not at hand.
        collapsed: seeds of runs that finished with an accuracy far below that of the others.
    """

    name: str
    recipe: str
    seeds: tuple[int, ...]
    status: tuple[str, ...]
    values: dict[str, dict[int, float]]
    differences: dict[str, Difference]
    verdict: Verdict | None = None
    crossed: Crossed | None = None
    collapsed: tuple[int, ...] = ()

    def mean(self, metric: str) -> float:
        """The mean over the seeds that finished; NaN if none did."""
        values = list(self.values[metric].values())
        return float(np.mean(values)) if values else math.nan

    def std(self, metric: str) -> float:
        """The standard deviation over seeds, with n - 1; NaN with fewer than two."""
        values = list(self.values[metric].values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    @property
    def finished(self) -> int:
        """How many seeds finished."""
        return sum(status == "finished" for status in self.status)


@dataclass(frozen=True)
class Comparison:
    """All recipes of a study, the baseline among them.

    Attributes:
        baseline: the name of the recipe that the others are compared with.
        rows: the recipes.
        choice: which of them may be the best, by validation; None if none has a run.
    """

    baseline: str
    rows: tuple[Row, ...]
    choice: Choice | None = None

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def to_dict(self) -> dict:
        """Return what stands in ``results.json``."""
        return {
            "baseline": self.baseline,
            "choice": None if self.choice is None else dataclasses.asdict(self.choice),
            "recipes": [_row_dict(row) for row in self.rows],
        }


def compare(
    outcomes: Mapping[str, Mapping[int, tuple[str, Mapping[str, float]]]],
    *,
    recipes: Mapping[str, str],
    baseline: str,
    margin: float | None = None,
    right: Mapping[str, Mapping[int, np.ndarray]] | None = None,
    sizes: Mapping[str, int] | None = None,
    identical: Collection[str] = (),
) -> Comparison:
    """Compare recipes. The test set gives the estimates and verdicts; validation says which recipe to choose.

    Args:
        outcomes: for each recipe's name and each seed, how the run ended and its metrics.
        recipes: what each recipe is, as text.
        baseline: the name of the recipe that the others are compared with.
        margin: the smallest difference in accuracy that matters, declared beforehand, or None.
        right: for each recipe's name and each seed, which test examples were classified rightly, booleans ``(N,)``.
        sizes: how many strategies each recipe has: a smaller one is recommended where it is shown not to be inferior.
        identical: names of recipes whose networks are the baseline's in every seed.
    """
    values = {name: _values(seeds) for name, seeds in outcomes.items()}
    states = {name: [state for state, _ in seeds.values()] for name, seeds in outcomes.items()}
    accuracies = {name: of_name["accuracy"] for name, of_name in values.items()}
    verdicts = {
        name: _within(verdict)
        for name, verdict in judge(
            accuracies, states, baseline=baseline, margin=margin, resolution=_resolution(right), identical=identical
        ).items()
    }
    rows = []
    for name, seeds in outcomes.items():
        differences = {}
        if name != baseline:
            differences = {metric: difference(values[name][metric], values[baseline][metric]) for metric in METRICS}
        verdict, both = verdicts.get(name), None
        if verdict is not None and right is not None:
            level = verdict.confidence if math.isfinite(verdict.confidence) else 0.95
            both = _crossed(right.get(name, {}), right.get(baseline, {}), confidence=level)
        rows.append(Row(
            name, recipes[name], tuple(seeds), tuple(states[name]), values[name], differences, verdict, both,
            collapsed(accuracies[name]),
        ))  # fmt: skip
    validation = {name: of_name["val_accuracy"] for name, of_name in values.items()}
    return Comparison(baseline, tuple(rows), choose(validation, sizes or {}, margin=margin))


def _resolution(right: Mapping[str, Mapping[int, np.ndarray]] | None) -> float | None:
    """Return the step in which accuracies come: one test example; None if that is not known."""
    fewest = min((len(hits) for of_name in (right or {}).values() for hits in of_name.values()), default=0)
    return 1 / fewest if fewest else None


def _within(verdict: Verdict) -> Verdict:
    """Return a verdict on shares, whose difference is 1 at most; few seeds give intervals beyond that."""
    low, high = (min(1.0, max(-1.0, b)) if math.isfinite(b) else b for b in (verdict.low, verdict.high))
    return dataclasses.replace(verdict, low=low, high=high)


def _crossed(
    right: Mapping[int, np.ndarray], baseline: Mapping[int, np.ndarray], *, confidence: float
) -> Crossed | None:
    seeds = [seed for seed in right if seed in baseline]
    if not seeds:
        return None
    differences = np.array([right[seed].astype("int8") - baseline[seed].astype("int8") for seed in seeds])
    return crossed(differences, confidence=confidence)


def difference(values: Mapping[int, float], baseline: Mapping[int, float], *, confidence: float = 0.95) -> Difference:
    """Return ``values - baseline`` over the seeds that both have, with the paired t interval of its mean.

    ``mean +- t * s / sqrt(n)``, with ``t`` the quantile of Student's distribution with ``n - 1`` degrees of freedom.
    """
    both = {seed: values[seed] - baseline[seed] for seed in values if seed in baseline}
    found = paired(list(both.values()))
    return Difference(both, found.mean, *found.interval(confidence))


def _values(seeds: Mapping[int, tuple[str, Mapping[str, float]]]) -> dict[str, dict[int, float]]:
    return {
        metric: {
            seed: metrics[metric]
            for seed, (status, metrics) in seeds.items()
            if status == "finished" and metric in metrics
        }
        for metric in METRICS
    }


def _row_dict(row: Row) -> dict:
    metrics = {
        metric: {
            "values": [row.values[metric].get(seed) for seed in row.seeds],
            "mean": row.mean(metric),
            "std": row.std(metric),
        }
        for metric in _COMPARED
    }
    for metric, diff in ((metric, row.differences[metric]) for metric in _COMPARED if row.differences):
        metrics[metric]["difference"] = {"mean": diff.mean, "low": diff.low, "high": diff.high}
    return {
        "name": row.name, "recipe": row.recipe, "seeds": list(row.seeds), "status": list(row.status),
        "collapsed": list(row.collapsed),
        **({} if row.verdict is None else {"verdict": _verdict_dict(row)}), **metrics,
    }  # fmt: skip


def _verdict_dict(row: Row) -> dict:
    verdict, both = row.verdict, row.crossed
    assert verdict is not None
    d = verdict.paired
    return {
        "word": verdict.word, "pairs": d.n, "difference": d.mean,
        "confidence": verdict.confidence,
        "low": verdict.low, "high": verdict.high, "bound": verdict.bound or None,
        "p": d.p, "p_adjusted": verdict.p_adjusted, "p_sign_flip": d.p_sign_flip, "p_floor": d.p_floor,
        "share_better": d.better, "margin": verdict.margin, "seeds_needed": verdict.seeds_needed,
        "detectable": verdict.detectable,
        "baseline_bad": verdict.baseline_bad,
        "over_examples_too": None if both is None else {"low": both.low, "high": both.high},
    }  # fmt: skip
