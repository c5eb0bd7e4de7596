"""The study folder: the only place that writes records, and every reading of the test set is logged in it.

::

    study.yaml        the spec, as resolved when the study was last started
    study.sqlite      a row a run, and a row for each time a test set was read
    runs/<id>/        record.json, history.json, predictions.npz, weights.npz
    results.json      what analysis made of the runs (docs/results-json.md)
    report/           tables

A run's files are written to a folder with a temporary name, synced and renamed; its row comes last. A folder without a
row, left by a crash in between, is taken in at the next start.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from reglab.errors import ReglabError
from reglab.study.records import FINISHED, Predictions, Record

__all__ = ["Store"]

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE runs (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, recipe TEXT NOT NULL, seed INTEGER NOT NULL, status TEXT NOT NULL,
    metrics TEXT NOT NULL, error TEXT NOT NULL, written TEXT NOT NULL DEFAULT (datetime('now'))
);
CREATE TABLE test_readings (run TEXT NOT NULL, at TEXT NOT NULL DEFAULT (datetime('now')));
"""


class Store:
    """A study folder, opened for writing.

    Raises:
        ReglabError: if the folder cannot be written, or was written by a newer reglab.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            (self.folder / "runs").mkdir(parents=True, exist_ok=True)
            (self.folder / "report").mkdir(exist_ok=True)
            self._database = sqlite3.connect(self.folder / "study.sqlite", isolation_level=None)
            # A study may lie on a network file system, where write-ahead logging is unsafe.
            self._database.execute("PRAGMA journal_mode=DELETE")
            self._database.execute("PRAGMA synchronous=EXTRA")
            self._migrate()
        except (OSError, sqlite3.Error) as error:
            raise ReglabError(
                f"Cannot write the study folder {self.folder}: {error}. Choose another with --out."
            ) from None
        self._take_in()

    def close(self) -> None:
        """Close the database; the folder can be opened again."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- the spec --------------------------------------------------------------------------------------------------

    def write_spec(self, spec: dict[str, Any]) -> list[str]:
        """Write ``study.yaml`` and return the keys in which it differs from the one that was there."""
        path = self.folder / "study.yaml"
        before = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
        text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
        now = yaml.safe_load(text)
        _write(path, text.encode())
        return [] if before is None else [key for key in now if now[key] != before.get(key)]

    # --- runs ------------------------------------------------------------------------------------------------------

    def has(self, run: str) -> bool:
        """Whether the run is recorded: finished or diverged. A failed run is tried again."""
        row = self._database.execute("SELECT status FROM runs WHERE id = ?", (run,)).fetchone()
        return row is not None and row[0] != "failed"

    def add(self, record: Record) -> None:
        """Write a record: files first, the row last."""
        target = self.folder / "runs" / record.id
        if target.exists():
            shutil.rmtree(target)  # a failed attempt before this one
        with _new_folder(target) as folder:
            _write(folder / "history.json", json.dumps(_finite(record.history)).encode())
            if record.validation is not None and record.test is not None:
                _write_arrays(folder / "predictions.npz", _prediction_arrays(record.validation, record.test))
            if record.weights is not None:
                _write_arrays(folder / "weights.npz", {f"{i:04d}": w for i, w in enumerate(record.weights)})
            _write(folder / "record.json", json.dumps(_finite(record.summary()), indent=1).encode())
        self._insert(record.summary())

    def read(self, run: str) -> Record:
        """Return a recorded run, without its weights."""
        folder = self.folder / "runs" / run
        summary = json.loads((folder / "record.json").read_text())
        history = json.loads((folder / "history.json").read_text())
        validation = test = None
        if summary["status"] == FINISHED:
            with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
                validation = Predictions(arrays["validation"], arrays["validation_labels"])
                test = Predictions(arrays["test"], arrays["test_labels"])
        return Record(**summary, history=history, validation=validation, test=test)

    def summary(self, run: str) -> dict[str, Any] | None:
        """Return status and metrics of a run, or None if it is not recorded."""
        row = self._database.execute("SELECT status, metrics, error FROM runs WHERE id = ?", (run,)).fetchone()
        return None if row is None else {"status": row[0], "metrics": json.loads(row[1]), "error": row[2]}

    def weights(self, run: str) -> list[np.ndarray]:
        """Return the best weights of a finished run, in the order of the network's weights."""
        with np.load(self.folder / "runs" / run / "weights.npz", allow_pickle=False) as arrays:
            return [arrays[key] for key in sorted(arrays.files)]

    # --- what analysis makes of it ---------------------------------------------------------------------------------

    def write_results(self, results: dict[str, Any]) -> Path:
        """Write ``results.json``."""
        path = self.folder / "results.json"
        _write(path, (json.dumps(_finite(results), indent=1) + "\n").encode())
        return path

    def write_report(self, name: str, text: str) -> Path:
        """Write a file of the report."""
        path = self.folder / "report" / name
        _write(path, text.encode())
        return path

    # --- inside ----------------------------------------------------------------------------------------------------

    def _migrate(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > _SCHEMA_VERSION:
            raise ReglabError(f"{self.folder} was written by a newer reglab. Update reglab, or choose another folder.")
        if version == 0:
            self._database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")

    def _take_in(self) -> None:
        """Add rows for runs whose folder is complete, and clear away folders that never became so."""
        for folder in (self.folder / "runs").iterdir():
            if folder.name.startswith("."):
                shutil.rmtree(folder)
            elif not self._database.execute("SELECT 1 FROM runs WHERE id = ?", (folder.name,)).fetchone():
                self._insert(json.loads((folder / "record.json").read_text()))

    def _insert(self, summary: dict[str, Any]) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(
            "INSERT OR REPLACE INTO runs (id, name, recipe, seed, status, metrics, error) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                summary["id"], summary["name"], summary["recipe"], summary["seed"], summary["status"],
                json.dumps(summary["metrics"]), summary["error"],
            ),
        )  # fmt: skip
        if summary["status"] == FINISHED:
            self._database.execute("INSERT INTO test_readings (run) VALUES (?)", (summary["id"],))
        self._database.execute("COMMIT")


def _prediction_arrays(validation: Predictions, test: Predictions) -> dict[str, np.ndarray]:
    return {
        "validation": validation.probabilities,
        "validation_labels": validation.labels,
        "test": test.probabilities,
        "test_labels": test.labels,
    }


def _finite(value: Any) -> Any:
    """Return ``value`` with null where a number is not finite, which JSON cannot hold."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Make a folder under a temporary name; it gets its own name when everything in it is on disk."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
