"""Verdicts: what they say, that intervals never contradict them, and how often they are wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reglab.analysis.choice import choose
from reglab.analysis.verdict import judge
from reglab.report.verdicts import sentence
from reglab.tasks import SingleLabel

ACCURACY = SingleLabel(classes=("a", "b", "c")).decides


def _judge(rows, baseline=None, bad=(), **options):
    """Judge recipes ``r0, r1, ...`` given their values a seed, against a baseline of zeros."""
    n = max(len(row) for row in rows)
    values = {"none": dict(enumerate(baseline if baseline is not None else np.zeros(n)))}
    values |= {f"r{i}": dict(enumerate(row)) for i, row in enumerate(rows)}
    status = {name: ["finished"] * len(of_name) + ["diverged"] * (name in bad) for name, of_name in values.items()}
    return judge(values, status, baseline="none", metric=ACCURACY, **options)


@given(
    st.lists(st.lists(st.integers(-40, 40), min_size=6, max_size=6), min_size=1, max_size=6),
    st.sampled_from([None, 0.005, 0.02]),
)
def test_an_interval_never_contradicts_its_verdict(rows, margin):
    for verdict in _judge(np.array(rows) / 1000, margin=margin).values():
        assert (verdict.word in ("better", "worse")) == (verdict.p_adjusted <= 0.05)
        if verdict.word == "better":
            assert verdict.low >= 0
            assert verdict.paired.mean > 0
            assert (verdict.bound == ">0") == math.isnan(verdict.confidence) == (verdict.low == 0)
        elif verdict.word == "worse":
            assert verdict.high <= 0
            assert (verdict.bound == "<0") == math.isnan(verdict.confidence) == (verdict.high == 0)
        else:
            assert verdict.confidence > 0.9
            assert verdict.low <= 0 <= verdict.high
        if verdict.word == "equivalent":
            assert -margin <= verdict.low <= verdict.high <= margin


def test_the_words():
    clear = [0.030, 0.031, 0.029, 0.030, 0.032]
    verdicts = _judge([clear, [-x for x in clear], [0.0001, -0.0001, 0.0002, 0, 0], [0.02, -0.02, 0.03, -0.03, 0]],
                      margin=0.005)  # fmt: skip
    assert [v.word for v in verdicts.values()] == ["better", "worse", "equivalent", "cannot tell"]
    assert _judge([clear[:4]])["r0"].word == "screening"
    assert _judge([clear], bad=("r0",))["r0"].word == "unreliable"
    sentences = {name: sentence(verdict, name) for name, verdict in verdicts.items()}
    assert sentences["r0"].startswith("r0 is better: +3.04 points [+")
    assert "no difference larger than 0.5 points" in sentences["r2"]
    assert "would need" in sentences["r3"]
    assert "detect differences from" in sentence(_judge([[0.02, -0.02, 0.03, -0.03, 0]])["r0"], "x")


@pytest.mark.parametrize("margin", [None, 0.001, 0.05])
@pytest.mark.parametrize("step", [None, 1 / 360])
def test_no_difference_in_any_seed_is_no_certainty(margin, step):
    found = _judge([np.zeros(6)], margin=margin, resolution=step)["r0"]
    assert found.word == "cannot tell"
    assert found.low < 0 < found.high
    assert found.detectable != 0
    assert "the same in all 6 seeds. With 95 % confidence at most 39 % of runs differ" in sentence(found, "r0")


def test_unreliable_and_screened_recipes_do_not_cost_the_others_power():
    rows = [[0.010, 0.012, 0.008, 0.011, 0.009]]
    alone = _judge(rows)["r0"].p_adjusted
    assert _judge([*rows, [0.5] * 5], bad=("r1",))["r0"].p_adjusted == alone


def test_seeds_needed_are_for_the_declared_difference_and_not_for_the_observed_one():
    small = _judge([[0.001, -0.02, 0.02, 0.01, -0.01]], margin=0.02)["r0"]
    shifted = _judge([[0.002, -0.019, 0.021, 0.011, -0.009]], margin=0.02)["r0"]
    assert small.seeds_needed == shifted.seeds_needed > 5
    assert _judge([[0.001, -0.02, 0.02, 0.01, -0.01]])["r0"].seeds_needed is None


@pytest.mark.parametrize("recipes", [1, 4, 9])
def test_under_no_effect_a_study_makes_a_false_claim_at_the_nominal_rate_at_most(recipes):
    """1,000 studies of 6 seeds; recipes share the baseline's noise, as they do in a study."""
    random = np.random.default_rng(recipes)
    claims = 0
    for _ in range(1000):
        rows = random.normal(scale=0.01, size=(recipes, 6))
        verdicts = _judge(rows, baseline=random.normal(scale=0.01, size=6))
        claims += any(v.word in ("better", "worse") for v in verdicts.values())
    assert claims / 1000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
    assert claims > 0  # and it can happen


