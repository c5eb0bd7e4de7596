"""Races: on made curves whose best is known, and on real trainings that are stopped and go on."""

from __future__ import annotations

import json
import sqlite3

import numpy as np
import played
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import reglab
from reglab.cli import cli
from reglab.errors import ReglabError
from reglab.facade import Results
from reglab.study.progress import Progress
from reglab.tuning.raced import families_of, run_race
from reglab.tuning.racing import _in_doubt, _Track, race

FAMILIES = {f: [f"{f}{i}" for i in range(5)] for f in "abc"}
NAMES = [name for names in FAMILIES.values() for name in names]
EPOCHS, SEEDS = 40, list(range(10))
BUDGET = len(NAMES) * len(SEEDS) * EPOCHS // 4


class Made:
    """Curves that rise to a recipe's level, with noise of the seed, of the run and of the epoch."""

    def __init__(self, levels, *, slow=(), noise=0.01, random_seed=0):
        random = np.random.default_rng(random_seed)
        shared = 0.02 * random.normal(size=len(SEEDS))
        self.asked = []
        self.values = {}
        for name in NAMES:
            for seed in SEEDS:
                pace = 25.0 if name[0] in slow else 4.0
                rise = 1 - np.exp(-np.arange(1, EPOCHS + 1) / pace)
                level = levels.get(name, 0.5) + shared[seed] + noise * random.normal()
                self.values[name, seed] = level * rise + 0.1 * noise * random.normal(size=EPOCHS)

    def __call__(self, names, seeds, epochs):
        self.asked += [(name, seed, epochs) for name in names for seed in seeds]
        return {(name, seed): self.values[name, seed][:epochs] for name in names for seed in seeds}

    def trained(self):
        """The epochs of training that were needed, each counted once."""
        most = {}
        for name, seed, epochs in self.asked:
            most[name, seed] = max(epochs, most.get((name, seed), 0))
        return sum(most.values())


def run(made, **changes):
    return race(FAMILIES, **{"seeds": SEEDS, "epochs": EPOCHS, "budget": BUDGET, "curves": made, **changes})


@pytest.mark.parametrize("best", ["a0", "b2", "c4"])
def test_a_recipe_that_is_clearly_best_wins_and_the_race_ends_early(best):
    made = Made({best: 0.8})
    found = run(made)
    assert found.pick == best
    assert found.left == (best,)
    assert [name for name in found.stages[0].left if name[0] == best[0]] == [best], "the others are hopeless"
    assert found.spent < BUDGET


def test_the_more_seeds_the_smaller_the_lead_that_counts():
    """Behind by 0.01 on average, with a standard deviation of 0.01: of nine seeds the standard error is a third."""
    gap = 0.01 + 0.01 * np.repeat([-1.0, 0.0, 1.0], 3) * np.sqrt(8 / 6)
    assert (gap.mean(), gap.std(ddof=1)) == pytest.approx((0.01, 0.01))
    for seeds, left in ((range(9), ["a0"]), ([0, 4, 8], ["a0", "a1"])):
        track = _Track(Made({}), BUDGET)
        track.scores = {
            (name, seed, EPOCHS): 0.9 - (name == "a1") * gap[seed] for name in ("a0", "a1") for seed in SEEDS[:9]
        }
        assert _in_doubt(["a0", "a1"], track, list(seeds), EPOCHS) == left


def test_a_strategy_that_learns_slower_is_not_dropped_for_it():
    made = Made({"b1": 0.9, "a0": 0.6}, slow="b")
    early = {name: made.values[name, 0][9] for name in NAMES}
    assert max(early, key=early.get).startswith("a"), "after ten epochs it is behind"
    assert run(made).pick == "b1"


def test_every_strategy_has_a_recipe_that_is_fully_trained():
    made = Made({"a0": 0.9}, noise=0.001)
    run(made)
    assert {name[0] for name, _, epochs in made.asked if epochs == EPOCHS} == {"a", "b", "c"}


