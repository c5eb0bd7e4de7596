"""What is not reglab's stays as it is, whatever is called, wherever it lies and whichever verb is pointed at it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import string
import tempfile
from pathlib import Path

import played
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import reglab
from reglab.cli import cli
from reglab.errors import ReglabError
from reglab.experiments import calibrate
from reglab.facade import Results
from reglab.study.storage import disk, owned
from reglab.study.storage.store import Store
from reglab.study.storage.view import View, holds_study
from reglab.trackers import tracker
from reglab.tuning.budget import Budget
from reglab.tuning.confirm import tune

# --- folders full of somebody's files ---------------------------------------------------------------------------------

_LETTERS = st.text(string.ascii_letters + string.digits + "äß", min_size=1, max_size=5)
_HEX = st.text("0123456789abcdef", min_size=20, max_size=20)
_NAMES = st.one_of(
    _LETTERS,
    st.builds(".{}.{}".format, _LETTERS, _LETTERS),
    st.builds("{}-{}".format, _LETTERS, st.integers(0, 99)),
    st.builds(".{}".format, _LETTERS),
    _HEX,
    st.builds("{}-{}".format, _HEX, st.integers(0, 99)),
    st.sampled_from([
        "study.yaml", "study.sqlite", "recipe.yaml", "results.json", "live.json", ".lock", "search.json", "table.md",
        "index.html", "calibration.json", "reglab-run", "events.out.tfevents.1", ".env.local", "state.json",
    ]),
)  # fmt: skip
_PLACES = st.sampled_from(
    [
        "", "runs", "checkpoints", "report", "export", "search", "confirmation", "repetition-0", "race", "treatment",
        "none/seed-0", ".venv/bin",
    ]
)  # fmt: skip
_CONTENT = st.one_of(st.just(b""), st.binary(max_size=20), st.just(b'{"kind": "ours", "files": {}}'))
_THINGS = st.sampled_from(["file", "folder", "link", "dangling"])
_TREES = st.lists(st.tuples(_PLACES, _NAMES, _THINGS, _CONTENT), min_size=1, max_size=12)


def plant(root: Path, tree, elsewhere: Path) -> list[Path]:
    """Make the files of a tree that can be made, and return them."""
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / "precious").write_text("do not touch")
    made = []
    for place, name, thing, content in tree:
        path = root / place / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError:  # something else has that name
            continue
        if os.path.lexists(path):
            continue
        if thing == "file":
            path.write_bytes(content)
        elif thing == "folder":
            path.mkdir()
            (path / "inner").write_bytes(content)
        else:
            path.symlink_to(elsewhere if thing == "link" else elsewhere / "not there", target_is_directory=True)
        made.append(path)
    return made


def seen(root: Path) -> dict[str, tuple]:
    """Everything that can be seen of a tree: names, kinds, contents, targets of links, and when they were changed."""
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(root.parent))] = (status.st_mode, content, status.st_mtime_ns, status.st_ino)
    return found


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("played") / "study"
    played.play(folder)
    return folder


SMALL = ("--data", "iris", "--model", "mlp(units=4)", "--seeds", "2", "--epochs", "1", "--workers", "0")


def _command(*arguments):
    def call(out, study):
        given = [str(each).format(out=out, study=study) for each in arguments]
        done = CliRunner().invoke(cli, given, catch_exceptions=False)
        raise AssertionError(done.output)  # it has to be refused

    return call


def _resumed(study):
    return reglab.Study("iris", "mlp", played.RECIPES, seeds=2, epochs=played.EPOCHS, out=study)


def _make(**more):
    return reglab.Study("iris", "mlp(units=4)", **{"seeds": 2, "epochs": 1, **more})


# Each is given the folder that is not reglab's, and a study.
VERBS = {
    "compare": _command("compare", *SMALL, "--recipe", "l2", "--out", "{out}"),
    "demo": _command("demo", "--seeds", "1", "--epochs", "1", "--out", "{out}"),
    "paper": _command("paper", "table3", *SMALL, "--out", "{out}"),
    "tune": _command("tune", *SMALL, "--strategy", "l2", "--trials", "2", "--out", "{out}"),
    "race": _command("race", *SMALL, "--strategy", "l2", "--out", "{out}"),
    "sweep": _command("sweep", *SMALL, "--strategy", "l2", "--values", "1e-3,1e-2", "--out", "{out}"),
    "ablate": _command("ablate", "l2 + dropout", *SMALL, "--out", "{out}"),
    "calibrate": _command("calibrate", *SMALL, "--out", "{out}"),
    "diagnose": _command("diagnose", *SMALL, "--treat", "--probe", "noise", "--out", "{out}"),
    "report": _command("report", "{study}", "--out", "{out}"),
    "report --watch": _command("report", "{study}", "--watch", "--out", "{out}"),
    "export": _command("export", "{study}", "--out", "{out}"),
    "Study.run": lambda out, study: reglab.Study("iris", "mlp", out=out).run(workers=0),
    "Study.resume": lambda out, study: reglab.Study.resume(out, data="iris", model="mlp"),
    "Store": lambda out, study: Store(out),
    "Results.report": lambda out, study: Results.load(study).report(out),
    "Best.export": lambda out, study: Results.load(study).best(_resumed(study)).export(out),
    "tune()": lambda out, study: tune(_make, Budget(trials=2), out=out, strategies=("l2",)),
    "calibrate()": lambda out, study: calibrate.calibrate(lambda **more: _make(**more), out=out),
}


@pytest.mark.parametrize("verb", VERBS)
@settings(max_examples=8)
@given(tree=_TREES)
def test_a_folder_that_is_not_reglabs_is_refused_and_nothing_in_it_changes(study, verb, tree):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        plant(root / "mine", tree, root / "elsewhere")
        before = seen(root)
        with pytest.raises(ReglabError, match=r"mine.*--out|no study in .*mine"):
            VERBS[verb](root / "mine", study)
        assert seen(root) == before


@settings(max_examples=8)
@given(tree=_TREES)
def test_strategies_are_not_tuned_beside_somebodys_files(study, tree):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        plant(root / "mine-tuned", tree, root / "elsewhere")
        before = seen(root)
        with pytest.raises(ReglabError, match=r"mine-tuned.*--out"):
            _command("compare", *SMALL, "--recipe", "l2", "--tune-each", "2", "--out", "{out}")(root / "mine", study)
        assert seen(root) == before


@pytest.mark.parametrize("place", ["runs", "checkpoints", "report"])
def test_what_a_users_project_holds_survives_out_dot(tmp_path, monkeypatch, place):
    """The folder in which people stand: TensorBoard's ``runs/``, weights in ``checkpoints/``, dotted names."""
    for name in (".pre-commit-config.yaml", ".env.local", "runs/Nov25_tb/events", "checkpoints/resnet-50.keras",
                 "checkpoints/run-3/x", "report/table.md", ".venv3.11/bin/python", f"{place}/.a.b"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    before = seen(tmp_path)
    for out in (".", "", " ", str(tmp_path)):
        with pytest.raises(ReglabError, match=r"--out|names no folder"):
            _command("compare", *SMALL, "--recipe", "l2", "--out", out)(tmp_path, None)
    assert seen(tmp_path) == before


def test_a_tilde_is_the_home_folder_and_no_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".profile").write_text("mine")
    with pytest.raises(ReglabError, match="is not empty"):
        reglab.Study("iris", "mlp", out="~").run(workers=0)
    assert reglab.Study("iris", "mlp", out="~/new").out == tmp_path / "new"
    assert [path.name for path in tmp_path.iterdir()] == [".profile"]


