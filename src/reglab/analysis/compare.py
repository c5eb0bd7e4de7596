"""Recipes side by side: means over seeds, differences from the baseline paired by seed, and what they allow to say."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from reglab.analysis.choice import Choice, choose
from reglab.analysis.paired import Crossed, crossed, paired
from reglab.analysis.verdict import Verdict, collapsed, judge
from reglab.tasks import Metric, Task

__all__ = ["Comparison", "Difference", "Row", "compare"]


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
        verdict: what may be said of its deciding metric against the baseline's; None for the baseline.
        crossed: the difference in that metric with an interval for other seeds and other test examples; None for the
            baseline, or where it is not known what examples add.
        collapsed: seeds of runs that finished far worse than the others.
    """

    name: str
    recipe: str
    seeds: tuple[int, ...]
    status: tuple[str, ...]
    values: dict[str, dict[int, float]] = field(repr=False)
    differences: dict[str, Difference] = field(repr=False)
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
        task: what was predicted, and which metric decides.
        rows: the recipes.
        choice: which of them may be the best, by validation; None if none has a run.
    """

    baseline: str
    task: Task
    rows: tuple[Row, ...]
    choice: Choice | None = None

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def to_dict(self) -> dict:
        """Return what stands in ``results.json``."""
        return {
            "baseline": self.baseline,
            "task": self.task.to_dict(),
            "choice": None if self.choice is None else dataclasses.asdict(self.choice),
            "recipes": [_row_dict(row, self.task) for row in self.rows],
        }


def compare(
    outcomes: Mapping[str, Mapping[int, tuple[str, Mapping[str, float]]]],
    *,
    recipes: Mapping[str, str],
    baseline: str,
    task: Task,
    margin: float | None = None,
    scores: Mapping[str, Mapping[int, np.ndarray]] | None = None,
    sizes: Mapping[str, int] | None = None,
    identical: Collection[str] = (),
) -> Comparison:
    """Compare recipes. The test set gives the estimates and verdicts; validation says which recipe to choose.

    Args:
        outcomes: for each recipe's name and each seed, how the run ended and its metrics.
        recipes: what each recipe is, as text.
        baseline: the name of the recipe that the others are compared with.
        task: what was predicted, and which metric decides.
        margin: the smallest difference in that metric that matters, declared beforehand, or None.
        scores: for each recipe's name and each seed, scores of the test examples whose mean is the metric, ``(N,)``, or
            of groups of them where the metric has none.
        sizes: how many strategies each recipe has: a smaller one is recommended where it is shown not to be inferior.
        identical: names of recipes whose networks are the baseline's in every seed.
    """
    metric = task.decides
    of_runs = {each for seeds in outcomes.values() for _, metrics in seeds.values() for each in metrics}
    # The task's, and those that a study was asked for beside them.
    known = (*task.recorded, *sorted(of_runs - set(task.recorded)))
    values = {name: _values(seeds, known) for name, seeds in outcomes.items()}
    states = {name: [state for state, _ in seeds.values()] for name, seeds in outcomes.items()}
    deciding = {name: of_name[metric.name] for name, of_name in values.items()}
    verdicts = {
        name: _within(verdict)
        for name, verdict in judge(
            deciding,
            states,
            baseline=baseline,
            metric=metric,
            margin=margin,
            resolution=_resolution(scores, metric),
            identical=identical,
        ).items()
    }
    rows = []
    for name, seeds in outcomes.items():
        differences = {}
        if name != baseline:
            differences = {each: difference(of, values[baseline][each]) for each, of in values[name].items()}
        verdict, both = verdicts.get(name), None
        if verdict is not None and scores is not None:
            level = verdict.confidence if math.isfinite(verdict.confidence) else 0.95
            both = _crossed(scores.get(name, {}), scores.get(baseline, {}), metric=metric, confidence=level)
        rows.append(Row(
            name, recipes[name], tuple(seeds), tuple(states[name]), values[name], differences, verdict, both,
            collapsed(deciding[name], metric),
        ))  # fmt: skip
    validation = {
        name: {seed: metric.sign * value for seed, value in of_name[f"val_{metric.name}"].items()}
        for name, of_name in values.items()
    }
    return Comparison(baseline, task, tuple(rows), choose(validation, sizes or {}, margin=margin))


def _resolution(scores: Mapping[str, Mapping[int, np.ndarray]] | None, metric: Metric) -> float | None:
    """Return the step in which the metric comes: one test example; None if that is not known."""
    found = [of_one for of_name in (scores or {}).values() for of_one in of_name.values()] if metric.counts else []
    steps = [float(np.min(of_one[of_one > 0], initial=np.inf)) / len(of_one) for of_one in found]
    return max((step for step in steps if math.isfinite(step)), default=None)


def _within(verdict: Verdict) -> Verdict:
    """Return a verdict whose interval is within what differences of its metric can be; few seeds give more."""
    most = verdict.metric.span
    low, high = (min(most, max(-most, b)) if math.isfinite(b) else b for b in (verdict.low, verdict.high))
    return dataclasses.replace(verdict, low=low, high=high)


def _crossed(
    scores: Mapping[int, np.ndarray], baseline: Mapping[int, np.ndarray], *, metric: Metric, confidence: float
) -> Crossed | None:
    seeds = [seed for seed in scores if seed in baseline]
    if not seeds:
        return None
    found = np.array([scores[seed] - baseline[seed] for seed in seeds])
    groups = found.shape[1] if metric.per_example is None else 0
    return dataclasses.replace(crossed(found, confidence=confidence), groups=groups)


def difference(values: Mapping[int, float], baseline: Mapping[int, float], *, confidence: float = 0.95) -> Difference:
    """Return ``values - baseline`` over the seeds that both have, with the paired t interval of its mean.

    ``mean +- t * s / sqrt(n)``, with ``t`` the quantile of Student's distribution with ``n - 1`` degrees of freedom.
    """
    both = {seed: values[seed] - baseline[seed] for seed in values if seed in baseline}
    found = paired(list(both.values()))
    return Difference(both, found.mean, *found.interval(confidence))


def _values(seeds: Mapping[int, tuple[str, Mapping[str, float]]], known: Iterable[str]) -> dict[str, dict[int, float]]:
    return {
        metric: {
            seed: metrics[metric]
            for seed, (status, metrics) in seeds.items()
            if status == "finished" and metric in metrics
        }
        for metric in known
    }


def _row_dict(row: Row, task: Task) -> dict:
    # What a run cost is in its record. It differs between two equal studies, whose results are the same.
    compared = [metric for metric in row.values if metric != "seconds"]
    metrics = {
        metric: {
            "values": [row.values[metric].get(seed) for seed in row.seeds],
            "mean": row.mean(metric),
            "std": row.std(metric),
        }
        for metric in compared
    }
    for metric, diff in ((metric, row.differences[metric]) for metric in compared if row.differences):
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
        "over_examples_too": None if both is None else {"low": both.low, "high": both.high, "groups": both.groups},
    }  # fmt: skip
