"""Series that are filled up with a value which the model masks keep it: nothing moves what Masking looks for."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import reglab
from reglab.errors import ReglabError
from reglab.regularized.inputs import masked
from reglab.study.workbench import Workbench

L = keras.layers
STEPS, FEATURES = 5, 2


def series(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(3.0, 2.0, size=(count, STEPS, FEATURES)).astype("float32")
    x[np.arange(STEPS) >= random.integers(2, STEPS, count)[:, None]] = 0.0
    return x, np.arange(count) % 2


def masking(input_shape=(STEPS, FEATURES), num_classes=2):
    layers = [L.Masking(0.0), L.GlobalAveragePooling1D(), L.Dense(num_classes, activation="softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])


def plain(input_shape=(STEPS, FEATURES), num_classes=2):
    layers = [L.GlobalAveragePooling1D(), L.Dense(num_classes, activation="softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.mask, self.pool, self.head = L.Masking(), L.GlobalAveragePooling1D(), L.Dense(2, activation="softmax")

    def call(self, x):
        return self.head(self.pool(self.mask(x)))


def of_two() -> keras.Model:
    steps, age = keras.Input((STEPS, FEATURES), name="steps"), keras.Input((1,), name="age")
    both = L.Concatenate()([L.GlobalAveragePooling1D()(masking().layers[0](L.Permute((1, 2))(steps))), age])
    return keras.Model([steps, age], L.Dense(2, activation="softmax")(both))


def after_a_layer() -> keras.Model:
    inputs = keras.Input((STEPS, FEATURES))
    return keras.Model(inputs, L.GlobalAveragePooling1D()(L.Masking()(L.Dense(2, activation="relu")(inputs))))


@pytest.mark.parametrize(
    ("build", "names"),
    [(masking, {""}), (Own, {""}), (of_two, {"steps"}), (plain, set()), (after_a_layer, set())],
    ids=["sequential", "subclassed", "one of two inputs", "without", "behind a layer"],
)
def test_which_inputs_are_masked_by_their_values(build, names):
    found = masked(build())
    assert {name for name in found if name in {"", "steps", "age"}} == names


def bench(build, *recipes, **options):
    return Workbench(reglab.Study(series(), build, list(recipes), kind="series", epochs=1, **options).assignment)


def test_such_inputs_are_given_as_they_are_and_it_is_said():
    found = bench(masking)
    x, _ = found.seed_data(0).validation
    assert (x == 0).all(axis=-1).any()
    assert np.isin(x, series()[0]).all()
    assert any("The model masks steps of its inputs by their values" in note for note in found.plan().notes)
    assert found.facts()["padding"] == "masked, inputs as they are"
    assert not any("masks steps" in note for note in bench(masking, preprocess="none").plan().notes)


def test_without_a_mask_they_are_standardized():
    found = bench(plain)
    assert "padding" not in found.facts()
    assert not np.isin(found.seed_data(0).validation[0], series()[0]).any()


@pytest.mark.parametrize("recipe", ["gaussian_noise(where=input)", "adversarial(method=pgd)"])
def test_what_would_move_the_padding_is_refused(recipe):
    with pytest.raises(ReglabError, match=r"changes all numbers .* masks steps of one value .*Masking"):
        reglab.regularize(masking(), recipe)
    reglab.regularize(plain(), recipe)


@pytest.mark.backend
def test_an_attack_by_gradients_leaves_the_padding():
    x, y = series(8)
    model = reglab.regularize(masking(), "adversarial(epsilon=0.5, share=1.0)", seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    ((_, moved),) = model.changed_inputs(x, keras.ops.convert_to_tensor(y))
    moved = keras.ops.convert_to_numpy(moved)
    padding = (x == 0).all(axis=-1)
    assert (moved[padding] == 0).all()
    assert (moved[~padding] != x[~padding]).any()


def test_the_classifier_of_scikit_learn_leaves_them_too():
    x, y = series()
    assert reglab.RegularizedClassifier(masking, epochs=1, random_state=0).fit(x, y).preprocess_.mode == "none"
    assert reglab.RegularizedClassifier(plain, epochs=1, random_state=0).fit(x, y).preprocess_.mode == "standardize"