@pytest.mark.parametrize("verb", ["compare", "tune", "race", "calibrate", "demo", "report", "export"])
def test_an_empty_text_names_no_folder(study, verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReglabError, match=r"names no folder.*variable"):
        VERBS[verb]("", study)
    assert list(tmp_path.iterdir()) == []


# --- in a folder of reglab's ------------------------------------------------------------------------------------------


def foreign(root: Path, own: set[Path]) -> dict[str, tuple]:
    """What can be seen of a tree but for ``own`` paths; of folders only that they are there."""
    return {
        path: (mode, content, 0 if Path(root.parent, path).is_dir() else changed, inode)
        for path, (mode, content, changed, inode) in seen(root).items()
        if Path(path).relative_to(root.name) not in own
    }


@settings(max_examples=25)
@given(tree=_TREES)
@pytest.mark.slow
def test_what_lies_in_a_study_and_is_not_reglabs_is_left_and_named(study, tree):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        copy = root / "study"
        shutil.copytree(study, copy)
        own = {path.relative_to(root) for path in [copy, *copy.rglob("*")]}
        own |= {Path("."), *(Path("study") / each for each in ("live.json", "report", "study.sqlite-journal"))}
        planted = plant(copy, tree, root / "elsewhere")
        before = foreign(root, own)
        _, player = played.play(copy)
        assert player.trained == []
        with Store(copy) as store:
            store.checkpoints.forget(["a" * 20])
        assert {key: of for key, of in foreign(root, own).items() if not key.endswith("/live.json")} == {
            key: of for key, of in before.items() if not key.endswith("/live.json")
        }
        named = owned.strangers(copy)
        for path in planted:
            place = str(path.relative_to(copy))
            if path.parent in (copy / "runs", copy / "checkpoints"):
                assert place in named
            assert path.parent != copy or owned.strangers(copy).count(place) == (not owned._KNOWN.fullmatch(place))


