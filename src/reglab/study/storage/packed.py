"""A study packed into a small folder, to be kept in a repository: its records, without weights.

::

    .reglab           says that the folder is a packed study of reglab's
    study.json        spec, facts, headline, notes and versions, and which runs there are
    runs/<id>.zip     record.json, history.json and predictions.npz of each run that has a result
    robustness.json   and other answers, as they are

A run's file is written once. Its bytes depend on what is in it alone (and on the zlib that packed it), so a version
control system keeps each once. Whoever unpacks does not trust what is there: everything is checked before a study
folder is made.
"""

from __future__ import annotations

import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from reglab.errors import ReglabError
from reglab.study.records import ACCEPTED, PLANNED, Predictions, Record
from reglab.study.storage import answers, disk, owned, run_folder, sound
from reglab.study.storage.store import Store
from reglab.study.storage.view import View, frozen_spec
from reglab.tasks import Task, read_task

__all__ = ["pack", "unpack"]

_ANSWERS = ("diagnosis", "robustness", "references")
_ROW = ("id", "name", "recipe", "hyperparameters", "seed")
_FILES = ("history.json", "predictions.npz")  # beside record.json, which says what they are
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the time of every file in an archive
_UNIX = 3  # the system that every archive is said to be of
_LARGEST = 2**30  # bytes that a run's file may unpack to

# What reading raises of bytes that are not what was packed.
_DAMAGE = (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, NotImplementedError,
           RecursionError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)  # fmt: skip


def pack(folder: str | Path, target: str | Path) -> list[str]:
    """Pack a study; what is packed there already stays, and what has come since is added.

    Weights and checkpoints are left out. Where what decides is which class is most probable, probabilities are rounded,
    and that class stays. Metrics are those that were measured.

    Args:
        folder: the study folder.
        target: a new folder, or one that holds this study packed.

    Returns:
        The runs that were added.

    Raises:
        ReglabError: if there is no study, a file of it is damaged, or ``target`` holds something else.
    """
    folder, target = Path(folder), owned.given(target)
    owned.check(target, owned.PACKED)
    with View(folder) as view:
        told = _told(view)
        if (target / "study.json").exists():
            before = _read(target)
            if any(before.get(key) != told[key] for key in ("spec", "facts")):
                raise ReglabError(f"{target} holds another study packed. Choose another folder.")
        task = read_task(told["about"]["task"])
        rows = [row["id"] for row in view.runs() if row["status"] in ACCEPTED]
        added = [run for run in rows if not _archive(target, run).exists()]
        for run in added:
            if run_folder.complete(folder / "runs" / run) is None:
                raise run_folder.damage(folder / "runs" / run / "record.json", "a file is not what was written")
        with disk.errors_named(target, "write"):
            (target / "runs").mkdir(parents=True, exist_ok=True)
            owned.mark(target, owned.PACKED)
            for run in added:
                _write(_archive(target, run), view.record(run), task)
            disk.write_json(target / "study.json", told)
            for stem in _ANSWERS:
                for path, answer in answers.every(folder, stem).items():
                    disk.write_json(target / path.name, answer)
    return added


def unpack(packed: str | Path, out: str | Path) -> list[str]:
    """Make a study folder of a packed study, or add to one what it lacks.

    The folder can be looked at and gone on with like any other; what needs weights cannot be done with these runs.

    Args:
        packed: the folder that :func:`pack` wrote.
        out: a new folder, or one that holds this study.

    Returns:
        The runs that were added.

    Raises:
        ReglabError: if ``packed`` is no packed study or is damaged, and then nothing is written; or if ``out`` holds
            something else.
    """
    packed, out = Path(packed), owned.given(out)
    held = _read(packed)
    owned.check(out)
    spec = frozen_spec(out)
    if spec is None or _named(spec) != held["spec"]:
        spec = held["spec"]  # where data and model lie on this machine is known to the folder alone
    with _extracted(packed, held["runs"]) as extracted, Store(out) as store:
        store.freeze(spec)
        store.register(held["facts"], held["runs"], held["about"])
        if not store.execution():
            store.set_execution(held["execution"])
        added = store.adopt(extracted, [row["id"] for row in held["runs"]])
        with disk.errors_named(out, "write"):
            for stem in _ANSWERS:
                for path, answer in answers.every(packed, stem).items():
                    if not (out / path.name).exists():
                        disk.write_json(out / path.name, answer)
    return added


def _archive(packed: Path, run: str) -> Path:
    return packed / "runs" / f"{run}.zip"


