"""Mixup and label smoothing: what they do to inputs, targets and sample weights, and the loss that comes of it."""

import keras
import numpy as np
import pytest
import scipy.stats

import reglab
from reglab.strategies import LabelSmoothing, Mixup

pytestmark = pytest.mark.backend


def softmax_regression(classes=3, features=4, activation="softmax"):
    inputs = keras.Input((features,))
    return keras.Model(inputs, keras.layers.Dense(classes, activation=activation)(inputs))


def compiled(model, recipe, loss="sparse_categorical_crossentropy", **kwargs):
    regularized = reglab.regularize(model, recipe, seed=0)
    regularized.compile(keras.optimizers.SGD(0.5), loss, **kwargs)
    return regularized


def prepared(model, *batch):
    return [None if part is None else keras.ops.convert_to_numpy(part) for part in model._prepare(batch)]


def test_mixup_mixes_inputs_and_targets_with_the_neighbour_in_one_proportion():
    count = 2000
    x = np.eye(count, dtype="float32")
    y = np.arange(count) % 3
    model = compiled(softmax_regression(features=count), Mixup(alpha=0.4))
    mixed, targets, weights = prepared(model, x, y)
    m = np.diag(mixed)
    np.testing.assert_allclose(mixed.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(mixed[np.arange(count), np.arange(count) - 1], 1 - m, atol=1e-6)
    one_hot = np.eye(3)[y]
    np.testing.assert_allclose(
        targets, m[:, None] * one_hot + (1 - m)[:, None] * np.roll(one_hot, 1, axis=0), atol=1e-6
    )
    assert weights is None
    assert scipy.stats.kstest(m, scipy.stats.beta(0.4, 0.4).cdf).pvalue > 1e-3


def test_mixup_mixes_weighted_losses():
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(8, 4)).astype("float32"), rng.integers(0, 3, 8), rng.uniform(0.1, 3, 8)
    model = compiled(softmax_regression(), Mixup(alpha=1.0))
    _, targets, weights = prepared(model, x, y, w)
    model.set_seed(0)
    _, unweighted, _ = prepared(model, x, y)
    # With w_i and w_j the loss is m w_i l(y_i) + (1 - m) w_j l(y_j), so target times weight is what counts.
    one_hot = np.eye(3)[y]
    neighbour = np.roll(one_hot, 1, axis=0)
    differ = (one_hot != neighbour).any(axis=1)
    m = (unweighted * one_hot).sum(axis=1)
    expected = (m * w)[:, None] * one_hot + ((1 - m) * np.roll(w, 1))[:, None] * neighbour
    np.testing.assert_allclose((targets * weights[:, None])[differ], expected[differ], atol=1e-5)


@pytest.mark.parametrize("logits", [False, True])
def test_label_smoothing_of_sparse_labels_is_keras_smoothing_of_dense_ones(logits):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 4)).astype("float32"), rng.integers(0, 3, 12)
    model = softmax_regression(activation=None if logits else "softmax")
    oracle = keras.models.clone_model(model)
    oracle.set_weights(model.get_weights())
    oracle.compile(
        keras.optimizers.SGD(0.5), keras.losses.CategoricalCrossentropy(from_logits=logits, label_smoothing=0.3)
    )
    expected = [float(oracle.train_on_batch(x, np.eye(3)[y])) for _ in range(4)]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    regularized = compiled(model, LabelSmoothing(smoothing=0.3), loss)
    found = [float(regularized.train_on_batch(x, y)) for _ in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(regularized.network.get_weights()[0], oracle.get_weights()[0], atol=1e-5)


def test_a_binary_label_is_smoothed_towards_a_half():
    model = compiled(softmax_regression(1, activation="sigmoid"), LabelSmoothing(smoothing=0.2), "binary_crossentropy")
    _, targets, _ = prepared(model, np.zeros((2, 4), "float32"), np.array([0, 1]))
    np.testing.assert_allclose(targets, [[0.1], [0.9]], atol=1e-6)


@pytest.mark.parametrize("recipe", [LabelSmoothing(smoothing=0.3), Mixup(alpha=0.5)], ids=["smoothing", "mixup"])
def test_evaluation_and_metrics_see_the_labels_as_they_are(recipe):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 4)).astype("float32"), rng.integers(0, 3, 12)
    metrics = ["sparse_categorical_accuracy", "sparse_categorical_crossentropy"]
    model = softmax_regression()
    regularized = compiled(model, recipe, metrics=metrics)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=metrics)
    expected = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(regularized.evaluate(x, y, verbose=0), expected, rtol=1e-5)
    history = regularized.fit(x, y, epochs=2, verbose=0).history  # and training with them works
    assert set(history) == {"loss", *metrics}


def test_a_loss_that_has_no_distributions_is_refused():
    with pytest.raises(reglab.ReglabError, match="mixup needs a cross-entropy loss"):
        compiled(softmax_regression(), Mixup(alpha=0.5), "mse")
