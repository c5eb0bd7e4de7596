"""Strategies that are each given the same number of trials."""

from __future__ import annotations

import json

import numpy as np
import played
import pytest
from click.testing import CliRunner

import reglab
from reglab.analysis.effort import expected_best
from reglab.cli import cli
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.tuning.each import tune_each

FIXED = {"fixed": Recipe.parse("l2(kernel=0.1)")}


def make(**more):
    return reglab.Study("iris", "mlp(units=8)", **{"seeds": 2, "epochs": 2, "learning_rate": 0.05, **more})


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    out = tmp_path_factory.mktemp("each") / "tuned"
    with played.stage():
        return tune_each(make, ("l2", "dropout"), 4, out=out, beside=FIXED)


@pytest.mark.slow
def test_every_strategy_gets_as_many_independent_trials(tuned):
    assert {name: len(trials) for name, trials in tuned.trials.items()} == {"none": 4, "l2": 4, "dropout": 4}
    for name, trials in tuned.trials.items():
        expected = {"learning_rate"} | ({name} - {"none"})
        assert all({s.name for s in trial.recipe} == expected for trial in trials)
        assert all(len(trial.values) == 2 for trial in trials), "none is given up"


def test_the_curves_are_those_of_the_values(tuned):
    held = json.loads((tuned.folder / "confirmation" / "tuning.json").read_text())
    for name, trials in tuned.trials.items():
        expected = expected_best([trial.value for trial in trials])
        np.testing.assert_allclose(tuned.curves()[name], expected)
        np.testing.assert_allclose(held["curves"][name], expected)


def test_the_learning_rate_can_be_left_as_it_is(stage, tmp_path):
    found = tune_each(make, ("l2",), 2, out=tmp_path / "t", learning_rate=False)
    assert list(found.trials) == ["l2"]
    assert all([s.name for s in trial.recipe] == ["l2"] for trial in found.trials["l2"])


def test_what_is_compared_is_the_best_of_each_and_what_was_fixed_on_other_seeds(tuned):
    rows = {row.name: row for row in tuned.results.comparison.rows}
    assert list(rows) == ["none", "l2", "dropout", "fixed"]
    for name, trials in tuned.trials.items():
        assert rows[name].recipe == max(trials, key=lambda trial: trial.value).recipe.to_text()
    assert rows["none"].seeds == (0, 1)


def test_a_strategy_without_a_range_is_refused_before_anything_is_trained(stage, tmp_path):
    with pytest.raises(ReglabError, match="Unknown strategy 'l3'"):
        tune_each(make, ("l2", "l3"), 3, out=tmp_path / "t")
    assert stage == []
    assert not (tmp_path / "t").exists()


def test_the_command_tunes_bare_strategies_and_takes_others_as_they_are(stage, tmp_path):
    _typed(tmp_path)


@pytest.mark.slow
def test_the_command_does_so_with_real_trainings(tmp_path):
    _typed(tmp_path)


def _typed(tmp_path):
    small = "--model mlp(units=4) --seeds 1 --epochs 1 --workers 0 --recipe dropout --recipe fixed=l2 --tune-each 2"
    arguments = ["compare", "--data", "iris", *small.split(), "--out", str(tmp_path / "t")]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False, env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    assert "after n of 2 random trials" in done.output
    spec = (tmp_path / "t-tuned" / "confirmation" / "study.yaml").read_text()
    assert "fixed: l2(kernel=0.001)" in spec
    assert "dropout: dropout(rate=" in spec
