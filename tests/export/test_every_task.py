"""What is exported of every task: networks that give what is kept, in its units, and scripts that train to it."""

from __future__ import annotations

import runpy

import keras
import numpy as np
import pytest
from scipy import special
from small_tasks import label_sets, masks, segmenting, tagging

import reglab
from reglab.data import Dataset
from reglab.errors import ReglabError
from reglab.export.script import Script
from reglab.export.source import in_text, named
from reglab.export.write import export
from reglab.study.storage import run_folder
from reglab.tasks import Binary, MultiLabel, Positions, Regression, SingleLabel
from reglab.tasks.head import Head

RECIPES = {"plain": "l2(kernel=1e-3)", "stopped": "early_stopping(monitor=val_r2, patience=1) + ema(momentum=0.5)"}
RUN = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"


LABELS = np.arange(60) % 3
TASKS = {
    "binary": (Binary(classes=("a", "b")), np.arange(60) // 3 % 2),
    "classes": (SingleLabel(classes=tuple("abcdefg")), np.arange(60) % 7),
    "label sets": (MultiLabel(labels=("a", "b", "c")), np.eye(3, dtype="int8")[LABELS] | (LABELS[:, None] == 1)),
    "positions": (Positions(classes=("a", "b"), shape=(4,)), np.arange(240).reshape(60, 4) % 3 - 1),
    "number": (Regression(targets=("a",)), np.arange(60.0) ** 2),
    "numbers": (Regression(targets=("a", "b")), np.arange(120.0).reshape(60, 2) ** 2),
}


@pytest.mark.parametrize("name", TASKS)
def test_what_scripts_measure_is_the_metric_of_the_study(name):
    """All of them, by the source that a script carries, which knows what it imports and nothing else."""
    task, y = TASKS[name]
    given = np.random.default_rng(0).normal(size=(60, *task.kept_shape)).astype("float32")
    p = special.softmax(given, axis=-1) if task.probabilities else 1000 * given
    for metric in [metric for metric in task.metrics if metric.better]:
        script = Script(backend="tensorflow", task=task, outputs={}, input_shape=(3,), precision="float32",
                        count=lambda strategy: 1, fitted=lambda strategy: {})  # fmt: skip
        function = script.carry(task.in_python(metric))
        known = {"np": np}
        exec("\n".join([*script.imports, *script.definitions]), known)
        expected = metric(y, p[:, 0] if name == "number" else p)
        assert known[function](y, p) == pytest.approx(expected, rel=1e-9), metric.name


@pytest.mark.parametrize(("activation", "outputs"), [("linear", 1), ("linear", 2), ("sigmoid", 1), ("softmax", 2)])
def test_a_network_is_finished_with_what_is_kept_of_its_outputs(activation, outputs):
    task, head = TASKS["positions"][0], Head(activation, outputs)
    given = np.random.default_rng(0).uniform(size=(5, 4, outputs)).astype("float32")
    found = keras.ops.convert_to_numpy(task.finish(keras.ops.convert_to_tensor(given), head))
    np.testing.assert_allclose(found, task.predictions(given, head), atol=1e-3)


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


def tokens():
    """Texts of one to six words, the rest of which is padding; whether a word is above the middle."""
    random = np.random.default_rng(0)
    x = random.integers(1, 12, (60, 6)).astype("int32")
    x *= np.arange(6) < random.integers(1, 7, 60)[:, None]
    return Dataset("texts", x, (x > 5).astype("int32"), ("low", "high"), kind="tokens")


def of_images():
    """The same as masks, with one output per pixel and all pixels labelled."""
    data = masks(40)
    return Dataset("scenes", data.x, abs(data.y), data.class_names)


def several():
    """Grey images and ages of 60 people."""
    random = np.random.default_rng(0)
    x = {"photo": random.integers(0, 255, (60, 4, 4)).astype("uint8"), "words": random.integers(1, 9, (60, 3)),
         "age": random.normal(50, 10, 60)}  # fmt: skip
    return reglab.data.load((x, (x["age"] > 50).astype("int32")), kind="words=tokens")


def of_several(input_shape, num_classes):
    layers = keras.layers
    inputs = {name: keras.Input(shape, name=name) for name, shape in input_shape.items()}
    words = layers.GlobalAveragePooling1D()(layers.Embedding(9, 2)(inputs["words"]))
    h = layers.Concatenate()([layers.Flatten()(inputs["photo"]), words, inputs["age"]])
    h = layers.BatchNormalization()(layers.Dense(4, activation="relu")(h))
    return keras.Model(list(inputs.values()), layers.Dense(num_classes, activation="softmax")(h))


def one_output(input_shape, num_classes):
    layers = keras.layers
    return keras.Sequential([keras.Input(input_shape), layers.Conv2D(1, 3, padding="same", name="logits")])


def outputs():
    """Rows with one of three kinds, a size, and some of two marks."""
    random = np.random.default_rng(0)
    x = random.normal(size=(90, 4)).astype("float32")
    y = {"kind": (x[:, 0] > 0).astype("int64") + (x[:, 1] > 0.4), "size": 2 * x[:, 2] + random.normal(size=90),
         "marks": (x[:, 1:3] > random.normal(size=(90, 2))).astype("int64")}  # fmt: skip
    return reglab.data.load((x, y), form={"marks": "sets"})


def of_outputs(input_shape, num_classes):
    layers = keras.layers
    inputs = keras.Input(input_shape)
    h = layers.Dense(8, activation="relu")(inputs)
    ends = {"kind": "softmax", "size": None, "marks": "sigmoid"}
    return keras.Model(inputs, {name: layers.Dense(num_classes[name], end)(h) for name, end in ends.items()})


def scenes():
    """Images with their masks and which of both values they have more of."""
    data = masks(40)
    mask = abs(data.y)
    return reglab.data.load((data.x, {"dark": (mask.mean(axis=(1, 2)) < 0.5).astype("int64"), "mask": mask}))


def of_scenes(input_shape, num_classes):
    """The outputs in an order, that of the masks first."""
    layers = keras.layers
    inputs = keras.Input(input_shape)
    h = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    dark = layers.Dense(1, activation="sigmoid", name="dark")(layers.GlobalAveragePooling2D()(h))
    return keras.Model(inputs, [layers.Conv2D(2, 1, name="mask")(h), dark])


MOVED = {
    "plain": "l2(kernel=1e-3)", "moved": "augmentation(horizontal_flip=true, rotation_range=10) + dropout(rate=0.1)",
    "mixed": "mixup(alpha=0.3)", "cut": "cutmix(alpha=1.0) + label_smoothing(smoothing=0.1)",
    "stopped": "early_stopping(patience=1) + ema(momentum=0.5)", "sharp": "sam(rho=0.05)",
    "flipped": "augmentation(vertical_flip=true, brightness_range=(0.9, 1.1))",
}  # fmt: skip
FOLDED = {"flipped"}  # its range of values is a constant in a script, with which TensorFlow calculates beforehand
BOUND = "spectral_normalization(norm=2.0) + swa(start=0.3)"
SMOOTH = "label_smoothing(smoothing=0.1)"
PLAIN = {"plain": "l2(kernel=1e-3)", "stopped": "early_stopping(patience=1) + ema(momentum=0.5)"}
EXPORTED = {
    "pixels": (of_images, segmenting, MOVED, {}),
    "some pixels": (lambda: masks(40), segmenting, {**PLAIN, "moved": MOVED["moved"]}, {}),
    "one output": (of_images, one_output, {**PLAIN, "smooth": SMOOTH}, {"metric": "dice"}),
    "tokens": (tokens, tagging, {"plain": "none", "smooth": f"{SMOOTH} + ema(momentum=0.5)", "bound": BOUND}, {}),
    "label sets": (label_sets, "mlp(units=4)", {**PLAIN, "smooth": SMOOTH}, {}),
    "several": (
        several,
        of_several,
        {"plain": "dropout(rate=0.1) + l2(kernel=1e-3)", "sharp": "sam(rho=0.05)", "bound": BOUND},
        {},
    ),
    "outputs": (
        outputs,
        of_outputs,
        {
            "plain": "dropout(rate=0.1) + l2(kernel=1e-3)",
            "smooth": SMOOTH,
            "mixed": f"mixup(alpha=0.3) + {SMOOTH}",
            "sharp": "sam(rho=0.05)",
            "attacked": "adversarial(epsilon=0.1)",
            "bound": BOUND,
            "stopped": "early_stopping(monitor=val_kind_accuracy, patience=1) + ema(momentum=0.5)",
        },
        {"metric": "size_rmse", "loss": {"size": "huber"}, "loss_weights": {"size": 0.3}},
    ),
    "outputs in order": (scenes, of_scenes, {**PLAIN, "smooth": SMOOTH, "sharp": "sam(rho=0.05)"}, {}),
    "rank": ("diabetes", "mlp(units=4)", PLAIN, {"metric": "spearman"}),
    "auc": ("breast_cancer", "mlp(units=4)", PLAIN, {"metric": "auc", "learning_rate": 0.001}),
    "balanced": ("wine", "mlp(units=4)", PLAIN, {"metric": "balanced_accuracy"}),
    "f1": ("wine", "mlp(units=4)", PLAIN, {"metric": "f1"}),
}


@pytest.mark.backend
@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTED)
def test_a_script_of_every_task_trains_to_the_weights_of_the_study(tmp_path, without_reglab, check_format, name):
    data, model, recipes, settings = EXPORTED[name]
    settings = {"seeds": 1, "epochs": 3, "batch_size": 10, "learning_rate": 0.02, **settings}
    data = data() if callable(data) else data
    made = reglab.Study(data, model, recipes, baseline="plain", out=tmp_path / "study", **settings)
    results = made.run(workers=0)
    for recipe in recipes:
        folder = export(made, recipe=recipe, out=tmp_path / recipe)
        said = without_reglab(RUN, folder / "train.py").splitlines()[-1].split()
        assert float(said[-1]) == pytest.approx(float(said[-5].strip(",")), rel=2e-3)
        kept = run_folder.weights(made.out / "runs" / results.shipped(recipe).id)
        network = runpy.run_path(str(folder / "train.py"), run_name="look")["build_network"]()
        network.load_weights(folder / "trained.weights.h5")
        for ours, theirs in zip(network.get_weights(), kept, strict=True):
            far = 0 if keras.backend.backend() == "tensorflow" and recipe not in FOLDED else 1e-3
            np.testing.assert_allclose(ours, theirs, atol=far, rtol=0, err_msg=recipe)
    check_format({"plain": tmp_path / "plain"})


