"""Multi-label: metrics are scikit-learn's, examples are held out by label, and label sets go through a study."""

from __future__ import annotations

import csv
import io
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from small_tasks import label_sets

import reglab
from reglab.data import load
from reglab.errors import ReglabError
from reglab.models import check_output
from reglab.tasks import Head, MultiLabel, of_sets
from reglab.tasks.hold_out import by_labels


def sets(*, seed=0, count=120, shares=(0.1, 0.4, 0.7)):
    """Labels, and probabilities with ties that know something of them."""
    random = np.random.default_rng(seed)
    y = (random.random((count, len(shares))) < shares).astype("int8")
    return y, (0.4 * y + 0.6 * random.random(y.shape)).round(1)


TASK = of_sets(("a", "b", "c"))


# --- metrics ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_are_scikit_learns(weighted):
    y, p = sets()
    w = np.random.default_rng(1).integers(1, 4, len(y)) if weighted else None
    predicted = (p >= 0.5).astype(int)
    found = {metric.name: metric(y, p, w) for metric in TASK.metrics}
    assert found["map"] == pytest.approx(sk.average_precision_score(y, p, average="macro", sample_weight=w))
    assert found["micro_f1"] == pytest.approx(sk.f1_score(y, predicted, average="micro", sample_weight=w))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(y, predicted, average="macro", sample_weight=w))
    assert found["subset_accuracy"] == pytest.approx(sk.accuracy_score(y, predicted, sample_weight=w))
    assert found["hamming"] == pytest.approx(sk.hamming_loss(y, predicted, sample_weight=w))
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    losses = [sk.log_loss(y[:, i], clipped[:, i], sample_weight=w) for i in range(3)]
    assert found["log_loss"] == pytest.approx(np.mean(losses), rel=1e-6)


def test_a_worked_example():
    y = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    p = np.array([[0.9, 0.6], [0.4, 0.7], [0.6, 0.2], [0.1, 0.1]])
    found = TASK.scores(y, p)
    # The first label ranks +, -, +, -: (1 + 2/3) / 2. The second ranks +, -, +, -, too.
    assert found["map"] == pytest.approx(5 / 6)
    # Given are one right and one wrong of each label; of each, one is missed.
    assert found["micro_f1"] == found["macro_f1"] == pytest.approx(0.5)
    assert found["subset_accuracy"] == 0.25
    assert found["hamming"] == 0.5
    of_what_is_so = [0.9, 0.4, 0.4, 0.9, 0.4, 0.7, 0.2, 0.9]
    assert found["log_loss"] == pytest.approx(-np.log(of_what_is_so).mean())


def test_a_label_that_no_example_of_a_part_has_counts_in_no_average_precision():
    y, p = sets()
    y[:, 1] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = sk.average_precision_score(y[:, [0, 2]], p[:, [0, 2]])
        assert TASK.metric("map")(y, p) == pytest.approx(expected)
        assert TASK.decides.per_example(y, p).mean() == pytest.approx(expected)
        assert np.isnan(TASK.metric("map")(np.zeros_like(y), p))


@pytest.mark.parametrize("name", ["map", "micro_f1", "macro_f1"])
def test_scores_of_examples_are_what_counting_one_more_would_change(name):
    """The derivative by an example's weight, taken numerically, with ties among probabilities."""
    y, p = sets(count=40)
    metric = TASK.metric(name)
    scores = metric.per_example(y, p)
    for example in range(0, 40, 3):
        weights = np.ones(40)
        weights[example] += 1e-4
        slope = (metric(y, p, weights) - metric(y, p)) / 1e-4
        assert scores[example] == pytest.approx(metric(y, p) + 40 * slope, abs=2e-3)


def test_thresholds_are_chosen_on_validation():
    y, p = sets()
    found = TASK.scores(y, p / 3, validation=(y, p / 3))
    assert found["macro_f1"] == 0
    best = [max(sk.f1_score(y[:, i], p[:, i] >= cut) for cut in np.unique(p)) for i in range(3)]
    assert found["macro_f1_at_thresholds"] == pytest.approx(np.mean(best))


def test_a_table_of_labels_has_what_scikit_learn_says_of_each():
    y, p = sets()
    told = TASK.by_name([TASK.details(y, p)])
    precision, recall, f1, support = sk.precision_recall_fscore_support(y, p >= 0.5)
    assert told.support.tolist() == support.tolist()
    assert told.scores["precision"] == pytest.approx(precision)
    assert told.scores["recall"] == pytest.approx(recall)
    assert told.scores["F1"] == pytest.approx(f1)
    assert told.scores[told.compared] == pytest.approx(sk.average_precision_score(y, p, average=None))
    assert (told.what, told.many) == ("label", "labels")


# --- models ----------------------------------------------------------------------------------------------------------


def test_outputs_are_checked():
    TASK.check_shape((3,))
    TASK.check_head(Head("sigmoid", 3))
    with pytest.raises(ReglabError, match=r"\(batch, 5, 3\); the data has 3 labels.*a class per position"):
        TASK.check_shape((5, 3))
    with pytest.raises(ReglabError, match="softmax, whose outputs sum to 1"):
        TASK.check_head(Head("softmax", 3))
    raw = np.array([[-2.0, 0.0, 3.0]], "float32")
    assert TASK.predictions(raw, Head("linear", 3)) == pytest.approx(1 / (1 + np.exp(-raw)))
    assert TASK.predictions(raw, Head("sigmoid", 3)) is raw


