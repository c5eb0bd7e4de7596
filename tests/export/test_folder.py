"""What stands in an exported folder, and what is told when something cannot be exported."""

from __future__ import annotations

import runpy
import shutil

import keras
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

import reglab
from reglab.cli import cli
from reglab.data.batches import epoch_order
from reglab.data.preprocess import Preprocess
from reglab.errors import ReglabError
from reglab.export.deploy import check, deployed
from reglab.export.network import Printer
from reglab.export.write import export
from reglab.replay import Replay
from reglab.study.storage import run_folder
from reglab.tasks import Binary, Head

SETTINGS = {"epochs": 2, "seeds": 2, "learning_rate": 0.02}


def binary_network():
    return keras.Sequential([keras.Input((30,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(3, activation="softmax")

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x)


def lambda_network():
    last = keras.layers.Lambda(lambda h: 2.0 * h)
    return keras.Sequential([keras.Input((4,)), last, keras.layers.Dense(3, "softmax")])


def own_penalties():
    """A network with a shared layer, a network inside it, an operation, and penalties of its own."""
    inner = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(6, "relu", kernel_regularizer="l2", activity_regularizer="l1")],
        name="inner",
    )
    inputs = keras.Input((4,))
    shared = keras.layers.Dense(6, kernel_initializer="he_normal", bias_regularizer="l1")
    h = inner(shared(inputs) + shared(2.0 * inputs))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(h))


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    """A finished study in a folder of its own."""
    folder = tmp_path_factory.mktemp("iris") / "study"
    recipes = {"plain": "none", "with dropout": "dropout(rate=0.2) + l1l2(kernel=(1e-4, 1e-3))"}
    reglab.Study("iris", "mlp(units=8)", recipes, out=folder, **SETTINGS).run(workers=0)
    return folder


RUN = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"


@pytest.fixture(scope="module")
def written(iris, tmp_path_factory):
    """What is exported of a run of that study."""
    return export(reglab.Study.resume(iris), recipe="with dropout", out=tmp_path_factory.mktemp("out") / "out", seed=1)


@pytest.mark.backend
@pytest.mark.slow
def test_the_saved_network_predicts_from_raw_inputs_what_the_run_predicted_without_reglab(
    tmp_path, iris, written, without_reglab
):
    study = reglab.Study.resume(iris)
    run = reglab.Results.load(iris).shipped("with dropout", 1)
    kept = run_folder.predictions(iris / "runs" / run.id, "test")
    test = reglab.data.test_part(study.dataset, study.task)
    np.save(tmp_path / "raw.npy", study.dataset.x[np.sort(test)])
    code = """
import runpy, sys, numpy as np
example = runpy.run_path(sys.argv[1])
np.save(sys.argv[3], example["predict"](np.load(sys.argv[2])))
print(example["CLASSES"], sorted({type(layer).__module__.split(".")[0] for layer in example["model"].layers}))
"""
    said = without_reglab(code, written / "predict.py", tmp_path / "raw.npy", tmp_path / "found.npy")
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), kept.predicted, atol=1e-5)
    assert said.strip() == f"{list(study.dataset.class_names)} ['keras']"


def test_a_script_has_the_parts_of_its_seed(iris, written):
    study = reglab.Study.resume(iris)
    split = Replay(study.out, study.assignment).split(1)
    with np.load(written / "data.npz") as data:
        for name, indices in (("val", split.val), ("test", split.test)):
            np.testing.assert_array_equal(data[f"x_{name}"], study.dataset.x[np.sort(indices)])
            np.testing.assert_array_equal(data[f"y_{name}"], study.dataset.y[np.sort(indices)])
        assert len(data["x_train"]) == len(split.train)


def test_a_script_shuffles_as_the_study_did(written):
    script = runpy.run_path(str(written / "train.py"), run_name="look")
    batches, y = script["Batches"](), script["data"]["y_train"]
    for epoch in range(script["EPOCHS"]):
        found = [batches[epoch * batches.steps + step][1] for step in range(batches.steps)]
        np.testing.assert_array_equal(np.concatenate(found), y[epoch_order(script["ORDER"], epoch, len(y))])


def test_a_script_measures_and_keeps_the_best_epoch(written):
    text = (written / "train.py").read_text(encoding="utf-8")
    steps = ("model.fit(", 'model.load_weights(HERE / "best.weights.h5")', "model.evaluate(", "network.save_weights(")
    places = [text.index(step) for step in steps]
    assert places == sorted(places)


def test_a_network_that_predicts_otherwise_is_not_handed_out(tmp_path):
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    network.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    given = {"x": x, "tolerance": 1e-3}
    probabilities = keras.ops.convert_to_numpy(network(x))
    assert check(tmp_path / "model.keras", predictions=probabilities, **given) < 1e-3
    with pytest.raises(ReglabError, match=r"something else than the run did \(by 0.1"):
        check(tmp_path / "model.keras", predictions=probabilities + 0.1, **given)