@pytest.mark.slow
def test_what_a_script_of_positions_cannot_do_is_told(tmp_path):
    settings = {"seeds": 1, "epochs": 1, "batch_size": 10, "out": tmp_path / "study"}
    for data, model, recipe, said in (
        (masks(40), segmenting, "mixup", "Some positions are to be ignored"),
        (tokens(), tagging, "sam", "leaves positions out by its own mask"),
    ):
        made = reglab.Study(data, model, {"it": recipe}, **settings | {"out": tmp_path / recipe})
        made.run(workers=0)
        with pytest.raises(ReglabError, match=said):
            export(made, recipe="it")
        assert (export(made, recipe="it", script=False) / "model.keras").exists()


@pytest.mark.slow
def test_the_network_of_several_outputs_predicts_what_the_study_keeps_of_each(tmp_path):
    made = reglab.Study(scenes(), of_scenes, ["cutmix(alpha=1.0)"], seeds=1, epochs=1, out=tmp_path / "study")
    run = made.run(workers=0).shipped("cutmix(alpha=1.0)")
    with pytest.raises(ReglabError, match="cutmix moves the labels per position of output mask"):
        export(made, recipe=run.name)
    folder = export(made, recipe=run.name, script=False)
    kept = run_folder.predictions(made.out / "runs" / run.id, "test").predicted
    rows = np.sort(reglab.data.test_part(made.dataset, made.task))
    used = runpy.run_path(str(folder / "predict.py"))
    found = used["predict"](made.dataset.x[rows])
    assert used["NAMES"] == {"dark": ["0", "1"], "mask": ["0", "1"]}
    for name in ("dark", "mask"):
        np.testing.assert_allclose(found[name], kept[name], atol=1e-3)
    text = (folder / "README.md").read_text()
    assert "dark: the probability of each class; mask: the probability of each class at each position" in text


def test_names_of_outputs_are_texts_in_what_is_exported():
    hostile = 'a"] = {x}\n\\'
    assert eval(named({hostile: "1", "b": "2"}, before="")) == {hostile: 1, "b": 2}
    assert eval(f'f"{in_text(hostile)}"') == 'a"] = {x}\u240a\\'
