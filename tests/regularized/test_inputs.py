"""Indices, whole numbers, several inputs and masks: what cannot mean anything for them is refused before training."""

import keras
import numpy as np
import pytest
import scipy.sparse

import reglab
from reglab.backends import name as backend
from reglab.regularized.inputs import known_inputs, takes_indices
from reglab.sklearn import RegularizedClassifier
from reglab.strategies import ModelInput

layers = keras.layers
WORDS = 20


def softmax(h, classes=2):
    return layers.Dense(classes, activation="softmax")(h)


def tokens(dtype="float32", before=None):
    inputs = keras.Input((6,), dtype=dtype)
    h = inputs if before is None else before(inputs)
    return keras.Model(inputs, softmax(layers.GlobalAveragePooling1D()(layers.Embedding(WORDS, 3)(h))))


class Tokens(layers.Layer):
    """Words and their places, as a guide of Keras' writes it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.words, self.places = layers.Embedding(WORDS, 3), layers.Embedding(6, 3)

    def call(self, x):
        return self.words(x) + self.places(keras.ops.arange(6))


class Patches(layers.Layer):
    """Numbers that measure something, and their places."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.project, self.places = layers.Dense(3), layers.Embedding(6, 3)

    def call(self, x):
        return self.project(keras.ops.expand_dims(x, -1)) + self.places(keras.ops.arange(6))


class Subclassed(keras.Model):
    def __init__(self, first):
        super().__init__()
        self.first, self.head = first, layers.Dense(2, activation="softmax")

    def call(self, x):
        return self.head(keras.ops.mean(self.first(x), axis=1))


def custom(layer):
    inputs = keras.Input((6,))
    return keras.Model(inputs, softmax(layers.GlobalAveragePooling1D()(layer(inputs))))


def built(model):
    model(np.zeros((2, 6), "float32"))
    return model


INDEXED = {
    "an embedding": tokens,
    "whole numbers by dtype": lambda: tokens("int32"),
    "cast before": lambda: tokens(before=lambda x: keras.ops.cast(x, "int32")),
    "in a nested model": lambda: custom(keras.Sequential([keras.Input((6,)), layers.Embedding(WORDS, 3)])),
    "Sequential": lambda: keras.Sequential(
        [keras.Input((6,)), layers.Embedding(WORDS, 3), layers.Flatten(), layers.Dense(2, activation="softmax")]
    ),
    "in a layer of one's own": lambda: custom(Tokens()),
    "subclassed": lambda: built(Subclassed(layers.Embedding(WORDS, 3))),
}
MEASURED = {
    "dense": lambda: keras.Sequential([keras.Input((6,)), layers.Dense(2, activation="softmax")]),
    "an embedding of places": lambda: custom(Patches()),
    "subclassed, an embedding of places": lambda: built(Subclassed(Patches())),
    "binned before": lambda: tokens(before=layers.Discretization(bin_boundaries=[-1.0, 0.0, 1.0])),
}


@pytest.mark.parametrize("build", INDEXED.values(), ids=INDEXED)
def test_indices_are_known(build):
    assert takes_indices(build())


@pytest.mark.parametrize("build", MEASURED.values(), ids=MEASURED)
def test_what_is_measured_is_not_taken_for_indices(build):
    assert not takes_indices(build())


@pytest.mark.parametrize(
    "recipe",
    ["mixup", "adversarial(epsilon=0.1)", "gaussian_noise(where=input)", "dropout(where=input)", "augmentation"],
)
@pytest.mark.parametrize("build", [tokens, INDEXED["whole numbers by dtype"], INDEXED["subclassed"]])
def test_what_changes_numbers_refuses_indices(build, recipe):
    with pytest.raises(reglab.ReglabError, match=r"changes the numbers .*they are indices"):
        reglab.regularize(build(), recipe)


@pytest.mark.parametrize("recipe", ["mixup", "adversarial", "gaussian_noise(where=input)"])
def test_a_model_that_says_nothing_of_its_inputs_is_refused_with_the_first_batch(recipe):
    model = reglab.regularize(Subclassed(layers.Embedding(WORDS, 3)), recipe, seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(reglab.ReglabError, match="they are indices"):
        model.fit(np.zeros((4, 6), "int64"), np.zeros(4), verbose=0)


def test_what_changes_no_input_trains_on_indices():
    model = reglab.regularize(tokens(), "l2 + dropout + gaussian_noise(where=hidden) + label_smoothing + sam", seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    x = np.random.default_rng(0).integers(0, WORDS, (8, 6))
    assert np.isfinite(float(model.train_on_batch(x, np.arange(8) % 2)))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model._prepare((x, np.arange(8) % 2))[0]), x)


