"""Sweeps over a hyperparameter, and combinations taken apart."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

import reglab
from reglab.cli import cli
from reglab.declare import params
from reglab.errors import ReglabError
from reglab.experiments.ablation import ablate, parts_of
from reglab.experiments.sweep import grid, spaced, validation_curve
from reglab.recipe import Recipe
from reglab.report.ablation import sentences
from reglab.strategies import CATALOGUE

SWEEPABLE = [(name, key) for name, cls in CATALOGUE.items() for key, each in params(cls).items() if each.search]


@pytest.mark.parametrize(("strategy", "parameter"), SWEEPABLE)
def test_every_hyperparameter_with_a_search_range_can_be_swept_without_saying_more(strategy, parameter):
    swept = grid(strategy, parameter, num=3)
    assert len(swept.names) == len(swept.values) >= 2
    assert len(set(swept.recipes.values())) == len(swept.recipes), "every value is another recipe"
    assert swept.baseline == "none"


@pytest.mark.parametrize("strategy", CATALOGUE)
def test_the_hyperparameter_that_is_swept_by_default_is_the_strategys_first_to_search(strategy):
    searched = [key for name, key in SWEEPABLE if name == strategy]
    if searched:
        assert grid(strategy).parameter == searched[0]
    else:
        with pytest.raises(ReglabError, match="search range"):
            grid(strategy)


def test_values_of_a_strength_share_one_compiled_program():
    swept = grid("l2", "kernel", [1e-4, 1e-3, 1e-2], beside="dropout(rate=0.1)")
    assert len({swept.recipes[name].structure() for name in swept.names}) == 1


def test_a_strategy_that_is_there_keeps_its_other_hyperparameters():
    swept = grid("l2", "kernel", [0.1, 0.01], beside="l2(bias=1e-4, activity=1e-5) + dropout(rate=0.1)")
    assert swept.recipes["kernel=0.1"] == Recipe.parse("l2(kernel=0.1, bias=1e-4, activity=1e-5)+dropout(rate=0.1)")
    assert swept.recipes[swept.baseline] == Recipe.parse("dropout(rate=0.1)")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("l3",), "Unknown strategy 'l3'.*l2"),
        (("l2", "kernal"), "no hyperparameter 'kernal'.*kernel"),
        (("l2", "kernel", [0.1]), "no sweep"),
        (("l2", "kernel", [0.1, 0.1]), "twice"),
        (("l2", "kernel", [0.1, -1]), "out of range"),
        (("dropout", "rate", [0.1, "much"]), "number"),
    ],
)
def test_what_cannot_be_swept_is_refused(arguments, match):
    with pytest.raises(ReglabError, match=match):
        grid(*arguments)


def test_ranges_are_spaced_by_a_factor_or_evenly():
    assert spaced(1e-3, 1e-1, 3, log=True) == [0.001, 0.01, 0.1]
    assert spaced(0, 0.5, 3, log=False) == [0, 0.25, 0.5]
    assert spaced(1, 10, 4, log=True, whole=True) == [1, 2, 5, 10]
    for low, high, num, log in ((0, 1, 3, True), (2, 1, 3, False), (1, 2, 1, True)):
        with pytest.raises(ReglabError, match="not possible"):
            spaced(low, high, num, log=log)


def test_the_validation_curve_has_the_accuracies_of_the_runs(stage, tmp_path):
    swept = grid("dropout", "rate", [0.1, 0.9])
    study = reglab.Study("iris", "mlp(units=4)", swept.recipes, baseline=swept.baseline, seeds=3, epochs=2,
                         out=tmp_path / "s")  # fmt: skip
    results = study.run(workers=0)
    values, train, validation = validation_curve(results, swept)
    assert values.tolist() == [0.1, 0.9]
    assert train.shape == validation.shape == (2, 3)
    for row, name in zip(range(2), swept.names, strict=True):
        for seed in range(3):
            assert validation[row, seed] == results.runs[name][seed].metrics["val_accuracy"]
            assert train[row, seed] == results.runs[name][seed].metrics["train_accuracy"]


def test_the_command_sweeps_a_range(stage, tmp_path):
    arguments = ["sweep", "--data", "iris", "--model", "mlp(units=4)", "--strategy", "dropout", "--seeds", "1",
                 "--epochs", "1", "--workers", "0", "--out", str(tmp_path / "s")]  # fmt: skip
    done = CliRunner().invoke(cli, [*arguments, "--values", "0.2:0.6:3:linear"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert all(f"rate={value}" in done.output for value in (0.2, 0.4, 0.6))
    refused = CliRunner().invoke(cli, [*arguments, "--values", "0.2:x"])
    assert "a range is low:high:number" in refused.output


# --- a combination taken apart -------------------------------------------------------------------------------------


def test_the_parts_of_three_ingredients_are_all_their_subsets():
    parts = parts_of(Recipe.parse("l2(kernel=0.01) + dropout(rate=0.1) + mixup"))
    names = [name for name, _ in parts.values()]
    assert names[0] == "none"
    assert {"all", "without l2", "without dropout", "without mixup", "l2", "dropout", "mixup"} <= set(names)
    assert len(names) == len(set(names)) == 8
    assert len({recipe for _, recipe in parts.values()}) == 8


def test_two_strategies_of_one_name_are_told_apart_by_their_places():
    parts = parts_of(Recipe.parse("gaussian_noise(stddev=0.1) + gaussian_noise(stddev=0.2, where=hidden)"))
    assert {"gaussian_noise at input", "gaussian_noise at hidden"} <= {name for name, _ in parts.values()}


@pytest.mark.parametrize("recipe", ["none", "l2"])
def test_what_is_no_combination_is_refused(recipe):
    with pytest.raises(ReglabError, match="no combination"):
        ablate(recipe, lambda **_: pytest.fail("nothing is to be trained"))


def test_taking_apart_compares_the_runs_of_the_parts(stage, tmp_path):
    _takes_apart(tmp_path)


@pytest.mark.slow
def test_taking_apart_with_real_trainings(tmp_path):
    _takes_apart(tmp_path)


def _takes_apart(tmp_path):
    def make(**more):
        return reglab.Study("iris", "mlp(units=8)", seeds=5, epochs=3, learning_rate=0.05, out=tmp_path / "s", **more)

    found = ablate("l2(kernel=0.3) + dropout(rate=0.2)", make, execution={"workers": 0})
    rows = {row.name: row.values["accuracy"] for row in found.results.comparison.rows}
    assert set(rows) == {"none", "l2", "dropout", "all"}
    l2 = next(i for i in found.contribution.ingredients if i.name == "l2")
    assert l2.left_out.paired.mean == pytest.approx(np.mean([rows["dropout"][s] - rows["all"][s] for s in range(5)]))
    assert l2.alone.paired.mean == pytest.approx(np.mean([rows["l2"][s] - rows["none"][s] for s in range(5)]))
    effect = found.contribution.interactions["dropout", "l2"].paired
    expected = [rows["all"][s] - rows["l2"][s] - rows["dropout"][s] + rows["none"][s] for s in range(5)]
    assert effect.mean == pytest.approx(np.mean(expected))
    assert sentences(found)


def test_the_command_takes_a_combination_apart(stage, tmp_path):
    arguments = ["ablate", "l2(kernel=0.3) + dropout(rate=0.2)", "--data", "iris", "--model", "mlp(units=4)", "--seeds",
                 "2", "--epochs", "1", "--workers", "0", "--out", str(tmp_path / "s")]  # fmt: skip
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "dropout and l2" in done.output
    assert "2 seeds are screening" in " ".join(done.output.split())
