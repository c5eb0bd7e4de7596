"""The expected best of n trials, against every way of drawing them and against simulation."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reglab.analysis.effort import expected_best, trials_to_reach


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_it_is_the_mean_of_the_maximum_over_every_way_to_draw_n(values):
    for n, found in enumerate(expected_best(values), start=1):
        assert found == pytest.approx(np.mean([max(draw) for draw in combinations(values, n)]), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_it_begins_at_the_mean_and_rises_towards_the_best(values):
    curve = expected_best(values)
    assert curve[0] == pytest.approx(np.mean(values))
    assert (np.diff(curve) >= -1e-12).all()
    assert curve[-1] == pytest.approx(max(values))


def test_it_is_unbiased():
    """Of standard normal values: the expected largest of n is known (Harter 1961)."""
    curves = [expected_best(row) for row in np.random.default_rng(0).normal(size=(3000, 20))]
    for n, truth in ((5, 1.16296), (10, 1.53875), (20, 1.86748)):
        column = np.array(curves)[:, n - 1]
        assert abs(column.mean() - truth) < 4 * column.std() / len(column) ** 0.5


def test_it_can_be_told_of_many_trials():
    assert expected_best(np.arange(3000.0))[[0, -1]] == pytest.approx([1499.5, 2999.0])


def test_of_no_trials_there_is_no_curve():
    assert len(expected_best([])) == 0


def test_the_trials_that_reach_a_target():
    values = [0.0, 0.5, 1.0]
    assert trials_to_reach(values, 0.5) == 1
    assert trials_to_reach(values, 0.7) == 2
    assert trials_to_reach(values, 1.0) == 3
    assert trials_to_reach(values, 1.1) is None