def test_predictions_of_other_tasks_do_not_fit():
    y, p = sets()
    assert TASK.misfit(y, p) == ""
    assert "are not of 3 labels" in TASK.misfit(y[:, :2], p[:, :2])
    assert "other than 0 and 1" in TASK.misfit(y + 1, p)


@pytest.mark.backend
def test_what_a_model_ends_in_is_seen_and_its_loss_is_the_criterion():
    from reglab.lazy import keras

    y, _ = sets(count=20)
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    inputs = keras.Input((4,))
    logits = keras.layers.Dense(3)(inputs)
    seen = keras.layers.Lambda(lambda raw: 1 / (1 + keras.ops.exp(-raw)))(logits)
    for ending, outputs in (("linear", logits), ("sigmoid", seen)):
        model = keras.Model(inputs, outputs)
        head = check_output(model, task=TASK, input_shape=(4,))
        assert head == Head(ending, 3)
        given = keras.ops.convert_to_numpy(model(x))
        costs = keras.ops.convert_to_numpy(TASK.costs(y, keras.ops.convert_to_tensor(given), head))
        expected = TASK.criterion.per_example(y, TASK.predictions(given, head))
        np.testing.assert_allclose(costs, expected, rtol=2e-4)
        assert float(TASK.loss(head)(y, given)) == pytest.approx(expected.mean(), rel=1e-4)


# --- holding out -----------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    st.integers(20, 200), st.floats(0.2, 0.6), st.lists(st.floats(0.05, 0.9), min_size=2, max_size=6), st.integers(0, 9)
)
def test_what_is_held_out_has_its_share_of_every_label(count, share, shares, seed):
    y = (np.random.default_rng(seed).random((count, len(shares))) < shares).astype("int8")
    kept, held = by_labels(y, share, seed=seed)
    assert sorted([*kept, *held]) == list(range(count))
    assert len(held) == int(np.ceil(share * count))
    again = by_labels(y, share, seed=seed)
    assert (again[1] == held).all()


def test_rare_labels_are_held_out_in_proportion_where_a_random_draw_is_not_sure_to():
    y, _ = sets(count=400, shares=(0.02, 0.05, 0.3, 0.6))
    far = []
    for seed in range(20):
        _, held = by_labels(y, 0.25, seed=seed)
        far.append(np.abs(y[held].sum(axis=0) - 0.25 * y.sum(axis=0)).max())
        assert (y[held].sum(axis=0) > 0).all()
    assert np.mean(far) < 1.5, "examples of a label"


def test_parts_of_a_given_number_are_of_that_number():
    y, _ = sets(count=50)
    for size in (1, 7, 49):
        assert len(by_labels(y, size, seed=0)[1]) == size
    with pytest.raises(ValueError, match="cannot be divided"):
        by_labels(y, 50, seed=0)


# --- data ------------------------------------------------------------------------------------------------------------


def arrays(count=60):
    y, _ = sets(count=count)
    return np.random.default_rng(0).normal(size=(count, 4)).astype("float32"), y


def test_columns_of_zeros_and_ones_are_label_sets_and_one_hot_ones_are_classes():
    x, y = arrays()
    found = load((x, y))
    assert (found.form, found.labels, found.y.dtype, found.y.shape) == ("sets", ("0", "1", "2"), "int8", (60, 3))
    assert f"3 labels, {y.sum() / 60:.2g} per example: 0 {y[:, 0].sum()}, 1 {y[:, 1].sum()}, " in found.facts[0]
    one_hot = np.eye(3)[np.arange(60) % 3]
    assert load((x, one_hot)).form == "classes"
    assert load((x, one_hot), form="sets").form == "sets"
    assert load((x, y.astype(bool))).form == "sets"
    assert load((x, y.astype("float64")), form="numbers").targets == ("target 1", "target 2", "target 3")


def test_a_data_frame_names_its_labels():
    pandas = pytest.importorskip("pandas")
    x, y = arrays()
    assert load((x, pandas.DataFrame(y, columns=["sea", "sun", "sand"]))).labels == ("sea", "sun", "sand")


@pytest.mark.parametrize(
    ("change", "form", "said"),
    [
        (lambda y: y * 2, "sets", "'2' does not say whether an example has a label"),
        (lambda y: y[:, 0], "sets", r"labels have shape \(60,\); to predict which labels"),
        (lambda y: y, "classes", r"not one-hot.*task='multi-label'"),
        (lambda y: np.c_[y, np.zeros(60)], None, "no example has the label '3'"),
        (lambda y: np.c_[y, np.ones(60)], None, "every example has the label '3'"),
        (lambda y: np.c_[y, np.arange(60) == 5], None, "one example has the label '3', so it cannot be in training"),
        (lambda y: [("a", "b"), ("c",)] * 30, None, "a collection per example.*MultiLabelBinarizer"),
    ],
)
def test_what_cannot_be_label_sets_is_refused(change, form, said):
    x, y = arrays()
    with pytest.raises(ReglabError, match=said):
        load((x, change(y)), form=form)


