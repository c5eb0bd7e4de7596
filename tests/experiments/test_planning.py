"""Looking ahead, and a recipe against itself."""

from __future__ import annotations

import json

import made
import numpy as np
import pytest
from played import stage

import reglab
from reglab.analysis.paired import power
from reglab.errors import ReglabError
from reglab.experiments import calibrate as experiment
from reglab.experiments.planning import Cost, Outlook, Spread, look_ahead, noise_folder, spread_from
from reglab.facade import Results
from reglab.tasks.classes import ACCURACY

SMALL = {"seeds": 5, "epochs": 2, "train_size": 60}


def make(**more):
    return reglab.Study("iris", "mlp(units=4)", **{**SMALL, **more})


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    out = tmp_path_factory.mktemp("plan") / "study-noise"
    with stage():
        return experiment.calibrate(make, out=out, repetitions=2)


@pytest.mark.slow
def test_repetitions_share_split_and_start_and_differ_in_batches(tmp_path):
    trained = experiment.calibrate(make, out=tmp_path / "study-noise", repetitions=2, execution={"workers": 0})
    one, other = (Results.load(trained.folder / f"repetition-{k}") for k in (0, 1))
    for seed in range(5):
        a, b = one.runs["none"][seed], other.runs["none"][seed]
        assert a.id != b.id
        assert a.history["train_cross_entropy"] != b.history["train_cross_entropy"]
        assert a.history["loss"][0] == pytest.approx(b.history["loss"][0], rel=0.2), "from the same start"
    for part in ("test", "validation"):
        labels = [results.predictions("none", part).labels for results in (one, other)]
        np.testing.assert_array_equal(*labels, "the same split")


def test_the_noise_is_that_of_the_accuracies(calibrated):
    runs = [Results.load(calibrated.folder / f"repetition-{k}").runs["none"] for k in (0, 1)]
    d = np.array([runs[1][s].metrics["accuracy"] - runs[0][s].metrics["accuracy"] for s in range(5)])
    assert calibrated.noise.pair == pytest.approx(np.sqrt(np.mean(d * d)))
    assert calibrated.noise.largest == pytest.approx(abs(d.mean()))
    held = json.loads((calibrated.folder / "calibration.json").read_text())
    assert held["noise"]["pair"] == calibrated.noise.pair
    assert experiment.load(calibrated.folder) == calibrated


def test_calibrating_again_trains_nothing(stage, tmp_path):
    first = experiment.calibrate(make, out=tmp_path / "noise", repetitions=2)
    assert [len(player.trained) for player in stage] == [5, 5]
    assert experiment.calibrate(make, out=tmp_path / "noise", repetitions=2) == first
    assert [len(player.trained) for player in stage] == [5, 5, 0, 0]


@pytest.mark.parametrize(
    ("more", "repetitions", "match"),
    [({}, 1, "give 2 or more"), ({"seeds": 1}, 2, "needs 2 or more"), ({"recipes": ["l2"]}, 2, "One recipe")],
)
def test_what_cannot_be_calibrated_is_refused_before_training(tmp_path, more, repetitions, match):
    with pytest.raises(ReglabError, match=match):
        experiment.calibrate(lambda **k: make(**more, **k), out=tmp_path / "x", repetitions=repetitions)
    assert not (tmp_path / "x").exists()


# --- looking ahead -------------------------------------------------------------------------------------------------


def outlook(**changes):
    values = {
        "headline": "", "seeds": 10, "runs": 40, "recipes": 3, "spread": Spread(0.01, "given"), "cost": None,
        "test_examples": 100, "margin": 0.01, "metric": ACCURACY,
    }  # fmt: skip
    return Outlook(**{**values, **changes})


def test_the_detectable_difference_has_a_power_of_eighty_percent_at_holms_first_step():
    value = outlook().detectable(10)
    assert power(value, 0.01, 10, alpha=0.05 / 3) == pytest.approx(0.8, abs=1e-6)


def test_too_few_seeds_show_nothing_and_more_show_smaller_differences():
    ahead = outlook()
    assert ahead.detectable(4) is None
    assert ahead.detectable(5) > ahead.detectable(10) > ahead.detectable(40)
    assert ahead.detectable(10) < outlook(recipes=9).detectable(10)
    assert outlook(spread=None).detectable(10) is None


def test_the_seeds_that_a_margin_needs_are_enough_and_one_less_is_not():
    ahead = outlook()
    n = ahead.seeds_needed
    assert ahead.detectable(n) <= 0.01 < ahead.detectable(n - 1)
    assert n in ahead.choices()
    assert outlook(margin=0.5).seeds_needed == 5, "never fewer than get a verdict"


def test_the_cost_of_more_seeds_is_that_of_more_trainings():
    cost = Cost(start=5.0, compiling=8.0, seconds=10.0, trainings=4, workers=2, run_bytes=1000)
    assert cost.of(1) == 5 + 18 / 2
    assert cost.of(11) - cost.of(10) == 5
    alone = Cost(start=0.0, compiling=0.0, seconds=10.0, trainings=1, workers=8, run_bytes=0)
    assert alone.of(1) == 10, "one training keeps one worker busy"


def test_the_spread_is_found_beside_the_study(calibrated, tmp_path):
    study = make(out=calibrated.folder.parent / "study", recipes=["l2", "early_stopping"])
    assert noise_folder(study.out) == calibrated.folder
    ahead = look_ahead(study, measure=False)
    assert ahead.spread.value == calibrated.noise.pair
    assert "A/A study" in ahead.spread.source
    assert (ahead.runs, ahead.recipes, ahead.test_examples) == (15, 2, 30)
    elsewhere = make(out=tmp_path / "new", recipes=["l2"])
    assert look_ahead(elsewhere, measure=False).spread is None
    assert look_ahead(elsewhere, measure=False, spread=2.0).spread.value == 0.02
    assert not (tmp_path / "new").exists(), "looking writes nothing"


@pytest.mark.slow
def test_the_spread_of_a_study_is_the_median_over_recipes_that_change_something(tmp_path):
    folder = made.study(tmp_path / "s", {**made.RECIPES, "again": "none"})  # which changes nothing
    results = Results.load(folder)
    spreads = {row.name: row.verdict.paired.std for row in results.comparison.rows if row.verdict}
    assert spreads.pop("again") == 0
    assert len(spreads) == 3
    assert min(spreads.values()) > 0
    assert spread_from(folder).value == pytest.approx(np.median(list(spreads.values())))


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_spread_that_is_none_is_refused(tmp_path, value):
    with pytest.raises(ReglabError, match="standard deviation"):
        look_ahead(make(out=tmp_path / "s"), spread=value, measure=False)


def test_a_folder_that_tells_no_spread_is_refused(tmp_path):
    with pytest.raises(ReglabError, match="tells no spread"):
        spread_from(tmp_path)


@pytest.mark.slow
def test_the_cost_is_measured_by_training_a_little_and_nothing_is_left_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    study = make(out=tmp_path / "s", recipes=["l2", "early_stopping"], epochs=50)
    cost = look_ahead(study, execution={"workers": 0}).cost
    assert (cost.trainings, cost.workers) == (2, 1), "early stopping rides on the baseline"
    assert cost.seconds > 50 * 2 * 1e-4
    assert cost.start > 0
    assert cost.run_bytes > 1000
    assert not (tmp_path / "s").exists()
    assert list((tmp_path / "temporary").iterdir()) == []
