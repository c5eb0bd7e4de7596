"""Which runs share a training, and what a run's identity depends on."""

from __future__ import annotations

import played
import pytest

import reglab
from reglab.recipe import Recipe
from reglab.study.plan import Plan, Queue, Ride, Run, identity, rides
from reglab.tasks import SingleLabel


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


def test_another_version_of_results_is_another_identity(monkeypatch):
    before = identity({"seed": 0})
    monkeypatch.setattr("reglab.study.plan.RESULT_VERSION", 99)
    assert identity({"seed": 0}) != before


def test_every_training_of_a_study_has_a_key_of_its_own():
    trainings = _queue("none", "l2", seeds=3).take(most=9) + _queue("l2").take()
    keys = {(ride.recipe, ride.seed): ride.key for ride in trainings}
    assert len(set(keys.values())) == len(keys) == 4


def _queue(*texts, seeds=2):
    recipes = [(text, Recipe.parse(text)) for text in texts]
    return Queue(Ride(recipe, (Run("", text, recipe, seed),)) for seed in range(seeds) for text, recipe in recipes)


def _taken(queue, **options):
    return [(ride.names[0], ride.seed) for ride in queue.take(**options)]


def _structure(text):
    return Recipe.parse(text).structure()


def test_one_worker_goes_in_the_order_of_the_plan():
    queue = _queue("none", "l2", "dropout")
    order = [_taken(queue, compiled={_structure("l2")})[0] for _ in range(6)]
    assert order == [(name, seed) for seed in (0, 1) for name in ("none", "l2", "dropout")]
    assert _taken(queue) == []
    assert len(queue) == 0


def test_workers_share_structures_and_nobody_waits():
    queue = _queue("none", "l2")
    assert _taken(queue) == [("none", 0)]
    assert _taken(queue, elsewhere={_structure("none")}) == [("l2", 0)]
    assert _taken(queue, compiled={_structure("none")}, elsewhere={_structure("l2")}) == [("none", 1)]
    assert _taken(queue, compiled={_structure("none")}, elsewhere={_structure("l2")}) == [("l2", 1)]


def test_a_worker_that_keeps_no_more_programs_stays_with_its_own():
    queue = _queue("none", "l2", "dropout")
    own = {_structure("dropout")}
    assert _taken(queue, compiled=own, capacity=1, most=5) == [("dropout", 0), ("dropout", 1)]
    assert _taken(queue, compiled=own, capacity=1, most=5) == [("none", 0), ("none", 1)]


def test_what_is_put_back_comes_first():
    queue = _queue("none", "l2")
    (first,) = queue.take()
    queue.put_back(first)
    assert len(queue) == 4
    assert queue.take() == [first]


def test_strengths_of_one_structure_are_one_program():
    queue = _queue("l2(kernel=1e-3)", "dropout", "l2(kernel=1e-2)", seeds=1)
    assert [name for name, _ in _taken(queue, most=9)] == ["l2(kernel=1e-3)", "l2(kernel=1e-2)"]


def test_a_plan_has_each_run_once_whatever_its_names():
    same = Recipe.parse("l2")
    runs = {name: tuple(Run(f"{text}{s}", name, Recipe.parse(text), s) for s in range(2))
            for name, text in (("a", "l2"), ("none", "none"), ("b", "l2"))}  # fmt: skip
    plan = Plan(runs, {}, {}, SingleLabel(classes=("a", "b")))
    assert [(run.id, run.name) for run in plan.unique()] == [
        ("l20", "a"),
        ("none0", "none"),
        ("l21", "a"),
        ("none1", "none"),
    ]
    assert [ride.recipe for ride in plan.missing({"none0", "l21"})] == [same, Recipe()]


def test_two_names_of_one_recipe_are_one_run_and_two_rows(tmp_path):
    study = reglab.Study("iris", "mlp(units=4)", {"a": "l2", "b": "l2"}, out=tmp_path / "s", seeds=1, epochs=1)
    with played.stage():
        results = study.run(workers=0)
    assert [row.name for row in results.comparison.rows] == ["none", "a", "b"]
    assert results.comparison.row("a").values == results.comparison.row("b").values
    assert len(list((tmp_path / "s" / "runs").iterdir())) == 2
