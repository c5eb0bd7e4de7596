"""Logs that people have: Keras' History, CSV of CSVLogger, JSON."""

import json

import pytest

from reglab.errors import ReglabError
from reglab.logs import read_log

KERAS = {"accuracy": [0.5, 0.8], "loss": [2.0, 1.0], "val_accuracy": [0.4, 0.6], "val_loss": [2.1, 1.5]}
CANONICAL = {
    "train_accuracy": [0.5, 0.8], "train_cross_entropy": [2.0, 1.0], "val_accuracy": [0.4, 0.6],
    "val_cross_entropy": [2.1, 1.5],
}  # fmt: skip


class History:
    """What fit returns, as far as it matters."""

    def __init__(self, history):
        self.history = history


@pytest.mark.parametrize("source", [KERAS, History(KERAS)])
def test_a_history_and_its_dictionary(source):
    log = read_log(source)
    assert log.histories == (CANONICAL,)
    assert not log.clean
    assert "penalties" in " ".join(log.notes)


def test_several_are_several_runs():
    assert read_log([History(KERAS), KERAS]).histories == (CANONICAL, CANONICAL)


@pytest.mark.parametrize(
    "name", ["accuracy", "acc", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy"]
)
def test_names_of_accuracy(name):
    log = read_log({name: [0.5], f"val_{name}": [0.4]})
    assert log.histories == ({"train_accuracy": [0.5], "val_accuracy": [0.4]},)
    assert log.notes == ()


def test_a_cross_entropy_among_the_metrics_goes_before_the_loss():
    log = read_log({"loss": [3.0], "sparse_categorical_crossentropy": [2.0], "val_loss": [3.5]})
    assert log.histories == ({"train_cross_entropy": [2.0], "val_cross_entropy": [3.5]},)


def test_a_history_of_a_study_is_clean():
    log = read_log({**CANONICAL, "loss": [9.0, 9.0]})
    assert log.clean
    assert log.histories == (CANONICAL,)
    assert log.notes == ()


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_logger(tmp_path, separator):
    lines = ["epoch,accuracy,loss,val_accuracy,val_loss", "0,0.5,2.0,0.4,2.1", "1,0.8,1.0,0.6,1.5", ""]
    path = write(tmp_path / "log.csv", "\n".join(lines).replace(",", separator))
    assert read_log(path).histories == (CANONICAL,)


def test_an_appended_csv_is_several_runs_unless_epochs_go_on(tmp_path):
    head, a, b = "epoch,acc,val_acc", "0,0.5,0.4", "1,0.8,0.6"
    path = write(tmp_path / "log.csv", "\n".join([head, a, b, head, a, b]))
    assert len(read_log(path).histories) == 2
    path = write(tmp_path / "on.csv", "\n".join([head, a, b, "2,0.9,0.6"]))
    assert read_log(path).histories == ({"train_accuracy": [0.5, 0.8, 0.9], "val_accuracy": [0.4, 0.6, 0.6]},)


def test_epochs_without_validation_are_left_out(tmp_path):
    path = write(tmp_path / "log.csv", "epoch,acc,val_acc\n0,0.5,NA\n1,0.6,0.5\n2,0.7,NA\n3,0.8,0.6\n")
    assert read_log(path).histories == ({"train_accuracy": [0.6, 0.8], "val_accuracy": [0.5, 0.6]},)


@pytest.mark.parametrize(
    "held",
    [KERAS, [KERAS], {"history": KERAS, "params": {}},
     [{"epoch": i, **{key: values[i] for key, values in KERAS.items()}} for i in range(2)]],
)  # fmt: skip
def test_json(tmp_path, held):
    assert read_log(write(tmp_path / "log.json", json.dumps(held))).histories == (CANONICAL,)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "", "no epoch"),
        ("b.csv", "epoch,acc\n0,0.5,7\n", "line 2: 3 values for 2 columns"),
        ("c.csv", "epoch,acc\n0,high\n", "'high' is no number"),
        ("d.csv", "epoch,f1\n0,0.5\n", "no metric that is known; it has epoch, f1"),
        ("e.json", "{", "not valid JSON"),
        ("f.json", "3", "holds no history"),
        ("g.json", '{"acc": [0.5], "val_acc": [0.5, 0.6]}', "different lengths"),
        ("h.json", "[]", "holds no history"),
        ("i.csv", "epoch,acc,val_acc\n0,0.5,\n", "no epoch has all of"),
    ],
)
def test_bad_logs_are_told_with_what_was_given_and_what_is_expected(tmp_path, name, text, said):
    with pytest.raises(ReglabError, match=said):
        read_log(write(tmp_path / name, text))


def test_other_things_are_no_logs(tmp_path):
    with pytest.raises(ReglabError, match="A float is no training log"):
        read_log(1.5)
    with pytest.raises(ReglabError, match="Cannot read"):
        read_log(tmp_path / "gone.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ReglabError, match="not text"):
        read_log(tmp_path / "x.csv")