def test_a_label_that_training_has_not_is_refused():
    x, y = arrays()
    y[:40, 2] = 0
    with pytest.raises(ReglabError, match="no training example has the label '2'"):
        load(((x[:40], y[:40]), (x[40:], y[40:])))


def test_columns_of_a_table_are_label_sets_or_numbers(tmp_path):
    x, y = arrays()
    table = tmp_path / "scenes.csv"
    rows = [["a", "b", "sea", "sun, low", "size", "weight"]]
    rows += [[*row[:2], *bits[:2], 3 * row[0], row[1] + 1] for row, bits in zip(x, y, strict=True)]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found = load(table, target='sea,"sun, low"', drop_columns="size,weight")
    assert (found.labels, found.feature_names) == (("sea", "sun, low"), ("a", "b"))
    np.testing.assert_array_equal(found.y, y[:, :2])
    assert load(table, target="size,weight").targets == ("size", "weight")
    with pytest.raises(ReglabError, match=r"has no column 'sizes'. Did you mean 'size'"):
        load(table, target="sea,sizes")
    with pytest.raises(ReglabError, match="appears twice among the targets"):
        load(table, target="sea,sea")


# --- a study ---------------------------------------------------------------------------------------------------------


def study_of(recipes, folder):
    return reglab.Study(label_sets(), "mlp(units=16)", recipes, seeds=5, epochs=6, learning_rate=0.02, out=folder)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("multi-label") / "study"
    recipes = {"none": "none", "strong": "l2(kernel=1.0)", "both": "mixup+label_smoothing(smoothing=0.2)"}
    return study_of(recipes, folder).run(workers=0)


@pytest.mark.slow
def test_map_decides(results):
    assert "multi-label by mAP" in results.headline
    assert results.task == MultiLabel(labels=("sea", "sun", "sand", "rain"))
    row = results.comparison.row
    assert row("none").mean("map") > row("strong").mean("map") + 0.05
    assert row("strong").verdict.word == "worse"
    assert row("none").mean("map") > 0.7
    for run in results.runs["none"].values():
        best = int(run.metrics["best_epoch"]) - 1
        assert run.history["val_map"][best] == max(run.history["val_map"])
        assert run.metrics["gap"] == pytest.approx(run.metrics["train_map"] - run.metrics["val_map"])


@pytest.mark.slow
def test_what_is_kept_are_probabilities_of_each_label(results):
    test = results.predictions("none")
    assert test.predicted.shape == (5, *test.labels.shape)
    run = results.runs["none"][0]
    assert run.metrics["map"] == pytest.approx(sk.average_precision_score(test.labels, test.predicted[0]), rel=1e-6)
    assert run.scores.mean() == pytest.approx(run.metrics["map"])
    assert run.right.mean() == pytest.approx(run.metrics["subset_accuracy"])
    found = results.mcnemar(run, results.runs["strong"][0])
    assert found["examples"] == len(test.labels)


@pytest.mark.slow
def test_smoothing_makes_less_sure_of_each_label(results):
    """By half of the smoothing on either side: 0.1 from 0 and from 1."""
    plain, smooth = (results.predictions(name).predicted for name in ("none", "both"))
    assert np.abs(smooth - 0.5).mean() < np.abs(plain - 0.5).mean()


@pytest.mark.slow
def test_the_table_and_the_report_speak_of_labels(results):
    text = str(results)
    assert "mAP" in text
    written = {path.name: path.read_text("utf-8") for path in results.report()}
    assert "## Labels" in written["report.md"]
    assert "Change of each label's average precision" in written["report.md"]
    assert "<h2>Labels</h2>" in written["index.html"]
    for word in ("accuracy", "cross-entropy", "recall of", "class"):
        assert word not in text.lower().replace("subset accuracy", ""), word
        told = written["report.md"].lower().replace("subset accuracy", "").replace("binary cross-entropy", "")
        told = told.replace("ignore_class", "").replace("class_weight", "")  # settings
        assert word not in told, word
    rows = list(csv.DictReader(io.StringIO(written["classes.csv"])))
    assert list(rows[0]) == ["recipe", "label", "examples", "average_precision", "precision", "recall", "f1"]
    assert [row["label"] for row in rows[:4]] == ["sea", "sun", "sand", "rain"]
    held = json.loads((results.folder / "results.json").read_text())
    assert held["task"] == {"kind": "multi-label", "labels": ["sea", "sun", "sand", "rain"], "deciding": "map"}


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (
            lambda results: reglab.Study(label_sets(), "mlp", metric="accuracy").run(workers=0),
            "Give one of map, micro_f1",
        ),
        (lambda results: reglab.Study(label_sets(), "mlp", task="single-label").run(workers=0), "the labels are sets"),
    ],
)
@pytest.mark.slow
def test_what_does_not_know_multi_label_says_so(results, verb, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReglabError, match=said):
        verb(results)