def test_the_note_says_what_is_not_reglabs(study, tmp_path):
    shutil.copytree(study, tmp_path / "s")
    (tmp_path / "s" / "notes.txt").write_text("mine")
    (tmp_path / "s" / "runs" / "Nov25_tb").mkdir()
    with Store(tmp_path / "s") as store:
        (note,) = store.notes
    assert note.endswith("left as it is: notes.txt, runs/Nov25_tb.")


def test_what_an_interrupted_write_left_is_cleared_away_and_nothing_that_only_looks_like_it(study, tmp_path):
    shutil.copytree(study, tmp_path / "s")
    (tmp_path / "precious").write_text("mine")
    for place in ("", "runs", "checkpoints", "report"):
        (tmp_path / "s" / place / f"{disk.TEMPORARY}1-x").mkdir()
        (tmp_path / "s" / place / ".x.1").mkdir()
        (tmp_path / "s" / place / f"{disk.TEMPORARY}link").symlink_to(tmp_path / "precious")
    Store(tmp_path / "s").close()
    for place in ("", "runs", "checkpoints", "report"):
        assert not (tmp_path / "s" / place / f"{disk.TEMPORARY}1-x").exists()
        assert (tmp_path / "s" / place / ".x.1").is_dir()
        assert (tmp_path / "s" / place / f"{disk.TEMPORARY}link").is_symlink()
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("place", ["runs", "checkpoints", "report"])
def test_a_study_does_not_follow_links_out_of_its_folder(study, tmp_path, place):
    shutil.copytree(study, tmp_path / "s")
    shutil.move(tmp_path / "s" / place, tmp_path / "elsewhere")
    (tmp_path / "s" / place).symlink_to(tmp_path / "elsewhere")
    before = seen(tmp_path)
    with pytest.raises(ReglabError, match=rf"{place} is a link"):
        played.play(tmp_path / "s")
    assert seen(tmp_path) == before


def test_a_study_that_is_a_link_as_a_whole_is_run(study, tmp_path):
    shutil.copytree(study, tmp_path / "s")
    (tmp_path / "link").symlink_to(tmp_path / "s")
    assert played.play(tmp_path / "link")[1].trained == []


def test_a_damaged_record_is_set_aside_and_not_lost(study, tmp_path):
    shutil.copytree(study, tmp_path / "s")
    run = next((tmp_path / "s" / "runs").glob("*"))
    (run / "record.json").write_text("{")
    weights = (run / "weights.npz").read_bytes() if (run / "weights.npz").exists() else None
    _, player = played.play(tmp_path / "s")
    assert player.trained == [run.name]
    aside = run.with_name(f"{run.name}.damaged-1")
    assert (aside / "record.json").read_text() == "{"
    assert weights is None or (aside / "weights.npz").read_bytes() == weights


def test_a_study_is_known_without_its_hidden_files(study, tmp_path):
    """``cp -r study/* elsewhere`` leaves them behind."""
    shutil.copytree(study, tmp_path / "s", ignore=shutil.ignore_patterns(".*"))
    assert holds_study(tmp_path / "s")
    assert played.play(tmp_path / "s")[1].trained == []
    (tmp_path / "s" / "study.sqlite").write_bytes(b"")  # but now the marker is there again
    assert played.play(tmp_path / "s")[1].trained == []


def test_a_study_yaml_and_a_study_sqlite_of_somebodys_make_no_study(tmp_path, study):
    import sqlite3

    shutil.copy(study / "study.yaml", tmp_path / "study.yaml")
    with sqlite3.connect(tmp_path / "study.sqlite") as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    before = seen(tmp_path)
    with pytest.raises(ReglabError, match=r"is not empty.*reglab compare .*study.yaml --out NEW"):
        played.play(tmp_path)
    with pytest.raises(ReglabError, match="no study"):
        reglab.Study.resume(tmp_path)
    assert seen(tmp_path) == before


