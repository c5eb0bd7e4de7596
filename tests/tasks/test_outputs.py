"""Several outputs: a task per output, by its name, of which one decides."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
from sklearn import metrics as sk

import reglab
from reglab.backends import name as backend
from reglab.data import load
from reglab.data.batches import Batches
from reglab.data.several import fed
from reglab.errors import ReglabError
from reglab.experiments.robustness import robustness
from reglab.experiments.samples import samples
from reglab.study.workbench import Workbench
from reglab.tasks import read_task, task_for

layers = keras.layers
RANDOM = np.random.default_rng(0)
COUNT = 90
X = RANDOM.normal(size=(COUNT, 4)).astype("float32")
KIND = (X[:, 0] > 0).astype("int64") + (X[:, 1] > 0.4)
SIZE = 2 * X[:, 2] + 0.3 * RANDOM.normal(size=COUNT)
Y = {"kind": KIND, "size": SIZE}
LOSSES = {"kind": "sparse_categorical_crossentropy", "size": "mean_absolute_error"}
WEIGHTS = {"kind": 1.0, "size": 0.3}


def network(by_name=False):
    inputs = keras.Input((4,))
    h = layers.Dense(8, activation="relu")(inputs)
    kind, size = layers.Dense(3, activation="softmax", name="kind")(h), layers.Dense(1, name="size")(h)
    return keras.Model(inputs, {"kind": kind, "size": size} if by_name else [kind, size])


def compiled(*, by_name=False, **more):
    model = network(by_name)
    model.compile(keras.optimizers.SGD(0.05), LOSSES, loss_weights=WEIGHTS, **more)
    return model


def task(**said):
    data = load((X, Y))
    return task_for(data.form, data.y, data.names, outputs=data.outputs, **said)


def study(model=network, y=Y, recipes=(), **settings):
    return reglab.Study((X, y), model, recipes, **{"epochs": 2, "seeds": 1, "batch_size": 20, **settings})


class TestReading:
    def test_labels_by_name_are_read_each_by_what_they_show(self):
        data = load((X, {**Y, "kind": np.array(["cat", "dog", "owl"])[KIND]}))
        assert data.form == "outputs"
        assert {name: of.form for name, of in data.outputs.items()} == {"kind": "classes", "size": "numbers"}
        assert data.of_output("kind").class_names == ("cat", "dog", "owl")
        np.testing.assert_array_equal(data.y["kind"], KIND)
        np.testing.assert_allclose(data.y["size"], SIZE, rtol=1e-6)
        assert data.facts[1].startswith("kind: 3 classes: cat ")
        assert data.facts[2].startswith("size: to predict: size ")

    def test_a_task_is_named_of_an_output(self):
        grades = {"kind": KIND, "grade": KIND.astype("float64")}
        assert load((X, grades)).outputs["grade"].form == "classes"
        found = study(y=grades, task="grade=regression")
        assert found.task.outputs["grade"].kind == "regression"
        assert found.task.outputs["kind"].kind == "single-label"
        with pytest.raises(ReglabError, match="named of the output 'colour'"):
            study(task="colour=regression").dataset  # noqa: B018  # it is read there

    def test_arrays_of_a_file_are_named_after_outputs(self, tmp_path):
        np.savez(tmp_path / "made.npz", x_train=X[:60], x_test=X[60:], **{
            f"y_{part}_{name}": y[rows] for name, y in Y.items()
            for part, rows in (("train", slice(60)), ("test", slice(60, None)))
        })  # fmt: skip
        data = load(tmp_path / "made.npz")
        assert list(data.outputs) == ["kind", "size"]
        assert (data.part == 2).sum() == 30
        np.savez(tmp_path / "whole.npz", x=X, y_kind=KIND, y_size=SIZE)
        np.testing.assert_array_equal(load(tmp_path / "whole.npz").y, load((X, Y)).y)

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ((X, {**Y, "size": SIZE[1:]}), r"size: 90 examples but 89 labels"),
            (((X[:60], Y), (X[60:], {"kind": KIND[60:]})), r"test: labels are of kind, and in another part of kind"),
            ((X, {**Y, "size": np.ones(COUNT)}), r"arrays: size: all examples have the label"),
        ],
        ids=["lengths", "names", "constant"],
    )
    def test_what_is_wrong_is_told_with_its_output(self, source, message):
        with pytest.raises(ReglabError, match=message):
            load(source)


class TestTask:
    def test_the_first_output_decides_by_its_own_metric_unless_another_is_named(self):
        assert task().deciding == "kind_accuracy"
        assert task(metric="size_mae").decides.better == "lower"
        assert study(metric="size_rmse").headline.endswith("2 outputs (kind, size) by size RMSE")
        with pytest.raises(ReglabError, match=r"metric='accuracy' cannot decide.*kind_accuracy"):
            task(metric="accuracy")

    def test_metrics_are_those_of_each_output_under_its_name(self):
        found, data = task(), load((X, Y))
        probabilities = RANDOM.dirichlet(np.ones(3), COUNT).astype("float32")
        given = reglab.data.several.together({"kind": probabilities, "size": SIZE.astype("float32") + 1})
        scores = found.scores(data.y, given, validation=(data.y, given))
        assert scores["kind_accuracy"] == pytest.approx(sk.accuracy_score(KIND, probabilities.argmax(axis=1)))
        assert scores["size_rmse"] == pytest.approx(1, rel=1e-5)
        assert set(scores) == {name for name in found.recorded if name in scores}
        assert [metric.name for metric in found.watched] == ["kind_accuracy", "kind_cross_entropy", "size_rmse"]
        wrong = given.copy()
        wrong["size"][0] = np.nan
        assert all(map(np.isnan, found.measured(data.y, wrong).values()))

    def test_it_is_written_and_read_again(self):
        found = task(metric="size_r2")
        assert read_task(found.to_dict()) == found

    def test_examples_are_held_out_as_the_output_that_decides_has_them(self):
        data = load((X, Y))
        _, held = task().hold_out(data.y, 0.5, seed=0)
        counts = np.bincount(KIND)
        assert np.abs(np.bincount(KIND[held]) - counts / 2).max() <= 1
        _, by_size = task(metric="size_rmse").hold_out(data.y, 0.5, seed=0)
        assert not np.array_equal(held, by_size)


class TestRefusals:
    @pytest.mark.parametrize(
        ("made", "message"),
        [
            (lambda: study("mlp"), "mlp has one output; the data has labels of kind, size"),
            (
                lambda: study(y={"kind": KIND, "weight": SIZE}),
                "has the outputs kind, size; the data has labels of kind, w",
            ),
            (lambda: study(y=KIND), r"has 2 outputs \(kind, size\), and the data has labels of one"),
            (lambda: study(y={"kind": SIZE, "size": SIZE}), "Output kind: The model's output has shape"),
            (
                lambda: study(loss={"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}),
                "Output kind: The loss SparseCategoricalCrossentropy takes logits",
            ),
            (lambda: study(loss={"weight": "mse"}), "loss names 'weight', which is no output"),
            (lambda: study(class_weight="balanced"), "class_weight='balanced' says how much classes of one output"),
            (lambda: study(metrics="mse"), "does not say of which output"),
            (lambda: study(scale_targets="standardize"), "scale_targets=standardize is of numbers that one output"),
            (lambda: study(recipes=["r_drop"]), "r_drop adds a term that compares what one output gives"),
        ],
    )
    def test_before_anything_is_trained(self, made, message):
        with pytest.raises(ReglabError, match=message):
            Workbench(made().assignment).plan()


@pytest.mark.slow
@pytest.mark.backend
@pytest.mark.parametrize("by_name", [True, False])
def test_the_baseline_ends_where_keras_alone_does(by_name):
    found = Workbench(study(compiled(by_name=by_name, metrics={"size": "mse"})).assignment)
    (ride,) = found.plan().missing(())
    (record,) = found.train(ride, on_epoch=lambda *a: None, on_checkpoint=lambda c: None)
    data, model = found.seed_data(0), compiled(by_name=by_name)
    epochs = int(record.metrics["best_epoch"])
    batches = Batches(
        data.x, data.y, data.train, batch_size=20, epochs=epochs, seed=data.stream("batches"),
        preprocess=data.preprocess,
    )  # fmt: skip
    model.set_weights(data.initial_weights)
    model.fit(batches, epochs=epochs, steps_per_epoch=batches.steps, shuffle=False, verbose=0)
    for ours, theirs in zip(record.weights, model.get_weights(), strict=True):
        if backend() == "jax":
            np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)
        else:
            np.testing.assert_array_equal(ours, theirs)
    x, y = data.test
    outputs = model.predict(fed(x), verbose=0)
    size = (outputs["size"] if by_name else outputs[1])[:, 0]
    assert record.metrics["size_rmse"] == pytest.approx(sk.root_mean_squared_error(y["size"], size), rel=1e-4)
    assert record.metrics["size_mean_squared_error"] == pytest.approx(record.metrics["size_rmse"] ** 2, rel=1e-4)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    recipes = ["l2(kernel=0.01)", "mixup+label_smoothing", "early_stopping"]
    folder = tmp_path_factory.mktemp("outputs") / "study"
    made = study(compiled(), recipes=recipes, seeds=2, epochs=3, metric="size_rmse", out=folder)
    return made, made.run()


@pytest.fixture(scope="module")
def results(ran):
    return ran[1]


@pytest.mark.slow
class TestStudy:
    def test_the_verdict_is_by_the_metric_of_the_output_that_decides(self, results):
        assert results.metric.name == "size_rmse"
        assert all(row.verdict.metric.name == "size_rmse" for row in results.comparison.rows if row.verdict)
        run = next(iter(results.runs["l2(kernel=0.01)"].values()))
        curve = run.history["val_size_rmse"]
        assert run.metrics["best_epoch"] == 1 + int(np.argmin(curve))
        found = results.predictions("none")
        for predicted, run in zip(found.predicted, results.runs["none"].values(), strict=True):
            error = sk.root_mean_squared_error(found.labels["size"], predicted["size"])
            assert run.metrics["size_rmse"] == pytest.approx(error, rel=1e-5)
            hits = predicted["kind"].argmax(axis=1) == found.labels["kind"]
            assert run.metrics["kind_accuracy"] == pytest.approx(hits.mean())

    def test_the_table_and_the_report_tell_of_both(self, results, tmp_path):
        assert "size RMSE" in str(results)
        assert "kind accuracy" in str(results)
        page = next(path for path in results.report(tmp_path) if path.suffix == ".html").read_text("utf-8")
        assert "size RMSE" in page
        assert "kind accuracy" in page

    def test_it_is_diagnosed_by_the_output_that_decides(self, results):
        found = reglab.experiments.diagnosis.diagnosed(results)
        assert found.task.decides.name == "size_rmse"

    def test_what_is_left_under_attack_is_of_the_output_that_decides(self, ran):
        made, results = ran
        found = robustness(made, epsilons=[0.5], examples=18, recipes=["none"], seeds=1)
        assert found.metric.name == "size_rmse"
        kept = results.predictions("none")
        assert len(kept.labels) == 18
        error = sk.root_mean_squared_error(kept.labels["size"], kept.predicted[0]["size"])
        for curve in found.curves["none"].values():
            assert curve.mean[0] == pytest.approx(error, rel=1e-4)
            assert curve.mean[1] > curve.mean[0]


@pytest.mark.slow
def test_what_strategies_do_to_images_is_shown_with_what_each_output_says(tmp_path):
    def seeing(input_shape, num_classes):
        inputs = keras.Input(input_shape)
        h = layers.Flatten()(inputs)
        return keras.Model(inputs, {name: layers.Dense(units, name=name)(h) for name, units in num_classes.items()})

    images = RANDOM.integers(0, 255, (60, 6, 6, 1)).astype("uint8")
    bright = images.mean(axis=(1, 2, 3))
    data = images, {"kind": (bright > np.median(bright)).astype("int64"), "size": bright / 100}
    recipes = {"both": "mixup(alpha=1.0) + adversarial(epsilon=0.2)", "soft": "label_smoothing"}
    made = reglab.Study(data, seeing, recipes, epochs=1, seeds=1, batch_size=20, out=tmp_path)
    made.run(workers=0)
    found = samples(made, count=2)
    assert {sample.what.split("(")[0] for sample in found} == {"mixup", "adversarial"}
    for sample in found:
        assert all(
            re.fullmatch(r"kind [01]; size [-\d.]+", words) for words in (*sample.labels, *sample.predicted_after)
        )