@pytest.mark.parametrize("activation", ["sigmoid", "linear"])
def test_one_output_is_deployed_as_the_probability_of_the_second_class(activation):
    inputs = keras.Input((4,))
    network = keras.Model(inputs, keras.layers.Dense(1, activation=activation)(inputs))
    x = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    data = reglab.Dataset("made", x, np.arange(6) % 2, ("no", "yes"), kind="table")
    model = deployed(network, data=data, preprocess=Preprocess.fit(x, "none"), head=Head(activation, 1),
                     task=Binary(classes=("no", "yes")), recipe=reglab.Recipe())  # fmt: skip
    outputs = network(x) if activation == "sigmoid" else keras.ops.sigmoid(network(x))
    second = keras.ops.convert_to_numpy(outputs)
    np.testing.assert_allclose(model.predict(x, verbose=0), np.hstack([1 - second, second]), atol=1e-6)


def _printed(network, **given):
    """The network that the printed code builds, and the code."""
    printer = Printer(**{"tap": lambda tap: None, "more": lambda layer: {}, "seeds": {}, "policy": "float32", **given})
    printer.function(network, "build_network", "Return the network.")
    return printer.functions[-1]


def test_a_random_layer_is_written_with_the_seed_that_the_study_gave_it():
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5, name="own")])
    scope = {"keras": keras, "layers": keras.layers}
    exec(_printed(network, seeds={"own": 7}), scope)
    assert scope["build_network"]().get_layer("own").get_config()["seed"] == 7


def test_a_penalty_of_the_users_is_written_beside_that_of_the_recipe():
    own = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_regularizer="l2")])
    text = _printed(own, more=lambda layer: {"kernel_regularizer": "KERNEL_PENALTY"})
    assert "kernel_regularizer=both(keras.regularizers.L2(), KERNEL_PENALTY)" in text


@pytest.mark.backend
@pytest.mark.slow_on("jax", "torch")
@pytest.mark.parametrize(
    "preprocess", ["standardize", *(pytest.param(p, marks=pytest.mark.slow) for p in ("rescale", "none"))]
)
@pytest.mark.slow
def test_binary_logits_become_probabilities_of_both_classes_and_scripts_measure_them(
    tmp_path, preprocess, without_reglab
):
    recipes = {"penalty": "l1(kernel=1e-4) + l2(kernel=1e-3) + label_smoothing(smoothing=0.1)"}
    study = reglab.Study(
        "breast_cancer", binary_network, recipes, out=tmp_path / "study", preprocess=preprocess, epochs=2, seeds=1,
        baseline="penalty",
    )  # fmt: skip
    accuracy = study.run(workers=0).shipped("penalty").metrics["accuracy"]
    out = export(study, recipe="penalty", out=tmp_path / "out")
    said = without_reglab(RUN, out / "train.py")
    assert said.splitlines()[-1] == f"test accuracy {accuracy:.4f}, in the study {accuracy:.4f}"


@pytest.mark.backend
@pytest.mark.slow_on("jax", "torch")
@pytest.mark.slow
def test_missing_values_are_replaced_in_the_exported_network_and_script_as_in_the_study(tmp_path, without_reglab):
    random = np.random.default_rng(0)
    rows = [f"{x:.3f},{'?' if i % 5 == 0 else i % 7},{'ab'[i % 2]}" for i, x in enumerate(random.normal(size=60))]
    (tmp_path / "t.csv").write_text("\n".join(["width,count,kind", *rows]))
    settings = {"target": "kind", "missing": "mean", "epochs": 2, "seeds": 1}
    study = reglab.Study(tmp_path / "t.csv", "mlp(units=4)", ["l2"], out=tmp_path / "study", **settings)
    accuracy = study.run(workers=0).shipped("l2(kernel=0.001)").metrics["accuracy"]
    out = export(study, recipe="l2(kernel=0.001)", out=tmp_path / "out")  # its predictions are compared there
    said = without_reglab(RUN, out / "train.py")
    assert said.splitlines()[-1] == f"test accuracy {accuracy:.4f}, in the study {accuracy:.4f}"
    code = """
import runpy, sys, numpy as np
example = runpy.run_path(sys.argv[1])
print(example["FEATURES"], np.isfinite(example["predict"](np.array([[0.5, np.nan]], "float32"))).all())
"""
    assert without_reglab(code, out / "predict.py").strip() == "['width', 'count'] True"


@pytest.mark.backend
@pytest.mark.slow_on("jax", "torch")
@pytest.mark.slow
def test_shared_and_nested_layers_operations_and_own_penalties_are_written(tmp_path, without_reglab):
    recipes = {"more": "l2(kernel=1e-3, bias=1e-4, activity=1e-4) + dropout(rate=0.1)"}
    settings = {**SETTINGS, "seeds": 1, "baseline": "more"}
    study = reglab.Study("iris", own_penalties, recipes, out=tmp_path / "study", **settings)
    results = study.run(workers=0)
    out = export(study, recipe="more", out=tmp_path / "out")
    text = (out / "train.py").read_text()
    assert "both(keras.regularizers.L2(), KERNEL_PENALTY)" in text
    assert "def build_inner():" in text
    said = without_reglab(RUN, out / "train.py")
    accuracy = results.shipped("more").metrics["accuracy"]
    assert said.splitlines()[-1] == f"test accuracy {accuracy:.4f}, in the study {accuracy:.4f}"


