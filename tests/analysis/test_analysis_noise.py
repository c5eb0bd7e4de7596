"""The noise of an A/A study: its parts from values of known parts, and false claims at their nominal rate."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from reglab.analysis import robustness
from reglab.analysis.noise import noise
from reglab.analysis.robustness import resists_fgsm_only
from reglab.analysis.verdict import judge
from reglab.tasks import SingleLabel

ACCURACY = SingleLabel(classes=("a", "b", "c")).decides
curves = functools.partial(robustness.curves, metric=ACCURACY)


def values(seeds, repetitions, *, between=2.0, within=1.0, random_seed=0):
    random = np.random.default_rng(random_seed)
    return between * random.normal(size=(seeds, 1)) + within * random.normal(size=(seeds, repetitions))


@pytest.mark.slow
def test_the_parts_of_the_noise_are_those_it_was_made_of():
    found = noise(values(1000, 3))
    assert found.within == pytest.approx(1.0, rel=0.06)
    assert found.spread == pytest.approx(np.sqrt(5.0), rel=0.06)
    assert found.pair == pytest.approx(np.sqrt(2.0), rel=0.06)
    assert found.unpaired == pytest.approx(np.sqrt(10.0), rel=0.06)


def test_the_spread_of_pairs_of_two_repetitions_is_that_of_their_differences_about_zero():
    v = values(50, 2)
    d = v[:, 1] - v[:, 0]
    assert noise(v).pair == pytest.approx(np.sqrt(np.mean(d * d)))


@pytest.mark.parametrize(("seeds", "repetitions"), [(6, 2), (10, 4), (20, 3)])
def test_false_claims_of_normal_noise_are_about_five_percent_at_most(seeds, repetitions):
    rates = [noise(values(seeds, repetitions, random_seed=k)).false_claims for k in range(10)]
    assert np.mean(rates) <= 0.06


def test_false_claims_agree_with_judging_each_relabelling():
    v = values(6, 2, random_seed=5)
    claims = []
    for signs in range(2**6):
        flip = np.array([(signs >> k) & 1 for k in range(6)])
        one, other = np.where(flip, v[:, 0], v[:, 1]), np.where(flip, v[:, 1], v[:, 0])
        named = {"none": dict(enumerate(one)), "copy": dict(enumerate(other))}
        states = dict.fromkeys(named, ["finished"] * 6)
        verdict = judge(named, states, baseline="none", metric=ACCURACY)["copy"]
        claims.append(verdict.word in ("better", "worse"))
    found = noise(v)
    assert found.false_claims == pytest.approx(np.mean(claims), abs=4 * max(found.standard_error, 1e-3))


def test_repetitions_that_are_all_equal_deceive_nobody():
    found = noise(np.tile(np.arange(5.0)[:, None], (1, 3)))
    assert (found.within, found.largest, found.false_claims) == (0.0, 0.0, 0.0)


# --- robustness ----------------------------------------------------------------------------------------------------


def accuracies(fgsm, pgd, seeds=(0, 1, 2), luck=0.0):
    """Accuracies of each seed: ``luck`` is how much a seed moves every number of every recipe alike."""
    random = np.random.default_rng(len(fgsm))
    return {
        seed: {
            attack: list(np.array(values) + luck * seed + 0.01 * random.normal(size=len(values)))
            for attack, values in (("fgsm", fgsm), ("pgd", pgd))
        }
        for seed in seeds
    }


CLEAR, HIDING = ([0.9, 0.4, 0.2], [0.9, 0.3, 0.1]), ([0.9, 0.8, 0.7], [0.9, 0.32, 0.11])
BASE = accuracies(*CLEAR)


def test_curves_are_means_over_seeds_with_their_interval():
    curve = curves({0: {"fgsm": [0.9, 0.5]}, 3: {"fgsm": [0.7, 0.5]}})["fgsm"]
    np.testing.assert_allclose(curve.mean, [0.8, 0.5])
    assert curve.low[0] < 0.8 < curve.high[0]
    assert 0 <= curve.low[1] < 0.5 < curve.high[1] <= 1  # two seeds that agree are no certainty
    assert curve.seeds == (0, 3)


def test_a_model_that_resists_fgsm_alone_is_named_with_the_epsilon():
    hiding = curves(accuracies(*HIDING))
    assert resists_fgsm_only(hiding, curves(BASE)) == 2


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [((0, 1, 2, 3), (1, 2, 3)), ((1, 2, 3), (0, 1, 2, 3)), ((3, 1, 0, 2), (0, 1, 2, 3)), ((0, 1, 2), (1, 2, 3))],
    ids=["the baseline lacks a seed", "the recipe lacks a seed", "another order", "each lacks another"],
)
def test_models_are_compared_seed_by_seed(mine, theirs):
    # What a seed brings is far larger than what is won, so any other pairing drowns it.
    hiding, base = (accuracies(*what, seeds, luck=0.8) for what, seeds in ((HIDING, mine), (CLEAR, theirs)))
    assert resists_fgsm_only(curves(hiding), curves(base)) == 2
    honest = accuracies([0.9, 0.8, 0.7], [0.9, 0.75, 0.6], mine, luck=0.8)
    assert resists_fgsm_only(curves(honest), curves(base)) is None


def test_without_a_seed_in_common_nobody_is_accused():
    assert resists_fgsm_only(curves(accuracies(*HIDING, (0, 1))), curves(accuracies(*CLEAR, (2, 3)))) is None


@pytest.mark.parametrize(
    ("fgsm", "pgd"),
    [([0.9, 0.4, 0.2], [0.9, 0.3, 0.1]), ([0.9, 0.8, 0.7], [0.9, 0.75, 0.6]), ([0.9, 0.45, 0.25], [0.9, 0.2, 0.05])],
    ids=["as the baseline", "robust against both", "a small gain"],
)
def test_other_models_are_not_accused(fgsm, pgd):
    assert resists_fgsm_only(curves(accuracies(fgsm, pgd)), curves(BASE)) is None


def test_without_the_baselines_curves_nobody_is_accused():
    assert resists_fgsm_only(curves(accuracies([0.9, 0.8, 0.7], [0.9, 0.3, 0.1])), {}) is None