def test_where_there_is_an_effect_it_is_found():
    random = np.random.default_rng(0)
    found = sum(
        _judge(random.normal(0.02, 0.01, size=(1, 8)))["r0"].word == "better" for _ in range(200)
    )  # fmt: skip
    assert found / 200 > 0.95


def test_each_interval_covers_as_often_as_it_says():
    random = np.random.default_rng(1)
    effects = np.array([0.0, 0.0, 0.004, 0.02])
    covered = np.zeros(4)
    for _ in range(1000):
        verdicts = _judge(random.normal(effects[:, None], 0.01, size=(4, 6)))
        covered += [v.low <= effect <= v.high for v, effect in zip(verdicts.values(), effects, strict=True)]
    assert (covered / 1000 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 1000)).all()


@settings(max_examples=20)
@given(st.integers(2, 6))
def test_the_true_best_is_lost_at_the_nominal_rate_at_most(recipes):
    random = np.random.default_rng(recipes)
    means = np.linspace(0, 0.01, recipes)
    kept = 0
    for _ in range(200):
        values = random.normal(means[:, None], 0.01, size=(recipes, 6))
        found = choose({f"r{i}": dict(enumerate(row)) for i, row in enumerate(values)}, {})
        kept += f"r{recipes - 1}" in found.candidates
    assert kept / 200 >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 200)


def test_the_best_is_recommended_and_a_simpler_one_only_if_it_is_shown_not_to_be_inferior():
    good = {s: 0.901 + 0.001 * (s % 2) for s in range(6)}
    close = {s: 0.90 + 0.001 * ((s + 1) % 2) for s in range(6)}
    bad = {s: 0.80 + 0.002 * s for s in range(6)}
    rows, sizes = {"good": good, "close": close, "bad": bad}, {"good": 2, "close": 1, "bad": 0}
    found = choose(rows, sizes)
    assert found.candidates == ("good", "close")
    assert (found.best, found.recommended, found.screening) == ("good", "good", False)
    assert choose(rows, sizes, margin=0.01).recommended == "close"
    assert choose(rows, sizes, margin=0.001).recommended == "good"


def test_recipes_with_missing_runs_and_few_seeds_are_handled():
    found = choose({"a": {0: 0.9, 1: 0.8}, "b": {0: 0.95}}, {})
    assert (found.candidates, found.screening, found.recommended) == (("a",), True, "a")
    assert choose({"a": {}}, {}) is None


def test_runs_are_paired_by_seed_in_whatever_order_they_come():
    baseline = {seed: 0.5 + 0.01 * seed for seed in range(6)}
    recipe = {seed: baseline[seed] + 0.02 + 0.001 * (seed % 2) for seed in reversed(range(6))}
    states = {name: ["finished"] * 6 for name in ("none", "l2")}
    verdict = judge({"none": baseline, "l2": recipe}, states, baseline="none", metric=ACCURACY)["l2"]
    assert verdict.paired.std < 0.001
    assert verdict.word == "better"
