"""Positions: metrics are scikit-learn's and Keras', masks and ignored positions count nowhere, studies go through."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from sklearn import metrics as sk
from small_tasks import masks, segmenting, tagging

import reglab
from reglab.data import Dataset, load
from reglab.data.dataset import TEST, TRAIN, VAL
from reglab.errors import ReglabError
from reglab.models import check_output, output_mask
from reglab.tasks import Head, Positions, of_positions


def places(shape=(6, 6), *, classes=3, seed=0, count=40, ignored=0.1):
    """Labels of positions of which some are ignored, and probabilities that know something of them."""
    random = np.random.default_rng(seed)
    y = random.choice(classes, size=(count, *shape), p=np.r_[0.5, np.full(classes - 1, 0.5 / (classes - 1))])
    p = random.dirichlet(np.ones(classes), y.shape) + 0.5 * np.eye(classes)[y]
    y[random.random(y.shape) < ignored] = -1
    return y.astype("int32"), (p / p.sum(axis=-1, keepdims=True)).astype("float16")


TASK = Positions(classes=("sky", "sea", "land"), shape=(6, 6), ignored=True, deciding="mean_iou")


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_metrics_are_scikit_learns_on_the_positions_that_count():
    y, p = places()
    there = y >= 0
    true, given = y[there], p.argmax(axis=-1)[there]
    found = TASK.scores(y, p)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(true, given))
    assert found["mean_iou"] == pytest.approx(sk.jaccard_score(true, given, average="macro"))
    assert found["dice"] == pytest.approx(sk.f1_score(true, given, average="macro"))
    rows = p[there].astype("float64")
    assert found["cross_entropy"] == pytest.approx(-np.log(rows[np.arange(len(rows)), true]).mean())


def test_the_mean_iou_is_keras_of_classes_that_are_nowhere_too():
    from reglab.lazy import keras

    y, p = places(classes=4, ignored=0)
    y, p = y % 2, np.where(np.arange(4) == 3, 0, p).astype("float16")
    metric = keras.metrics.MeanIoU(num_classes=4)
    metric.update_state(y, p.argmax(axis=-1))
    assert of_positions(y, tuple("abcd")).decides(y, p) == pytest.approx(float(metric.result()), rel=1e-6)


def test_a_worked_example():
    y = np.array([[[0, 0], [1, -1]], [[1, 1], [1, 0]]])
    given = np.array([[[0, 1], [1, 0]], [[1, 1], [0, 0]]])
    task = of_positions(y, ("a", "b"))
    found = task.scores(y, 0.8 * np.eye(2)[given] + 0.1)
    assert found["accuracy"] == pytest.approx(5 / 7)
    # Class a: 2 hits, 3 there, 3 given. Class b: 3 hits, 4 there, 4 given.
    assert found["mean_iou"] == pytest.approx((2 / 4 + 3 / 5) / 2)
    assert found["dice"] == pytest.approx((4 / 6 + 6 / 8) / 2)
    assert found["cross_entropy"] == pytest.approx(-(5 * np.log(0.9) + 2 * np.log(0.1)) / 7)


@pytest.mark.parametrize("name", ["accuracy", "mean_iou", "dice", "cross_entropy"])
def test_scores_of_examples_are_what_counting_one_more_would_change(name):
    y, p = places()
    metric = TASK.metric(name)
    scores = metric.per_example(y, p)
    assert scores.mean() == pytest.approx(metric(y, p))
    for example in range(0, 40, 7):
        weights = np.ones(40)
        weights[example] += 1e-4
        slope = (metric(y, p, weights) - metric(y, p)) / 1e-4
        assert scores[example] == pytest.approx(metric(y, p) + 40 * slope, abs=2e-3)


def test_a_table_of_classes_is_of_all_positions_of_all_runs():
    runs = [places(seed=seed) for seed in (0, 1)]
    told = TASK.by_name([TASK.details(y, p) for y, p in runs])
    true = np.concatenate([y[y >= 0] for y, _ in runs])
    given = np.concatenate([p.argmax(axis=-1)[y >= 0] for y, p in runs])
    assert told.scores["IoU"] == pytest.approx(sk.jaccard_score(true, given, average=None))
    precision, recall, f1, support = sk.precision_recall_fscore_support(true, given)
    assert told.scores["Dice"] == pytest.approx(f1)
    assert told.scores["precision"] == pytest.approx(precision)
    assert told.scores["recall"] == pytest.approx(recall)
    assert told.support.tolist() == (support // 2).tolist()
    assert (told.compared, told.of) == ("IoU", "positions")


def test_an_example_is_told_by_its_largest_shares():
    task = Positions(classes=("sky", "sea", "land", "sun", "void"), shape=(2, 5), ignored=True)
    y = np.array([[[1] * 5, [0, 0, 2, 3, -1]], [[-1] * 5] * 2, [[4] * 5] * 2])
    assert task.in_words(y) == ("sea 56 %, sky 22 %, land 11 %, others 11 %", "no label", "void 100 %")
    assert task.counting(y).tolist() == [True, False, True]
    chosen = task.chosen(np.eye(5)[[[[1] * 5, [0, 0, 2, 3, 4]]]])
    assert chosen.tolist() == [[[1] * 5, [0, 0, 2, 3, 4]]]


# --- models ----------------------------------------------------------------------------------------------------------


def test_outputs_are_checked():
    TASK.check_shape((6, 6, 3))
    with pytest.raises(ReglabError, match=r"\(batch, 3\); the data has one of 3 classes for each of 6x6 positions"):
        TASK.check_shape((3,))
    two = Positions(classes=("a", "b"), shape=(5,))
    two.check_shape((5, 1))
    with pytest.raises(ReglabError, match="3 sigmoids per position"):
        TASK.check_head(Head("sigmoid", 3))
    with pytest.raises(ReglabError, match="which is always 1"):
        two.check_head(Head("softmax", 1))
    with pytest.raises(ReglabError, match="to be ignored, which the binary cross-entropy of a single output cannot do"):
        Positions(classes=("a", "b"), shape=(5,), ignored=True).check_head(Head("sigmoid", 1))


@pytest.mark.parametrize("head", [Head("linear", 1), Head("sigmoid", 1), Head("linear", 2), Head("softmax", 2)])
def test_what_is_kept_are_probabilities_in_two_bytes(head):
    raw = np.random.default_rng(0).normal(size=(4, 5, head.outputs)).astype("float32")
    given = {"sigmoid": 1 / (1 + np.exp(-raw)), "softmax": np.exp(raw) / np.exp(raw).sum(axis=-1, keepdims=True)}
    found = Positions(classes=("a", "b"), shape=(5,)).predictions(given.get(head.activation, raw), head)
    assert found.dtype == "float16"
    assert found.shape == (4, 5, 2)
    np.testing.assert_allclose(found.astype("float32").sum(axis=-1), 1, atol=1e-3)
    logit = raw[..., 0] if head.outputs == 1 else raw[..., 1] - raw[..., 0]
    np.testing.assert_allclose(found[..., 1], 1 / (1 + np.exp(-logit)), atol=1e-3)


def test_predictions_of_other_tasks_do_not_fit():
    y, p = places()
    assert TASK.misfit(y, p) == ""
    assert "are not of 3 classes for each of 6x6" in TASK.misfit(y[:, :4], p[:, :4])
    assert "labels are not of 3 classes" in TASK.misfit(y + 1, p)


@pytest.mark.backend
def test_the_loss_the_costs_and_the_criterion_agree_and_ignore_the_same():
    from reglab.lazy import keras

    y, _ = places()
    y[0] = 1  # one example has all its positions
    model = segmenting((6, 6, 1), 3)
    head = check_output(model, task=TASK, input_shape=(6, 6, 1))
    assert head == Head("softmax", 3)
    given = keras.ops.convert_to_numpy(model(np.random.default_rng(0).normal(size=(*y.shape, 1))))
    p = given.astype("float64")
    assert float(TASK.loss(head)(y, given)) == pytest.approx(TASK.criterion(y, p), rel=1e-4)
    costs = keras.ops.convert_to_numpy(TASK.costs(y, keras.ops.convert_to_tensor(given), head))
    each = [TASK.criterion(y[i : i + 1], p[i : i + 1]) for i in range(len(y))]
    np.testing.assert_allclose(costs, each, rtol=2e-4)


@pytest.mark.backend
def test_the_mask_of_a_model_says_which_positions_count():
    x = np.array([[3, 4, 0, 0], [1, 2, 5, 0]])
    task = Positions(classes=("a", "b"), shape=(4,))
    model = tagging((4,), 2)
    assert check_output(model, task=task, input_shape=(4,)) == Head("softmax", 2)
    mask = output_mask(model, x)
    assert mask.tolist() == [[True, True, False, False], [True, True, True, False]]
    assert task.masked(np.ones((2, 4), "int32"), mask).tolist() == [[1, 1, -1, -1], [1, 1, 1, -1]]
    assert output_mask(segmenting((6, 6, 1), 2), np.zeros((2, 6, 6, 1))) is None


# --- holding out -----------------------------------------------------------------------------------------------------


def test_a_class_that_few_examples_have_is_held_out_in_proportion():
    y = np.zeros((100, 4, 4), "int32")
    y[:, 0] = 1
    y[np.random.default_rng(0).permutation(100)[:8], 2, 2] = 2
    for seed in range(5):
        kept, held = of_positions(y, ("a", "b", "c")).hold_out(y, 0.25, seed=seed)
        assert (len(kept), len(held)) == (75, 25)
        assert (y[held] == 2).any(axis=(1, 2)).sum() == 2


def test_examples_that_are_alike_are_held_out_anyhow():
    y = np.tile([[0, 1, 1]], (20, 1))
    kept, held = of_positions(y, ("a", "b")).hold_out(y, 5, seed=0)
    assert sorted([*kept, *held]) == list(range(20))
    assert len(held) == 5


# --- data ------------------------------------------------------------------------------------------------------------


def images(count=20):
    y, _ = places(count=count, ignored=0)
    return np.random.default_rng(0).normal(size=(*y.shape, 1)).astype("float32"), y


def test_labels_with_more_axes_or_of_the_steps_of_examples_are_per_position():
    x, y = images()
    found = load((x, y))
    assert (found.form, found.class_names, found.y.dtype) == ("per_position", ("0", "1", "2"), "int32")
    assert "a class for each of 6x6 positions, 3 classes: 0 " in found.facts[0]
    for same in (y[..., None], np.eye(3)[y], y.astype("float64"), np.array(["a", "b", "c"])[y]):
        np.testing.assert_array_equal(load((x, same)).y, y)
    np.testing.assert_array_equal(load((x[:, :, :3, 0], np.eye(3)[y[:, 0]])).y, y[:, 0])
    steps = load((x[:, :, 0], y[:, 0]))
    assert (steps.form, steps.kind) == ("per_position", "series")
    assert load((x[..., 0], y)).kind == "image"
    assert load((x[..., 0], y == 1)).class_names == ("False", "True")
    tokens = load((np.arange(120).reshape(20, 6), y[:, 0]))
    assert (tokens.form, tokens.kind) == ("per_position", "tokens")
    assert load((x[:, 0, :, 0], y[:, 0]), form="per_position").kind == "series"


def test_two_classes_per_step_are_told_from_labels_of_an_example():
    x, y = images()
    bits = (y[:, 0] == 1).astype(int)
    found = load((x[:, :, 0], bits))
    assert found.form == "per_position"
    assert any("say task='multi-label'" in note for note in found.notes)
    assert load((x[:, :, 0], bits), form="sets").form == "sets"
    assert load((x[:, 0, :, 0], bits)).form == "sets", "a table"


def test_positions_to_be_ignored_are_named_or_minus_one():
    x, y = images()
    y[0, 0] = -1
    found = load((x, y))
    assert found.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(found.y, y)
    assert "ignored" in found.facts[0]
    assert any("labelled -1 count" in note for note in found.notes)
    void = np.where(y < 0, 255, y).astype("uint8")
    np.testing.assert_array_equal(load((x, void), ignore_class=255).y, y)
    said = load((x, void))
    assert said.class_names == ("0", "1", "2", "255")
    assert any("ignore_class=255" in note for note in said.notes)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda x, y: (x, y + 0.5), {}, "are no classes of positions"),
        (lambda x, y: (x, y[:, :5, 0]), {}, "not one-hot"),
        (lambda x, y: (x, y[:, :, 0]), {}, "not one-hot"),
        (lambda x, y: (x, y[:, :3, 0]), {"form": "per_position"}, r"labels have shape \(20, 3\), and examples"),
        (lambda x, y: (x, np.zeros_like(y)), {}, "all positions are of one class"),
        (lambda x, y: (x, y[:, 0, 0]), {"ignore_class": 1}, "said of labels per position, and these are a class per"),
        (lambda x, y: (x, y), {"form": "classes"}, "labels have shape"),
        (lambda x, y: ((x[:9], y[:9] % 2), (x[9:], y[9:])), {}, "other parts have positions of '2', which training"),
    ],
)
def test_what_cannot_be_classes_of_positions_is_refused(change, options, said):
    x, y = images()
    with pytest.raises(ReglabError, match=said):
        load(change(x, y), **options)


def test_a_data_set_may_name_classes_that_no_position_has():
    x, y = images()
    data = Dataset("made", x, y, ("sky", "sea", "land", "sun"))
    assert data.form == "per_position"
    with pytest.raises(ReglabError, match="class indices"):
        Dataset("one-hot", x, np.eye(6, dtype="int32")[np.arange(20) % 6], tuple("abcdef"))
    with pytest.raises(ReglabError, match="the label 3 of a position is no class"):
        Dataset("made", x, y + 1, ("sky", "sea", "land"))


# --- a study ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("positions") / "study"
    recipes = {"none": "none", "strong": "l2(kernel=3.0)", "mixed": "augmentation(vertical_flip=true)+cutmix"}
    study = reglab.Study(masks(), segmenting, recipes, seeds=5, epochs=6, batch_size=8, learning_rate=0.02, out=folder)
    return study.run(workers=0)


@pytest.mark.slow
def test_the_mean_iou_of_pixels_decides(results):
    assert "positions by mean IoU" in results.headline
    assert results.task == Positions(classes=("dark", "bright"), shape=(6, 6), ignored=True, deciding="mean_iou")
    row = results.comparison.row
    assert row("none").mean("mean_iou") > row("strong").mean("mean_iou") + 0.05
    assert row("strong").verdict.word == "worse"
    for run in results.runs["none"].values():
        best = int(run.metrics["best_epoch"]) - 1
        assert run.history["val_mean_iou"][best] == max(run.history["val_mean_iou"])
    test, run = results.predictions("none"), results.runs["none"][0]
    assert test.predicted.shape == (5, *test.labels.shape, 2)
    assert test.predicted.dtype == "float16"
    assert (test.labels[:, 0] == -1).all()
    there = test.labels >= 0
    expected = sk.jaccard_score(test.labels[there], test.predicted[0].argmax(axis=-1)[there], average="macro")
    assert run.metrics["mean_iou"] == pytest.approx(expected)
    assert run.right is None


@pytest.mark.slow
def test_the_table_and_the_report_speak_of_positions(results):
    text = str(results)
    assert "mean IoU" in text
    written = {path.name: path.read_text("utf-8") for path in results.report()}
    assert "Change of each class's IoU" in written["report.md"]
    assert "bright" in written["report.md"]
    rows = list(csv.DictReader(io.StringIO(written["classes.csv"])))
    assert list(rows[0]) == ["recipe", "class", "positions", "iou", "dice", "precision", "recall"]
    held = json.loads((results.folder / "results.json").read_text())
    assert held["task"]["kind"] == "positions"


def test_the_masks_of_all_seeds_are_asked_of_one_model():
    import keras

    from reglab.study.workbench import Workbench

    built = []

    def counted(input_shape, num_classes):
        built.append(input_shape)
        inputs = keras.Input(input_shape, dtype="int32")
        x = keras.layers.Embedding(12, 4, mask_zero=True)(inputs)
        return keras.Model(inputs, keras.layers.Dense(num_classes, "softmax")(x))

    x = np.random.default_rng(0).integers(0, 12, (60, 7)).astype("int32")
    data = Dataset("tags", x, (x % 2).astype("int32"), ("even", "odd"), kind="tokens")
    bench = Workbench(reglab.Study(data, counted, [], seeds=2).assignment)
    y = bench.seed_data(0).validation[1]
    assert (y == -1).any()
    before = len(built)
    bench.seed_data(1)
    assert len(built) == before + 1  # for the initial weights of that seed


@pytest.mark.slow
def test_padding_counts_neither_in_the_loss_nor_in_metrics(tmp_path):
    """A study of padded tokens is the same whatever the labels of the padding are."""
    random = np.random.default_rng(0)
    x = random.integers(1, 12, (60, 7))
    y = (x % 2).astype("int32")
    lengths = random.integers(2, 8, 60)
    padding = np.arange(7) >= lengths[:, None]
    x[padding] = 0
    part = np.repeat([TRAIN, VAL, TEST], 20)  # which would go by what examples are labelled
    found = []
    for label in (0, 1):
        y[padding] = label
        data = Dataset("tags", x.astype("int32"), y.copy(), ("even", "odd"), part=part, kind="tokens")
        study = reglab.Study(data, tagging, [], seeds=1, epochs=3, learning_rate=0.02, out=tmp_path / str(label))
        found.append(study.run(workers=0))
    one, other = (each.runs["none"][0].metrics for each in found)
    assert one["accuracy"] == other["accuracy"] > 0.5
    assert one["cross_entropy"] == pytest.approx(other["cross_entropy"])
    assert any("own mask" in note for note in found[0].notes)
    assert "positions by accuracy per position" in found[0].headline


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (lambda results: reglab.Study(masks(), "mlp").run(workers=0), "mlp gives one prediction per example"),
        (lambda results: reglab.Study(masks(), segmenting, metric="map").run(workers=0), "Give one of mean_iou, acc"),
        (
            lambda results: reglab.Study(
                masks(), segmenting, ["augmentation(rotation_range=9, fill_mode=constant)"]
            ).run(workers=0),
            "fill_mode=constant has no class",
        ),
    ],
)
@pytest.mark.slow
def test_what_does_not_know_positions_says_so(results, verb, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReglabError, match=said):
        verb(results)
