"""Tasks: what a task owns is complete and consistent, whatever kind it is."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from reglab.errors import ReglabError
from reglab.tasks import KINDS, Binary, Head, MultiLabel, Positions, Regression, SingleLabel, of_classes, read_task
from reglab.tasks.hold_out import by_class, by_class_of_few


def made(kind):
    """A task of a kind, and labels and predictions of it."""
    random = np.random.default_rng(3)
    if kind == "regression":
        y = random.normal(50, 9, (60, 2)).astype("float32")
        return Regression(targets=("a", "b")), y, (y + random.normal(0, 5, y.shape)).astype("float32")
    if kind == "multi-label":
        y = (random.random((60, 3)) < (0.2, 0.5, 0.7)).astype("int8")
        return MultiLabel(labels=("a", "b", "c")), y, np.clip(y * 0.3 + random.random(y.shape) * 0.7, 0, 1).round(2)
    if kind == "positions":
        y = random.integers(-1, 3, (60, 5)).astype("int32")
        p = random.dirichlet(np.ones(3), y.shape).astype("float16")
        return Positions(classes=("a", "b", "c"), shape=(5,), ignored=True), y, p
    count = 2 if kind == "binary" else 4
    task = KINDS[kind](classes=tuple("abcd"[:count]))
    return task, random.integers(0, count, 60).astype("int32"), random.dirichlet(np.ones(count), 60).astype("float32")


EVERY = pytest.mark.parametrize("kind", KINDS)


@EVERY
def test_what_is_written_is_read_again(kind):
    task, _, _ = made(kind)
    assert read_task(task.to_dict()) == task
    assert pickle.loads(pickle.dumps(task)) == task


@EVERY
def test_a_result_has_every_scalar_that_is_recorded_and_no_other(kind):
    task, y, p = made(kind)
    scores = task.scores(y, p, validation=(y, p))
    followed = {f"{part}_{metric.name}": 0.5 for metric in task.watched for part in ("train", "val")}
    others = {"sparsity", "epochs", "best_epoch", "seconds"}
    assert {*scores, *followed, *task.gaps(followed), *others} == set(task.recorded)
    assert len(task.recorded) == len(set(task.recorded))
    assert all(math.isfinite(value) for value in scores.values())


@EVERY
def test_metrics_do_not_depend_on_the_order_of_examples_and_stay_where_they_can_lie(kind):
    task, y, p = made(kind)
    order = np.random.default_rng(0).permutation(len(y))
    for metric in task.metrics:
        assert metric(y[order], p[order]) == pytest.approx(metric(y, p), abs=1e-9), metric.name
        assert metric.lowest - 1e-9 <= metric(y, p) <= metric.highest + 1e-9, metric.name


@EVERY
def test_scores_of_examples_have_the_metric_as_their_mean(kind):
    task, y, p = made(kind)
    for metric in task.metrics:
        if metric.per_example is not None:
            assert metric.per_example(y, p).mean() == pytest.approx(metric(y, p), abs=1e-6), metric.name


@EVERY
def test_equal_weights_change_nothing_and_a_weight_of_two_counts_an_example_twice(kind):
    task, y, p = made(kind)
    weights = np.where(np.arange(len(y)) % 3 == 0, 2.0, 1.0)
    twice = np.repeat(np.arange(len(y)), weights.astype(int))
    for metric in task.watched:
        assert metric(y, p, np.ones(len(y))) == pytest.approx(metric(y, p)), metric.name
        assert metric(y, p, weights) == pytest.approx(metric(y[twice], p[twice])), metric.name


@EVERY
def test_a_prediction_that_is_no_number_makes_what_is_watched_none(kind):
    task, y, p = made(kind)
    p[3] = np.nan
    assert all(math.isnan(value) for value in task.measured(y, p).values())


@EVERY
def test_only_a_metric_with_a_direction_decides(kind):
    task, _, _ = made(kind)
    first = task.metrics[0].name
    for wrong in ("overconfidence", "nothing"):
        with pytest.raises(ReglabError, match=rf"metric='{wrong}' cannot decide for .* Give one of {first}, "):
            read_task({**task.to_dict(), "deciding": wrong})
    with pytest.raises(ReglabError, match=f"Did you mean '{first}'"):
        read_task({**task.to_dict(), "deciding": f"{first}x"})
    for metric in task.metrics:
        if metric.better:
            chosen = read_task({**task.to_dict(), "deciding": metric.name})
            assert chosen.decides == metric
            assert chosen.watched[0] == metric
            assert "gap" in chosen.recorded
            assert chosen.to_dict()["deciding"] == metric.name


def test_a_gap_is_by_how_much_validation_is_worse():
    values = {"train_accuracy": 0.9, "val_accuracy": 0.7, "train_cross_entropy": 0.2, "val_cross_entropy": 0.5}
    task = SingleLabel(classes=("a", "b"))
    assert task.gaps(values) == pytest.approx({"gap": 0.2, "cross_entropy_gap": 0.3})
    by_cost = SingleLabel(classes=("a", "b"), deciding="cross_entropy")
    assert by_cost.gaps(values) == pytest.approx({"gap": 0.3})


# --- classes ---------------------------------------------------------------------------------------------------------


def test_balanced_accuracy_and_binary_metrics_are_scikit_learns():
    random = np.random.default_rng(5)
    y, positive = random.integers(0, 2, 300), random.random(300).round(2)  # with ties
    p = np.stack([1 - positive, positive], axis=1)
    weights = random.random(300)
    found = Binary(classes=("a", "b")).scores(y, p, validation=(y, p))
    assert found["auc"] == pytest.approx(sk.roc_auc_score(y, positive))
    assert found["average_precision"] == pytest.approx(sk.average_precision_score(y, positive))
    best = max(sk.f1_score(y, positive >= cut) for cut in np.unique(positive))
    assert found["f1_at_threshold"] == pytest.approx(best)
    assert sk.f1_score(y, positive >= found["threshold"]) == pytest.approx(best)
    balanced = SingleLabel(classes=("a", "b"), deciding="balanced_accuracy").decides
    assert balanced(y, p) == pytest.approx(sk.balanced_accuracy_score(y, p.argmax(1)))
    expected = sk.balanced_accuracy_score(y, p.argmax(1), sample_weight=weights)
    assert balanced(y, p, weights) == pytest.approx(expected)


def test_the_spread_of_scores_of_the_auc_is_delongs():
    """DeLong's variance, of which the reference implementations and the original agree to this formula."""
    random = np.random.default_rng(6)
    y = np.r_[np.ones(40, int), np.zeros(60, int)]
    positive = random.normal(y * 0.8)
    metric = Binary(classes=("a", "b")).metric("auc")
    scores = metric.per_example(y, np.stack([-positive, positive], axis=1))
    above = (positive[:40, None] > positive[None, 40:]).astype(float)
    expected = above.mean(1).var(ddof=1) / 40 + above.mean(0).var(ddof=1) / 60
    halves = scores[:40].var(ddof=1) / 40 * (40 / 100) ** 2 + scores[40:].var(ddof=1) / 60 * (60 / 100) ** 2
    assert halves == pytest.approx(expected)


