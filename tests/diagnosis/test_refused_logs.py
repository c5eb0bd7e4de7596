"""Logs of what a diagnosis knows nothing of: read rightly, or refused in a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from reglab.analysis.diagnose import diagnose
from reglab.analysis.prescribe import Patient, prescribe
from reglab.errors import ReglabError
from reglab.logs import read_log
from reglab.report.diagnosis import whole
from reglab.tasks import SingleLabel


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
        ({"accuracy": [0.5, 0.9], "val_accuracy": [50.0, 60.0]}, "in percent, and the other part's is not"),
        ({"loss": [-2.0, -3.0], "accuracy": [0.1, 0.2]}, "never below 0"),
        ({"mse": [-2.0, -3.0]}, "never below 0"),
        ({"loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}, "a loss alone does not say what is learned"),
        ({"loss": [2.0, 1.0], "val_loss": [2.0, 1.5], "f1": [0.1, 0.2]}, "a loss alone does not say"),
    ],
)
def test_what_cannot_be_read_is_refused(history, said):
    with pytest.raises(ReglabError, match=said):
        read_log(history)


def test_a_loss_is_a_cross_entropy_where_that_is_known():
    log = {"loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}
    assert read_log(log, loss="categorical_crossentropy").histories[0]["val_cross_entropy"] == [2.0, 1.5]
    assert read_log({"cross_entropy": [2.0], "val_cross_entropy": [1.0]}).notes == ()


@pytest.mark.parametrize("name", ["mse", "mean_squared_error", "mae"])
def test_a_squared_error_beside_accuracy_is_no_cross_entropy(name):
    log = read_log({"accuracy": [0.5, 0.6], "loss": [0.3, 0.2], name: [0.3, 0.2], "val_loss": [0.4, 0.3]})
    assert log.histories == ({"train_accuracy": [0.5, 0.6]},)
    assert any(f"loss is the same as {name}" in note for note in log.notes)


@pytest.mark.parametrize(
    ("text", "accuracies"),
    [
        ("epoch;accuracy;val_accuracy\n0;0,5;0,4\n1;0,625;0,45\n", ([0.5, 0.625], [0.4, 0.45])),
        ("epoch,accuracy,val_accuracy\n0,50 %,40.5%\n1,75 %,\n2,80%,41%\n", ([0.5, 0.8], [0.405, 0.41])),
        ('epoch,accuracy,val_accuracy\n0,"0,5","0,4"\n', ([0.5], [0.4])),
    ],
)
def test_numbers_as_spreadsheets_write_them(tmp_path, text, accuracies):
    (tmp_path / "log.csv").write_text(text)
    found = read_log(tmp_path / "log.csv").histories[0]
    assert found["train_accuracy"] == pytest.approx(accuracies[0])
    assert found["val_accuracy"] == pytest.approx(accuracies[1])


@pytest.mark.parametrize("numbers", ["0,5 0.5", "1,234 2,345", "$1 $2", "0,5 high"])
def test_numbers_that_can_be_read_in_two_ways_are_refused(tmp_path, numbers):
    first, second = numbers.split(" ")
    (tmp_path / "log.csv").write_text(f"epoch;accuracy\n0;{first}\n1;{second}\n")
    with pytest.raises(ReglabError, match="is no number"):
        read_log(tmp_path / "log.csv")


# --- nothing is said of what a log does not have ---------------------------------------------------


def _told(history):
    found = diagnose([history], SingleLabel(classes=tuple("0123456789")))
    items = prescribe(found, Patient(kind="image", epochs=12, classes=10))
    return found, " ".join(whole(found, items).lower().split())


EPOCHS = np.arange(12)
RISES = (2 - 0.1 * EPOCHS + 0.02 * EPOCHS**2).tolist()


def test_without_validation_nothing_is_said_of_it():
    falling = {"train_accuracy": (0.5 + 0.04 * EPOCHS).tolist(), "train_cross_entropy": (2 - 0.15 * EPOCHS).tolist()}
    for start in (0.5, 0.15):
        found, said = _told({**falling, "train_accuracy": (start + 0.04 * EPOCHS).tolist()})
        assert "validation was" not in said
        assert ("train longer" in said) == (found.word == "underfitting")


def test_without_accuracy_nothing_is_said_of_it():
    _, said = _told({"train_cross_entropy": (2 - 0.15 * EPOCHS).tolist(), "val_cross_entropy": RISES})
    assert "rises for good" in said
    assert "accuracy" not in said
    _, said = _told({"val_accuracy": np.linspace(0.8, 0.4, 12).tolist(), "val_cross_entropy": RISES})
    assert "validation accuracy falls" in said
    assert "training accuracy" not in said


@pytest.fixture(scope="module")
def fitted():
    """Return a function that trains a few epochs on random data and returns what Diagnose says."""
    import keras

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


def test_several_labels_have_a_log_loss_and_no_accuracy(fitted, capsys):
    y = np.random.default_rng(1).integers(0, 2, (40, 4)).astype("float32")
    watch, said = fitted(4, "sigmoid", y, "binary_crossentropy", ["accuracy"], capsys)
    assert (watch.diagnosis.word, watch.diagnosis.cost.name) == ("cannot tell", "log_loss")
    assert "no training mAP. Give reglab.Diagnose(clean=(x, y), validation=(x_val, y_val))." in " ".join(said.split())
    assert "chance" not in said


@pytest.mark.slow
def test_a_loss_that_is_not_known_is_refused(fitted, capsys):
    y = np.random.default_rng(1).normal(size=40).astype("float32")
    watch, said = fitted(1, None, y, "poisson", None, capsys)
    assert watch.diagnosis is None
    assert "trained with poisson" in said


def test_a_loss_of_ones_own_is_not_called_cross_entropy(fitted, capsys):
    from keras import ops

    def own(y, p):
        return ops.mean((1 - ops.cast(y, p.dtype) - p) ** 2, axis=-1)

    y = np.random.default_rng(1).integers(0, 2, 40).astype("float32")
    watch, _ = fitted(1, "sigmoid", y, own, ["accuracy"], capsys)
    assert watch.diagnosis is not None
    assert watch.diagnosis.cost_gap is None