@given(st.integers(0, 500), st.integers(0, 3000))
def test_a_race_never_spends_more_than_its_budget_and_counts_what_it_spends(random_seed, more):
    made = Made({"a1": 0.52, "b1": 0.51}, noise=0.02, random_seed=random_seed)
    budget = 760 + more
    found = run(made, budget=budget)
    assert made.trained() == found.spent <= budget
    assert found.pick == found.left[0]
    assert [stage.spent for stage in found.stages] == sorted(stage.spent for stage in found.stages)


def test_where_nothing_differs_many_are_left_and_the_budget_is_used():
    found = run(Made({}, noise=0.02))
    assert len(found.left) > 1
    assert found.spent > 0.7 * BUDGET


def test_a_recipe_that_fails_or_diverges_loses():
    made = Made({"a0": 0.9, "b0": 0.8})
    for seed in SEEDS:
        made.values["a0", seed] = np.array([])
    made.values["a1", 0] = np.full(EPOCHS, np.nan)
    assert run(made).pick == "b0"


def test_a_recipe_that_failed_with_a_seed_is_out_and_says_nothing_of_the_spread_of_the_others():
    track = _Track(Made({}), BUDGET)
    scores = {"a0": [-1.0, -2.0, -3.0], "a1": [-1.1, -2.0, -3.2], "a2": [-1.0, -np.inf, -1.0]}
    track.scores = {(name, seed, EPOCHS): values[seed] for name, values in scores.items() for seed in range(3)}
    names = track.ranked(list(scores), [0, 1, 2], EPOCHS)
    assert names[-1] == "a2"
    assert _in_doubt(names, track, [0, 1, 2], EPOCHS) == ["a0", "a1"]
    assert _in_doubt(["a2"] * 2, track, [0, 1, 2], EPOCHS) == ["a2"], "one is left, whatever it is worth"


def test_a_strategy_of_which_all_fail_stays_until_they_are_compared_with_others():
    made = Made({"a0": 0.9})
    for name in FAMILIES["c"]:
        made.values[name, 0] = np.array([])
    found = run(made)
    assert set(FAMILIES["c"]) <= set(found.stages[0].left)
    assert not set(FAMILIES["c"]) & set(found.left)


def test_a_budget_that_does_not_reach_is_refused_with_what_is_needed():
    with pytest.raises(ReglabError, match=r"needs 600 epochs at least; the budget is 100"):
        run(Made({}), budget=100)


def test_strategies_that_are_computed_from_other_trainings_do_not_race():
    with pytest.raises(ReglabError, match="nothing to save"):
        families_of(["dropout", "early_stopping"], 3)


# --- on a model ----------------------------------------------------------------------------------------------------


def make(**more):
    return reglab.Study("iris", "mlp(units=8)", **{"seeds": 2, "epochs": 8, "learning_rate": 0.02, **more})


class Stop(Progress):
    def __init__(self, after):
        self.left = after

    def training_ended(self, job):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class Rising(played.Player):
    """Curves that rise to a level, the higher the less dropout there is; weight noise is as good as nothing."""

    def curve(self, run):
        rate = sum(getattr(strategy, "rate", 0.0) for strategy in run.recipe)
        level = 0.9 - rate if rate else 0.5
        luck = played.luck(run).normal(0, 0.01, 8)
        return np.clip(level * (1 - np.exp(-np.arange(1, 9))) + luck, 0, 1).tolist()


def raced(out, progress=None):
    families, recipes = families_of(["dropout", "weight_noise"], 3)
    return run_race(make, families, recipes, epoch_budget=140, out=out, search_seeds=3, rivals=1, progress=progress,
                    execution={"workers": 0})  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("race") / "race"
    with played.stage(Rising) as players:
        return out, raced(out), players


