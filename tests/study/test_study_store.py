"""The study folder: what is written is whole, and what was written is found."""

from __future__ import annotations

import json
import sqlite3

import numpy as np
import pytest

from reglab.errors import ReglabError
from reglab.study.records import DIVERGED, FAILED, FINISHED, Predictions, Record
from reglab.study.storage import disk
from reglab.study.storage.store import Store
from reglab.study.storage.view import View, frozen_spec


def _record(identity="a" * 20, status=FINISHED, **changes):
    predictions = Predictions(np.array([[0.25, 0.75]], "float32"), np.array([1], "int32"))
    parts = {"validation": predictions, "test": predictions, "weights": [np.arange(3.0), np.eye(2)]}
    return Record(
        **{
            "id": identity, "name": "l2", "recipe": "l2(kernel=0.001)", "hyperparameters": f"of {identity}", "seed": 4,
            "status": status, "metrics": {"accuracy": 0.5} if status == FINISHED else {},
            "history": {"loss": [1.0, 0.5]}, **(parts if status == FINISHED else {}), **changes,
        }
    )  # fmt: skip


def _add(store, record):
    """Add a record as a coordinator does, under a lease."""
    (lease,) = store.begin([record.id], "worker 1").values()
    return store.add(record, lease)


def test_a_record_comes_back_as_it_was(tmp_path):
    with Store(tmp_path / "s") as store:
        assert _add(store, _record())
        found = store.read("a" * 20)
        weights = store.weights("a" * 20)
    assert found.metrics == {"accuracy": 0.5}
    assert found.history == {"loss": [1.0, 0.5]}
    assert np.array_equal(found.test.predicted, [[0.25, 0.75]])
    assert [w.tolist() for w in weights] == [[0.0, 1.0, 2.0], [[1.0, 0.0], [0.0, 1.0]]]


def test_finished_and_diverged_runs_are_kept_and_failed_ones_tried_again(tmp_path):
    with Store(tmp_path) as store:
        for name, status in (("a", FINISHED), ("b", DIVERGED), ("c", FAILED)):
            _add(store, _record(name, status, error="why" if status == FAILED else ""))
        assert store.accepted() == {"a", "b"}
        assert store.read("c").error == "why"
        assert _add(store, _record("c"))
        assert store.accepted() == {"a", "b", "c"}
        assert store.summary("c") == {"status": FINISHED, "metrics": {"accuracy": 0.5}, "error": ""}


def test_a_result_is_taken_once_and_only_under_a_lease_that_is_open(tmp_path):
    with Store(tmp_path) as store:
        first = store.begin(["a"], "worker 1")["a"]
        store.settle([first], "killed")
        second = store.begin(["a"], "worker 2")["a"]
        assert not store.add(_record("a", metrics={"accuracy": 0.1}), first)  # late, after it was given up
        assert store.accepted() == set()
        assert store.add(_record("a"), second)
        assert not store.add(_record("a", metrics={"accuracy": 0.2}), second)  # twice
        assert store.summary("a")["metrics"] == {"accuracy": 0.5}
        assert not store.add(_record("b"), second)  # another run's
        third = store.begin(["c"], "worker 1")["c"]
    with Store(tmp_path) as store:  # whoever held the third lease is no more
        assert not store.add(_record("c"), third)
        assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a"]


def test_of_two_attempts_at_a_run_the_first_result_is_taken(tmp_path):
    with Store(tmp_path) as store:
        first, second = (store.begin(["a"], worker)["a"] for worker in ("worker 1", "worker 2"))
        assert store.add(_record("a"), first)
        assert not store.add(_record("a", metrics={"accuracy": 0.2}), second)
        assert store.summary("a")["metrics"] == {"accuracy": 0.5}


def test_one_recipe_with_one_seed_is_one_run(tmp_path):
    with Store(tmp_path) as store:
        _add(store, _record("a"))
        with pytest.raises(sqlite3.IntegrityError):
            _add(store, _record("b", hyperparameters=f"of {'a'}"))
        assert store.accepted() == {"a"}
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["a"]


def test_results_that_rest_on_other_grounds_stand_aside_when_the_table_is_lost(tmp_path):
    """Their versions, say, are lost with the table, but their identities tell that they are not of this plan."""
    with Store(tmp_path) as store:
        _add(store, _record("a"))
    (tmp_path / "study.sqlite").unlink()
    planned = {"id": "b", "name": "l2", "recipe": "l2(kernel=0.001)", "hyperparameters": "of a", "seed": 4}
    with Store(tmp_path) as store:
        store.register({}, [planned])
        assert _add(store, _record("b", hyperparameters="of a"))
    with Store(tmp_path) as store, View(tmp_path) as view:
        assert store.accepted() == {"a", "b"}
        assert [run["id"] for run in view.runs()] == ["b"]


