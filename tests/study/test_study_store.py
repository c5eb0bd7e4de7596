"""The study folder: what is written is whole, and what was written is found."""

from __future__ import annotations

import json
import sqlite3

import numpy as np
import pytest

from reglab.errors import ReglabError
from reglab.study.records import DIVERGED, FAILED, FINISHED, Predictions, Record
from reglab.study.store import Store


def _record(identity="a" * 20, status=FINISHED, **changes):
    predictions = Predictions(np.array([[0.25, 0.75]], "float32"), np.array([1], "int32"))
    parts = {"validation": predictions, "test": predictions, "weights": [np.arange(3.0), np.eye(2)]}
    return Record(
        **{
            "id": identity, "name": "l2", "recipe": "l2(kernel=0.001)", "seed": 4, "status": status,
            "metrics": {"accuracy": 0.5} if status == FINISHED else {}, "history": {"loss": [1.0, 0.5]},
            **(parts if status == FINISHED else {}), **changes,
        }
    )  # fmt: skip


def test_a_record_comes_back_as_it_was(tmp_path):
    with Store(tmp_path / "s") as store:
        store.add(_record())
        found = store.read("a" * 20)
        weights = store.weights("a" * 20)
    assert found.metrics == {"accuracy": 0.5}
    assert found.history == {"loss": [1.0, 0.5]}
    assert np.array_equal(found.test.probabilities, [[0.25, 0.75]])
    assert [w.tolist() for w in weights] == [[0.0, 1.0, 2.0], [[1.0, 0.0], [0.0, 1.0]]]


def test_finished_and_diverged_runs_are_kept_and_failed_ones_tried_again(tmp_path):
    with Store(tmp_path) as store:
        for name, status in (("a", FINISHED), ("b", DIVERGED), ("c", FAILED)):
            store.add(_record(name, status))
        assert [store.has(name) for name in "abcd"] == [True, True, False, False]
        store.add(_record("c"))
        assert store.has("c")


def test_a_run_whose_row_was_not_written_is_taken_in(tmp_path):
    with Store(tmp_path) as store:
        store.add(_record("a"))
    (tmp_path / "study.sqlite").unlink()
    (tmp_path / "runs" / ".b.123").mkdir()  # a folder that was being written when the process died
    with Store(tmp_path) as store:
        assert store.has("a")
        assert store.summary("a")["metrics"] == {"accuracy": 0.5}
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["a"]


def test_nothing_half_written_is_left_by_an_error(tmp_path, monkeypatch):
    with Store(tmp_path) as store:
        monkeypatch.setattr(np, "savez", lambda *a, **k: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="no space"):
            store.add(_record("a"))
        assert not store.has("a")
    assert list((tmp_path / "runs").iterdir()) == []


def test_every_reading_of_the_test_set_is_logged(tmp_path):
    with Store(tmp_path) as store:
        store.add(_record("a"))
        store.add(_record("b", DIVERGED))
    rows = sqlite3.connect(tmp_path / "study.sqlite").execute("SELECT run FROM test_readings").fetchall()
    assert rows == [("a",)]


def test_numbers_that_are_not_finite_become_null(tmp_path):
    with Store(tmp_path) as store:
        store.add(_record("a", DIVERGED, history={"loss": [1.0, float("nan"), float("inf")]}))
        path = store.write_results({"mean": float("nan")})
    assert json.loads((tmp_path / "runs/a/history.json").read_text()) == {"loss": [1.0, None, None]}
    assert json.loads(path.read_text()) == {"mean": None}


def test_the_spec_says_in_what_it_differs_from_the_one_before(tmp_path):
    with Store(tmp_path) as store:
        assert store.write_spec({"epochs": 1, "seeds": 2}) == []
        assert store.write_spec({"epochs": 3, "seeds": 2}) == ["epochs"]


def test_a_folder_of_a_newer_version_is_refused(tmp_path):
    Store(tmp_path).close()
    database = sqlite3.connect(tmp_path / "study.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.commit()
    database.close()
    with pytest.raises(ReglabError, match="newer reglab"):
        Store(tmp_path)


def test_a_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReglabError, match="--out"):
        Store(tmp_path / "file")
