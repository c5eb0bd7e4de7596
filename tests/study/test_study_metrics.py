"""Metrics of the user's, measured beside those of the task."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from test_study_training import build, run_of, study

from reglab.errors import ReglabError
from reglab.study.workbench import Workbench


def squares(y_true, y_pred):
    """A metric of the user's, of one-hot labels."""
    return keras.ops.mean((y_true - y_pred) ** 2, axis=-1)


class Forgetting(keras.metrics.Mean):
    def __init__(self, factor=1.0, **more):
        super().__init__(**more)
        self.factor = factor


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    def compiled():
        model = build()
        model.compile("adam", "sparse_categorical_crossentropy",
                      metrics=["accuracy", keras.metrics.AUC(name="roc"), squares])  # fmt: skip
        return model

    return study(compiled, recipes=["l2"], out=tmp_path_factory.mktemp("study"), epochs=2).run(workers=0)


@pytest.mark.slow
def test_metrics_of_a_compiled_model_are_keras_own_of_what_is_kept(results):
    run = results.runs["none"][0]
    found = results.predictions("none")
    y, p = found.labels, found.predicted[0]
    one_hot = np.eye(3, dtype="float32")[y]
    assert run.metrics["squares"] == pytest.approx(np.mean((one_hot - p) ** 2), rel=1e-5)
    auc = keras.metrics.AUC()
    auc.update_state(one_hot, p)
    assert run.metrics["roc"] == pytest.approx(float(auc.result()), rel=1e-6)
    assert len(run.history["val_squares"]) == len(run.history["train_roc"]) == 2
    best = int(run.metrics["best_epoch"]) - 1
    assert run.metrics["val_squares"] == run.history["val_squares"][best]


@pytest.mark.slow
def test_they_are_in_results_json(results):
    held = json.loads((results.folder / "results.json").read_text())
    assert held["recipes"][1]["squares"]["difference"]["mean"] == pytest.approx(
        results.runs["l2(kernel=0.001)"][0].metrics["squares"] - results.runs["none"][0].metrics["squares"]
    )


@pytest.mark.slow
def test_what_the_task_measures_is_not_measured_twice_and_changes_nothing():
    assert run_of(study(metrics=["accuracy", "acc"])) == run_of(study())
    cases = [{"metrics": "mse"}, {"metrics": ["mse", "auc(curve=PR)"]}, {"metrics": [squares]},
             {"metrics": [keras.metrics.AUC(curve="PR")]}, {"metrics": [keras.metrics.AUC()]}]  # fmt: skip
    assert len({run_of(study(**case)) for case in [{}, *cases]}) == len(cases) + 1
    assert study(metrics=["mse", "auc(curve=PR)"]).settings.metrics == "mse, auc(curve=PR)"


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ("mean_squared_erro", "Did you mean 'MeanSquaredError'"),
        ("auc(curved=PR)", "metric auc"),
        ([3], "expected the names of Keras metrics"),
        ([Forgetting(2.0)], "has another factor"),
        ([lambda y, p: keras.ops.matmul(y, keras.ops.ones((7, 7)))], "cannot be taken of labels"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_any_training(metrics, said):
    with pytest.raises(ReglabError, match=said):
        Workbench(study(metrics=metrics).assignment).plan()
