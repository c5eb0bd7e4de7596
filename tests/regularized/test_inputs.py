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
    """Images whose targets are images: both move, or what moves one and not the other is refused."""

    @staticmethod
    def model():
        inputs = keras.Input((4, 4, 1))
        return keras.Model(inputs, layers.Conv2D(2, 1, activation="softmax")(inputs))

    def test_of_another_size_known_from_the_model(self):
        inputs = keras.Input((4, 4, 1))
        model = keras.Model(inputs, layers.Conv2D(2, 2, strides=2, activation="softmax")(inputs))
        with pytest.raises(reglab.ReglabError, match=r"augmentation moves the pixels .* would stay where they are"):
            reglab.regularize(model, "augmentation(horizontal_flip=true)")
        with pytest.raises(reglab.ReglabError, match=r"cutmix moves patches .* are of another size"):
            reglab.regularize(model, "cutmix")

    def test_without_a_class_beyond_the_edge_known_from_the_first_batch(self):
        class Net(keras.Model):
            def __init__(self):
                super().__init__()
                self.conv = layers.Conv2D(2, 1, activation="softmax")

            def call(self, x):
                return self.conv(x)

        model = reglab.regularize(Net(), "augmentation(rotation_range=10, fill_mode=constant)", seed=0)
        model.compile("sgd", "sparse_categorical_crossentropy")
        with pytest.raises(reglab.ReglabError, match="fill_mode=constant has no class"):
            model.fit(np.zeros((4, 4, 4, 1), "float32"), np.zeros((4, 4, 4), "int32"), verbose=0)

    def test_what_leaves_pixels_where_they_are_trains(self):
        model = reglab.regularize(self.model(), "augmentation(channel_shift_range=0.1) + l2 + sam", seed=0)
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
        x = np.random.default_rng(0).normal(size=(4, 4, 4, 1)).astype("float32")
        assert np.isfinite(float(model.train_on_batch(x, np.zeros((4, 4, 4), "int32"))))

    @pytest.mark.parametrize("recipe", ["augmentation(horizontal_flip=true, vertical_flip=true)",
                                        "augmentation(width_shift_range=2.0, horizontal_flip=true)"])  # fmt: skip
    def test_masks_and_their_weights_move_with_the_images(self, recipe):
        x = np.random.default_rng(0).integers(0, 2, (64, 4, 4, 1)).astype("float32")
        model = reglab.regularize(self.model(), recipe, seed=0)
        model.compile("sgd", "sparse_categorical_crossentropy")
        found = [keras.ops.convert_to_numpy(each) for each in model._prepare((x, x[..., 0].astype("int32"), x[..., 0]))]
        assert (np.abs(found[0] - x) > 0.1).any()
        assert found[1].dtype.kind == "i"
        # Between two pixels a class is the nearer one's.
        sure = np.abs(found[0][..., 0] - 0.5) > 0.49
        assert sure.mean() > 0.4
        np.testing.assert_array_equal(found[1][sure], found[0][..., 0][sure] > 0.5)
        np.testing.assert_array_equal(found[1], found[2])

    def test_classes_of_pixels_are_softened_mixed_and_cut_as_the_images_are(self):
        random = np.random.default_rng(0)
        x, y = random.normal(size=(8, 4, 4, 1)).astype("float32"), random.integers(0, 2, (8, 4, 4))
        one_hot = np.eye(2)[y]
        for recipe in ("label_smoothing(smoothing=0.2)", "mixup(alpha=1.0)", "cutmix"):
            model = reglab.regularize(self.model(), recipe, seed=0)
            model.compile("sgd", "sparse_categorical_crossentropy")
            mixed, targets, _ = (None if each is None else keras.ops.convert_to_numpy(each) for each in
                                 model._prepare((x, y, None)))  # fmt: skip
            neighbour, theirs = np.roll(x, 1, axis=0), np.roll(one_hot, 1, axis=0)
            share = (mixed - x) / (neighbour - x)
            expected = 0.8 * one_hot + 0.1 if "smoothing" in recipe else (1 - share) * one_hot + share * theirs
            np.testing.assert_allclose(targets, expected, atol=1e-4)

    def test_ignored_positions_count_nothing_in_soft_losses(self):
        """So little softened, the loss is that of the bare model, in training and in evaluation."""
        random = np.random.default_rng(0)
        x, y = random.normal(size=(8, 4, 4, 1)).astype("float32"), random.integers(-1, 2, (8, 4, 4))
        loss, bare = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1), self.model()
        model = reglab.regularize(bare, "label_smoothing(smoothing=1e-7)", seed=0)
        for each in (bare, model):
            each.compile("sgd", loss)
        expected = bare.evaluate(x, y, verbose=0)
        assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)
        assert float(model.train_on_batch(x, y)) == pytest.approx(expected, rel=1e-4)

    @pytest.mark.parametrize("recipe", ["mixup(alpha=1.0)", "cutmix"])
    def test_an_ignored_position_gives_its_share_of_a_mixture_to_the_other(self, recipe):
        random = np.random.default_rng(0)
        x, y = random.normal(size=(8, 4, 4, 1)).astype("float32"), random.integers(-1, 2, (8, 4, 4))
        model = reglab.regularize(self.model(), recipe, seed=0)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(ignore_class=-1))
        mixed, targets, weights = (keras.ops.convert_to_numpy(each) for each in model._prepare((x, y, None)))
        share = (mixed - x) / (np.roll(x, 1, axis=0) - x)
        counted = np.eye(2)[y] * (y >= 0)[..., None] * y.size / (y >= 0).sum()
        expected = (1 - share) * counted + share * np.roll(counted, 1, axis=0)
        np.testing.assert_allclose(targets * weights[..., None], expected, atol=1e-4)


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


@pytest.mark.slow
def test_a_classifier_tells_networks_of_tokens_how_many_there_are():
    x = np.random.default_rng(0).integers(0, WORDS, (24, 6))
    classifier = RegularizedClassifier("text_cnn(width=2, filters=2, kernels=(2,))", epochs=1, random_state=0)
    classifier.fit(x, x[:, 0] % 2)
    assert classifier.preprocess_.mode == "none"
    assert classifier.model_.network.get_layer("embedding").input_dim == x.max() + 1
    assert classifier.predict_proba(x).shape == (24, 2)
