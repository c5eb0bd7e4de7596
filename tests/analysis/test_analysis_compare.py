"""Comparisons against scipy and worked values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reglab.analysis.compare import compare, difference
from reglab.tasks import SingleLabel

TASK = SingleLabel(classes=("a", "b", "c"))


@given(
    st.lists(
        st.tuples(st.floats(0, 1, allow_subnormal=False), st.floats(0, 1, allow_subnormal=False)),
        min_size=2,
        max_size=12,
    )
)
def test_the_interval_is_that_of_the_paired_t_test(pairs):
    a, b = (np.array(column) for column in zip(*pairs, strict=True))
    if np.ptp(a - b) < 1e-9:
        return  # scipy divides by the spread
    found = difference(dict(enumerate(a)), dict(enumerate(b)))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(a - b), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)


def test_only_seeds_that_both_have_are_paired():
    found = difference({0: 0.5, 1: 0.7, 2: 0.9}, {0: 0.4, 2: 0.6})
    assert found.values == pytest.approx({0: 0.1, 2: 0.3})
    assert found.mean == pytest.approx(0.2)


def test_one_pair_has_a_difference_and_no_interval():
    found = difference({0: 0.5}, {0: 0.4})
    assert found.mean == pytest.approx(0.1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def _metrics(value):
    return dict.fromkeys(TASK.recorded, value)


def test_runs_that_did_not_finish_are_counted_and_never_averaged():
    outcomes = {
        "none": {0: ("finished", _metrics(0.5)), 1: ("finished", _metrics(0.7))},
        "l2": {0: ("finished", _metrics(0.6)), 1: ("diverged", {})},
    }
    comparison = compare(outcomes, recipes={"none": "none", "l2": "l2(kernel=1.0)"}, baseline="none", task=TASK)
    row = comparison.row("l2")
    assert row.finished == 1
    assert row.mean("accuracy") == 0.6
    assert row.differences["accuracy"].values == {0: pytest.approx(0.1)}
    assert comparison.to_dict()["recipes"][1]["accuracy"]["values"] == [0.6, None]
    assert comparison.row("none").differences == {}


def test_a_recipe_of_which_nothing_finished_has_no_mean():
    outcomes = {"none": {0: ("finished", _metrics(0.5))}, "x": {0: ("failed", {})}}
    row = compare(outcomes, recipes={"none": "none", "x": "x"}, baseline="none", task=TASK).row("x")
    assert math.isnan(row.mean("accuracy"))
    assert math.isnan(row.differences["accuracy"].mean)
