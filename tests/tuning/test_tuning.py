"""The space, the search in it on played trainings and on real ones, and the confirmation on other seeds."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import numpy as np
import optuna
import played
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import reglab
from reglab.cli import cli
from reglab.declare import params
from reglab.errors import ReglabError
from reglab.facade import Results
from reglab.recipe import Recipe
from reglab.strategies import CATALOGUE
from reglab.study.progress import Progress
from reglab.tuning.budget import Budget
from reglab.tuning.confirm import every_strategy, tune
from reglab.tuning.each import tune_each
from reglab.tuning.raced import families_of, run_race
from reglab.tuning.search import search
from reglab.tuning.seeds import SEARCH_SEEDS
from reglab.tuning.space import Space

SEARCHED = tuple(name for name, cls in CATALOGUE.items() if any(each.search for each in params(cls).values()))


# --- the space -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**31), st.lists(st.sampled_from(SEARCHED), min_size=1, unique=True))
@pytest.mark.slow
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
    assert {"augmentation", "cutmix"} <= set(every_strategy(reglab.load("digits")))
    assert not {"augmentation", "cutmix"} & set(every_strategy(reglab.load("wine")))


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
    with played.stage():
        trials = search(made(out), SPACE, Budget(trials=9), progress=progress)
    return out, [trial.to_dict() for trial in trials], progress.trained


def test_no_recipe_is_tried_twice_and_no_run_is_trained_twice(whole):
    _, trials, trained = whole
    assert len(trials) == len({trial["recipe"] for trial in trials}) == 9
    assert len(trained) == len(set(trained))


def test_a_proposal_that_was_there_before_is_no_trial(stage, tmp_path, monkeypatch):
    real = Space.suggest

    def repeating(self, trial):
        recipe = real(self, trial)
        return Recipe.parse("l2(kernel=0.01)" if trial.number != 2 else "l2(kernel=0.02)") if recipe else recipe

    monkeypatch.setattr(Space, "suggest", repeating)
    found = search(made(tmp_path / "s"), Space(("l2",), optional=False), Budget(trials=2, pruner="none"))
    assert {trial.recipe.to_text() for trial in found} == {"l2(kernel=0.01)", "l2(kernel=0.02)"}


def test_the_best_trial_comes_first_and_its_value_is_validation_accuracy(whole):
    out, trials, _ = whole
    complete = [trial for trial in trials if trial["state"] == "complete"]
    assert trials[: len(complete)] == sorted(complete, key=lambda trial: (-trial["value"], trial["number"]))
    best = trials[0]
    database = sqlite3.connect(out / "study.sqlite")
    rows = database.execute("SELECT seed, metrics FROM runs WHERE recipe = ?", (best["recipe"],)).fetchall()
    assert [json.loads(metrics)["val_accuracy"] for _, metrics in sorted(rows)] == best["values"]
    assert best["value"] == pytest.approx(np.mean(best["values"]))


def test_a_study_that_is_not_sealed_is_not_searched(stage, tmp_path):
    with pytest.raises(ReglabError, match="sealed"):
        search(made(tmp_path / "s", sealed=False), SPACE, Budget(trials=1))
    assert stage == []


@pytest.mark.parametrize("stop_after", [1, 4, 9])
@pytest.mark.slow
def test_a_search_that_was_interrupted_ends_as_if_it_had_not_been(stage, whole, tmp_path, stop_after):
    _, trials, trained = whole
    first = Counting(stop_after)
    with pytest.raises(KeyboardInterrupt):
        search(made(tmp_path / "s"), SPACE, Budget(trials=9), progress=first)
    second = Counting()
    found = search(made(tmp_path / "s"), SPACE, Budget(trials=9), progress=second)
    assert [trial.to_dict() for trial in found] == trials
    assert sorted(first.trained + second.trained) == sorted(trained), "nothing is trained again"


@pytest.mark.slow
def test_a_search_is_given_more_and_goes_on(stage, tmp_path):
    search(made(tmp_path / "s"), SPACE, Budget(trials=5, batch=4))
    found = search(made(tmp_path / "s"), SPACE, Budget(trials=9, batch=4))
    assert len(found) == 9
    first, second = stage
    assert second.trained
    assert not set(first.trained) & set(second.trained), "what was tried before is not trained again"


def test_another_search_in_the_same_folder_is_refused(stage, whole):
    out, _, _ = whole
    with pytest.raises(ReglabError, match=r"another search: strategies differs"):
        search(made(out), Space(("l2",)), Budget(trials=9))


@pytest.mark.parametrize(("budget", "trials"), [(12, 2), (13, 3), (18, 3)])
def test_epochs_are_a_budget_too(tmp_path, budget, trials):
    with played.stage():
        found = search(made(tmp_path / "s", epochs=3), SPACE, Budget(epoch_budget=budget, batch=1, pruner="none"))
    assert len(found) == trials, "the trial that reaches the budget is the last"
    assert [trial.epochs for trial in found] == [6] * trials, "two seeds of three epochs"


@pytest.mark.slow
def test_a_space_with_few_recipes_is_exhausted_and_the_search_ends(stage, tmp_path):
    space = Space(("early_stopping",), without=frozenset())
    found = search(made(tmp_path / "s", seeds=1), space, Budget(trials=500))
    assert 10 < len(found) <= 50, "patience 2 to 50, and none"


@pytest.mark.parametrize(("metric", "worst"), [("accuracy", 0.0), ("cross_entropy", np.inf)])
def test_a_recipe_whose_runs_diverge_comes_last_and_does_not_stop_the_search(tmp_path, monkeypatch, metric, worst):
    space = Space(("l2",), optional=False)
    real = Space.suggest

    def diverging(self, trial):
        recipe = real(self, trial)
        return Recipe.parse("l2(kernel=1e38)") if trial.number == 1 else recipe

    class Diverging(played.Player):
        def curve(self, run):
            return [float("nan")] if run.recipe == Recipe.parse("l2(kernel=1e38)") else super().curve(run)

    monkeypatch.setattr(Space, "suggest", diverging)
    for trials in (3, 4):  # the second time goes on from what search.json says
        with played.stage(Diverging):
            found = search(made(tmp_path / "s", metric=metric), space, Budget(trials=trials, pruner="none"))
        assert found[-1].recipe == Recipe.parse("l2(kernel=1e38)")
        assert found[-1].values == [worst, worst]
        assert len(found) == trials
        assert all(trial.value != worst for trial in found[:-1])
    (held,) = (trial for trial in _held(tmp_path / "s") if trial["recipe"] == "l2(kernel=1e+38)")
    assert held["values"] == [0.0 if worst == 0 else None] * 2, "JSON has no infinity"


def _held(folder):
    return json.loads((folder / "search.json").read_text())["trials"]


@pytest.mark.parametrize(("metric", "sign"), [("accuracy", 1), ("cross_entropy", -1)])
def test_pruning_gives_up_the_trials_that_begin_worse_than_the_median_and_no_others(tmp_path, metric, sign):
    class Rated(played.Player):
        """The less dropout the better, and the second seed is luckier than the first."""

        def curve(self, run):
            rates = [strategy.rate for strategy in run.recipe]
            return [1 + sign * (0.1 * (run.seed - SEARCH_SEEDS) - sum(rates))] * 2

    space = Space(("dropout",), optional=False)
    with played.stage(Rated):
        found = search(made(tmp_path / "s", metric=metric), space, Budget(trials=20, sampler="random", batch=1))
    firsts, expected = [], {}  # of trials with all seeds, what they had after the first one
    for trial in sorted(found, key=lambda trial: trial.number):
        first = sign * trial.values[0]
        below = len(firsts) >= 5 and first < np.median(firsts)  # the first five are never given up
        expected[trial.number] = "pruned" if below else "complete"
        firsts += [] if below else [first]
    assert {trial.number: trial.state for trial in found} == expected
    late = [state for number, state in expected.items() if number >= 5]
    assert set(late) == {"pruned", "complete"}, "both happen"
    pruned = [trial for trial in found if trial.state == "pruned"]
    assert all(len(trial.values) == 1 for trial in pruned)
    assert found[-len(pruned) :] == pruned, "they come last"
    assert all(len(trial.values) == 2 for trial in found[: -len(pruned)])


# --- the confirmation ----------------------------------------------------------------------------------------------


def small(**more):
    return reglab.Study("iris", "mlp(units=8)", **{"seeds": 3, "epochs": 2, "learning_rate": 0.02, **more})


@pytest.mark.slow
def test_the_confirmation_has_other_seeds_than_the_search(stage, tmp_path):
    arguments = {"out": tmp_path / "tuned", "strategies": ("l2", "dropout"), "rivals": 2}
    found = tune(small, Budget(trials=5), **arguments)
    assert list(found.results.runs) == ["none", *found.names]
    assert len(found.names) == 2
    assert list(found.names.values()) == [trial for trial in found.trials if trial.recipe != Recipe()][:2]
    assert set(found.results.runs["none"]) == {0, 1, 2}
    for name, trial in found.names.items():
        row = found.results.comparison.row(name)
        assert row.recipe == trial.recipe.to_text()
        assert found.optimism(name) == pytest.approx(trial.value - row.mean("val_accuracy"))
        assert row.verdict.word == "screening"
    recommended = found.results.comparison.choice.recommended
    assert found.recipe == (Recipe() if recommended == "none" else found.names[recommended].recipe)
    again = tune(small, Budget(trials=5), **arguments)
    assert again.results.comparison.to_dict()["choice"]["best"] == found.results.comparison.choice.best
    assert Results.load(tmp_path / "tuned" / "confirmation").complete
    assert [len(player.trained) > 0 for player in stage] == [True, True, False, False], "the second time nothing trains"


def kinds():
    """The ways to a recipe that end with a confirmation, all of them on search seeds 100,000 and 100,001."""
    families, recipes = families_of(["dropout"], 2)
    return {
        "tune": lambda make, out: tune(make, Budget(trials=2, pruner="none"), out=out, strategies=("l2",)),
        "tune_each": lambda make, out: tune_each(make, ("l2",), 2, out=out),
        "race": lambda make, out: run_race(make, families, recipes, epoch_budget=40, out=out, search_seeds=2),
    }


@pytest.mark.slow
def test_what_is_lowest_is_the_best_where_such_a_metric_decides(stage, tmp_path):
    def make(**more):
        return small(metric="cross_entropy", **more)

    found = tune(make, Budget(trials=6, pruner="none"), out=tmp_path / "t", strategies=("l2", "dropout"), rivals=2)
    values = [trial.value for trial in found.trials]
    assert values == sorted(values)
    assert [trial.recipe for trial in found.names.values()] == [
        trial.recipe for trial in found.trials if trial.recipe != Recipe()
    ][:2]
    for name, trial in found.names.items():
        row = found.results.comparison.row(name)
        assert found.now(name) == row.mean("val_cross_entropy")
        assert found.optimism(name) == pytest.approx(row.mean("val_cross_entropy") - trial.value)
    each = tune_each(make, ("l2",), 3, out=tmp_path / "each")
    assert each.best("l2") == min(each.trials["l2"], key=lambda trial: trial.value).recipe
    np.testing.assert_allclose(each.curves()["l2"][[0, 2]], [np.mean(v := _values(each)), min(v)])


def _values(each):
    return [trial.value for trial in each.trials["l2"]]


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.slow
def test_another_search_without_a_folder_gets_one_of_its_own(stage, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    name = {"race": "iris-mlp-units-8-race"}.get(kind, "iris-mlp-units-8-tuned")

    def folder(**more):
        return kinds()[kind](lambda **own: small(**{**own, **more}), None).folder

    assert [folder(), folder(epochs=3), folder()] == [
        Path("reglab-out") / each for each in (name, f"{name}-2", name)
    ], "and the same search goes on where it was"
    assert tune(small, Budget(trials=2), strategies=("dropout",)).folder == Path("reglab-out") / {
        "tune": f"{name}-3", "tune_each": f"{name}-3", "race": "iris-mlp-units-8-tuned"
    }[kind], "what is looked for differs"  # fmt: skip


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("first_seed", [SEARCH_SEEDS - 2, SEARCH_SEEDS, SEARCH_SEEDS + 1])
def test_seeds_of_the_search_do_not_confirm_it_and_nothing_is_trained(stage, tmp_path, kind, first_seed):
    def make(**more):
        return small(**{"first_seed": first_seed, **more})

    with pytest.raises(ReglabError, match=rf"has the seeds {first_seed} to .*search 100000 to 100001.*--first-seed"):
        kinds()[kind](make, tmp_path / "t")
    assert stage == [], "nothing is trained before"
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("first_seed", [SEARCH_SEEDS - 3, SEARCH_SEEDS + 2])
def test_seeds_beside_those_of_the_search_confirm_it(stage, tmp_path, kind, first_seed):
    def make(**more):
        return small(**{"first_seed": first_seed, **more})

    found = kinds()[kind](make, tmp_path / "t")
    assert found.results is not None
    assert set(found.results.runs["none"]) == set(range(first_seed, first_seed + 3))


def test_without_a_confirmation_its_seeds_do_not_matter(stage, tmp_path):
    def make(**more):
        return small(**{"first_seed": SEARCH_SEEDS, **more})

    found = tune(make, Budget(trials=2), out=tmp_path / "t", strategies=("l2",), rivals=0)
    assert found.results is None
    assert len(stage) == 1


@pytest.mark.parametrize(
    "command",
    ["tune --strategy l2 --trials 2", "race --strategy dropout --values 2 --search-seeds 2",
     "compare --recipe l2 --tune-each 2"],
)  # fmt: skip
def test_commands_refuse_seeds_of_the_search_before_they_write(stage, tmp_path, command):
    name, *options = command.split()
    study = ["--data", "iris", "--model", "mlp(units=4)", "--epochs", "2", "--first-seed", str(SEARCH_SEEDS)]
    done = CliRunner().invoke(cli, [name, *study, *options, "--out", str(tmp_path / "t")])
    assert isinstance(done.exception, ReglabError)
    assert "other seeds" in str(done.exception)
    assert stage == []
    assert list(tmp_path.iterdir()) == []


# --- with real trainings -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """The command with real trainings: its folder and what it printed."""
    out = tmp_path_factory.mktemp("typed") / "t"
    small = "--model mlp(units=4) --seeds 2 --epochs 1 --workers 0 --strategy l2 --strategy dropout --all-on --trials 2"
    done = CliRunner().invoke(
        cli, ["tune", "--data", "iris", *small.split(), "--out", str(out)], catch_exceptions=False,
        env={"COLUMNS": "200"},
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return out, done.output


@pytest.mark.slow
def test_the_command_ends_with_a_recipe_to_use(typed):
    out, printed = typed
    (line,) = (line for line in printed.splitlines() if line.startswith("To use: "))
    tried = json.loads((out / "search" / "search.json").read_text())["trials"]
    assert line.removeprefix("To use: ") in ["none", *(trial["recipe"] for trial in tried)]
    assert "search saw" in printed


@pytest.mark.slow
def test_a_search_never_reads_the_test_set_and_its_confirmation_does(typed):
    out, _ = typed
    for part, reads in (("search", False), ("confirmation", True)):
        database = sqlite3.connect(out / part / "study.sqlite")
        finished = database.execute("SELECT id, metrics FROM runs WHERE status = 'finished'").fetchall()
        assert finished
        assert database.execute("SELECT count(*) FROM test_readings").fetchone() == (reads * len(finished),)
        for run, metrics in finished:
            assert ("accuracy" in json.loads(metrics)) == reads
            with np.load(out / part / "runs" / run / "predictions.npz") as held:
                assert set(held.files) >= {"validation", "validation_labels"}
                assert ("test" in held.files) == reads


def test_a_command_without_a_budget_is_refused(tmp_path):
    refused = CliRunner().invoke(cli, ["tune", "--data", "iris", "--strategy", "l2", "--out", str(tmp_path / "t")])
    assert isinstance(refused.exception, ReglabError)
    assert not (tmp_path / "t").exists()


@pytest.mark.slow
def test_a_search_with_real_trainings_goes_on_as_if_it_had_not_been_interrupted(tmp_path):
    budget, here = Budget(trials=6), {"workers": 0}
    whole = search(made(tmp_path / "whole"), SPACE, budget, execution=here)
    first, second = Counting(4), Counting()
    with pytest.raises(KeyboardInterrupt):
        search(made(tmp_path / "s"), SPACE, budget, progress=first, execution=here)
    found = search(made(tmp_path / "s"), SPACE, budget, progress=second, execution=here)
    assert [trial.to_dict() for trial in found] == [trial.to_dict() for trial in whole]
    assert len(first.trained) == 4
    assert not set(first.trained) & set(second.trained)
