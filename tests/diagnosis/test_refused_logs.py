"""Logs of what a diagnosis knows nothing of: read rightly, or refused in a sentence."""

from __future__ import annotations

import pytest

from reglab.errors import ReglabError
from reglab.histories import read_log


def test_percent_is_read_as_percent_and_said():
    log = read_log({"accuracy": [50.0, 95.2], "val_accuracy": [40.0, 61.0], "loss": [2.0, 1.0]})
    assert log.histories[0]["train_accuracy"] == pytest.approx([0.5, 0.952])
    assert log.histories[0]["val_accuracy"] == pytest.approx([0.4, 0.61])
    assert any("percent" in note for note in log.notes)
    assert not any("percent" in note for note in read_log({"accuracy": [0.5, 1.0]}).notes)


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ({"accuracy": [9508.8]}, "shares from 0 to 1, or percent"),
        ({"accuracy": [-0.1, 0.5]}, "shares from 0 to 1, or percent"),
        ({"accuracy": [0.5, 0.9], "val_accuracy": [50.0, 60.0]}, "in percent, and other accuracies are not"),
        ({"loss": [2.0, 1.0], "mae": [1.0, 0.5], "val_loss": [2.0, 1.5]}, "mae and no accuracy"),
        ({"loss": [2.0, 1.0], "val_r2_score": [0.1, 0.9]}, "of a regression"),
        ({"loss": [-2.0, -3.0]}, "never below 0"),
    ],
)
def test_what_is_no_log_of_classification_is_refused(history, said):
    with pytest.raises(ReglabError, match=said):
        read_log(history)


@pytest.fixture(scope="module")
def fitted():
    """Return a function that trains a few epochs on random data and returns what Diagnose says."""
    import keras
    import numpy as np

    import reglab

    random = np.random.default_rng(0)
    x = random.normal(size=(40, 3)).astype("float32")

    def fit(units, activation, y, loss, metrics, capsys):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, activation=activation)])
        model.compile("sgd", loss, metrics=metrics, run_eagerly=True)
        watch = reglab.Diagnose()
        model.fit(x, y, validation_split=0.5, epochs=5, batch_size=20, verbose=0, callbacks=[watch])
        return watch, capsys.readouterr().out

    return fit


def test_several_labels_are_refused(fitted, capsys):
    import numpy as np

    y = np.random.default_rng(1).integers(0, 2, (40, 4)).astype("float32")
    watch, said = fitted(4, "sigmoid", y, "binary_crossentropy", ["accuracy"], capsys)
    assert watch.diagnosis is None
    assert "4 sigmoids, each a label of its own" in said
    assert "chance" not in said


def test_regression_is_refused(fitted, capsys):
    import numpy as np

    y = np.random.default_rng(1).normal(size=40).astype("float32")
    watch, said = fitted(1, None, y, "mse", None, capsys)
    assert watch.diagnosis is None
    assert "mean_squared_error" in said
    assert "cross-entropy" not in said


def test_a_loss_of_ones_own_is_not_called_cross_entropy(fitted, capsys):
    import numpy as np
    from keras import ops

    def own(y, p):
        return ops.mean((1 - ops.cast(y, p.dtype) - p) ** 2, axis=-1)

    y = np.random.default_rng(1).integers(0, 2, 40).astype("float32")
    watch, _ = fitted(1, "sigmoid", y, own, ["accuracy"], capsys)
    assert watch.diagnosis is not None
    assert watch.diagnosis.cross_entropy_gap is None
