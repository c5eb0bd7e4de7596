"""Several outputs: each has its labels, loss and weight, and strategies of every stage act on what it is theirs to."""

import keras
import numpy as np
import pytest
from small import assert_same

import reglab
from reglab.backends import name as backend

pytestmark = pytest.mark.backend
layers = keras.layers
EAGER = backend() != "jax"  # a few steps take less time as they are than compiled
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(12, 4)).astype("float32")
CLASSES = np.arange(12) % 3
NUMBERS = X[:, :1] + 1
Y = {"b": NUMBERS, "a": CLASSES}
LOSS = {"a": "sparse_categorical_crossentropy", "b": "mse"}
WEIGHTS = {"a": 1.0, "b": 0.3}
DENSE = np.eye(3, dtype="float32")[CLASSES]


def network(*, by_name=True):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    h = layers.Dense(5, activation="relu")(inputs)
    a, b = layers.Dense(3, activation="softmax", name="a")(h), layers.Dense(1, name="b")(h)
    return keras.Model(inputs, {"b": b, "a": a} if by_name else [b, a])


def trained(model, y, loss, **kwargs):
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=EAGER, **kwargs)
    history = model.fit(X, y, batch_size=4, shuffle=False, verbose=0).history
    return history, [np.array(weight) for weight in getattr(model, "network", model).get_weights()]


def prepared(recipe, y=None, loss=None, *, by_name=True, sample_weight=None):
    """Return the batch that a training step gets."""
    model = reglab.regularize(network(by_name=by_name), recipe, seed=0)
    model.compile("sgd", loss or LOSS, run_eagerly=EAGER)
    batch = (X, Y if y is None else y) if sample_weight is None else (X, y or Y, sample_weight)
    return keras.tree.map_structure(
        lambda each: None if each is None else keras.ops.convert_to_numpy(each), model._prepare(batch)
    )


def test_the_empty_recipe_trains_to_the_last_bit_as_keras_does():
    more = {"loss_weights": WEIGHTS, "metrics": {"a": "accuracy", "b": "mae"}}
    ours, theirs = trained(reglab.regularize(network(), "none"), Y, LOSS, **more), trained(network(), Y, LOSS, **more)
    assert_same(ours, theirs)
    if backend() != "jax":  # under XLA to rounding
        assert all(map(np.array_equal, ours[1], theirs[1]))
        assert ours[0] == theirs[0]


def test_labels_are_smoothed_where_there_are_classes_as_keras_smooths_them():
    model = reglab.regularize(network(by_name=False), "label_smoothing(smoothing=0.2)")
    losses = {"a": keras.losses.CategoricalCrossentropy(label_smoothing=0.2, name="x"), "b": "mse"}
    ours = trained(model, Y, LOSS, loss_weights=WEIGHTS)
    theirs = trained(network(by_name=False), {"b": NUMBERS, "a": DENSE}, losses, loss_weights=WEIGHTS)
    assert_same(ours, theirs, within=1e-5)


