"""Groups of examples in place of scores of each: exact for means, right for medians, and said."""

from __future__ import annotations

import numpy as np
import pytest

from reglab.analysis.compare import compare
from reglab.analysis.jackknife import grouped_scores
from reglab.tasks import Metric, Regression
from reglab.tasks.regression import absolute_scores

TASK = Regression(targets=("a",))


def numbers(count, *, seed=0):
    random = np.random.default_rng(seed)
    y = random.normal(size=count)
    return y, y + 0.7 * random.normal(size=count)


def test_of_a_mean_they_are_the_means_of_the_groups():
    y, p = numbers(400)
    found = grouped_scores(TASK.metric("mae"), y, p)
    assert len(found) == 20
    member = np.random.default_rng(0).permutation(400) % 20
    expected = [absolute_scores(y, p)[member == k].mean() for k in range(20)]
    np.testing.assert_allclose(np.sort(found), np.sort(expected))
    assert found.mean() == pytest.approx(TASK.metric("mae")(y, p))


@pytest.mark.parametrize("name", ["rmse", "r2", "medae", "spearman"])
def test_their_spread_is_the_standard_error_over_other_examples(name):
    metric = TASK.metric(name)
    again = [metric(*numbers(400, seed=seed)) for seed in range(150)]
    errors = []
    for seed in range(30):
        found = grouped_scores(metric, *numbers(400, seed=1000 + seed))
        errors.append(found.std(ddof=1) / np.sqrt(len(found)))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(again), rel=0.3)


def test_of_few_examples_or_of_groups_without_which_it_is_no_number_there_are_none():
    assert grouped_scores(TASK.metric("medae"), *numbers(19)) is None
    assert grouped_scores(Metric("made", "made", lambda y, p: np.nan if len(y) < 40 else 1.0), *numbers(40)) is None


def test_the_interval_over_examples_says_how_many_groups_stand_for_them():
    task = Regression(targets=("a",), deciding="medae")
    runs = {name: {seed: numbers(100, seed=seed) for seed in range(3)} for name in ("none", "l2")}
    for seed, (y, p) in runs["l2"].items():
        runs["l2"][seed] = y, 0.9 * p + 0.1 * y
    outcomes = {
        name: {seed: ("finished", dict.fromkeys(task.recorded, 0.5) | task.scores(*pair)) for seed, pair in of.items()}
        for name, of in runs.items()
    }
    scores = {name: {s: grouped_scores(task.decides, *pair) for s, pair in of.items()} for name, of in runs.items()}
    found = compare(outcomes, recipes={"none": "none", "l2": "l2"}, baseline="none", task=task, scores=scores)
    row = found.row("l2")
    assert row.crossed.groups == 10
    assert row.verdict.paired.mean == pytest.approx(row.crossed.mean)
    assert row.crossed.low < row.crossed.mean < row.crossed.high
    (told,) = (each["verdict"] for each in found.to_dict()["recipes"] if each["name"] == "l2")
    assert told["over_examples_too"]["groups"] == 10
