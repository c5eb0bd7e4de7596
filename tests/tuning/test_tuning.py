"""The space, the search in it on played and real trainings, and the confirmation on other seeds."""

from __future__ import annotations

import json
import sqlite3

import numpy as np
import optuna
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import reglab
from reglab.cli import cli
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.results import Results
from reglab.strategies import CATALOGUE
from reglab.strategies.declare import params
from reglab.study.progress import Progress
from reglab.tuning.confirm import every_strategy, tune
from reglab.tuning.search import SEARCH_SEEDS, Budget, search
from reglab.tuning.space import Space

SEARCHED = tuple(name for name, cls in CATALOGUE.items() if any(each.search for each in params(cls).values()))


# --- the space -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**31), st.lists(st.sampled_from(SEARCHED), min_size=1, unique=True))
def test_every_proposal_is_a_recipe_within_the_declared_ranges(seed, names):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(5):
        recipe = Space(tuple(names)).suggest(study.ask())
        assert {strategy.name for strategy in recipe} <= set(names)
        assert Recipe.parse(recipe.to_text()) == recipe
        for strategy in recipe:
            for key, declared in params(strategy).items():
                if declared.search and declared.search[-1] in ("log", "linear"):
                    low, high, _ = declared.search
                    values = np.atleast_1d(getattr(strategy, key))  # l1l2 takes one for both or two
                    assert (low <= values).all()
                    assert (values <= high).all()


def test_strategies_that_conflict_are_never_on_together():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = [{s.name for s in Space(("l1", "l2", "l1l2")).suggest(study.ask())} for _ in range(60)]
    assert not any("l1l2" in names and names & {"l1", "l2"} for names in seen)
    assert {"l1l2"} in seen


def test_strengths_of_a_strategy_that_is_off_are_not_asked_for():
    space = Space(("dropout", "l2"))
    fixed = optuna.trial.FixedTrial({"dropout": False, "l2": True, "l2.kernel": 0.01, "l2.bias": 1e-4,
                                     "l2.activity": 1e-5})  # fmt: skip
    assert space.suggest(fixed) == Recipe.parse("l2(kernel=0.01, bias=1e-4, activity=1e-5)")


def test_what_is_always_on_has_no_switch_and_its_strength_is_looked_for():
    space = Space(("dropout",), always=("learning_rate",))
    assert space.names() == ["dropout", "dropout.rate", "learning_rate.rate"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    rates = {next(s.rate for s in space.suggest(study.ask()) if s.name == "learning_rate") for _ in range(8)}
    assert len(rates) == 8


def test_what_is_fixed_is_part_of_every_recipe_and_changed_labels_are_left_out():
    space = Space(("augmentation",), optional=False, beside=Recipe.parse("l2"), without=frozenset({"horizontal_flip"}))
    assert "augmentation.horizontal_flip" not in space.names()
    recipe = space.suggest(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).ask())
    assert {s.name for s in recipe} == {"augmentation", "l2"}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"strategies": ()}, "space is empty"),
        ({"strategies": ("dropuot",)}, "Unknown strategy 'dropuot'.*dropout"),
        ({"strategies": ("l2", "l2")}, "named twice"),
        ({"strategies": ("l1", "l1l2"), "optional": False}, "cannot be combined"),
        ({"strategies": ("l2",), "beside": Recipe.parse("l2")}, "fixed at the same time"),
    ],
)
def test_an_impossible_space_is_refused(arguments, match):
    with pytest.raises(ReglabError, match=match):
        Space(**arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [({}, "needs a budget"), ({"trials": 0}, "out of range"), ({"minutes": -1}, "out of range"),
     ({"trials": 5, "sampler": "grid"}, "sampler=grid")],
)  # fmt: skip
def test_an_impossible_budget_is_refused(arguments, match):
    with pytest.raises(ReglabError, match=match):
        Budget(**arguments)


def test_tables_are_not_augmented():
    assert "augmentation" in every_strategy(reglab.load("digits"))
    assert "augmentation" not in every_strategy(reglab.load("wine"))


# --- the search ----------------------------------------------------------------------------------------------------