def test_metrics_see_the_labels_of_each_output_as_they_are():
    found = []
    for wrap in (lambda model: model, lambda model: reglab.regularize(model, "label_smoothing(smoothing=0.3)")):
        model = wrap(network())
        metrics = {"a": ["accuracy", "sparse_categorical_crossentropy"], "b": ["mae"]}
        model.compile(keras.optimizers.SGD(0.0), LOSS, metrics=metrics, run_eagerly=EAGER)
        history = model.fit(X, Y, batch_size=4, shuffle=False, verbose=0).history
        found.append({name: values for name, values in history.items() if not name.endswith("loss")})
    assert found[0].keys() == found[1].keys() == {"a_accuracy", "a_sparse_categorical_crossentropy", "b_mae"}
    for name, values in found[0].items():
        np.testing.assert_allclose(found[1][name], values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("by_name", [True, False])
def test_all_outputs_are_mixed_by_one_share_per_example(by_name):
    x, y, _ = prepared("mixup(alpha=1)", Y if by_name else [NUMBERS, CLASSES], by_name=by_name)
    a, b = (y["a"], y["b"]) if by_name else (y[1], y[0])
    neighbour = np.roll(X, 1, axis=0)
    share = ((x - neighbour) * (X - neighbour)).sum(axis=1) / ((X - neighbour) ** 2).sum(axis=1)
    mix = lambda values: share[:, None] * values + (1 - share[:, None]) * np.roll(values, 1, axis=0)  # noqa: E731
    assert share.std() > 0.1
    np.testing.assert_allclose(a, mix(DENSE), atol=1e-5)
    np.testing.assert_allclose(b, mix(NUMBERS), atol=1e-5)


def test_weights_of_examples_are_mixed_with_each_output():
    weights = np.linspace(0.5, 2, 12).astype("float32")
    _, y, w = prepared("mixup(alpha=1)", sample_weight=weights)
    np.testing.assert_allclose(w["a"], w["b"])
    # w y is the mixture of the weighted labels, so the sum over a batch is that of before.
    np.testing.assert_allclose((w["a"][:, None] * y["a"]).sum(axis=1), w["a"], rtol=1e-5)
    model = reglab.regularize(network(), "mixup(alpha=1)", seed=0)
    model.compile("sgd", LOSS, run_eagerly=EAGER)
    assert np.isfinite(model.train_on_batch(X, Y, sample_weight=weights)).all()


class _Together(keras.losses.Loss):
    """The losses of both outputs, of a model that gives them beside each other."""

    def call(self, y, y_pred):
        classes = keras.ops.sum(y[:, :3] * -keras.ops.log(y_pred[:, :3]), axis=-1)
        return classes + 0.3 * keras.ops.square(y_pred[:, 3] - y[:, 3])


@pytest.mark.parametrize("recipe", ["sam(rho=0.5)", "adversarial(epsilon=0.1)"])
def test_gradients_are_those_of_the_weighted_sum_of_losses(recipe):
    def joined():
        model = network()
        both = layers.Concatenate()([model.output["a"], model.output["b"]])
        return keras.Model(model.input, both)

    reference = reglab.regularize(joined(), recipe, seed=0)
    reference.adapt(X)
    theirs = trained(reference, np.concatenate([DENSE, NUMBERS], axis=1), _Together())
    model = reglab.regularize(network(), recipe, seed=0)
    model.adapt(X)
    losses = {"a": keras.losses.CategoricalCrossentropy(), "b": "mse"}
    ours = trained(model, {"a": DENSE, "b": NUMBERS}, losses, loss_weights=WEIGHTS)
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    plain = trained(network(), {"a": DENSE, "b": NUMBERS}, losses, loss_weights=WEIGHTS)
    assert max(np.abs(one - other).max() for one, other in zip(ours[1], plain[1], strict=True)) > 1e-4


def test_labels_of_pixels_move_with_the_images_and_other_outputs_stay():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    h = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    pixels = layers.Dense(2, activation="softmax", name="pixels")(h)
    whole = layers.Dense(3, activation="softmax", name="whole")(layers.GlobalAveragePooling2D()(h))
    model = reglab.regularize(
        keras.Model(inputs, {"pixels": pixels, "whole": whole}), "augmentation(horizontal_flip=true)", seed=0
    )
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=EAGER)
    x = RANDOM.uniform(size=(12, 6, 6, 1)).astype("float32")
    mask = (x[..., 0] > 0.5).astype("int32")
    moved, y, _ = (keras.tree.map_structure(keras.ops.convert_to_numpy, each) if each is not None else None
                   for each in model._prepare((x, {"pixels": mask, "whole": CLASSES})))  # fmt: skip
    np.testing.assert_array_equal(y["pixels"], moved[..., 0] > 0.5)
    np.testing.assert_array_equal(y["whole"], CLASSES)
    assert not np.array_equal(moved, x)


class TestRefusals:
    def test_smoothing_without_any_classes(self):
        with pytest.raises(reglab.ReglabError, match="no output of the model has any"):
            reglab.regularize(network(), "label_smoothing").compile("sgd", "mse")

    def test_a_loss_that_is_not_known_is_told_with_its_output(self):
        own = lambda y, y_pred: keras.ops.mean((y - y_pred) ** 4, axis=-1)  # noqa: E731
        with pytest.raises(reglab.ReglabError, match="Output b: mixup needs a cross-entropy loss"):
            reglab.regularize(network(), "mixup").compile("sgd", {**LOSS, "b": own})

    @pytest.mark.parametrize("recipe", ["r_drop", "trades"])
    def test_what_compares_the_predictions_of_one_output(self, recipe):
        with pytest.raises(reglab.ReglabError, match=f"{recipe} adds a term that compares what one output gives"):
            reglab.regularize(network(), recipe).compile("sgd", LOSS)

    def test_a_label_that_is_no_class_is_told_with_its_output(self):
        model = reglab.regularize(network(), "none")
        model.compile("sgd", LOSS, run_eagerly=EAGER)
        with pytest.raises(reglab.ReglabError, match=r"Output a: .*for the labels 0 to 2; 4 of 12 are others"):
            model.fit(X, {**Y, "a": CLASSES + 1}, verbose=0)