def test_one_class_alone_has_no_auc():
    p = np.array([[0.4, 0.6], [0.7, 0.3]])
    assert math.isnan(Binary(classes=("a", "b")).metric("auc")(np.zeros(2, int), p))


def test_the_metric_that_decides_by_default_is_accuracy_but_of_imbalanced_classes_balanced_accuracy():
    three, two = ("a", "b", "c"), ("a", "b")
    assert of_classes(np.array([0, 1, 2, 0]), three).deciding == "accuracy"
    assert of_classes(np.array([0] * 70 + [1] * 20 + [2] * 10), three).deciding == "balanced_accuracy"
    assert of_classes(np.array([0] * 70 + [1] * 20 + [2] * 10), three, metric="f1").deciding == "f1"
    assert of_classes(np.array([0] * 95 + [1] * 5), two).deciding == "balanced_accuracy"
    assert of_classes(np.array([0] * 80 + [1] * 20), two).deciding == "accuracy"
    assert of_classes(np.array([0, 1]), two) == Binary(classes=two)
    assert of_classes(np.array([0, 1]), two, kind="single-label") == SingleLabel(classes=two)
    with pytest.raises(ReglabError, match="two classes; the data has 3"):
        of_classes(np.array([0, 1, 2]), three, kind="binary")


def test_predictions_of_another_task_do_not_fit():
    task, y, p = made("single-label")
    assert task.misfit(y, p) == ""
    assert "4 classes" in task.misfit(y + 4, p)
    assert "do not fit" in task.misfit(y.astype("float32"), p)
    assert "do not fit" in task.misfit(y, p[:, 0])


@pytest.mark.parametrize("kind", ["nothing", None, 5])
def test_a_kind_that_there_is_not_is_told(kind):
    with pytest.raises(ReglabError, match="There are single-label, binary, multi-label, positions, regression"):
        read_task({"kind": kind})


# --- holding out -----------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.lists(st.integers(4, 40), min_size=2, max_size=5), st.integers(0, 99), st.floats(0.3, 0.6))
def test_what_is_held_out_has_its_share_of_every_class(counts, seed, share):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    kept, held = by_class(y, share, seed=seed)
    assert sorted([*kept, *held]) == list(range(len(y)))
    assert (np.abs(np.bincount(y[held], minlength=len(counts)) - share * np.array(counts)) < 1.5).all()


def test_of_a_class_too_small_one_stays():
    y = np.array([0] * 10 + [1])
    with pytest.raises(ValueError, match="least populated"):
        by_class(y, 0.5, seed=0)
    kept, held = by_class_of_few(y, 0.5, seed=0)
    assert sorted([*kept, *held]) == list(range(11))
    assert 10 in kept
    assert len(held) == 5
    task = SingleLabel(classes=("many", "one"))
    with pytest.raises(ValueError, match="the rarest, 'one', has 1"):
        task.hold_out(y, 0.5, seed=0)


@pytest.mark.backend
def test_the_costs_that_an_attack_climbs_are_the_criterion():
    from reglab.lazy import keras

    random = np.random.default_rng(0)
    for outputs, count in ((1, 2), (3, 3)):
        task = of_classes(np.arange(count), tuple("abc"[:count]))
        raw = random.normal(size=(20, outputs)).astype("float32")
        y = random.integers(0, count, 20)
        for head in (Head("linear", outputs), Head("softmax" if outputs > 1 else "sigmoid", outputs)):
            given_ = raw if head.activation == "linear" else np.asarray(
                keras.ops.convert_to_numpy(getattr(keras.ops, head.activation)(raw))
            )  # fmt: skip
            costs = keras.ops.convert_to_numpy(task.costs(y, keras.ops.convert_to_tensor(given_), head))
            expected = task.criterion.per_example(y, task.predictions(given_, head))
            np.testing.assert_allclose(costs, expected, rtol=2e-4)
