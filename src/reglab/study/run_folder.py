"""The folder of one run: filled, read, and checked for damage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reglab.study import disk
from reglab.study.records import ACCEPTED, FINISHED, Predictions, Record

__all__ = ["complete", "damaged", "fill", "predictions", "read", "weights"]


def fill(folder: Path, record: Record) -> None:
    """Write a record's files into a folder that has no name yet, the manifest of all others last."""
    disk.write_json(folder / "history.json", record.history)
    parts = {"validation": record.validation, "test": record.test}
    arrays: dict[str, np.ndarray] = {}
    for part, held in parts.items():
        if held is not None:
            arrays |= {part: held.probabilities, f"{part}_labels": held.labels}
    if arrays:
        disk.write_arrays(folder / "predictions.npz", arrays)
    if record.weights is not None:
        disk.write_arrays(folder / "weights.npz", {f"{i:04d}": w for i, w in enumerate(record.weights)})
    disk.write_json(folder / "record.json", {**record.summary(), disk.MANIFEST: disk.checksums(folder)})


def read(folder: Path, fields: Mapping[str, Any]) -> Record:
    """Return the record of a run, without its weights; ``fields`` is what the table says of it."""
    history = json.loads((folder / "history.json").read_text())
    validation = test = None
    if fields["status"] == FINISHED:
        validation = predictions(folder, "validation")
        test = predictions(folder, "test") if "accuracy" in fields["metrics"] else None  # else it was sealed
    return Record(**fields, history=history, validation=validation, test=test)


def predictions(folder: Path, part: str) -> Predictions:
    """Return what a finished run predicts for ``part``, ``validation`` or ``test``."""
    # NumPy leaves a damaged file open when it opened it itself.
    with (folder / "predictions.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return Predictions(arrays[part], arrays[f"{part}_labels"])


def weights(folder: Path) -> list[np.ndarray]:
    """Return the best weights of a run, in the order of the network's weights."""
    with (folder / "weights.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return [arrays[key] for key in sorted(arrays.files)]


def complete(folder: Path) -> dict[str, Any] | None:
    """Return the summary of a run whose folder is whole to the last byte, or None."""
    record = disk.read_json(folder / "record.json")
    if not isinstance(record, dict) or record.get("status") not in ACCEPTED or record.get("id") != folder.name:
        return None
    manifest = record.pop(disk.MANIFEST, None)
    if manifest is None:  # written before there were manifests, but whole folders were renamed then too
        record.setdefault("hyperparameters", f"unplanned {record['id']}")
    elif not disk.intact(folder, manifest, thorough=True):
        return None
    return record


def damaged(folder: Path) -> bool:
    """Whether a recorded run lacks a file or has one of another size; bytes are looked at when they are read."""
    record = disk.read_json(folder / "record.json")
    if not isinstance(record, dict):
        return True
    return disk.MANIFEST in record and not disk.intact(folder, record[disk.MANIFEST], thorough=False)
