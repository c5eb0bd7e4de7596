"""Somebody else's kind of task is one class, registered or offered by a package, and goes through what others do."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cloudpickle
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error

import reglab
from reglab import ReglabError
from reglab.experiments.diagnosis import diagnosed
from reglab.experiments.robustness import robustness
from reglab.lazy import keras
from reglab.study.storage import run_folder
from reglab.tasks import KINDS, direction, kind_said, read_task, register, task_for
from reglab.tasks.metric import Metric
from reglab.tasks.regression import METRICS, Regression

SETTINGS = {"seeds": 2, "epochs": 2, "batch_size": 50}


@dataclass(frozen=True, kw_only=True)
class Median(Regression):
    """The median of a number given the inputs: its error is absolute."""

    kind: ClassVar[str] = "median"

    deciding: str = "mae"

    @property
    def criterion(self) -> Metric:
        return next(metric for metric in METRICS if metric.name == "mae")

    def loss(self, head):
        return keras.losses.MeanAbsoluteError()

    def costs(self, y, outputs, head, weights=None):
        return keras.ops.mean(keras.ops.abs(outputs - keras.ops.reshape(y, keras.ops.shape(outputs))), axis=-1)


@pytest.fixture
def known():
    """As in a script, whose classes are sent by value."""
    here = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(here)
    register(Median)
    yield
    KINDS.remove("median")
    cloudpickle.unregister_pickle_by_value(here)


def test_it_is_known_by_its_name_where_it_is_registered(known):
    assert kind_said("median") == "median"
    task = task_for("numbers", np.array([0.5, 1.5]), ("price",), kind="median")
    assert (type(task), task.deciding, direction("mae")) == (Median, "mae", "lower")
    assert read_task(task.to_dict()) == task
    assert "median" in KINDS.added
    assert "median" not in KINDS.own


def test_without_it_there_is_no_such_kind():
    with pytest.raises(ReglabError, match="task='median' is invalid"):
        kind_said("median")


def test_a_name_of_reglabs_is_taken():
    with pytest.raises(ReglabError, match=r"regression is a task of reglab's\. Give Other another kind"):
        register(type("Other", (Median,), {"kind": "regression"}))
    with pytest.raises(ReglabError, match=r"give a subclass of reglab\.tasks\.Task with a kind"):
        register(Path)


def test_whoever_trains_the_study_elsewhere_has_it_too(known):
    study = reglab.Study("diabetes", "mlp(units=4)", ["l2"], task="median", **SETTINGS)
    sent = cloudpickle.dumps(study.assignment)
    KINDS.remove("median")
    pickle.loads(sent)
    assert KINDS["median"].kind == "median"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_study_of_it_is_trained_read_reported_and_diagnosed(known, tmp_path, workers):
    study = reglab.Study(
        "diabetes", "mlp(units=4)", ["l2"], task="median", out=tmp_path / "s", scale_targets="none", **SETTINGS
    )
    results = study.run(workers=workers)
    assert results.task == Median(targets=("progression",), deciding="mae")
    assert results.metric.title == "MAE"
    run = results.runs["none"][0]
    kept = run_folder.predictions(tmp_path / "s" / "runs" / run.id, "test")
    assert run.metrics["mae"] == pytest.approx(mean_absolute_error(kept.labels, kept.predicted), rel=1e-6)
    assert reglab.Results.load(tmp_path / "s").task == results.task
    results.report()
    assert "MAE" in (tmp_path / "s" / "report" / "index.html").read_text("utf-8")
    assert diagnosed(results).task == results.task
    found = robustness(study, epsilons=[0.1], examples=20, seeds=1)
    (*_, clean, attacked) = found.curves["none"]["fgsm"].mean
    assert clean < attacked


@pytest.mark.slow
def test_a_package_offers_it_to_the_command_and_its_workers(tmp_path):
    source = Path(__file__).read_text("utf-8")
    start, end = source.index("@dataclass(frozen=True, kw_only=True)"), source.index("@pytest.fixture")
    imports = """
        from dataclasses import dataclass
        from typing import ClassVar
        from reglab.lazy import keras
        from reglab.tasks import Metric
        from reglab.tasks.regression import METRICS, Regression
    """
    (tmp_path / "medians.py").write_text(textwrap.dedent(imports) + source[start:end], "utf-8")
    info = tmp_path / "medians-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: medians\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[reglab.tasks]\nmedian = medians:Median\n")
    np.savez(tmp_path / "data.npz", **dict(zip("xy", load_diabetes(return_X_y=True), strict=True)))
    words = "compare --data data.npz --model mlp(units=4) --recipe l2 --task median --seeds 2 --epochs 2 --workers 1"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "reglab", *words.split(), "--out", "s"], cwd=tmp_path, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "MAE" in done.stdout
