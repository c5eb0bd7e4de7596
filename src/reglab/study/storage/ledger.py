"""The table of a study: which runs there are, how each ended, and who is trying what. SQLite, one writer.

::

    study          spec and facts, as JSON: frozen when the study begins
    runs           a row per run, from the plan on: planned, finished, diverged or failed; a run that the plan no
                   longer has keeps its row and its result
    attempts       a row each time a run is tried, with the lease under which its result is taken
    test_readings  a row each time a test set was read

An attempt's lease is open until it ends. A result under a lease that has ended, because its worker was given up or
another process went on with the study, is refused. The journal is deleted after each transaction and everything is
synced: a study may lie on a network file system, where write-ahead logging and memory maps are unsafe.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reglab.aliases import Plain
from reglab.errors import ReglabError
from reglab.study.records import ACCEPTED, FAILED, FINISHED, PLANNED
from reglab.study.storage import sound
from reglab.study.storage.owned import APPLICATION_ID

__all__ = ["Ledger"]

_PATIENCE_S = 30.0  # how long a writer waits for a reader, and a reader for the writer

_SCHEMA = 1  # raised when the tables change

_TABLES = f"""
CREATE TABLE study (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE runs (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, recipe TEXT NOT NULL, hyperparameters TEXT NOT NULL,
    seed INTEGER NOT NULL, status TEXT NOT NULL CHECK (status IN ('{PLANNED}', '{FINISHED}', 'diverged', '{FAILED}')),
    metrics TEXT NOT NULL, error TEXT NOT NULL, written TEXT, in_plan INTEGER NOT NULL CHECK (in_plan IN (0, 1))
);
CREATE UNIQUE INDEX runs_of_the_plan ON runs (hyperparameters, seed) WHERE in_plan;
CREATE TABLE attempts (
    lease INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, worker TEXT NOT NULL,
    began TEXT NOT NULL DEFAULT (datetime('now')), ended TEXT, outcome TEXT, error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX attempts_of ON attempts (run);
CREATE INDEX open_attempts ON attempts (run) WHERE ended IS NULL;
CREATE TABLE test_readings (run TEXT NOT NULL, at TEXT NOT NULL DEFAULT (datetime('now')));
"""


class Ledger:
    """The table in one SQLite file.

    Args:
        path: the file; it is made unless ``readonly``.
        readonly: only look, while another process writes.

    Raises:
        ReglabError: if another version of reglab wrote it, with other tables.
        sqlite3.Error: if it cannot be opened or is damaged.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self._path = path
        # A reader opens for writing where it can: after a crash SQLite has to roll the last transaction back first.
        modes = ("rw", "ro") if readonly else ("rwc",)
        for mode in modes:
            try:
                self._database = self._open(mode, readonly=readonly)
                return
            except sqlite3.OperationalError:
                if mode == modes[-1]:
                    raise

    def _open(self, mode: str, *, readonly: bool) -> sqlite3.Connection:
        address = f"{self._path.resolve().as_uri()}?mode={mode}"
        database = sqlite3.connect(address, uri=True, isolation_level=None, timeout=_PATIENCE_S)
        try:
            if readonly:
                database.execute("PRAGMA query_only=ON")
                _check_schema(database, self._path)
            else:
                database.execute("PRAGMA journal_mode=DELETE")
                database.execute("PRAGMA synchronous=EXTRA")
                database.execute("PRAGMA mmap_size=0")
                _make_tables(database)
                _check_schema(database, self._path)
            database.execute("SELECT count(*) FROM runs").fetchone()
        except sqlite3.OperationalError as error:
            database.close()
            raise _of_damage(error) from None
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        self._database.close()

    def check(self) -> None:
        """Raise sqlite3.DatabaseError if the file is damaged, or holds what reglab does not write."""
        (found,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        self.check_content()

    def check_content(self) -> None:
        """Raise sqlite3.DatabaseError if an entry or a row is not what reglab writes."""
        try:
            held = {key: self.get(key) for (key,) in self._database.execute("SELECT key FROM study").fetchall()}
            for key, value in held.items():
                sound.check_entry(key, value)
            for row in self._rows(""):
                sound.check_run(row)
            self.attempts()
        except sqlite3.OperationalError as error:
            raise _of_damage(error) from None
        except (ValueError, TypeError, RecursionError) as error:  # what json raises, and the checks
            raise sqlite3.DatabaseError(str(error)) from None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of it or nothing, while nobody else writes."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    # --- the study -------------------------------------------------------------------------------------------------

    def get(self, key: str) -> Any:
        """Return ``spec`` or ``facts`` of the study, or None."""
        row = self._database.execute("SELECT value FROM study WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, value: Plain) -> None:
        self._database.execute("INSERT OR REPLACE INTO study VALUES (?, ?)", (key, json.dumps(value)))

    # --- runs ------------------------------------------------------------------------------------------------------

    def plan(self, summaries: Iterable[Mapping[str, Any]]) -> None:
        """Enter the runs of the plan. Those that are there already keep what they have; others leave the plan."""
        rows = [(s["id"], s["name"], s["recipe"], s["hyperparameters"], s["seed"], PLANNED) for s in summaries]
        with self.transaction():
            self._database.execute("UPDATE runs SET in_plan = 0")
            self._database.executemany(
                "INSERT INTO runs (id, name, recipe, hyperparameters, seed, status, metrics, error, in_plan) "
                "VALUES (?, ?, ?, ?, ?, ?, '{}', '', 1) ON CONFLICT (id) DO UPDATE SET in_plan = 1",
                rows,
            )

    def ids(self, *status: str) -> set[str]:
        """Return the runs that have one of these states; without any, all."""
        marks = ", ".join("?" * len(status))
        where = f"WHERE status IN ({marks})" if status else ""
        return {row[0] for row in self._database.execute(f"SELECT id FROM runs {where}", status)}

    def end(self, summary: Mapping[str, Any], *, in_plan: bool = True) -> None:
        """Enter how a run ended, a run of the plan if it is not known; call it in a transaction."""
        self._database.execute(
            "INSERT INTO runs (id, name, recipe, hyperparameters, seed, status, metrics, error, written, in_plan) "
            "VALUES (:id, :name, :recipe, :hyperparameters, :seed, :status, :metrics, :error, datetime('now'), "
            ":in_plan) "
            "ON CONFLICT (id) DO UPDATE SET status = excluded.status, metrics = excluded.metrics, "
            "error = excluded.error, written = excluded.written",
            # An error of somebody's code can hold half a character, which no database takes.
            {
                **summary,
                "metrics": json.dumps(summary["metrics"]),
                "error": _encodable(summary["error"]),
                "in_plan": in_plan,
            },
        )
        if summary["read_test"]:
            self._database.execute("INSERT INTO test_readings (run) VALUES (?)", (summary["id"],))

    def take_in(self, summary: Mapping[str, Any]) -> None:
        """Enter a run whose row is missing, beside the plan if that has another run of its recipe and seed."""
        known = self._database.execute(
            "SELECT 1 FROM runs WHERE in_plan AND hyperparameters = :hyperparameters AND seed = :seed AND id != :id",
            summary,
        ).fetchone()
        self.end(summary, in_plan=known is None)

    def reopen(self, run: str) -> None:
        """Plan a run again whose files are lost."""
        self._database.execute("UPDATE runs SET status = ?, metrics = '{}' WHERE id = ?", (PLANNED, run))

    def run(self, run: str) -> dict[str, Any] | None:
        """Return a run's row, or None."""
        return next(iter(self._rows("WHERE id = ?", (run,))), None)

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs of the plan, in its order."""
        return self._rows("WHERE in_plan ORDER BY rowid")

    def _rows(self, where: str, values: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        keys = ("id", "name", "recipe", "hyperparameters", "seed", "status", "metrics", "error", "written")
        rows = self._database.execute(f"SELECT {', '.join(keys)} FROM runs {where}", values)
        return [{**dict(zip(keys, row, strict=True)), "metrics": json.loads(row[6])} for row in rows]

    # --- attempts --------------------------------------------------------------------------------------------------

    def begin(self, runs: Iterable[str], worker: str) -> dict[str, int]:
        """Enter an attempt at each run and return its lease."""
        with self.transaction():
            return {
                run: int(
                    self._database.execute("INSERT INTO attempts (run, worker) VALUES (?, ?)", (run, worker)).lastrowid
                    or 0
                )
                for run in runs
            }

    def holds(self, run: str, lease: int) -> bool:
        """Whether a result of ``run`` may be taken under ``lease``: it is open, and the run has no result yet."""
        open_ = self._database.execute(
            "SELECT 1 FROM attempts WHERE lease = ? AND run = ? AND ended IS NULL", (lease, run)
        ).fetchone()
        row = self._database.execute("SELECT status FROM runs WHERE id = ?", (run,)).fetchone()
        return open_ is not None and (row is None or row[0] not in ACCEPTED)

    def settle(self, lease: int, outcome: str, error: str = "") -> None:
        """End an attempt."""
        self._database.execute(
            "UPDATE attempts SET ended = datetime('now'), outcome = ?, error = ? WHERE lease = ? AND ended IS NULL",
            (outcome, _encodable(error), lease),
        )

    def settle_all(self, outcome: str) -> int:
        """End every open attempt and return how many there were."""
        done = self._database.execute(
            "UPDATE attempts SET ended = datetime('now'), outcome = ? WHERE ended IS NULL", (outcome,)
        )
        return done.rowcount

    def attempts(self) -> list[dict[str, Any]]:
        """Return every attempt, the first one first."""
        keys = ("lease", "run", "worker", "began", "ended", "outcome", "error")
        rows = self._database.execute(f"SELECT {', '.join(keys)} FROM attempts ORDER BY lease")
        return [dict(zip(keys, row, strict=True)) for row in rows]


def _encodable(text: str) -> str:
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def _of_damage(error: sqlite3.OperationalError) -> sqlite3.Error:
    """Return the error as one of damage, if a table or column is gone; else it is busy, full or not to be read."""
    return sqlite3.DatabaseError(str(error)) if str(error).startswith("no such") else error


def _make_tables(database: sqlite3.Connection) -> None:
    """Make the tables in a file that has none."""
    if _schema(database) == 0:
        database.executescript(
            f"BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION_ID}; {_TABLES} "
            f"PRAGMA user_version = {_SCHEMA}; COMMIT;"
        )


def _check_schema(database: sqlite3.Connection, path: Path) -> None:
    found = _schema(database)
    if found not in (0, _SCHEMA):  # one without tables is being made just now, or damaged
        raise ReglabError(
            f"{path.parent} was written by another version of reglab (schema {found}; this one has {_SCHEMA}). Use "
            "that version, or choose another folder."
        )


def _schema(database: sqlite3.Connection) -> int:
    (found,) = database.execute("PRAGMA user_version").fetchone()
    return int(found)
