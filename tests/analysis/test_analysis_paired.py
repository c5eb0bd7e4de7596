"""The statistics against scipy, statsmodels and hand-worked numbers."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as sm_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from reglab.analysis.paired import crossed, detectable, holm, mcnemar, paired, possibly_best, power, seeds_to_detect

numbers = st.lists(st.integers(-50, 50).map(lambda i: i / 1000), min_size=2, max_size=10)


@given(numbers)
def test_the_t_test_is_that_of_scipy_and_statsmodels(d):
    found = paired(d)
    if np.ptp(d) < 1e-9:
        assert found.p == (1.0 if abs(found.mean) < 1e-12 else pytest.approx(2 * stats.t.sf(len(d) ** 0.5, len(d) - 1)))
        return
    assert found.p == pytest.approx(stats.ttest_rel(d, np.zeros(len(d))).pvalue, rel=1e-9)
    low, high = DescrStatsW(d).tconfint_mean(0.1)
    assert found.interval(0.9) == pytest.approx((low, high), rel=1e-9, abs=1e-12)


@given(numbers.filter(lambda d: len(d) <= 8))
def test_the_sign_flip_test_counts_all_assignments_of_signs(d):
    d = np.asarray(d)
    means = [abs(np.mean(d * np.array(signs))) for signs in product((1, -1), repeat=len(d))]
    expected = np.mean([mean >= abs(d.mean()) - 1e-12 for mean in means])
    found = paired(d)
    assert found.p_sign_flip == pytest.approx(expected)
    assert found.p_sign_flip >= found.p_floor - 1e-12


def test_the_floor_of_the_sign_flip_test():
    for n in range(2, 9):
        found = paired(np.arange(1, n + 1) / 100)
        assert found.p_sign_flip == found.p_floor == pytest.approx(2 / 2**n)


def test_the_share_of_better_seeds_counts_ties_half():
    assert paired([0.1, 0.0, -0.1, 0.2]).better == 2.5 / 4


@settings(max_examples=8)  # statsmodels takes a tenth of a second for each
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p):
    assert holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]))


def test_holm_leaves_out_what_was_not_tested():
    found = holm([0.01, math.nan, 0.04])
    assert found[0] == 0.02
    assert math.isnan(found[1])
    assert found[2] == 0.04


@pytest.mark.parametrize(("effect", "std", "n"), [(0.01, 0.01, 6), (0.01, 0.03, 20), (0.05, 0.02, 5)])
def test_power_is_that_of_statsmodels(effect, std, n):
    expected = TTestPower().power(effect / std, n, 0.05, alternative="larger")
    one_sided = power(effect, std, n, alpha=0.1)
    assert one_sided == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("effect", "std"), [(0.01, 0.01), (0.005, 0.02), (0.02, 0.003), (0.01, 0.2)])
def test_the_number_of_seeds_is_the_smallest_with_that_power(effect, std):
    found = seeds_to_detect(effect, std)
    expected = TTestPower().solve_power(effect / std, power=0.8, alpha=0.05)
    assert found in (math.ceil(expected), math.ceil(expected) + 1, max(2, math.ceil(expected)))
    assert power(effect, std, found, alpha=0.05) >= 0.8
    assert found == 2 or power(effect, std, found - 1, alpha=0.05) < 0.8


def test_what_can_be_detected_and_how_many_seeds_it_needs_agree():
    for std, n in ((0.01, 5), (0.03, 12)):
        assert seeds_to_detect(detectable(std, n) * 1.0001, std) == n
    assert detectable(0.01, 1) == math.inf
    assert seeds_to_detect(1e-6, 1.0) is None
    assert seeds_to_detect(0.01, 0.9) == 63_578
    assert seeds_to_detect(0.01, 1.0) == 78_491  # between a power of two and the most that is looked for


def test_mcnemar_is_that_of_statsmodels():
    random = np.random.default_rng(0)
    for _ in range(10):
        a, b = random.random(60) < 0.8, random.random(60) < 0.7
        table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
        assert mcnemar(a, b) == pytest.approx(sm_mcnemar(table, exact=True).pvalue)
    assert mcnemar(a, a) == 1.0


def test_the_crossed_interval_is_that_of_the_analysis_of_variance():
    """Mean squares of statsmodels' two-way table, put together by hand."""
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    random = np.random.default_rng(1)
    n, count = 6, 15
    d = 0.1 + random.normal(size=(n, 1)) + random.normal(size=(1, count)) + random.normal(size=(n, count))
    long = pd.DataFrame({"d": d.ravel(), "s": np.repeat(np.arange(n), count), "i": np.tile(np.arange(count), n)})
    table = anova_lm(ols("d ~ C(s) + C(i)", data=long).fit())
    ms_s, ms_i, ms_e = table["mean_sq"]["C(s)"], table["mean_sq"]["C(i)"], table["mean_sq"]["Residual"]
    variance = (ms_s + ms_i - ms_e) / (n * count)
    df = (ms_s + ms_i - ms_e) ** 2 / (ms_s**2 / (n - 1) + ms_i**2 / (count - 1) + ms_e**2 / ((n - 1) * (count - 1)))
    half = stats.t.ppf(0.975, df) * math.sqrt(variance)
    found = crossed(d)
    assert (found.mean, found.low, found.high) == pytest.approx((d.mean(), d.mean() - half, d.mean() + half))
    assert found.seeds == pytest.approx(math.sqrt(max(0, (ms_s - ms_e) / count)))
    assert found.rest == pytest.approx(math.sqrt(ms_e))


def test_the_crossed_interval_is_wider_than_that_of_the_seeds_alone_where_examples_differ():
    random = np.random.default_rng(2)
    d = (random.normal(size=(1, 200)) * 2 + random.normal(size=(8, 200)) > 0.5).astype(float)
    low, high = paired(d.mean(axis=1)).interval(0.95)
    found = crossed(d)
    assert found.high - found.low > high - low


def test_with_one_pair_there_is_a_difference_and_no_more():
    found = paired([0.1])
    assert (found.mean, found.n) == (0.1, 1)
    assert math.isnan(found.p)
    assert all(math.isnan(bound) for bound in found.interval(0.95))
    assert paired([]).n == 0


def test_what_is_clearly_worse_is_not_among_the_best():
    values = np.array([[0.90, 0.91, 0.92, 0.90, 0.91], [0.80, 0.82, 0.81, 0.80, 0.82], [0.91, 0.90, 0.92, 0.91, 0.90]])
    assert possibly_best(values).tolist() == [True, False, True]


def test_two_recipes_are_told_apart_by_the_one_sided_t_test():
    random = np.random.default_rng(3)
    for _ in range(20):
        values = random.normal(size=(2, 6))
        p = stats.ttest_rel(values[1], values[0], alternative="greater").pvalue
        assert possibly_best(values)[0] == (p > 0.05)