def _told(view: View) -> dict[str, Any]:
    if view.spec is None or view.about is None:
        raise ReglabError(f"The study in {view.folder} has not begun, so there is nothing to pack.")
    return {
        "spec": _named(view.spec),
        "facts": view.facts,
        "about": view.about,
        "execution": {} if view.threads is None else {"threads": view.threads},
        "runs": [{key: row[key] for key in _ROW} for row in view.runs()],
    }


def _named(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec whose data and model are called by their names, without where they lie on this machine."""
    return {**spec, **{key: _name(spec[key]) for key in ("data", "model")}}


def _name(source: str) -> str:
    path, mark, options = source.partition("(")
    return f"{PurePath(path).name}{mark}{options}"


def _read(packed: Path) -> dict[str, Any]:
    """Return what the file of a packed study says, checked."""
    path = packed / "study.json"
    held = disk.read_json(path)
    if owned.kind(packed) != owned.PACKED or not path.exists():
        raise ReglabError(f"There is no packed study in {packed}. Give a folder that reglab pack wrote.")
    try:
        if not all(isinstance(held[key], dict) for key in ("spec", "facts", "about", "execution")):
            raise ValueError("spec, facts, about and execution are not mappings")
        sound.check_told(held["spec"], held["facts"], held["about"])
        if not all(key == "threads" and type(value) is int for key, value in held["execution"].items()):
            raise ValueError("execution is not what reglab writes there")
        rows = [{key: row[key] for key in _ROW} for row in held["runs"]]
        for row in rows:
            sound.check_run({**row, "status": PLANNED, "metrics": {}, "error": ""})
        if len({row["id"] for row in rows}) < len(rows) or len({_pair(row) for row in rows}) < len(rows):
            raise ValueError("a run stands there twice")
    except _DAMAGE as error:
        raise ReglabError(f"{path} is damaged ({error}). Take it from where it came once more.") from None
    return {**held, "runs": rows}


def _pair(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["hyperparameters"], row["seed"]


def _write(path: Path, record: Record, task: Task) -> None:
    """Write a run as an archive."""

    def compact(kept: Predictions | None) -> Predictions | None:
        return None if kept is None else Predictions(task.compact(kept.predicted), kept.labels)

    fields = {**record.summary(), "history": record.history, "device": record.device}
    del fields["read_test"]
    small = Record(**fields, validation=compact(record.validation), test=compact(record.test))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        folder.mkdir()
        run_folder.fill(folder, small)
        archive = Path(scratch) / "packed"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
            for held in sorted(folder.iterdir()):
                info = zipfile.ZipInfo(held.name, _EARLIEST)
                info.compress_type, info.create_system = zipfile.ZIP_DEFLATED, _UNIX
                file.writestr(info, held.read_bytes())
        disk.write(path, archive.read_bytes())


@contextmanager
def _extracted(packed: Path, rows: list[dict[str, Any]]) -> Iterator[Path]:
    """Give a folder with the runs of the plan that are there, as a study has them, each checked."""
    with tempfile.TemporaryDirectory() as scratch:
        for row in rows:
            path = _archive(packed, row["id"])
            if not path.exists():
                continue
            folder = Path(scratch) / "runs" / row["id"]
            folder.mkdir(parents=True)
            try:
                _extract(path, folder, row)
            except _DAMAGE as error:
                raise ReglabError(
                    f"{path} is damaged ({error}). Take it from where it came once more, or remove it."
                ) from None
        yield Path(scratch)


def _extract(path: Path, folder: Path, row: Mapping[str, Any]) -> None:
    """Take a run out of its archive; raise what is among ``_DAMAGE`` if it is not what was packed."""
    with zipfile.ZipFile(path) as file:
        held = {info.filename: info.file_size for info in file.infolist()}
        if sum(held.values()) > _LARGEST:
            raise ValueError("it is larger than any run")
        for name in ("record.json", *_FILES):
            if name in held:
                (folder / name).write_bytes(file.read(name))
    record = disk.read_json(folder / "record.json")
    sound.check_run(record)
    if not set(record[disk.MANIFEST]) <= set(_FILES) or any(record[key] != row[key] for key in _ROW):
        raise ValueError("it is another run, or names other files")
    if record["status"] not in ACCEPTED or run_folder.complete(folder) is None:
        raise ValueError("a file is gone or not what was written")
    run_folder.read(folder, {key: record[key] for key in (*_ROW, "status", "metrics", "error")})
