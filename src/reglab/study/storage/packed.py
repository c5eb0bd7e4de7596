"""A study packed into a small folder, to be kept in a repository: its records, without weights.

::

    .reglab           says that the folder is a packed study of reglab's
    study.json        spec, facts, what people are told, and which runs there are
    runs/<id>.zip     record.json, history.json and predictions.npz of each run that has a result
    robustness.json   and other answers, as they are

A run's file is written once and has the same bytes wherever it is packed, so a version control system keeps each once.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reglab.errors import ReglabError
from reglab.study.records import ACCEPTED, Predictions, Record
from reglab.study.storage import answers, disk, owned, run_folder, sound
from reglab.study.storage.store import Store
from reglab.study.storage.view import View
from reglab.tasks import Task, read_task

__all__ = ["pack", "unpack"]

_ANSWERS = ("diagnosis", "robustness", "references")
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the time of every file in an archive: its bytes depend on what is in it alone
_MOST_BYTES = 2**31  # that a run's file may unpack to


def pack(folder: str | Path, target: str | Path) -> list[str]:
    """Pack a study; what is packed there already stays, and what has come since is added.

    Weights and checkpoints are left out, and probabilities of classes are rounded to hundredths. Metrics are those that
    were measured.

    Args:
        folder: the study folder.
        target: a new folder, or one that holds this study packed.

    Returns:
        The runs that were added.

    Raises:
        ReglabError: if there is no study, or ``target`` holds something else.
    """
    target = owned.given(target)
    owned.check(target, owned.PACKED)
    with View(folder) as view:
        told = _told(view)
        before = disk.read_json(target / "study.json")
        if before is not None and before.get("facts") != told["facts"]:
            raise ReglabError(f"{target} holds another study packed. Choose another folder.")
        with disk.errors_named(target, "write"):
            (target / "runs").mkdir(parents=True, exist_ok=True)
            owned.mark(target, owned.PACKED)
            disk.write_json(target / "study.json", told)
            added = [
                row["id"]
                for row in view.runs()
                if row["status"] in ACCEPTED and not (target / "runs" / f"{row['id']}.zip").exists()
            ]
            for run in added:
                _write(target / "runs" / f"{run}.zip", view.record(run), read_task(told["about"]["task"]))
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
        ReglabError: if ``packed`` is no packed study or is damaged, or ``out`` holds something else.
    """
    packed, out = Path(packed), owned.given(out)
    held = disk.read_json(packed / "study.json")
    if owned.kind(packed) != owned.PACKED or not isinstance(held, dict):
        raise ReglabError(f"There is no packed study in {packed}. Give a folder that reglab pack wrote.")
    try:
        sound.check_told(held["spec"], held["facts"], held["about"])
        rows = [{key: row[key] for key in ("id", "name", "recipe", "hyperparameters", "seed")} for row in held["runs"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ReglabError(
            f"{packed / 'study.json'} is damaged ({error}). Take it from where it came once more."
        ) from None
    owned.check(out)
    with Store(out) as store, _opened(packed) as unpacked:
        store.freeze(held["spec"])
        store.register(held["facts"], rows, held["about"])
        if not store.execution():
            store.set_execution(held.get("execution") or {})
        added = store.adopt(unpacked, [row["id"] for row in rows])
        with disk.errors_named(out, "write"):
            for stem in _ANSWERS:
                for path, answer in answers.every(packed, stem).items():
                    if not (out / path.name).exists():
                        disk.write_json(out / path.name, answer)
    return added


def _told(view: View) -> dict[str, Any]:
    if view.spec is None or view.about is None:
        raise ReglabError(f"The study in {view.folder} has not begun, so there is nothing to pack.")
    keys = ("id", "name", "recipe", "hyperparameters", "seed")
    return {
        "spec": {**view.spec, **{key: _name(view.spec[key]) for key in ("data", "model")}},
        "facts": view.facts,
        "about": view.about,
        "execution": {} if view.threads is None else {"threads": view.threads},
        "runs": [{key: row[key] for key in keys} for row in view.runs()],
    }


def _name(source: str) -> str:
    """Return what data or a model are called, without where they lay on this machine."""
    path, mark, options = source.partition("(")
    return f"{Path(path).name}{mark}{options}" if Path(path).is_absolute() else source


def _write(path: Path, record: Record, task: Task) -> None:
    """Write a run as an archive."""

    def compact(kept: Predictions | None) -> Predictions | None:
        return None if kept is None else Predictions(task.compact(kept.predicted), kept.labels)

    fields = {**record.summary(), "history": record.history, "device": record.device}
    del fields["read_test"]
    small = Record(**fields, validation=compact(record.validation), test=compact(record.test))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run_folder.fill(folder, small)
        archive = folder / "packed"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
            for held in sorted(folder.iterdir()):
                if held != archive:
                    info = zipfile.ZipInfo(held.name, _EARLIEST)
                    info.compress_type = zipfile.ZIP_DEFLATED
                    file.writestr(info, held.read_bytes())
        disk.write(path, archive.read_bytes())


@contextmanager
def _opened(packed: Path) -> Iterator[Path]:
    """Give a folder with the runs as a study has them."""
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted((packed / "runs").glob("*.zip")):
            folder = Path(scratch) / "runs" / path.stem
            folder.mkdir(parents=True)
            _extract(path, folder)
        yield Path(scratch)


def _extract(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as file:
            held: Mapping[str, zipfile.ZipInfo] = {info.filename: info for info in file.infolist()}
            if sum(info.file_size for info in held.values()) > _MOST_BYTES:
                raise ValueError("it is larger than any run")
            for name in ("record.json", "history.json", "predictions.npz"):
                if name in held:
                    (folder / name).write_bytes(file.read(name))
        if run_folder.complete(folder) is None:
            raise ValueError("a file is gone or not what was written")
    except (OSError, ValueError, zipfile.BadZipFile, json.JSONDecodeError, NotImplementedError, RuntimeError) as error:
        raise ReglabError(f"{path} is damaged ({error}). Take it from where it came once more, or remove it.") from None
