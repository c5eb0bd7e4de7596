"""A data frame is read as the file is that holds the same table."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pyarrow
import pytest

import reglab
from reglab import ReglabError
from reglab.data import load
from reglab.data.dataset import TEST, TRAIN, VAL

N = 60


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(0)
    return pd.DataFrame({
        "width": random.normal(10, 30, N).round(4),
        "count": random.integers(0, 90, N),
        "gap": np.where(np.arange(N) % 7, random.normal(size=N).round(3), np.nan),
        "ok": random.integers(0, 2, N) > 0,
        "colour": np.array(["red", "blue", "grün"])[random.integers(0, 3, N)],
        "price": [f"${1 + i % 9},{100 + i}.50" for i in range(N)],
        "day": pd.date_range("2026-01-01", periods=N),
        "id": 7 * np.arange(N),
        "name": np.where(np.arange(N) % 2, "ant", "bee"),
    })  # fmt: skip


@pytest.fixture(scope="module")
def files(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_parquet(folder / "t.parquet")
    return [folder / "t.csv", folder / "t.parquet"]


def same(data, other):
    """Whether two data sets have the same content, and the same was said of it."""
    of_frame = tuple(note.replace(f"{other.name}.csv:", "data frame:") for note in other.notes)
    of_frame = tuple(note.replace(f"{other.name}.parquet:", "data frame:") for note in of_frame)
    return (
        data.fingerprint == other.fingerprint
        and data.notes == of_frame
        and (data.feature_names, data.names, data.missing, data.kind)
        == (other.feature_names, other.names, other.missing, other.kind)
    )


@pytest.mark.parametrize(
    "options",
    [
        {"missing": "mean"},
        {"missing": "drop"},
        {"missing": "mean", "keep_columns": "day, id"},
        {"missing": "mean", "categorical": "ok", "drop_columns": ["price"]},
        {"drop_columns": "gap", "target": "width", "form": "numbers"},
        {"drop_columns": "gap", "target": "width, count", "form": "numbers"},
    ],
)
def test_a_frame_is_read_as_its_file(frame, files, options):
    options = {"target": "name", **options}
    for given in (frame, pyarrow.Table.from_pandas(frame)):
        data = load(given, **options)
        assert all(same(data, load(path, **options)) for path in files)


def test_a_frame_and_its_labels_are_the_frame(frame):
    whole = load(frame, target="name", missing="mean")
    x, y = frame.drop(columns="name"), frame["name"]
    table = pyarrow.Table.from_pandas(x)
    for given in ((x, y), [x, y], {"x": x, "y": y}, (x, y.to_frame()), (x, y.to_numpy()), (x, list(y)), (table, y)):
        data = load(given, missing="mean")
        assert data.fingerprint == whole.fingerprint
        assert data.notes == whole.notes


@pytest.mark.parametrize("shuffled", [False, True])
def test_parts_are_frames_or_pairs(frame, shuffled):
    frame = frame.sample(frac=1, random_state=0) if shuffled else frame
    whole = load(frame, target="name", missing="mean")
    parts = [frame[:30], frame[30:40], frame[40:][frame.columns[::-1]]]
    of_frames = load(tuple(parts), target="name", missing="mean")
    of_pairs = load([(part.drop(columns="name"), part["name"]) for part in parts], missing="mean")
    for data in (of_frames, of_pairs):
        assert data.part.tolist() == [TRAIN] * 30 + [VAL] * 10 + [TEST] * 20
        assert data.notes == whole.notes
        np.testing.assert_array_equal(data.x, whole.x)
        np.testing.assert_array_equal(data.y, whole.y)
    two = load((frame[:40], frame[40:]), target="name", missing="drop")
    rows = frame["gap"].notna().to_numpy()
    assert two.part.tolist() == [TRAIN] * rows[:40].sum() + [TEST] * rows[40:].sum()


def test_labels_of_a_frame_have_the_forms_that_those_of_arrays_have():
    x = pd.DataFrame({"a": np.linspace(0, 1, 12) ** 2, "b": np.arange(12) % 5})
    sets = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0]] * 4)
    assert load((x, pd.DataFrame(sets, columns=["sea", "sun", "sand"]))).labels == ("sea", "sun", "sand")
    assert load((x, np.eye(3)[np.arange(12) % 3])).class_names == ("0", "1", "2")
    assert load((x, np.linspace(0, 1, 12))).targets == ("target",)
    assert load((x, pd.Series(np.linspace(0, 1, 12), name="price"))).targets == ("price",)
    assert load((x, np.linspace(0, 1, 24).reshape(12, 2))).targets == ("target 1", "target 2")


def test_a_category_that_no_row_has_is_a_feature_as_in_parquet(tmp_path):
    kinds = pd.Categorical(["a", "b"] * 20, categories=["b", "a", "c"])
    table = pd.DataFrame({"v": np.arange(40) % 7, "kind": kinds, "y": np.arange(40) % 3})
    table.to_parquet(tmp_path / "t.parquet")
    data = load(table, target="y")
    assert data.feature_names == ("v", "kind_b", "kind_a", "kind_c")
    assert same(data, load(tmp_path / "t.parquet", target="y"))


def test_numbers_of_several_kinds_are_one_table():
    table = pd.DataFrame({"a": range(12), "b": np.linspace(0, 1, 12), "c": [True, False] * 6})
    whole = pd.DataFrame({"a": pd.array(range(12), "Int64"), "b": table["b"], "c": table["c"]})
    for given in (table, whole):
        np.testing.assert_array_equal(load((given, np.arange(12) % 2)).x, table.to_numpy("float32"))


def test_an_index_with_a_name_is_left_out_and_said(frame):
    data = load(frame.set_index("id"), target="name", missing="mean")
    assert "data frame: 'id', the index of the table, was left out." in data.notes


def test_columns_without_names_are_numbered_and_no_header():
    data = load(pd.DataFrame(np.c_[np.linspace(0, 1, 12) ** 2, np.arange(12) % 2]), target="1")
    assert data.feature_names == ("0",)
    assert not data.notes


def pairs(x, y):
    return x.drop(columns="name"), y


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (lambda t: t, {}, r"the data frame: say which column holds the label: target.*width, count"),
        (lambda t: t, {"target": "nme"}, r"no column 'nme'\. Did you mean 'name'"),
        (lambda t: t, {"target": "name"}, r"values are missing: 'gap' in 9 of 60 rows"),
        (lambda t: t, {"target": "name", "separator": ";"}, r"separator: said of a text file"),
        (lambda t: (t, t["name"]), {}, r"'name' is among the examples"),
        (lambda t: pairs(t, t["name"]), {"target": "name"}, r"target='name' names a column of each frame"),
        (lambda t: pairs(t, t["name"][:50]), {}, r"60 examples but 50 labels"),
        (lambda t: pairs(t, t["name"][::-1]), {}, r"same index as those of the examples, in another order"),
        (lambda t: pairs(t, {"a": t["name"]}), {}, r"labels of several outputs"),
        (lambda t: pairs(t, np.zeros((N, 2, 2))), {}, r"labels have shape \(60, 2, 2\)"),
        (
            lambda t: (t[:40], t[40:].drop(columns="ok")),
            {"target": "name"},
            r"test: the columns are width, count, gap,",
        ),
        (lambda t: (t, t, t, t), {"target": "name"}, r"Given were 4 data frames"),
        (lambda t: (t, t, t), {}, r"a tuple of 3 that begins with a data frame\. Say which column"),
        (lambda t: (pairs(t, t["name"]), (np.eye(4), [0] * 4)), {}, r"test: examples are ndarray"),
        (lambda t: t.assign(width=1j), {"target": "name"}, r"'width' of the data frame holds complex"),
        (lambda t: pd.concat([t, t["ok"]], axis=1), {"target": "name"}, r"2 columns called 'ok'"),
        (lambda t: t["width"], {}, r"Series is not data.*a data frame, or"),
        (lambda t: t, {"target": "name", "ignore_class": 3}, r"ignore_class=3 is said of labels per position"),
    ],
)
def test_what_is_no_table_with_labels_gets_a_sentence(frame, given, options, message):
    with pytest.raises(ReglabError, match=message):
        load(given(frame), **options)


def test_a_study_takes_a_frame_and_calls_it_so(frame, tmp_path):
    study = reglab.Study(frame, "mlp", target="name", missing="mean", out=tmp_path / "study")
    assert study.spec()["data"] == "DataFrame"  # and not what its column "name" holds
    sent = pickle.loads(pickle.dumps(study.dataset))
    assert sent.fingerprint == load(frame, target="name", missing="mean").fingerprint
