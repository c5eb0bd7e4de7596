"""Several inputs per example, by name: read, preprocessed each by its kind, fed to a model of the user's as a dict."""

from __future__ import annotations

import numpy as np
import pytest

import reglab
from reglab.data import load
from reglab.data.batches import Batches
from reglab.data.preprocess import Preprocess, PreprocessEach
from reglab.data.several import by_input, fed, together
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.models import check_output

RANDOM = np.random.default_rng(0)
COUNT = 24
INPUTS = {
    "photo": RANDOM.integers(0, 255, (COUNT, 6, 5)).astype("uint8"),
    "words": RANDOM.integers(1, 9, (COUNT, 4)),
    "age": RANDOM.normal(50, 10, COUNT),
}
LABELS = (INPUTS["words"] == 3).any(axis=1).astype("int32")


def read(**options):
    return load((INPUTS, LABELS), **options)


def build(input_shape, num_classes):
    layers = keras.layers
    inputs = {name: keras.Input(shape, name=name) for name, shape in input_shape.items()}
    found = [
        layers.Flatten()(inputs["photo"]), layers.Flatten()(layers.Embedding(9, 2)(inputs["words"])), inputs["age"],
    ]  # fmt: skip
    hidden = layers.Dense(4, activation="relu", name="hidden")(layers.Concatenate()(found))
    return keras.Model(list(inputs.values()), layers.Dense(num_classes, activation="softmax")(hidden))


# --- reading ---------------------------------------------------------------------------------------------------------


def test_inputs_by_name_are_read_each_as_its_kind():
    data = read(kind="words=tokens")
    assert (data.kind, data.kinds) == ("several", {"photo": "image", "words": "tokens", "age": "table"})
    assert data.input_shape == {"photo": (6, 5, 1), "words": (4,), "age": (1,)}
    assert data.vocabulary == INPUTS["words"].max() + 1
    for name, x in by_input(data.x).items():
        np.testing.assert_allclose(x.reshape(COUNT, -1), INPUTS[name].reshape(COUNT, -1), rtol=1e-6)
    assert data.facts[0].startswith("arrays: 24 examples of photo 6x5x1 (image, uint8, 0 to 25")
    assert "words 4 (tokens, int64, 1 to 8), age 1 (table, float32, " in data.facts[0]
    assert data.notes == (
        "Examples of photo, 6x5 in uint8 were taken for grey images, and got an axis of one channel.",
    )
    assert data.describe() == "arrays: 24 examples of photo 6x5x1, words 4, age 1, 2 classes"


def test_rows_of_all_inputs_stay_together():
    data = read()
    rows = np.array([3, 1, 7])
    for name, x in by_input(data.x[rows]).items():
        np.testing.assert_array_equal(x, by_input(data.x)[name][rows])
    assert read().fingerprint == data.fingerprint
    swapped = {**INPUTS, "words": INPUTS["words"][::-1]}
    assert load((swapped, LABELS)).fingerprint != data.fingerprint


def test_they_are_read_from_files_and_in_parts(tmp_path):
    np.savez(tmp_path / "made.npz", y=LABELS, **{f"x_{name}": x for name, x in INPUTS.items()})
    assert load(tmp_path / "made.npz").fingerprint == read().fingerprint
    parts = {"train": slice(0, 16), "test": slice(16, None)}
    arrays = {f"x_{part}_{name}": x[rows] for part, rows in parts.items() for name, x in INPUTS.items()}
    labels = {f"y_{part}": LABELS[rows] for part, rows in parts.items()}
    np.savez(tmp_path / "parts.npz", **arrays, **labels)
    data = load(tmp_path / "parts.npz", kind="words=tokens")
    assert np.bincount(data.part).tolist() == [16, 0, 8]
    np.testing.assert_array_equal(data.x, read(kind="words=tokens").x)


@pytest.mark.parametrize(
    ("inputs", "kind", "said"),
    [
        ({**INPUTS, "age": INPUTS["age"][1:]}, None, r"different numbers of examples: photo 24, words 24, age 23"),
        ({**INPUTS, "more": {"a": INPUTS["age"]}}, None, "a dict of dicts"),
        ({1: INPUTS["age"]}, None, "by the names of the model's inputs"),
        ({**INPUTS, "words": INPUTS["words"].astype(str)}, None, "words: examples are texts"),
        ({**INPUTS, "age": np.full(COUNT, np.nan)}, None, r"arrays: age: row 0, position \(0,\) is nan"),
        (INPUTS, "tokens", r"has the inputs photo, words, age. Say of which of them, as in kind='photo=tokens'"),
        (INPUTS, "text=tokens", "has the inputs photo, words, age"),
        (INPUTS, "words=words", "kind='words=words' is invalid"),
        (INPUTS, "age=tokens", r"arrays: age: row 0, position \(0,\) is 46\..*tokens are indices"),
    ],
)
def test_what_cannot_be_read_is_refused(inputs, kind, said):
    with pytest.raises(ReglabError, match=said):
        load((inputs, LABELS), kind=kind)