@pytest.mark.slow
def test_the_race_picks_what_its_trainings_say_is_best(whole):
    _, found, _ = whole
    best = min((name for name in found.recipes if name.startswith("dropout")), key=lambda n: _rate(found.recipes[n]))
    assert found.race.pick == best
    assert found.race.left[0] == best


def _rate(recipe):
    return next(iter(recipe)).rate


@pytest.mark.parametrize("after", [2, 9])
@pytest.mark.slow
def test_a_race_that_was_interrupted_ends_as_if_it_had_not_been(whole, tmp_path, after):
    _, found, players = whole
    with played.stage(Rising) as again:
        with pytest.raises(KeyboardInterrupt):
            raced(tmp_path / "r", Stop(after))
        assert raced(tmp_path / "r").race == found.race
    trained = [sorted(run for player in of for run in player.trained) for of in (players, again)]
    assert trained[0] == trained[1], "nothing is trained again"


def test_a_race_seals_its_data_and_confirms_on_other_seeds(whole):
    out, found, _ = whole
    database = sqlite3.connect(out / "race" / "study.sqlite")
    assert database.execute("SELECT count(*) FROM test_readings").fetchone() == (0,)
    held = json.loads((out / "race" / "race.json").read_text())
    assert (held["pick"], held["spent"]) == (found.race.pick, found.race.spent)
    assert list(found.results.runs) == ["none", found.race.pick]
    assert set(found.results.runs["none"]) == {0, 1}
    assert Results.load(out / "confirmation").complete


def test_the_command_races_and_says_what_is_left(stage, tmp_path):
    small = "--model mlp(units=4) --seeds 2 --epochs 4 --workers 0 --strategy dropout --values 2 --search-seeds 2"
    arguments = ["race", "--data", "iris", *small.split(), "--epoch-budget", "40", "--out", str(tmp_path / "r")]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False, env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    pick = json.loads((tmp_path / "r" / "race" / "race.json").read_text())["pick"]
    assert f"The race picks {'no regularization' if pick == 'none' else f'{pick}: '}" in done.output
    assert "epochs with 2 seeds leave" in done.output


# --- with real trainings -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "race"
    return out, raced(out)


@pytest.mark.slow
def test_a_race_with_real_trainings_ends_as_if_it_had_not_been_interrupted(trained, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        raced(tmp_path / "r", Stop(9))
    assert raced(tmp_path / "r").race == trained[1].race


@pytest.mark.slow
def test_a_race_with_real_trainings_reads_no_test_set(trained):
    out, _ = trained
    database = sqlite3.connect(out / "race" / "study.sqlite")
    assert database.execute("SELECT count(*) FROM test_readings").fetchone() == (0,)
    finished = database.execute("SELECT metrics FROM runs WHERE status = 'finished'").fetchall()
    assert finished
    assert not any("accuracy" in json.loads(metrics) for (metrics,) in finished)


@pytest.mark.slow
def test_what_was_stopped_and_went_on_equals_what_was_not(trained):
    out, _ = trained
    race_folder = out / "race"
    database = sqlite3.connect(race_folder / "study.sqlite")
    rows = database.execute("SELECT id, name, recipe, seed FROM runs WHERE status = 'finished'").fetchall()
    went_on = database.execute("SELECT run FROM attempts WHERE outcome = 'paused'").fetchall()
    (run, name, recipe, seed) = next(row for row in rows if (row[0],) in went_on)
    fresh = make(recipes=[recipe], out=out / "fresh", seeds=1, first_seed=seed, sealed=True).run(workers=0)
    other = next(runs[seed] for runs in fresh.runs.values() if runs[seed].id == run)
    history = json.loads((race_folder / "runs" / run / "history.json").read_text())
    assert other.history == history, name
    with np.load(race_folder / "runs" / run / "weights.npz") as one, np.load(
        out / "fresh" / "runs" / run / "weights.npz"
    ) as two:  # fmt: skip
        assert one.files
        for key in one.files:
            np.testing.assert_array_equal(one[key], two[key])