SPACE = Space(("l2", "dropout", "early_stopping"))


def made(out, **more):
    settings = {"seeds": 2, "first_seed": SEARCH_SEEDS, "sealed": True, "epochs": 2, **more}
    return reglab.Study("iris", "mlp(units=8)", ["none"], out=out, **settings)


class Counting(Progress):
    def __init__(self, stop_after=None):
        self.trained = []
        self.stop_after = stop_after

    def recorded(self, record):
        self.trained.append((record.recipe, record.seed))
        if len(self.trained) == self.stop_after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nothing interrupted."""
    out = tmp_path_factory.mktemp("search") / "search"
    progress = Counting()
    trials = search(made(out), SPACE, Budget(trials=9), progress=progress, ways={"workers": 0})
    return out, [trial.to_dict() for trial in trials], progress.trained


def test_no_recipe_is_tried_twice_and_no_run_is_trained_twice(whole):
    _, trials, trained = whole
    assert len(trials) == len({trial["recipe"] for trial in trials}) == 9
    assert len(trained) == len(set(trained))


def test_the_best_trial_comes_first_and_its_value_is_validation_accuracy(whole):
    out, trials, _ = whole
    complete = [trial for trial in trials if trial["state"] == "complete"]
    assert trials[: len(complete)] == sorted(complete, key=lambda trial: (-trial["value"], trial["number"]))
    best = trials[0]
    database = sqlite3.connect(out / "study.sqlite")
    rows = database.execute("SELECT seed, metrics FROM runs WHERE recipe = ?", (best["recipe"],)).fetchall()
    assert [json.loads(metrics)["val_accuracy"] for _, metrics in sorted(rows)] == best["values"]


def test_a_search_never_reads_the_test_set(whole):
    out, _, _ = whole
    database = sqlite3.connect(out / "study.sqlite")
    assert database.execute("SELECT count(*) FROM test_readings").fetchone() == (0,)
    finished = database.execute("SELECT id, metrics FROM runs WHERE status = 'finished'").fetchall()
    assert finished
    for run, metrics in finished:
        assert "accuracy" not in json.loads(metrics)
        with np.load(out / "runs" / run / "predictions.npz") as held:
            assert set(held.files) == {"validation", "validation_labels"}


def test_a_study_that_is_not_sealed_is_not_searched(tmp_path):
    with pytest.raises(ReglabError, match="sealed"):
        search(made(tmp_path / "s", sealed=False), SPACE, Budget(trials=1))


@pytest.mark.parametrize("stop_after", [1, 4, 9])
def test_a_search_that_was_interrupted_ends_as_if_it_had_not_been(whole, tmp_path, stop_after):
    _, trials, trained = whole
    first = Counting(stop_after)
    with pytest.raises(KeyboardInterrupt):
        search(made(tmp_path / "s"), SPACE, Budget(trials=9), progress=first, ways={"workers": 0})
    second = Counting()
    found = search(made(tmp_path / "s"), SPACE, Budget(trials=9), progress=second, ways={"workers": 0})
    assert [trial.to_dict() for trial in found] == trials
    assert sorted(first.trained + second.trained) == sorted(trained), "nothing is trained again"


def test_a_search_is_given_more_and_goes_on(tmp_path):
    search(made(tmp_path / "s"), SPACE, Budget(trials=5, batch=4), ways={"workers": 0})
    found = search(made(tmp_path / "s"), SPACE, Budget(trials=9, batch=4), ways={"workers": 0})
    assert len(found) == 9


def test_another_search_in_the_same_folder_is_refused(whole):
    out, _, _ = whole
    with pytest.raises(ReglabError, match=r"another search: strategies differs"):
        search(made(out), Space(("l2",)), Budget(trials=9), ways={"workers": 0})


def test_epochs_are_a_budget_too(tmp_path):
    found = search(
        made(tmp_path / "s"), SPACE, Budget(epoch_budget=12, batch=1, pruner="none"), ways={"workers": 0}
    )  # fmt: skip
    assert sum(trial.epochs for trial in found) >= 12
    assert sum(trial.epochs for trial in found[:-1]) < 12 or len(found) == 3


def test_a_space_with_few_recipes_is_exhausted_and_the_search_ends(tmp_path):
    space = Space(("early_stopping",), without=frozenset())
    found = search(made(tmp_path / "s", seeds=1), space, Budget(trials=500), ways={"workers": 0})
    assert 10 < len(found) <= 50, "patience 2 to 50, and none"


def test_a_recipe_whose_runs_diverge_is_worth_nothing_and_does_not_stop_the_search(tmp_path, monkeypatch):
    space = Space(("l2",), optional=False)
    real = Space.suggest

    def diverging(self, trial):
        recipe = real(self, trial)
        return Recipe.parse("l2(kernel=1e38)") if trial.number == 1 else recipe

    monkeypatch.setattr(Space, "suggest", diverging)
    found = search(made(tmp_path / "s"), space, Budget(trials=3, pruner="none"), ways={"workers": 0})
    assert found[-1].recipe == Recipe.parse("l2(kernel=1e38)")
    assert found[-1].values == [0.0, 0.0]
    assert found[0].value > 0


def test_pruning_gives_up_trials_that_begin_below_the_median(tmp_path):
    space = Space(("dropout",), optional=False)
    study = made(tmp_path / "s", epochs=8, learning_rate=0.05, train_size=60)
    found = search(study, space, Budget(trials=16, sampler="random"), ways={"workers": 0})
    pruned = [trial for trial in found if trial.state == "pruned"]
    assert pruned
    assert all(len(trial.values) == 1 for trial in pruned)
    assert all(trial.state == "pruned" for trial in found[len(found) - len(pruned) :]), "they come last"
    others = [trial.values[0] for trial in found if trial.state == "complete"]
    assert max(trial.values[0] for trial in pruned) <= max(others)


# --- the confirmation ----------------------------------------------------------------------------------------------


def test_the_confirmation_has_other_seeds_and_reads_the_test_set_of_those_alone(tmp_path):
    def make(**more):
        return reglab.Study("iris", "mlp(units=8)", **{"seeds": 3, "epochs": 2, "learning_rate": 0.02, **more})

    arguments = {"out": tmp_path / "tuned", "strategies": ("l2", "dropout"), "rivals": 2, "ways": {"workers": 0}}
    found = tune(make, Budget(trials=5), **arguments)
    assert list(found.results.runs) == ["none", *found.names]
    assert len(found.names) == 2
    assert set(found.results.runs["none"]) == {0, 1, 2}
    for name, trial in found.names.items():
        row = found.results.comparison.row(name)
        assert row.recipe == trial.recipe.to_text()
        assert found.optimism(name) == pytest.approx(trial.value - row.mean("val_accuracy"))
        assert row.verdict.word == "screening"
    assert found.recipe in [Recipe(), *(trial.recipe for trial in found.names.values())]
    again = tune(make, Budget(trials=5), **arguments)
    assert again.results.comparison.to_dict()["choice"]["best"] == found.results.comparison.choice.best
    assert Results.load(tmp_path / "tuned" / "confirmation").complete


def test_seeds_of_the_search_do_not_confirm_it(tmp_path):
    def make(**more):
        return reglab.Study("iris", "mlp(units=4)", **{"seeds": 2, "first_seed": SEARCH_SEEDS, "epochs": 1, **more})

    with pytest.raises(ReglabError, match="are those of the search"):
        tune(make, Budget(trials=2, pruner="none"), out=tmp_path / "t", strategies=("l2",), ways={"workers": 0})


def test_the_command_ends_with_a_recipe_to_use(tmp_path):
    small = "--model mlp(units=4) --seeds 2 --epochs 1 --workers 0 --strategy l2 --strategy dropout --trials 3"
    arguments = ["tune", "--data", "iris", *small.split(), "--out", str(tmp_path / "t")]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "To use: " in done.output
    assert "search saw" in done.output
    refused = CliRunner().invoke(cli, [a for a in arguments if a not in ("--trials", "3")])
    assert isinstance(refused.exception, ReglabError)
