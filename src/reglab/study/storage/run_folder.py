"""The folder of one run: filled, read, and checked for damage."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from reglab.data.several import by_input
from reglab.errors import ReglabError
from reglab.study.records import ACCEPTED, FINISHED, Predictions, Record
from reglab.study.storage import disk, sound

__all__ = ["Damaged", "complete", "damage", "damaged", "fill", "predictions", "read", "weights"]


def fill(folder: Path, record: Record) -> None:
    """Write a record's files into a folder that has no name yet, the manifest of all others last."""
    disk.write_json(folder / "history.json", record.history)
    parts = {"validation": record.validation, "test": record.test}
    arrays: dict[str, np.ndarray] = {}
    for part, held in parts.items():
        if held is not None:
            arrays |= {part: held.predicted, f"{part}_labels": held.labels}
    if arrays:
        disk.write_arrays(folder / "predictions.npz", arrays)
    if record.weights is not None:
        disk.write_arrays(folder / "weights.npz", {f"{i:04d}": w for i, w in enumerate(record.weights)})
    about = {**record.summary(), "device": record.device}
    disk.write_json(folder / "record.json", {**about, disk.MANIFEST: disk.checksums(folder)})


class Damaged(ReglabError):
    """A file of a run is gone, cut short, or not what was written."""


def read(folder: Path, fields: Mapping[str, Any]) -> Record:
    """Return the record of a run, without its weights; ``fields`` is what the table says of it.

    Raises:
        Damaged: naming the file.
    """
    with _reading(folder / "history.json"):
        history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
        if not sound.is_history(history):
            raise ValueError("it holds no numbers per epoch")
    kept = fields["status"] == FINISHED
    about = disk.read_json(folder / "record.json")
    return Record(
        **fields,
        history=history,
        device=str(about.get("device", "")) if isinstance(about, Mapping) else "",
        validation=predictions(folder, "validation") if kept else None,
        test=predictions(folder, "test") if kept and "test" in _parts(folder) else None,  # it may be sealed
    )


def _parts(folder: Path) -> list[str]:
    """Return the parts of the data that predictions of a finished run are kept of."""
    path = folder / "predictions.npz"
    with _reading(path), path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return list(arrays.files)


def predictions(folder: Path, part: str) -> Predictions:
    """Return what a finished run predicts for ``part``, ``validation`` or ``test``.

    Raises:
        Damaged: naming the file.
    """
    # NumPy leaves a damaged file open when it opened it itself.
    path = folder / "predictions.npz"
    with _reading(path), path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        p, y = arrays[part], arrays[f"{part}_labels"]
        predicted, labels = (by_input(each).values() for each in (p, y))  # with a field per output where several are
        numbers = all(of.dtype.kind == "f" for of in predicted) and all(of.dtype.kind in "iuf" for of in labels)
        if not numbers or p.dtype.names != y.dtype.names or p.shape[:1] != y.shape[:1] or not p.ndim:
            raise ValueError(f"predictions {p.dtype} {p.shape} and labels {y.dtype} {y.shape} do not fit")
        return Predictions(p, y)


def weights(folder: Path) -> list[np.ndarray]:
    """Return the best weights of a run, in the order of the network's weights.

    Raises:
        Damaged: naming the file.
    """
    path = folder / "weights.npz"
    about = disk.read_json(folder / "record.json")
    if isinstance(about, Mapping) and path.name not in (about.get(disk.MANIFEST) or {path.name}):
        raise ReglabError(
            f"The run in {folder} has no weights: reglab pack leaves them out. What needs them can be done in the "
            "folder that was packed, or with a study that is trained anew."
        )
    with _reading(path), path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return [arrays[key] for key in sorted(arrays.files)]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises in its reader into an error that names it."""
    try:
        yield
    # What NumPy, zipfile and json raise on bytes that are not theirs.
    except (OSError, ValueError, KeyError, EOFError, RecursionError, NotImplementedError, struct.error, zlib.error,
            zipfile.BadZipFile) as error:  # fmt: skip
        raise damage(path, str(error)) from None


def damage(path: Path, problem: str) -> Damaged:
    """Return the error that names a damaged file of a run."""
    return Damaged(
        f"{path} cannot be read ({problem}). Remove the folder {path.parent}; reglab resume then trains that run again."
    )


def complete(folder: Path) -> dict[str, Any] | None:
    """Return the summary of a run whose folder is whole to the last byte, or None."""
    record = disk.read_json(folder / "record.json")
    if not isinstance(record, dict) or record.get("status") not in ACCEPTED or record.get("id") != folder.name:
        return None
    manifest = record.pop(disk.MANIFEST, None)
    return record if disk.intact(folder, manifest, thorough=True) else None


def damaged(folder: Path) -> bool:
    """Whether a recorded run lacks a file or has one of another size; bytes are looked at when they are read."""
    record = disk.read_json(folder / "record.json")
    return not isinstance(record, dict) or not disk.intact(folder, record.get(disk.MANIFEST), thorough=False)
