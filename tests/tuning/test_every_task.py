"""Searches of a task whose best value is the lowest, with real trainings: numbers to predict."""

from __future__ import annotations

import dataclasses
import json
import sqlite3

import numpy as np
import played
import pytest

import reglab
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.study.progress import Progress
from reglab.study.workbench import Workbench
from reglab.tuning.budget import Budget
from reglab.tuning.confirm import tune
from reglab.tuning.each import tune_each
from reglab.tuning.raced import families_of, run_race


def numbers(folder):
    """A table of numbers to predict, as a file."""
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 3)).astype("float32")
    np.savez(folder / "numbers.npz", x=x, y=(x @ [1.0, -2.0, 0.5] + random.normal(size=60)).astype("float32"))
    return str(folder / "numbers.npz")


def maker(folder):
    data = numbers(folder)
    return lambda **more: reglab.Study(data, "mlp(units=4)", **{"seeds": 2, "epochs": 2, **more})


class Notes(Progress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


class Refusing(played.Player):
    def plan(self):
        return dataclasses.replace(super().plan(), refused={"dropout": "no dropout here", "l1": "no l1 either"})


def test_what_cannot_act_here_is_left_out_of_a_search_that_names_no_strategies_and_that_is_said(tmp_path):
    heard = Notes()

    def make(**more):
        return reglab.Study("iris", "mlp(units=4)", **{"seeds": 2, "epochs": 2, **more})

    with played.stage(Refusing):
        found = tune(make, Budget(trials=12), out=tmp_path / "t", rivals=0, progress=heard)
    assert "Not looked for, because they cannot act here: dropout, l1." in heard.notes
    tried = {strategy.name for trial in found.trials for strategy in trial.recipe}
    assert "l2" in tried
    assert not tried & {"dropout", "l1"}


def test_planning_says_of_each_candidate_whether_it_can_act_on_the_model(tmp_path):
    study = maker(tmp_path)(recipes=["none"])
    candidates = {name: Recipe.parse(name) for name in ("l2", "label_smoothing", "mixup")}
    refused = Workbench(dataclasses.replace(study.assignment, candidates=candidates)).plan().refused
    assert set(refused) == {"label_smoothing"}
    assert "label_smoothing spreads labels over classes; the loss mean_squared_error" in refused["label_smoothing"]


@pytest.mark.slow
def test_the_value_of_a_trial_is_what_decides_and_the_lowest_error_comes_first(tmp_path):
    out = tmp_path / "t"
    found = tune(maker(tmp_path), Budget(trials=3, search_seeds=1, pruner="none"), out=out, strategies=("l2",),
                 rivals=0, execution={"workers": 0})  # fmt: skip
    rows = sqlite3.connect(out / "search" / "study.sqlite").execute("SELECT recipe, metrics FROM runs").fetchall()
    errors = {recipe: json.loads(metrics).get("val_rmse") for recipe, metrics in rows}
    assert len(found.trials) == 3
    assert [trial.value for trial in found.trials] == sorted(errors[trial.recipe.to_text()] for trial in found.trials)


NAMES = ("l2", "label_smoothing")
KINDS = {
    "tune": lambda make, **how: tune(make, Budget(trials=1), strategies=NAMES, **how),
    "race": lambda make, **how: run_race(make, *families_of(NAMES, 2), epoch_budget=20, search_seeds=2, **how),
    "tune_each": lambda make, **how: tune_each(make, NAMES, 2, **how),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_strategy_that_cannot_act_on_numbers_is_refused_before_anything_is_written(tmp_path, kind):
    with pytest.raises(ReglabError, match="label_smoothing spreads labels over classes"):
        KINDS[kind](maker(tmp_path), out=tmp_path / "t", execution={"workers": 0})
    assert not (tmp_path / "t").exists()