def test_the_recipe_can_be_compared_again(tmp_path, iris):
    out = export(reglab.Study.resume(iris), recipe="with dropout", out=tmp_path / "out", script=False)
    held = yaml.safe_load((out / "recipe.yaml").read_text())
    assert reglab.Recipe.parse(held["recipes"]["with dropout"]) == reglab.Study.resume(iris).recipes["with dropout"]
    again = reglab.Study.from_yaml(out / "recipe.yaml", out=tmp_path / "again")
    assert (again.baseline, again.settings) == ("plain", reglab.Study.resume(iris).settings)


@pytest.mark.slow
def test_the_best_recipe_regularizes_another_model_and_is_exported(tmp_path, iris):
    best = reglab.Results.load(iris).best()
    assert best.name == reglab.Results.load(iris).comparison.choice.recommended
    model = best.regularize(keras.Sequential([keras.Input((7,)), keras.layers.Dense(2, "softmax")]))
    assert model.recipe == best.recipe
    assert (best.export(tmp_path / "out", script=False) / "model.keras").exists()
    assert best.network().input_shape == (None, 4)


def test_the_command_writes_the_recommended_recipe_into_the_study_folder(tmp_path, iris):
    folder = tmp_path / "study"
    shutil.copytree(iris, folder)
    result = CliRunner().invoke(cli, ["export", str(folder)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (out,) = (folder / "export").iterdir()
    expected = {"README.md", "data.npz", "initial.weights.h5", "model.keras", "predict.py", "recipe.yaml", "train.py"}
    assert {path.name for path in out.iterdir()} == {*expected, ".reglab"}
    assert str(folder) not in "".join((out / name).read_text() for name in ("README.md", "predict.py", "train.py"))
    # An export with a script is more than one without, which goes beside it and replaces an earlier one of its kind.
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for _ in range(2):
        CliRunner().invoke(cli, ["export", str(folder), "--no-script"], catch_exceptions=False)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert {path.name for path in (folder / "export").iterdir()} == {out.name, f"{out.name}-2"}
    less = {"README.md", "model.keras", "predict.py", "recipe.yaml", ".reglab"}
    assert {path.name for path in (folder / "export" / f"{out.name}-2").iterdir()} == less


def test_a_folder_with_something_else_is_left_alone(tmp_path, iris):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(ReglabError, match="holds no reglab export"):
        export(reglab.Study.resume(iris), out=tmp_path / "mine")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.txt"]


def recurrent_network():
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Reshape((4, 1)), keras.layers.GRU(3), keras.layers.Dense(3, "softmax")]
    )


@pytest.mark.parametrize(
    ("network", "recipe", "said"),
    [
        pytest.param(
            recurrent_network,
            "l2(kernel=1e-3)",
            "in layers that take a regularizer as an argument",
            marks=pytest.mark.slow,
        ),
        pytest.param(Subclassed, "none", "subclassed model, which cannot be written as layers", marks=pytest.mark.slow),
        pytest.param(lambda_network, "none", "a file does not hold in full", marks=pytest.mark.slow),
        ("mlp(units=8)", "l2(kernel=linear(0, 1e-3, 2))", "follows a schedule"),
    ],
)
def test_what_cannot_be_written_is_told_and_nothing_is_left(tmp_path, network, recipe, said):
    settings = {**SETTINGS, "seeds": 1, "epochs": 1}
    study = reglab.Study("iris", network, {"it": recipe}, baseline="it", out=tmp_path / "study", **settings)
    study.run(workers=0)
    with pytest.raises(ReglabError, match=said):
        export(study, out=tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_examples_beyond_the_limit_are_copied_only_when_asked_for(tmp_path, iris):
    with pytest.raises(ReglabError, match="--max-data 1"):
        export(reglab.Study.resume(iris), out=tmp_path / "out", max_data=0.001)
    assert not list(tmp_path.iterdir())


def test_a_whitening_of_too_many_numbers_is_told(iris):
    recipe = reglab.Recipe.parse("augmentation(zca_whitening=true)")
    data = reglab.Dataset(
        "wide", np.zeros((4, 65, 64, 1), "uint8"), np.array([0, 1, 0, 1]), ("a", "b"), kind="image"
    )  # fmt: skip
    with pytest.raises(ReglabError, match="4160 x 4160"):
        deployed(None, data=data, preprocess=None, task=None, head=None, recipe=recipe)  # type: ignore[arg-type]


def test_a_study_without_results_has_nothing_to_export(tmp_path):
    with pytest.raises(ReglabError, match="no study"):
        reglab.Results.load(tmp_path).best()


def test_an_unknown_recipe_is_told_with_those_there_are(tmp_path, iris):
    with pytest.raises(ReglabError, match="has no recipe 'dropuot'"):
        export(reglab.Study.resume(iris), recipe="dropuot", out=tmp_path / "out")