def test_a_run_whose_row_was_not_written_is_taken_in(tmp_path):
    with Store(tmp_path) as store:
        _add(store, _record("a"))
    (tmp_path / "study.sqlite").unlink()
    (tmp_path / "runs" / ".reglab-tmp-123-b").mkdir()  # a folder that was being written when the process died
    with Store(tmp_path) as store:
        assert store.accepted() == {"a"}
        assert store.summary("a")["metrics"] == {"accuracy": 0.5}
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["a"]


def test_nothing_half_written_is_left_by_an_error(tmp_path, monkeypatch):
    with Store(tmp_path) as store:
        monkeypatch.setattr(np, "savez", lambda *a, **k: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(ReglabError, match=r"no space.*Make room"):
            _add(store, _record("a"))
        assert store.accepted() == set()
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_result_whose_folder_gets_no_name_has_no_row(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError("no space left")

    with Store(tmp_path) as store:
        monkeypatch.setattr(disk, "publish", full)
        with pytest.raises(ReglabError, match="no space"):
            _add(store, _record("a"))
        assert store.accepted() == set()
        monkeypatch.undo()
        assert _add(store, _record("a"))
        assert store.accepted() == {"a"}


def test_every_reading_of_the_test_set_is_logged(tmp_path):
    with Store(tmp_path) as store:
        _add(store, _record("a"))
        _add(store, _record("b", DIVERGED))
    rows = sqlite3.connect(tmp_path / "study.sqlite").execute("SELECT run FROM test_readings").fetchall()
    assert rows == [("a",)]


def test_numbers_that_are_not_finite_become_null(tmp_path):
    with Store(tmp_path) as store:
        _add(store, _record("a", DIVERGED, history={"loss": [1.0, float("nan"), float("inf")]}))
        path = store.write_results({"mean": float("nan")})
    assert json.loads((tmp_path / "runs/a/history.json").read_text()) == {"loss": [1.0, None, None]}
    assert json.loads(path.read_text()) == {"mean": None}


def test_another_spec_is_refused_and_said_in_what_it_differs(tmp_path):
    with Store(tmp_path) as store:
        store.freeze({"epochs": 1, "seeds": 2})
        store.freeze({"epochs": 1, "seeds": 2})
        with pytest.raises(ReglabError, match="epochs is 3 and was 1"):
            store.freeze({"epochs": 3, "seeds": 2})


@pytest.mark.slow
def test_an_edited_study_yaml_is_refused_and_a_damaged_one_is_written_again(tmp_path):
    spec = {"epochs": 10, "recipes": {"none": "none", "l2": "l2(kernel=0.001)"}, "seeds": 2}
    path = tmp_path / "study.yaml"
    with Store(tmp_path) as store:
        store.freeze(spec)
    text = path.read_text()
    path.write_text(text.replace("epochs: 10", "epochs: 20"))
    with Store(tmp_path) as store, pytest.raises(ReglabError, match="epochs is 20 and was 10"):
        store.freeze(spec)
    for length in range(len(text)):
        path.write_text(text[:length])
        with Store(tmp_path) as store:
            store.freeze(spec)
        assert path.read_text() == text


def test_a_spec_whose_table_is_lost_is_read_from_a_whole_study_yaml_only(tmp_path):
    spec = {"epochs": 10, "seeds": 2}
    with Store(tmp_path) as store:
        store.freeze(spec)
    (tmp_path / "study.sqlite").unlink()
    assert frozen_spec(tmp_path) == spec
    text = (tmp_path / "study.yaml").read_text()
    for length in range(len(text)):
        (tmp_path / "study.yaml").write_text(text[:length])  # "epochs: 1" is YAML too
        assert frozen_spec(tmp_path) is None


def test_a_study_whose_grounds_have_changed_is_refused(tmp_path):
    with Store(tmp_path) as store:
        store.register({"keras": "3.15.1", "data (content)": "abc"}, [])
        with pytest.raises(ReglabError, match=r"keras is 3.16.0 and was 3.15.1.*--out"):
            store.register({"keras": "3.16.0", "data (content)": "abc"}, [])


def test_a_study_is_run_by_one_process(tmp_path):
    with Store(tmp_path) as store:
        store.write_live({"pid": 123, "host": "here", "at": 0})
        with pytest.raises(ReglabError, match=r"Another process.*123 on here"):
            Store(tmp_path)
    Store(tmp_path).close()


def test_a_folder_of_another_version_is_refused(tmp_path):
    Store(tmp_path).close()
    database = sqlite3.connect(tmp_path / "study.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.commit()
    database.close()
    with pytest.raises(ReglabError, match="another version of reglab"):
        Store(tmp_path)
    with pytest.raises(ReglabError, match="another version of reglab"):
        View(tmp_path)


def test_a_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReglabError, match="--out"):
        Store(tmp_path / "file")
