"""What is exported of numbers to predict: networks and scripts in the units of the targets."""

from __future__ import annotations

import runpy

import keras
import numpy as np
import pytest
from sklearn import metrics as sk

import reglab
from reglab.export.write import export
from reglab.study.storage import run_folder
from reglab.tasks import Regression, numpy_only

RECIPES = {"plain": "l2(kernel=1e-3)", "stopped": "early_stopping(monitor=val_r2, patience=1) + ema(momentum=0.5)"}
RUN = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"


@pytest.mark.parametrize("targets", [1, 3])
def test_what_scripts_measure_is_the_metric_of_the_study(targets):
    random = np.random.default_rng(0)
    y = random.normal(100, 20, (40, targets))[:, 0 if targets == 1 else slice(None)]
    p = (y + random.normal(0, 8, y.shape)).reshape(40, targets)  # as networks give them
    task = Regression(targets=tuple("abc"[:targets]))
    for metric in task.metrics:
        if functions := task.in_numpy(metric):
            assert functions[-1](y, p) == pytest.approx(metric(y, p.reshape(y.shape)))
    assert numpy_only.rmse(y, p) == pytest.approx(sk.root_mean_squared_error(y, p.reshape(y.shape)))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished study of two targets in units that are far apart."""
    folder = tmp_path_factory.mktemp("numbers")
    random = np.random.default_rng(0)
    x = random.normal(size=(90, 3)).astype("float32")
    y = x @ [[1.0, 300.0], [-2.0, 50.0], [0.5, 0.0]] + random.normal(size=(90, 2)) * [0.3, 40] + [10, 5000]
    np.savez(folder / "data.npz", x=x, y=y.astype("float32"), targets=["width", "price"])
    made = reglab.Study(folder / "data.npz", "mlp(units=4)", RECIPES, baseline="plain", out=folder / "study", seeds=1,
                        epochs=4, learning_rate=0.05)  # fmt: skip
    made.run(workers=0)
    return made


@pytest.fixture(scope="module")
def written(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    return {name: export(study, recipe=name, out=folder / name) for name in RECIPES}


@pytest.mark.backend
@pytest.mark.slow
def test_the_saved_network_predicts_in_the_units_of_the_targets_and_says_their_names(study, written):
    run = reglab.Results.load(study.out).shipped("plain")
    kept = run_folder.predictions(study.out / "runs" / run.id, "test")
    rows = np.sort(reglab.data.test_part(study.dataset, study.task))
    found = runpy.run_path(str(written["plain"] / "predict.py"))
    np.testing.assert_allclose(found["predict"](study.dataset.x[rows]), kept.predicted, rtol=1e-5)
    assert kept.predicted[:, 1].mean() > 1000
    first, second = study.task.names
    assert found["each_of"](np.array([1.5, 4200.0]), found["TARGETS"]) == f"{first} 1.5, {second} 4200"
    text = (written["plain"] / "README.md").read_text()
    assert f"RMSE {run.metrics['rmse']:.4g} on the test set, chosen by validation" in text
    assert "the number of each target out" in text
    assert "class" not in text


@pytest.mark.backend
@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_script_trains_to_the_numbers_of_the_study(study, written, without_reglab, name):
    said = without_reglab(RUN, written[name] / "train.py").splitlines()[-1]
    run = reglab.Results.load(study.out).shipped(name)
    assert said == f"test RMSE {run.metrics['rmse']:.4g}, in the study {run.metrics['rmse']:.4g}"
    kept = run_folder.weights(study.out / "runs" / run.id)
    network = runpy.run_path(str(written[name] / "train.py"), run_name="look")["build_network"]()
    network.load_weights(written[name] / "trained.weights.h5")
    for ours, theirs in zip(network.get_weights(), kept, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0 if keras.backend.backend() == "tensorflow" else 2e-4)
