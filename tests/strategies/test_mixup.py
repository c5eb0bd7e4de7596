"""Mixup: what it does to inputs, targets and sample weights, and the loss that comes of it."""

import numpy as np
import pytest
import scipy.stats
from small import compiled, prepared, softmax_regression

import reglab
from reglab.strategies import Mixup

pytestmark = pytest.mark.backend


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


def test_evaluation_and_metrics_see_the_labels_as_they_are():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 4)).astype("float32"), rng.integers(0, 3, 12)
    metrics = ["sparse_categorical_accuracy", "sparse_categorical_crossentropy"]
    model = softmax_regression()
    regularized = compiled(model, Mixup(alpha=0.5), metrics=metrics)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=metrics)
    expected = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(regularized.evaluate(x, y, verbose=0), expected, rtol=1e-5)
    history = regularized.fit(x, y, epochs=2, verbose=0).history  # and training with them works
    assert set(history) == {"loss", *metrics}


def test_a_loss_that_has_no_distributions_is_refused():
    with pytest.raises(reglab.ReglabError, match=r"mixup needs a cross-entropy .* or mean_squared_error of numbers"):
        compiled(softmax_regression(), Mixup(alpha=0.5), "categorical_hinge")


@pytest.mark.parametrize("outputs", [1, 3])
def test_numbers_to_predict_are_mixed_as_the_inputs_are(outputs):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 4)).astype("float32")
    y = (x @ rng.normal(size=(4, outputs))).astype("float32")
    model = compiled(softmax_regression(classes=outputs, activation=None), Mixup(alpha=0.5), "mse")
    mixed, targets, _ = prepared(model, x, y[:, 0] if outputs == 1 else y)
    share = ((mixed - x) / (np.roll(x, 1, axis=0) - x)).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(targets, (1 - share) * y + share * np.roll(y, 1, axis=0), atol=1e-5)
    with pytest.raises(reglab.ReglabError, match="Give as many labels as outputs"):
        prepared(model, x, np.zeros((16, 2), "float32"))
