"""Which runs share a training, and what a run's identity depends on."""

from __future__ import annotations

import pytest

from reglab.recipe import Recipe
from reglab.study.plan import Run, identity, rides


def _runs(*texts):
    return [Run(str(i), text, Recipe.parse(text), seed=0) for i, text in enumerate(texts)]


def test_early_stopping_of_any_patience_rides_on_its_host():
    found = rides(_runs("none", "early_stopping(patience=3)", "early_stopping(patience=9)", "l2(kernel=1e-3)"))
    assert [(ride.recipe.to_text(), len(ride.runs)) for ride in found] == [("none", 3), ("l2(kernel=0.001)", 1)]


def test_an_average_rides_too_and_two_momenta_need_two_trainings():
    found = rides(_runs("none", "ema(momentum=0.9)", "ema(momentum=0.99)", "early_stopping"))
    assert sorted((ride.recipe.to_text(), len(ride.runs)) for ride in found) == [
        ("ema(momentum=0.9)", 3),
        ("ema(momentum=0.99)", 1),
    ]


def test_every_run_is_in_exactly_one_training():
    runs = _runs("none", "ema", "l2", "l2+ema", "l2+early_stopping", "dropout", "ema(momentum=0.5)+early_stopping")
    found = [run.id for ride in rides(runs) for run in ride.runs]
    assert sorted(found) == sorted(run.id for run in runs)


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"recipe": "y"}, {"settings": {"epochs": 2}}, {"backend": ["jax", "1"]}]
)
def test_another_fact_is_another_identity(changed):
    facts = {"seed": 0, "recipe": "x", "settings": {"epochs": 1}, "backend": ["torch", "1"]}
    assert identity(facts) == identity(dict(reversed(facts.items())))
    assert identity({**facts, **changed}) != identity(facts)
