"""A damaged study folder is told in a sentence that names the file and a way out, whatever looks at it."""

from __future__ import annotations

import gc
import random
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from reglab.cli import cli
from reglab.errors import ReglabError

sys.path.append(str(Path(__file__).parents[1] / "report"))

import made

VERBS = (
    ("status",), ("status", "--json"), ("runs",), ("runs", "--json"), ("runs", "--failed"), ("report", "--no-samples"),
    ("mcnemar", "none", "l2"), ("log", "--to", "tensorboard"), ("diagnose",), ("export",), ("robustness",),
    ("resume", "--workers", "0"),
)  # fmt: skip
JUNK = (b"", b"\0" * 50, b"{", b"[]", b"null", b"5", b'{"a": 1}', b"[" * 100_000, b"\xff\xfe" * 20, b"PK\x03\x04" * 9)
ENTRIES = ("", "{", "[]", "null", "5", '"x"', '{"a": 1}', '{"recipes": []}', '{"runs": {"none": {"x": "../.."}}}')
METRICS = ("", "[]", "null", "{}", '{"accuracy": "x"}', '{"accuracy": null, "val_accuracy": [1]}')


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = made.study(tmp_path_factory.mktemp("whole") / "study", seeds=2, epochs=6, examples=30)
    made.with_samples(folder)
    return folder


def looked_at(folder, *verb):
    """Run a command on the folder; whatever it says, it has to be said by reglab and not by an interpreter."""
    result = CliRunner().invoke(cli, [verb[0], str(folder), *verb[1:]], standalone_mode=False)
    error = result.exception
    if error is not None and not isinstance(error, ReglabError | SystemExit):
        raise AssertionError(f"reglab {' '.join(verb)} raised {error!r}") from error
    return error


def sql(folder, statement, *values):
    database = sqlite3.connect(folder / "study.sqlite")
    database.execute("PRAGMA ignore_check_constraints=ON")
    database.execute(statement, values)
    database.commit()
    database.close()


def damage(folder, rng):
    """Damage one thing, and say what."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    path = rng.choice(files)
    kind = rng.choice(("cut", "junk", "gone", "folder", "bytes", "entry", "row", "table"))
    content = path.read_bytes()
    if kind == "cut":
        path.write_bytes(content[: rng.randrange(len(content) + 1)])
    elif kind == "junk":
        path.write_bytes(rng.choice(JUNK))
    elif kind in ("gone", "folder"):
        path.unlink()
        path.mkdir() if kind == "folder" else None
    elif kind == "bytes":
        changed = bytearray(content)
        for _ in range(5 if changed else 0):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        path.write_bytes(changed)
    elif kind == "entry":
        key = rng.choice(("spec", "facts", "about", "execution"))
        sql(folder, "INSERT OR REPLACE INTO study VALUES (?, ?)", key, rng.choice(ENTRIES))
        return f"entry {key}"
    elif kind == "row":
        column = rng.choice(("id", "name", "recipe", "status", "seed", "metrics", "hyperparameters"))
        value = rng.choice(METRICS if column == "metrics" else ("", "../..", "\x1b[31m", "finished", "-5", "x" * 300))
        sql(folder, f"UPDATE OR IGNORE runs SET {column} = ? WHERE rowid = ?", value, rng.randrange(1, 4))
        return f"column {column} = {value!r}"
    else:
        sql(folder, f"DROP TABLE {rng.choice(('runs', 'study', 'attempts', 'test_readings'))}")
        return "a table dropped"
    return f"{path.relative_to(folder)}: {kind}"


def trial(whole, tmp_path, number):
    folder = tmp_path / "study"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    what = damage(folder, random.Random(number))
    for verb in VERBS:
        try:
            looked_at(folder, *verb)
        except AssertionError as error:
            raise AssertionError(f"damage {number} ({what}): {error}") from error


def test_looking_at_damaged_folders(whole, tmp_path):
    for number in range(4):
        trial(whole, tmp_path, number)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(4, 244, 20))
def test_looking_at_many_damaged_folders(whole, tmp_path, start):
    for number in range(start, start + 20):
        trial(whole, tmp_path, number)


@pytest.mark.parametrize("rest", [0.0, 0.3, 0.9])
def test_samples_that_are_not_whole_are_none_and_leave_no_file_open(whole, tmp_path, rest):
    from reglab.experiments import samples

    file = tmp_path / samples.FILE
    file.parent.mkdir()
    content = (whole / samples.FILE).read_bytes()
    file.write_bytes(content[: int(rest * len(content))])
    assert samples.load(tmp_path) == []
    assert len(samples.load(whole)) > 0
    gc.collect()  # a file that was left open would be told here, and warnings are errors


def test_a_table_that_is_a_folder(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "study")
    (folder / "study.sqlite").unlink()
    (folder / "study.sqlite").mkdir()
    for verb in VERBS:
        error = looked_at(folder, *verb)
        assert isinstance(error, ReglabError), verb


@pytest.mark.parametrize("name", ["weights.npz", "predictions.npz", "history.json"])
@pytest.mark.parametrize("junk", [None, b"", b"PK\x03\x04"], ids=["gone", "empty", "cut"])
def test_a_file_of_a_run_is_named(whole, tmp_path, name, junk):
    from reglab.study.storage import run_folder
    from reglab.study.storage.view import View

    folder = shutil.copytree(whole, tmp_path / "study")
    run = next(path for path in sorted((folder / "runs").iterdir()))
    (run / name).unlink() if junk is None else (run / name).write_bytes(junk)
    with View(folder) as view, pytest.raises(ReglabError, match=rf"{name}.*Remove the folder.*reglab resume"):
        run_folder.weights(run) if name == "weights.npz" else view.record(run.name)


def test_metrics_that_were_lost_are_entered_again(whole, tmp_path):
    from reglab.facade import Results
    from reglab.study.storage.store import Store

    folder = shutil.copytree(whole, tmp_path / "study")
    before = Results.load(folder).to_dict()
    sql(folder, "UPDATE runs SET metrics = '{}' WHERE rowid = 1")
    with pytest.raises(ReglabError, match="reglab resume"):
        Results.load(folder)
    Store(folder).close()
    assert Results.load(folder).to_dict() == before


def test_an_identity_that_leads_out_of_the_folder_removes_nothing(whole, tmp_path):
    from reglab.study.storage.store import Store

    folder = shutil.copytree(whole, tmp_path / "study")
    (tmp_path / "mine.txt").write_text("mine")
    sql(folder, "UPDATE runs SET id = '../..' WHERE rowid = 1")
    with Store(folder) as store:
        assert any("damaged" in note for note in store.notes)
    assert (tmp_path / "mine.txt").read_text() == "mine"
