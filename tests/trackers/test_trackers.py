"""Runs handed to TensorBoard and MLflow, read back by those tools' own readers."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

import reglab
from reglab.cli import cli
from reglab.errors import ReglabError
from reglab.facade import Results
from reglab.trackers import entries, tracker


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked") / "study"
    recipes = {"none": "none", "odd | name/../x": "l2(kernel=0.01) + dropout(rate=0.25)", "bad": "l2(kernel=1e38)"}
    reglab.Study("iris", "mlp(units=4)", recipes, seeds=2, epochs=2, out=folder).run(workers=0)
    return folder


@pytest.fixture(scope="module")
def results(study):
    return Results.load(study)


@pytest.mark.slow
def test_tensorboard_reads_back_every_curve_and_metric(results, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = tracker("tensorboard")
    assert sorted(log(results, tmp_path)) == sorted(run.id for run in entries(results))
    run = results.runs["none"][1]
    held = accumulator.EventAccumulator(str(tmp_path / "none" / "seed-1")).Reload()
    for name, values in run.history.items():
        events = held.Scalars(f"epoch/{name}")
        assert [event.step for event in events] == [1, 2]
        assert [event.value for event in events] == pytest.approx(values)
    (event,) = held.Scalars("run/accuracy")
    assert (event.value, event.step) == (pytest.approx(run.metrics["accuracy"]), run.metrics["best_epoch"])
    assert "_hparams_/session_start_info" in held.PluginTagToContent("hparams")
    assert "_hparams_/session_end_info" in held.PluginTagToContent("hparams")


@pytest.mark.slow
def test_what_is_there_is_not_written_again_and_what_was_cut_short_is(results, tmp_path):
    pytest.importorskip("tensorboard")
    log = tracker("tensorboard")
    log(results, tmp_path)
    assert log(results, tmp_path) == []
    (tmp_path / "none" / "seed-0" / "reglab-run").unlink()
    assert log(results, tmp_path) == [results.runs["none"][0].id]
    assert len(list((tmp_path / "none" / "seed-0").glob("events.*"))) == 1


@pytest.mark.slow
def test_names_of_recipes_stay_inside_the_log_folder(results, tmp_path):
    pytest.importorskip("tensorboard")
    tracker("tensorboard")(results, tmp_path / "logs")
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {"none", "odd-name-x", "bad"}


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    module = pytest.importorskip("mlflow.tracking")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "mlruns").as_uri()
    return uri, module.MlflowClient(tracking_uri=uri)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # of a store for tests alone
@pytest.mark.slow
def test_mlflow_reads_back_every_curve_metric_and_hyperparameter(results, mlflow):
    uri, client = mlflow
    log = tracker("mlflow")
    assert len(log(results, uri)) == len(entries(results))
    assert log(results, uri) == [], "and a second time nothing is left to do"
    experiment = client.get_experiment_by_name(str(results.folder.resolve()))
    run = results.runs["odd | name/../x"][0]
    (held,) = client.search_runs([experiment.experiment_id], f"tags.`reglab.run` = '{run.id}'")
    assert held.info.status == "FINISHED"
    assert held.data.params["dropout.rate"] == "0.25"
    assert held.data.params["l2.kernel"] == "0.01"
    assert "name=adam" in held.data.params["optimizer"]
    assert held.data.metrics["run/accuracy"] == pytest.approx(run.metrics["accuracy"])
    curve = client.get_metric_history(held.info.run_id, "epoch/val_accuracy")
    assert [(point.step, point.value) for point in curve] == list(enumerate(run.history["val_accuracy"], start=1))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.slow
def test_a_run_that_diverged_is_a_failed_one(results, mlflow):
    uri, client = mlflow
    assert results.runs["bad"][0].status == "diverged"
    tracker("mlflow")(results, uri)
    experiment = client.get_experiment_by_name(str(results.folder.resolve()))
    (held,) = client.search_runs([experiment.experiment_id], f"tags.`reglab.run` = '{results.runs['bad'][0].id}'")
    assert (held.info.status, held.data.tags["reglab.status"]) == ("FAILED", "diverged")


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow")])
@pytest.mark.slow
def test_a_package_that_is_not_there_is_named(results, monkeypatch, tmp_path, name, module):
    for held in [key for key in sys.modules if key.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, held)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ReglabError, match=f"reglab\\[{name}\\]"):
        tracker(name)(results, tmp_path)


@pytest.mark.slow
def test_the_command_says_how_many_runs_it_handed_over(study, tmp_path):
    pytest.importorskip("tensorboard")
    arguments = ["log", str(study), "--to", "tensorboard", "--where", str(tmp_path)]
    runner = CliRunner()
    assert runner.invoke(cli, arguments, catch_exceptions=False).output == "6 runs handed to tensorboard.\n"
    assert "already" in runner.invoke(cli, arguments, catch_exceptions=False).output
