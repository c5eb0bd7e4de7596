"""Results read from a study folder: while it runs, and of damaged folders."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from statsmodels.stats.contingency_tables import mcnemar as oracle

import reglab
from reglab.cli import cli
from reglab.errors import ReglabError
from reglab.facade import Results
from reglab.study.progress import Progress
from reglab.tasks import probabilities

RECIPES = ["l2(kernel=0.1)", "again=l2(kernel=0.1)", "early_stopping(patience=1)"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "study"
    return reglab.Study("digits", "mlp(units=8)", RECIPES, seeds=2, epochs=3, train_size=80, out=folder).run(workers=0)


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished.folder, tmp_path / "copy")


def test_what_is_read_from_the_folder_is_what_the_study_returned(finished):
    read = Results.load(finished.folder)
    assert read.comparison.to_dict() == finished.comparison.to_dict()
    assert json.loads((finished.folder / "results.json").read_text())["choice"] == finished.to_dict()["choice"] | {
        "candidates": list(finished.comparison.choice.candidates)
    }
    assert read.task.names == tuple("0123456789")
    assert read.complete
    assert read.counts == {"finished": 6}, "two names of one recipe are the same runs"
    assert read.runs["again"][0].id == read.runs["l2(kernel=0.1)"][0].id


def test_recorded_metrics_are_those_of_the_kept_predictions_and_weights(finished):
    for run in finished.runs["none"].values():
        with np.load(finished.folder / "runs" / run.id / "predictions.npz") as held:
            validation = held["validation_labels"], held["validation"]
            scores = finished.task.scores(held["test_labels"], held["test"], validation=validation)
            confusion = probabilities.confusion(held["test_labels"], held["test"])
        assert {key: run.metrics[key] for key in scores} == pytest.approx(scores)
        np.testing.assert_array_equal(run.details["confusion"], confusion)
        assert np.trace(run.details["confusion"]) == run.right.sum()
        assert run.metrics["cross_entropy_gap"] > 0
        assert 0 < run.metrics["sparsity"] < 0.5


class Stop(Progress):
    def recorded(self, record):
        raise KeyboardInterrupt


@pytest.mark.slow
def test_a_study_that_was_interrupted_can_be_read_and_says_what_is_missing(tmp_path):
    study = reglab.Study("iris", "mlp(units=4)", ["l2"], seeds=2, epochs=1, out=tmp_path / "s")
    with pytest.raises(KeyboardInterrupt):
        study.run(Stop(), workers=0)
    read = Results.load(tmp_path / "s")
    assert not read.complete
    assert read.counts == {"finished": 1, "missing": 3}
    assert read.comparison.row("l2(kernel=0.001)").status == ("missing", "missing")
    assert str(read)


def test_predictions_are_stacked_over_runs(finished):
    test, validation = finished.predictions("none"), finished.predictions("none", "validation")
    assert test.predicted.shape == (2, 360, 10)
    assert test.labels.shape == (360,)
    assert validation.labels.shape == validation.predicted.shape[:2]
    right = (test.predicted.argmax(-1) == test.labels).mean(axis=1)
    np.testing.assert_allclose(right, [finished.runs["none"][s].metrics["accuracy"] for s in (0, 1)])


def test_damaged_predictions_are_told_with_the_way_out(finished, copy):
    path = copy / "runs" / finished.runs["none"][0].id / "predictions.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ReglabError, match=r"predictions\.npz cannot be read.*Remove the folder.*reglab resume"):
        Results.load(copy)


@pytest.mark.parametrize("content", [None, "empty"])
def test_a_folder_without_a_study_is_refused(tmp_path, content):
    with pytest.raises(ReglabError, match="no study"):
        Results.load(tmp_path)


# --- two trained models --------------------------------------------------------------------------------------------


def test_mcnemar_is_statsmodels(finished):
    one, other = finished.runs["none"][0], finished.runs["l2(kernel=0.1)"][1]
    found = finished.mcnemar(one, other)
    table = [[found["both"], found["only_one"]], [found["only_other"], found["neither"]]]
    assert sum(map(sum, table)) == found["examples"] == 360
    assert found["p"] == pytest.approx(oracle(table, exact=True).pvalue)


def test_the_model_one_would_ship_is_the_best_on_validation(finished):
    by_validation = max(finished.runs["none"].values(), key=lambda run: run.metrics["val_accuracy"])
    assert finished.shipped("none").id == by_validation.id
    assert finished.shipped("none", 1).seed == 1
    with pytest.raises(ReglabError, match=r"no recipe 'nona'.*none"):
        finished.shipped("nona")
    with pytest.raises(ReglabError, match="no run with seed 7"):
        finished.shipped("none", 7)


def test_the_command_tells_two_models_apart_or_says_that_it_cannot(finished):
    run = CliRunner().invoke
    same = run(cli, ["mcnemar", str(finished.folder), "none", "none"], catch_exceptions=False).output
    assert "cannot be told apart" in same
    assert "p = 1" in same
    told = json.loads(
        run(cli, ["mcnemar", str(finished.folder), "none", "l2(kernel=0.1)", "--seed", "0", "--json"]).output
    )
    assert told["one"]["seed"] == 0
    assert told["p"] == finished.mcnemar(finished.runs["none"][0], finished.runs["l2(kernel=0.1)"][0])["p"]
