"""Label smoothing against that of Keras' losses, and what metrics see of it."""

import keras
import numpy as np
import pytest
from small import compiled, prepared, softmax_regression

from reglab.strategies import LabelSmoothing

pytestmark = pytest.mark.backend


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


def test_evaluation_and_metrics_see_the_labels_as_they_are():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 4)).astype("float32"), rng.integers(0, 3, 12)
    metrics = ["sparse_categorical_accuracy", "sparse_categorical_crossentropy"]
    model = softmax_regression()
    regularized = compiled(model, LabelSmoothing(smoothing=0.3), metrics=metrics)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=metrics)
    expected = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(regularized.evaluate(x, y, verbose=0), expected, rtol=1e-5)
    history = regularized.fit(x, y, epochs=2, verbose=0).history  # and training with them works
    assert set(history) == {"loss", *metrics}