# --- reports, exports, logs -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_report_elsewhere_is_written_again_and_leaves_what_was_put_beside_it(study, tmp_path):
    results = Results.load(study)
    results.report(tmp_path / "page")
    (tmp_path / "page" / "mine.png").write_bytes(b"png")
    results.report(tmp_path / "page")
    assert (tmp_path / "page" / "mine.png").read_bytes() == b"png"
    played.play(tmp_path / "other", seeds=3)
    before = seen(tmp_path / "page")
    with pytest.raises(ReglabError, match="report of another study"):
        Results.load(tmp_path / "other").report(tmp_path / "page")
    with pytest.raises(ReglabError, match="holds a reglab study, and a report"):
        results.report(tmp_path / "other")
    with pytest.raises(ReglabError, match="holds a reglab report, and a study"):
        played.play(tmp_path / "page")
    assert seen(tmp_path / "page") == before


def test_event_files_of_somebodys_are_not_taken_away(study, tmp_path):
    pytest.importorskip("tensorboard")
    log, results = tracker("tensorboard"), Results.load(study)
    mine = tmp_path / "none" / "seed-0" / "events.out.tfevents.1.me"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    before = seen(tmp_path)
    with pytest.raises(ReglabError, match=r"none/seed-0 holds something.*--where"):
        log(results, tmp_path)
    assert seen(tmp_path) == before
    mine.unlink()
    assert len(log(results, tmp_path)) == len({run.id for of in results.runs.values() for run in of.values()})
    mine.write_bytes(b"mine")
    (mine.parent / "reglab-run").write_text("another run")
    assert len(log(results, tmp_path)) == 1
    assert mine.read_bytes() == b"mine"
    assert len(list(mine.parent.glob("events.*"))) == 2


# --- files that are whole or not there --------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [
    lambda path: disk.write(path, b"new"), lambda path: disk.write_quickly(path, b"new"),
    lambda path: disk.write_json(path, "new"), lambda path: disk.write_arrays(path, {"a": [1.0]}),
])  # fmt: skip
def test_a_file_is_as_it_was_when_writing_it_fails(tmp_path, monkeypatch, write):
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def full(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write(path)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"before"


def _done(monkeypatch, do):
    """What was asked of the disk meanwhile, in order: to sync a file or a folder, and to rename."""
    seen = []
    real, rename = os.fsync, os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: (seen.append(_kind(handle)), real(handle)))
        patch.setattr(os, "replace", lambda *paths: (seen.append("rename"), rename(*paths)))
        do()
    return seen


def _kind(handle):
    return "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a folder cannot be opened, and so not synced")
def test_a_file_is_on_disk_before_it_has_its_name_and_its_name_is_after(tmp_path, monkeypatch):
    expected = ["file", "rename", "folder"]
    assert _done(monkeypatch, lambda: disk.write(tmp_path / "a", b"new")) == expected
    assert _done(monkeypatch, lambda: disk.write_arrays(tmp_path / "b", {"a": [1.0]})) == expected
    new = disk.new_folder(tmp_path / "c")
    publish = _done(monkeypatch, lambda: disk.publish(new, tmp_path / "c", replaces=False))
    assert publish == ["folder", "rename", "folder"]


def test_writing_does_not_go_through_a_link(tmp_path):
    (tmp_path / "precious").write_bytes(b"mine")
    for name in ("results.json", f"{disk.TEMPORARY}{os.getpid()}-results.json"):
        (tmp_path / name).symlink_to(tmp_path / "precious")
    disk.write(tmp_path / "results.json", b"new")
    assert (tmp_path / "precious").read_bytes() == b"mine"
    assert not (tmp_path / "results.json").is_symlink()


def test_a_folder_that_is_replaced_is_never_gone(tmp_path, monkeypatch):
    """The new one has its name before anything of the old one is taken away."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "what").write_text(name)

    def dies(path, **options):
        if path.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", dies)
    with pytest.raises(KeyboardInterrupt):
        disk.publish(tmp_path / "new", tmp_path / "old", replaces=True)
    assert (tmp_path / "old" / "what").read_text() == "new"


def test_what_a_run_folder_is_called_does_not_make_it_one(tmp_path):
    (tmp_path / ("a" * 20)).mkdir()
    (tmp_path / ("a" * 20) / "record.json").write_text(json.dumps({"id": "b" * 20}))
    (tmp_path / f"{'a' * 20}-3").mkdir()
    (tmp_path / f"{'a' * 20}-3" / "state.json").write_text("[]")
    (tmp_path / "resnet-50").mkdir()
    (tmp_path / "resnet-50" / "state.json").write_text('{"files": {}}')
    assert not any(owned.removable(path) for path in tmp_path.iterdir())
    assert owned.kind(tmp_path) is None
    with pytest.raises(ReglabError, match="no study"):
        View(tmp_path)
