"""Contributions of ingredients, from effects and interactions that are known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reglab.analysis.contribution import contribution, subsets
from reglab.tasks import SingleLabel

NAMES = ("a", "b", "c")


def made(effects, interactions=(), *, seeds=8, noise=0.001, names=NAMES, missing=()):
    """Accuracies of every subset: what its ingredients bring, alone and in pairs, and noise."""
    random = np.random.default_rng(0)
    shared = random.normal(size=seeds)
    accuracy = {}
    for part in subsets(names):
        value = 0.5 + sum(effects[name] for name in part)
        value += sum(size for pair, size in dict(interactions).items() if set(pair) <= part)
        values = value + 0.01 * shared + noise * random.normal(size=seeds)
        accuracy[part] = {seed: float(v) for seed, v in enumerate(values) if (part, seed) not in missing}
    status = {part: ["finished"] * seeds for part in accuracy}
    seconds = {part: 1.0 + len(part) for part in accuracy}
    return contribution(
        names, accuracy, status, seconds, metric=SingleLabel(classes=("a", "b", "c")).decides, margin=0.01
    )


@given(st.integers(2, 7))
def test_every_question_has_its_subsets_and_no_subset_comes_twice(k):
    names = tuple("abcdefg"[:k])
    found = subsets(names)
    whole = frozenset(names)
    assert len(found) == len(set(found)) <= 2 + 2 * k + k * (k - 1) // 2
    assert {frozenset(), whole, *(whole - {n} for n in names), *map(frozenset, combinations(names, 2))} <= set(found)


def test_an_ingredient_that_helps_is_kept_and_one_that_does_nothing_or_harm_is_dropped():
    found = made({"a": 0.1, "b": 0.0, "c": -0.1})
    assert [i.advice for i in found.ingredients] == ["keep", "drop", "drop"]
    assert [i.left_out.word for i in found.ingredients] == ["worse", "equivalent", "better"]
    assert [i.alone.word for i in found.ingredients] == ["better", "equivalent", "worse"]
    assert [i.seconds for i in found.ingredients] == [1.0, 1.0, 1.0]
    assert found.whole.paired.mean == pytest.approx(0.0, abs=0.002)


def test_two_that_do_the_same_work_interact_below_zero_and_each_can_be_spared():
    found = made({"a": 0.1, "b": 0.1, "c": 0.0}, {("a", "b"): -0.1})
    effect = found.interactions["a", "b"]
    assert effect.paired.mean == pytest.approx(-0.1, abs=0.003)
    assert effect.high < 0
    assert effect.p_adjusted < 0.01
    assert found.interactions["a", "c"].low < 0 < found.interactions["a", "c"].high
    assert [i.advice for i in found.ingredients] == ["drop"] * 3
    assert [i.alone.word for i in found.ingredients[:2]] == ["better", "better"]


def test_of_two_ingredients_left_out_and_alone_are_the_same_runs():
    found = made({"a": 0.1, "b": 0.05}, names=("a", "b"))
    assert found.ingredients[0].left_out.paired.mean == pytest.approx(-0.1, abs=0.003)
    assert set(found.interactions) == {("a", "b")}


def test_noise_leaves_it_open():
    found = made({"a": 0.02, "b": 0.0, "c": 0.0}, noise=0.05)
    assert [i.advice for i in found.ingredients] == ["cannot tell"] * 3


def test_an_interaction_uses_the_seeds_that_all_four_have():
    found = made({"a": 0.1, "b": 0.1, "c": 0.0}, missing={(frozenset("a"), 2), (frozenset(), 5)})
    assert found.interactions["a", "b"].paired.n == 6
    assert found.interactions["b", "c"].paired.n == 7