def test_whole_numbers_that_measure_something_are_told_apart_from_indices():
    inputs = keras.Input((4, 4, 1), dtype="uint8")
    model = keras.Model(inputs, softmax(layers.Flatten()(layers.Rescaling(1 / 255)(inputs))))
    with pytest.raises(reglab.ReglabError, match=r"takes them as uint8, which cuts .* dtype='float32'"):
        reglab.regularize(model, "adversarial(epsilon=0.01)")
    assert known_inputs(model) == [ModelInput((None, 4, 4, 1), "uint8", indices=False)]


@pytest.mark.parametrize("recipe", ["adversarial", "mixup"])
def test_what_acts_on_one_array_refuses_several_inputs(recipe):
    a, b = keras.Input((3,)), keras.Input((3,))
    model = keras.Model([a, b], softmax(layers.Concatenate()([a, b])))
    with pytest.raises(reglab.ReglabError, match=f"{recipe} acts on one array of inputs; the model has 2 inputs"):
        reglab.regularize(model, recipe)


@pytest.mark.parametrize("recipe", ["mixup", "adversarial", "gaussian_noise(where=input)"])
def test_sparse_inputs_are_not_changed(recipe):
    if backend() != "tensorflow":
        pytest.skip("only TensorFlow hands a sparse matrix on as it is")
    x, y = scipy.sparse.csr_matrix(np.eye(4, dtype="float32")), np.arange(4) % 2
    model = reglab.regularize(keras.Sequential([keras.Input((4,)), layers.Dense(2, activation="softmax")]), recipe)
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(reglab.ReglabError, match=r"sparse or ragged \(SparseTensor\).*toarray"):
        model.fit(x, y, verbose=0)


class TestMasks:
    """Images whose targets are images: what moves one and not the other is refused."""

    MOVING = ("augmentation(horizontal_flip=true)", "augmentation(rotation_range=10)")

    @staticmethod
    def model():
        inputs = keras.Input((4, 4, 1))
        return keras.Model(inputs, layers.Conv2D(2, 1, activation="softmax")(inputs))

    @pytest.mark.parametrize("recipe", MOVING)
    def test_known_from_the_model(self, recipe):
        with pytest.raises(reglab.ReglabError, match=r"augmentation moves the pixels .* would stay where they are"):
            reglab.regularize(self.model(), recipe)

    def test_known_from_the_first_batch(self):
        class Net(keras.Model):
            def __init__(self):
                super().__init__()
                self.conv = layers.Conv2D(2, 1, activation="softmax")

            def call(self, x):
                return self.conv(x)

        model = reglab.regularize(Net(), self.MOVING[0], seed=0)
        model.compile("sgd", "sparse_categorical_crossentropy")
        with pytest.raises(reglab.ReglabError, match="augmentation moves the pixels"):
            model.fit(np.zeros((4, 4, 4, 1), "float32"), np.zeros((4, 4, 4), "int32"), verbose=0)

    def test_what_leaves_pixels_where_they_are_trains(self):
        model = reglab.regularize(self.model(), "augmentation(channel_shift_range=0.1) + l2 + sam", seed=0)
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
        x = np.random.default_rng(0).normal(size=(4, 4, 4, 1)).astype("float32")
        assert np.isfinite(float(model.train_on_batch(x, np.zeros((4, 4, 4), "int32"))))

    @pytest.mark.parametrize("recipe", ["label_smoothing", "mixup"])
    def test_a_label_per_position_is_not_softened(self, recipe):
        model = reglab.regularize(self.model(), recipe)
        with pytest.raises(reglab.ReglabError, match=f"{recipe} acts on one label per example"):
            model.compile("sgd", "sparse_categorical_crossentropy")


@pytest.mark.slow
@pytest.mark.parametrize("preprocess", ["standardize", "rescale"])
def test_a_study_gives_indices_to_the_model_as_they_are_and_says_so(tmp_path, preprocess):
    rng = np.random.default_rng(0)
    x = rng.integers(0, WORDS, (40, 6))

    def study(mode):
        return reglab.Study(
            (x, x[:, 0] % 2), tokens, ["l2"], seeds=1, epochs=2, preprocess=mode, out=tmp_path / mode, name="tokens"
        ).run(workers=0)

    asked, as_they_are = study(preprocess), study("none")
    assert any("looks its inputs up as indices" in note for note in asked.notes)
    assert not any("indices" in note for note in as_they_are.notes)
    for name, runs in asked.runs.items():
        for seed, run in runs.items():
            assert run.history == as_they_are.runs[name][seed].history


def test_a_classifier_gives_indices_to_the_model_as_they_are():
    x = np.random.default_rng(0).integers(0, WORDS, (24, 6))
    classifier = RegularizedClassifier(tokens, epochs=1, random_state=0).fit(x, x[:, 0] % 2)
    assert classifier.preprocess_.mode == "none"
