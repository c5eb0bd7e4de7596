"""Tables, arrays and data that comes with a library."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

import reglab
from reglab import ReglabError
from reglab.data import load
from reglab.data.dataset import TEST, TRAIN, VAL


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "width": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            "count": [1, 2, 3, 4, 5, 6],
            "colour": ["red", "blue", "red", "blue", "red", "blue"],
            "kind": ["ant", "bee", "ant", "bee", "ant", "bee"],
        }
    )


@pytest.fixture(params=[".csv", ".parquet"])
def saved(request, tmp_path):
    def save(frame):
        path = tmp_path / f"insects{request.param}"
        frame.to_csv(path, index=False) if request.param == ".csv" else frame.to_parquet(path)
        return path

    return save


def test_a_table_with_a_target(frame, saved):
    data = load(saved(frame), target="kind")
    assert data.describe() == "insects: 6 examples of 4, 2 classes"
    assert data.feature_names == ("width", "count", "colour_blue", "colour_red")
    assert data.class_names == ("ant", "bee")
    assert data.kind == "table"
    np.testing.assert_array_equal(data.x[1], [2, 2, 1, 0])
    np.testing.assert_array_equal(data.y, [0, 1, 0, 1, 0, 1])


def test_a_table_of_wrong_content(frame, saved):
    with pytest.raises(ReglabError, match=r"say which column holds the label.*width, count, colour, kind"):
        load(saved(frame))
    with pytest.raises(ReglabError, match=r"no column 'kinds'.*Did you mean 'kind'"):
        load(saved(frame), target="kinds")
    with pytest.raises(ReglabError, match=r"no column besides 'kind'"):
        load(saved(frame[["kind"]]), target="kind")
    missing = frame.copy()
    missing.loc[3, "width"] = np.nan
    with pytest.raises(ReglabError, match=r"values are missing: 'width' in 1 of 6 rows"):
        load(saved(missing), target="kind")
    unlabelled = frame.copy()
    unlabelled.loc[2, "kind"] = None
    with pytest.raises(ReglabError, match=r"1 of 6 rows have no label in 'kind', the first in (line 4|row 2)"):
        load(saved(unlabelled), target="kind")
    names = pd.concat([frame] * 20, ignore_index=True)
    names["name"] = [f"insect {i // 2}" for i in range(len(names))]
    with pytest.raises(ReglabError, match=r"'name' has 60 different texts, too many"):
        load(saved(names), target="kind")
    infinite = frame.copy()
    infinite.loc[4, "width"] = np.inf
    with pytest.raises(ReglabError, match=r"row 4, column 'width' is inf"):
        load(saved(infinite), target="kind")


def test_a_table_that_cannot_be_read(tmp_path):
    for name, content in (("broken.csv", b'a,b\n1,"2\n'), ("broken.parquet", b"nothing"), ("empty.csv", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ReglabError, match=f"{name} cannot be read as a table"):
            load(tmp_path / name, target="a")


def arrays(count=12, classes=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 4)), np.arange(count) % classes


@pytest.mark.parametrize("form", ["int", "float", "text", "one-hot", "column", "shifted"])
def test_labels_of_every_form(form):
    x, y = arrays()
    labels = {
        "int": y,
        "float": y.astype("float64"),
        "text": np.array(["a", "b", "c"])[y],
        "one-hot": np.eye(3)[y],
        "column": y[:, None],
        "shifted": y * 10 - 5,
    }[form]
    data = load((x, labels))
    np.testing.assert_array_equal(data.y, y)
    assert data.x.dtype == np.float32


def test_arrays_in_parts():
    train, test, val = arrays(12), arrays(6), arrays(9)
    assert load((train, test)).part.tolist() == [TRAIN] * 12 + [TEST] * 6
    assert load((train, val, test)).part.tolist() == [TRAIN] * 12 + [VAL] * 9 + [TEST] * 6


def test_npz(tmp_path):
    x, y = arrays()
    np.savez(tmp_path / "one.npz", x=x, y=y)
    np.savez(tmp_path / "two.npz", x_train=x, y_train=y, x_test=x[:6], y_test=y[:6])
    assert load(tmp_path / "one.npz").fingerprint == load((x, y)).fingerprint
    assert (load(tmp_path / "two.npz").part == TEST).sum() == 6
    np.savez(tmp_path / "odd.npz", images=x, labels=y)
    with pytest.raises(ReglabError, match=r"holds images, labels\. Expected are x and y"):
        load(tmp_path / "odd.npz")
    np.savez(tmp_path / "objects.npz", x=np.array([{"a": 1}], dtype=object), y=y)
    with pytest.raises(ReglabError, match="cannot be read"):  # never unpickled
        load(tmp_path / "objects.npz")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((arrays()[0], arrays()[1][:-1]), "12 examples but 11 labels"),
        ((arrays()[0], np.zeros(12)), "all examples have the label '0'"),
        ((arrays()[0], [0] * 6 + [1] * 5 + [2]), "the label '2' appears once"),
        ((np.where(np.eye(12, 4, -5) > 0, np.nan, 1.0), arrays()[1]), r"row 5, position \(0,\) is nan"),
        ((arrays()[0], np.full((12, 3), 0.3)), "target 1 is 0.3 in all examples, so there is nothing to predict"),
        ((arrays()[0], np.tile([0.5, 0.3, 0.2], (12, 1))), "are shares of classes, and no class"),
        ((arrays()[0], np.full((12, 3), 2)), "are not one-hot"),
        ((arrays()[0], np.r_[np.nan, arrays()[1][1:]]), "the label of row 0 is nan"),
        (((arrays()[0], arrays()[1]), (arrays()[0][:, :2], arrays()[1])), r"shapes \(4,\) and \(2,\)"),
        (([[1, 2], [3], [4, 5]], [0, 1, 0]), "examples are not one array"),
        (42, "int is not data"),
        ("digitz", r"There is no data 'digitz'\. Did you mean 'digits'"),
    ],
)
def test_what_is_wrong_is_said(source, message):
    with pytest.raises(ReglabError, match=message):
        load(source)


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "model.h5").write_bytes(b"")
    with pytest.raises(ReglabError, match=r"model\.h5 is no data that can be read"):
        load(tmp_path / "model.h5")


def test_built_in_data_and_what_must_not_be_done_to_digits():
    digits = load("digits")
    np.testing.assert_array_equal(digits.x[..., 0], load_digits().images)
    assert digits.value_range == (0.0, 16.0)
    assert {"horizontal_flip", "vertical_flip"} <= digits.label_changing
    study = reglab.Study("digits", "mlp", {"flip": "augmentation(horizontal_flip=true)"}, backend=None)
    assert any("flip: horizontal_flip changes what examples of digits are" in note for note in study.notes())
    for name, classes in {"iris": 3, "wine": 3, "breast_cancer": 2}.items():
        assert load(name).num_classes == classes


def test_cifar10_without_a_network_says_where_to_put_it(monkeypatch):
    import keras

    def offline():
        raise OSError("URL fetch failure: no network")

    monkeypatch.setattr(keras.datasets.cifar10, "load_data", offline)
    with pytest.raises(
        ReglabError, match=r"could not be downloaded.*cifar-10-batches-py-target_archive.*--data digits"
    ):
        load("cifar10")


def test_cifar10_from_keras_cache(monkeypatch):
    import keras

    rng = np.random.default_rng(0)
    parts = [(rng.integers(0, 256, (n, 32, 32, 3), dtype="uint8"), np.arange(n)[:, None] % 10) for n in (40, 20)]
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: parts)
    data = load("cifar10")
    assert data.describe() == "cifar10: 60 examples of 32x32x3, 10 classes"
    assert (data.part == TEST).sum() == 20


def test_the_fingerprint_is_of_the_content():
    x, y = arrays()
    assert load((x, y)).fingerprint == load((x.copy(), y.copy())).fingerprint
    assert load((x, y)).fingerprint != load((x + 1, y)).fingerprint
    assert load((x, y)).fingerprint != load((x, np.roll(y, 1))).fingerprint
    assert load((x, y)).fingerprint != load(((x[:6], y[:6]), (x[6:], y[6:]))).fingerprint


# --- precision -----------------------------------------------------------------------------------------------------


def test_a_table_keeps_what_float32_cannot_tell_apart(frame, saved):
    frame["width"] = 1_700_000_000 + frame["width"]
    data = load(saved(frame), target="kind")
    np.testing.assert_array_equal(data.x[:, 0], 1_700_000_000 + np.arange(1.0, 7.0))


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_arrays_of_ordinary_numbers_are_float32(scale):
    x = scale * np.random.default_rng(0).normal(1, 1, size=(60, 3))
    x[:, 1] = 0.1 * scale  # a constant has nothing to lose
    assert load((x, np.arange(60) % 2)).x.dtype == np.float32
    x[:, 2] += 1e7 * scale
    np.testing.assert_array_equal(load((x, np.arange(60) % 2)).x, x)
