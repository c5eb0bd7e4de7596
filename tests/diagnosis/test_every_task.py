"""Every task can be diagnosed: what is asked of it has an answer that fits, and the words are the task's."""

from __future__ import annotations

import json

import numpy as np
import pytest

from reglab.analysis.decompose import decompose
from reglab.analysis.diagnose import diagnose
from reglab.analysis.prescribe import Patient, prescribe
from reglab.report.diagnosis import as_dict, whole
from reglab.report.findings import verdict
from reglab.tasks import KINDS, Binary, MultiLabel, Positions, Regression, SingleLabel

CLASSES = ("a", "b", "c")
RANDOM = np.random.default_rng(0)


def shares(*shape):
    p = RANDOM.random(shape)
    return p / p.sum(axis=-1, keepdims=True)


def near(y):
    return y + 0.3 * RANDOM.normal(size=(4, *y.shape))


ONE, SETS, PLACES = RANDOM.integers(0, 3, 60), RANDOM.integers(0, 2, (60, 3)), RANDOM.integers(-1, 3, (60, 5))
NUMBERS = RANDOM.normal(size=(60, 2))
# A task, labels, and predictions of four runs.
TASKS = {
    "single-label": (SingleLabel(classes=CLASSES), ONE, shares(4, 60, 3)),
    "balanced": (SingleLabel(classes=CLASSES, deciding="balanced_accuracy"), ONE, shares(4, 60, 3)),
    "binary": (Binary(classes=("no", "yes"), deciding="auc"), ONE % 2, shares(4, 60, 2)),
    "multi-label": (MultiLabel(labels=CLASSES), SETS, RANDOM.random((4, 60, 3))),
    "positions": (Positions(classes=CLASSES, shape=(5,), ignored=True), PLACES, shares(4, 60, 5, 3)),
    "regression": (Regression(targets=("y",)), NUMBERS[:, 0], near(NUMBERS[:, 0])),
    "two targets": (Regression(targets=("y", "z")), NUMBERS, near(NUMBERS)),
}


@pytest.fixture(params=TASKS)
def case(request):
    return TASKS[request.param]


def test_every_kind_is_among_them():
    assert {task.kind for task, _, _ in TASKS.values()} == set(KINDS)


def test_chance_is_the_level_of_what_ignores_the_inputs(case):
    task, y, p = case
    assert task.blind(y).shape == p[0].shape
    assert np.ptp(task.blind(y), axis=0).max() == 0
    assert task.level.whole
    assert 0 <= task.chance(y) < 0.9
    assert 0 <= task.chance() < 0.9


def test_the_distance_of_points_is_bias_and_variance(case):
    task, y, p = case
    labels, given = task.points(y, p)
    parts = decompose(labels, given)
    assert parts.error == pytest.approx(np.mean(np.sum((given - labels) ** 2, axis=2)))
    assert task.distance


def test_the_distance_is_a_known_error():
    task, y, p = TASKS["single-label"]
    assert decompose(*task.points(y, p)).error == pytest.approx(np.mean([task.metric("brier")(y, each) for each in p]))
    task, y, p = TASKS["two targets"]
    assert decompose(*task.points(y, p)).error == pytest.approx(np.mean([1 - task.metric("r2")(y, each) for each in p]))


def test_wrong_labels_are_labels_and_wrong(case):
    task, y, p = case
    wrong = task.mislabelled(y, np.random.default_rng(1))
    assert (wrong.shape, wrong.dtype.kind) == (y.shape, y.dtype.kind)
    assert task.misfit(wrong.astype("float32") if y.dtype.kind == "f" else wrong, p[0]) == ""
    if y.ndim == 1:
        assert (wrong != y).all()


def history(task, *, gap):
    t = np.arange(30)
    learned = 1 - np.exp(-t / 4)
    level, cost = task.level.name, task.criterion.name
    return {
        f"train_{level}": (0.97 * learned).tolist(), f"val_{level}": ((0.97 - gap) * learned).tolist(),
        f"train_{cost}": (2 - learned).tolist(), f"val_{cost}": (2.1 - learned).tolist(),
    }  # fmt: skip


@pytest.mark.parametrize(("gap", "word"), [(0.5, "overfitting"), (0.0, "fitting")])
def test_a_diagnosis_calls_things_as_the_task_does(case, gap, word):
    task, y, p = case
    found = diagnose([history(task, gap=gap)] * 4, task, validation=(y, p), predictions=(y, p))
    assert found.word == word
    items = prescribe(found, Patient(epochs=30))
    said = " ".join(whole(found, items).split())
    assert task.level.title in said
    assert task.distance in said
    assert ("accuracy" in said) == ("accuracy" in task.level.title or found.overconfidence is not None)
    assert f"{task.criterion.title} is 0.1" in said
    held = json.loads(json.dumps(as_dict(found, items), allow_nan=False))
    assert held["diagnosis"]["task"] == json.loads(json.dumps(task.to_dict()))
    assert held["diagnosis"]["sentence"] == verdict(found)