def test_a_single_array_has_no_names_to_say_kinds_of():
    with pytest.raises(ReglabError, match="said of several inputs by name, and arrays has one"):
        load((INPUTS["words"], LABELS), kind="words=tokens")


def test_settings_take_kinds_as_a_mapping_or_a_text():
    said = [
        reglab.Study("iris", "mlp", kind=kind).settings.kind
        for kind in ({"a": "image", "b": "tokens"}, "a=image, b=tokens")
    ]
    assert said == ["a=image,b=tokens"] * 2
    with pytest.raises(ReglabError, match="kind='picture' is invalid"):
        reglab.Study("iris", "mlp", kind="picture")


# --- feeding ---------------------------------------------------------------------------------------------------------


def test_each_input_is_preprocessed_by_itself_and_batches_are_dicts():
    data = read()
    of = {name: Preprocess.fit(x, "none" if name == "words" else "standardize") for name, x in by_input(data.x).items()}
    batches = Batches(
        data.x, data.y, np.arange(COUNT), batch_size=8, epochs=1, seed=0, preprocess=PreprocessEach(of)
    )  # fmt: skip
    found, _ = batches[0]
    assert {name: (x.shape, x.dtype) for name, x in found.items()} == {
        "photo": ((8, 6, 5, 1), np.float32), "words": ((8, 4), np.int64), "age": ((8, 1), np.float32),
    }  # fmt: skip
    whole = np.concatenate([batches[i][0]["age"] for i in range(3)])
    assert (abs(whole.mean()) < 1e-5, abs(whole.std() - 1) < 1e-5) == (True, True)


def test_one_array_is_fed_as_it_is():
    x = np.zeros((3, 2))
    assert fed(x) is x
    assert fed(together({"a": x}))["a"].shape == (3, 2)


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"photo": (6, 5, 1), "words": (4,)}, "The model takes photo, words, age; the data has photo, words"),
        (
            {"photo": (6, 5, 3), "words": (4,), "age": (1,)},
            r"takes photo of shape \(batch, 6, 5, 1\); the data has \(batch, 6, 5, 3\)",
        ),
        ((4,), r"has 3 inputs \(photo, words, age\), and the data has one array. Give x as a dict"),
    ],
)
def test_a_model_of_other_inputs_is_refused(shapes, said):
    model = build(read().input_shape, 2)
    task = reglab.Study((INPUTS, LABELS), build).task
    assert check_output(model, task=task, input_shape=read().input_shape).outputs == 2
    with pytest.raises(ReglabError, match=said):
        check_output(model, task=task, input_shape=shapes)


# --- studies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("mixup", "mixup acts on one array of inputs; arrays has 3: photo, words, age"),
        ("augmentation(rotation_range=5)", "augmentation acts on one array of inputs"),
        ("gaussian_noise(where=input)", "they are indices"),
    ],
)
def test_what_cannot_act_on_them_is_refused(recipe, said):
    from reglab.study.workbench import Workbench

    with pytest.raises(ReglabError, match=said):
        Workbench(reglab.Study((INPUTS, LABELS), build, [recipe], kind={"words": "tokens"}).assignment).plan()


@pytest.mark.slow
@pytest.mark.backend
@pytest.mark.parametrize("workers", [0, 1])
def test_a_study_of_several_inputs_trains_and_is_reported(tmp_path, workers):
    recipes = {"some": "dropout(rate=0.1)", "more": "dropout(rate=0.4)"}
    study = reglab.Study((INPUTS, LABELS), build, recipes, baseline="some", seeds=2, epochs=2, out=tmp_path / "s")
    results = study.run(workers=workers)
    assert all(run.status == "finished" for runs in results.runs.values() for run in runs.values())
    assert results.facts["inputs"] == "words: indices, as they are"
    assert any("The model looks its inputs words up as indices" in note for note in results.notes)
    results.report()
    with pytest.raises(ReglabError, match="samples does not know data of several inputs yet"):
        study.dataset.check_known_to("samples")


def test_a_search_takes_up_what_acts_on_no_input():
    from reglab.tuning.confirm import every_strategy

    found = every_strategy(read(kind="words=tokens"))
    assert {"l2", "dropout", "label_smoothing"} <= set(found)
    assert not {"mixup", "augmentation", "adversarial", "gaussian_noise", "cutmix"} & set(found)
