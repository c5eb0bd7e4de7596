"""The study folder: the only place that writes it, and every reading of the test set is logged in it.

::

    .reglab           says that the folder is a study of reglab's (owned.py)
    study.yaml        the spec, frozen when the study began
    study.sqlite      the table of runs and attempts (ledger.py)
    runs/<id>/        record.json, history.json, predictions.npz, weights.npz
    checkpoints/      where long runs go on after an interruption, if asked for
    results.json      what analysis made of the runs (docs/results-json.md)
    report/           tables
    live.json         what is going on, for `reglab status`; only while a process runs the study
    .lock             held by the one process that runs the study; the system lets go of it whenever that process ends

A result is written to a folder with a temporary name and synced. Then, in one transaction, its lease is checked, the
folder gets its name, and the row is entered. A folder without a row, left by a crash in between, is taken in at the
next start; a table that is damaged is made anew from the folders.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from reglab.errors import ReglabError
from reglab.study.records import ACCEPTED, Record
from reglab.study.storage import disk, owned, run_folder, sound
from reglab.study.storage.checkpoint_store import CheckpointStore
from reglab.study.storage.frozen import Frozen, differences
from reglab.study.storage.ledger import Ledger

__all__ = ["Store"]

_TABLE = "study.sqlite"
_LOCK_PATIENCE_S = 2.0
_NAMED = 5  # files of somebody else's that a note names


class Store:
    """A study folder, opened by the one process that runs the study.

    Attributes:
        notes: what was found and mended on opening.
        checkpoints: where trainings stand.

    Raises:
        ReglabError: if the folder cannot be written or is not reglab's, another process runs the study, or another
            version of reglab wrote it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.notes: list[str] = []
        self.checkpoints = CheckpointStore(self.folder)
        self._lock: filelock.BaseFileLock | None = None
        self._ledger: Ledger = None  # type: ignore[assignment]  # until it is opened
        owned.check(self.folder)
        with disk.errors_named(self.folder, "open"):
            self.folder.mkdir(parents=True, exist_ok=True)
            owned.mark(self.folder, owned.STUDY)
            self._lock = self._locked()
            try:
                for name in ("runs", "report", "checkpoints"):
                    (self.folder / name).mkdir(exist_ok=True)
                self._ledger = self._opened()
                self._take_in()
                self._ledger.settle_all("lost")  # whoever held these leases is no more
            except BaseException:
                self._release()
                raise

    def close(self) -> None:
        """Let go of the folder; it can be opened again."""
        if self._lock is None:
            return  # it may be another process' by now
        (self.folder / "live.json").unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- what is frozen --------------------------------------------------------------------------------------------

    def freeze(self, spec: Mapping[str, Any]) -> None:
        """Freeze the spec, or make sure that it is the one that is frozen.

        Raises:
            ReglabError: if the folder holds another study, or its ``study.yaml`` was edited.
        """
        held = self._ledger.get("spec")
        found = Frozen.read(self.folder)
        if held is None and found is not None and found.intact:
            held = found.spec
        if held is not None:
            changed = differences(held, spec)
            if changed:
                raise ReglabError(
                    f"{self.folder} holds another study: {'; '.join(changed)}. A changed spec is a new study: choose "
                    "another folder with --out (--reuse takes over the runs that both have)."
                )
        if found is not None and found.edited_from(held or spec):
            raise ReglabError(
                f"{found.path} was changed after the study began: {'; '.join(differences(held or spec, found.spec))}. "
                "The spec of a study is frozen. To run the changed one, copy the file and give it to reglab compare "
                "with another --out; to go on with this study, delete the file (it is written again)."
            )
        with disk.errors_named(self.folder, "write"):
            spec = dict(held or spec)
            self._ledger.put("spec", spec)
            if found is None or found.spec != spec or not found.intact:
                disk.write(self.folder / "study.yaml", Frozen.text(spec).encode())

    def changed(self, facts: Mapping[str, Any]) -> list[str]:
        """Return in which facts, beside the spec, this study differs from the one that was begun here."""
        held = self._ledger.get("facts")
        return [] if held is None else differences(held, facts)

    def register(
        self, facts: Mapping[str, Any], runs: Iterable[Mapping[str, Any]], about: Mapping[str, Any] | None = None
    ) -> None:
        """Enter the plan: what the results depend on beside the spec, the runs, and what people are told of them.

        Raises:
            ReglabError: if results would now depend on something else than those that are recorded: on data, a model,
                Keras or a backend that have changed since.
        """
        changed = self.changed(facts)
        if changed:
            raise ReglabError(
                f"Since the study in {self.folder} began, something changed that its results depend on: "
                f"{'; '.join(changed)}. Bring that back to finish this study, or start a new one (--out)."
            )
        with disk.errors_named(self.folder, "write"):
            self._ledger.put("facts", dict(facts))
            if about is not None:
                self._ledger.put("about", dict(about))
            self._ledger.plan(runs)

    def execution(self) -> dict[str, Any]:
        """Return how the study was last trained: ``threads`` of a worker, on which the last bits depend."""
        return self._ledger.get("execution") or {}

    def set_execution(self, execution: Mapping[str, Any]) -> None:
        """Remember how the study is trained."""
        with disk.errors_named(self.folder, "write"):
            self._ledger.put("execution", dict(execution))

    def check_room(self, needed: int) -> None:
        """Raise a ReglabError if the disk has less room than the results will take, about."""
        with disk.errors_named(self.folder, "look at"):
            free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise ReglabError(
                f"The results will take about {needed / 1e6:,.0f} MB, and the disk of {self.folder} has "
                f"{free / 1e6:,.0f} MB left. Make room, or choose another folder with --out."
            )

    # --- runs ------------------------------------------------------------------------------------------------------

    def accepted(self) -> set[str]:
        """Return the runs that have a result, finished or diverged. A failed run is tried again."""
        return self._ledger.ids(*ACCEPTED)

    def planned(self) -> set[str]:
        """Return every run that the table knows."""
        return self._ledger.ids()

    def begin(self, runs: Iterable[str], worker: str) -> dict[str, int]:
        """Enter an attempt at each of these runs; return the leases under which results will be taken."""
        with disk.errors_named(self.folder, "write"):
            return self._ledger.begin(runs, worker)

    def settle(self, leases: Iterable[int], outcome: str, error: str = "") -> None:
        """End attempts that brought no result; whatever comes under their leases later is refused."""
        with disk.errors_named(self.folder, "write"), self._ledger.transaction():
            for lease in leases:
                self._ledger.settle(lease, outcome, error)

    def settle_all(self, outcome: str) -> None:
        """End every attempt that is open."""
        with disk.errors_named(self.folder, "write"):
            self._ledger.settle_all(outcome)

    def add(self, record: Record, lease: int) -> bool:
        """Take a result: files first, the row last. Return False, leaving all as it was, if the lease has ended."""
        with disk.errors_named(self.folder, "write"):
            if record.status not in ACCEPTED:
                return self._enter(record, lease, None)
            temporary = disk.new_folder(self.folder / "runs" / record.id)
            try:
                run_folder.fill(temporary, record)
                taken = self._enter(record, lease, temporary)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            if not taken:
                disk.remove(temporary)
            return taken

    def _enter(self, record: Record, lease: int, temporary: Path | None) -> bool:
        with self._ledger.transaction():
            if not self._ledger.holds(record.id, lease):
                return False
            self._ledger.end(record.summary())
            self._ledger.settle(lease, record.status, record.error)
            if temporary is not None:  # last, for it cannot be rolled back
                self._publish(temporary, record.id)
        return True

    def _publish(self, temporary: Path, run: str) -> None:
        target = self.folder / "runs" / run
        disk.publish(temporary, target, replaces=owned.removable(target))

    def adopt(self, other: str | Path, wanted: Iterable[str]) -> list[str]:
        """Copy results from another study folder for runs that this one has not; return which."""
        adopted = []
        missing = set(wanted) - self.accepted()
        for run in sorted(missing):
            source = Path(other) / "runs" / run
            summary = run_folder.complete(source)
            if summary is None:
                continue
            with disk.errors_named(self.folder, "write"):
                temporary = disk.new_folder(self.folder / "runs" / run)
                try:
                    shutil.copytree(source, temporary, dirs_exist_ok=True)
                    disk.sync_files(temporary)
                    with self._ledger.transaction():
                        self._ledger.end(summary)
                        self._publish(temporary, run)
                except BaseException:
                    shutil.rmtree(temporary, ignore_errors=True)
                    raise
            adopted.append(run)
        return adopted

    def read(self, run: str) -> Record:
        """Return a run that has ended, without its weights."""
        row = self._ledger.run(run)
        if row is None:
            raise KeyError(run)
        fields = {key: row[key] for key in row if key != "written"}
        if row["status"] not in ACCEPTED:
            return Record(**fields)
        return run_folder.read(self.folder / "runs" / run, fields)

    def summary(self, run: str) -> dict[str, Any] | None:
        """Return status, metrics and error of a run, or None if it is not in the table."""
        row = self._ledger.run(run)
        return None if row is None else {key: row[key] for key in ("status", "metrics", "error")}

    def weights(self, run: str) -> list[np.ndarray]:
        """Return the best weights of a finished run, in the order of the network's weights."""
        return run_folder.weights(self.folder / "runs" / run)

    # --- what analysis makes of it, and what is going on -----------------------------------------------------------

    def write_results(self, results: dict[str, Any]) -> Path:
        """Write ``results.json``."""
        path = self.folder / "results.json"
        with disk.errors_named(self.folder, "write"):
            disk.write_json(path, results)
        return path

    def write_report(self, name: str, text: str) -> Path:
        """Write a file of the report."""
        path = self.folder / "report" / name
        with disk.errors_named(self.folder, "write"):
            disk.write(path, text.encode())
        return path

    def write_live(self, live: Mapping[str, Any]) -> None:
        """Say what is going on."""
        with disk.errors_named(self.folder, "write"):
            disk.write_quickly(self.folder / "live.json", json.dumps(disk.finite(live)).encode())

    # --- inside ----------------------------------------------------------------------------------------------------

    def _locked(self) -> filelock.BaseFileLock:
        lock = filelock.FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=_LOCK_PATIENCE_S, poll_interval=0.1)
        except filelock.Timeout:
            live = disk.read_json(self.folder / "live.json") or {}
            who = f" (process {live['pid']} on {live['host']})" if "pid" in live and "host" in live else ""
            raise ReglabError(
                f"Another process runs the study in {self.folder}{who}. Wait for it, look at it with reglab status "
                f"{self.folder}, or choose another folder with --out."
            ) from None
        return lock

    def _opened(self) -> Ledger:
        """Open the table; a damaged one is set aside, and a new one is made from the folders of the runs."""
        path = self.folder / _TABLE
        ledger = None
        try:
            ledger = Ledger(path)
            ledger.check()
            return ledger
        except sqlite3.DatabaseError as error:
            if ledger is not None:
                ledger.close()
            if isinstance(error, sqlite3.OperationalError):  # not damage: no permission, no space, no answer
                raise
        aside = disk.set_aside(path)
        journal = path.with_name(f"{_TABLE}-journal")
        if journal.exists():
            journal.replace(aside.with_name(f"{aside.name}-journal"))
        self.notes.append(f"{path} was damaged. It was set aside as {aside.name} and made anew from the runs' folders.")
        return Ledger(path)

    def _take_in(self) -> None:
        """Bring table and folders together: clear what was never finished, enter what was, reopen what is damaged."""
        runs = self.folder / "runs"
        owned.sweep(self.folder, runs, self.folder / "checkpoints", self.folder / "report")
        accepted = self.accepted()
        for folder in runs.iterdir():
            if folder.name in accepted or folder.is_symlink() or not folder.is_dir():
                continue
            summary = run_folder.complete(folder)
            if summary is not None:
                with self._ledger.transaction():
                    self._ledger.take_in(summary)
            elif owned.removable(folder):
                disk.remove(folder)
        for run in sorted(accepted):
            folder = runs / run
            if self._lacks_metrics(run) and (summary := run_folder.complete(folder)):
                with self._ledger.transaction():
                    self._ledger.end(summary)
            if run_folder.damaged(folder):
                if owned.removable(folder):
                    disk.remove(folder)
                self._ledger.reopen(run)
                self.notes.append(f"{folder} was damaged or is gone, so that run is trained again.")
        others = owned.strangers(self.folder)
        if others:
            more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
            self.notes.append(f"In {self.folder}, not reglab's and left as it is: {', '.join(others[:_NAMED])}{more}.")

    def _lacks_metrics(self, run: str) -> bool:
        row = self._ledger.run(run)
        return row is not None and not sound.has_metrics(row)
