"""A study folder as somebody sees it who only looks, while another process may be writing it."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reglab.errors import ReglabError
from reglab.study.records import ACCEPTED, FAILED, PLANNED, Record
from reglab.study.storage import disk, owned, run_folder, sound
from reglab.study.storage.frozen import Frozen
from reglab.study.storage.ledger import Ledger

__all__ = ["Status", "View", "began_with", "frozen_facts", "frozen_spec", "holds_study", "resumable_spec",
           "studies_in", "study_in"]  # fmt: skip

_SILENCE_S = 15.0  # a process that runs a study writes live.json every second or two


@dataclass(frozen=True)
class Status:
    """How far a study is.

    Attributes:
        folder: the study folder.
        counts: how many runs are in each state: ``finished``, ``diverged``, ``failed``, ``running``, ``planned``.
        running: for each training that goes on: ``names`` of its recipes, ``seed``, ``worker``, ``epoch`` (done, of
            ``epochs``) and ``seconds`` since it began.
        failed: for each failed run ``name``, ``seed``, ``error``, and how many ``attempts`` were made.
        epochs: of each training, or None where nothing says it.
        seconds_left: of the whole study at its pace, or None where that is not known.
        active: whether a process runs the study now.
        silent_for: seconds since the process that ran it last gave a sign of life, where it ended without a word.
        where: host, process and workers of it, for people.
        lost: attempts that ended because their worker was killed, out of memory, or with whoever ran the study.
    """

    folder: Path
    counts: dict[str, int]
    running: list[dict[str, Any]]
    failed: list[dict[str, Any]]
    epochs: int | None
    seconds_left: float | None
    active: bool
    silent_for: float | None
    where: str
    lost: int

    @property
    def complete(self) -> bool:
        """Whether every run has a result or failed."""
        return self.counts["planned"] == 0 and self.counts["running"] == 0

    def to_dict(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "folder": str(self.folder), "active": self.active, "complete": self.complete, "counts": self.counts,
            "epochs": self.epochs, "seconds_left": self.seconds_left, "silent_for": self.silent_for,
            "where": self.where, "lost_attempts": self.lost, "running": self.running, "failed": self.failed,
        }  # fmt: skip


class View:
    """A study folder, opened for looking.

    Raises:
        ReglabError: if there is no study, or its table cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / "study.sqlite"
        if not path.exists():
            raise _no_study(self.folder)
        try:
            self._ledger = _opened(path)
        except sqlite3.OperationalError as error:
            raise ReglabError(f"Cannot read {path}: {error}. Is it a file, and may you read it?") from None
        except (sqlite3.DatabaseError, ValueError) as error:
            raise ReglabError(
                f"{path} is damaged ({error}). Run the study once more (reglab resume {self.folder}): the table is "
                "made anew from the folders of the runs."
            ) from None

    def close(self) -> None:
        self._ledger.close()

    def __enter__(self) -> View:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def spec(self) -> dict[str, Any] | None:
        """The frozen spec, or None if the table has none."""
        return self._ledger.get("spec")

    @property
    def threads(self) -> int | None:
        """Processor threads of a worker when the study was last trained, or None if it was not trained by workers."""
        return (self._ledger.get("execution") or {}).get("threads")

    @property
    def facts(self) -> dict[str, str]:
        """What results depend on beside the spec, each as a short text; empty before the first plan."""
        return self._ledger.get("facts") or {}

    @property
    def about(self) -> dict[str, Any] | None:
        """What people are told of the study (see ``Study``), or None before its first plan."""
        return self._ledger.get("about")

    @property
    def backend(self) -> str | None:
        """The backend that the study began with, or None before its first plan."""
        held = self.facts.get("backend")
        return None if held is None else str(held).split()[0]

    def runs(self) -> list[dict[str, Any]]:
        """Return every run with its state, metrics and error, and how many ``attempts`` were made at it."""
        tried = Counter(attempt["run"] for attempt in self._ledger.attempts())
        return [{**run, "attempts": tried[run["id"]]} for run in self._ledger.runs()]

    def record(self, run: str) -> Record:
        """Return a run that has ended, without its weights.

        Raises:
            ReglabError: if it is not in the table, or its files are damaged.
        """
        row = self._ledger.run(run)
        if row is None:
            raise ReglabError(f"The study in {self.folder} has no run {run}.")
        fields = {key: row[key] for key in row if key != "written"}
        if row["status"] not in ACCEPTED:
            return Record(**fields)
        return run_folder.read(self.folder / "runs" / run, fields)

    def status(self) -> Status:
        """Return how far the study is."""
        runs, attempts = self.runs(), self._ledger.attempts()
        live = _live(self.folder)
        age = None if "at" not in live else max(0.0, time.time() - live["at"])
        active = age is not None and age < _SILENCE_S
        counts = Counter(run["status"] for run in runs)
        open_ = {attempt["run"] for attempt in attempts if attempt["ended"] is None} if active else set()
        going = sum(run["id"] in open_ and run["status"] not in ACCEPTED for run in runs)
        failed = [run for run in runs if run["status"] == FAILED and run["id"] not in open_]
        again = counts[FAILED] - len(failed)
        return Status(
            folder=self.folder,
            counts={
                "finished": counts["finished"], "diverged": counts["diverged"], "failed": len(failed),
                "running": going, "planned": counts[PLANNED] + again - going,
            },
            running=live.get("running", []) if active else [],
            failed=[{key: run[key] for key in ("name", "seed", "error", "attempts")} for run in failed],
            epochs=live.get("epochs") or (self._ledger.get("spec") or {}).get("epochs"),
            seconds_left=live.get("seconds_left") if active else None,
            active=active,
            silent_for=None if active else age,
            where=f"{live.get('workers') or 'this process'}, process {live['pid']} on {live['host']}" if active else "",
            lost=sum(attempt["outcome"] in ("lost", "killed", "out of memory") for attempt in attempts),
        )  # fmt: skip


def _opened(path: Path) -> Ledger:
    ledger = Ledger(path, readonly=True)
    try:
        ledger.check_content()
        sound.check_told(*map(ledger.get, ("spec", "facts", "about")))
    except BaseException:
        ledger.close()
        raise
    return ledger


def _live(folder: Path) -> dict[str, Any]:
    """Return what a process says of itself that runs a study; nothing if that is not what reglab writes."""
    found = disk.read_json(folder / "live.json")
    kinds: dict[str, Any] = {"at": (int, float), "pid": int, "host": str, "running": list}
    if not isinstance(found, dict) or not all(isinstance(found.get(key), kind) for key, kind in kinds.items()):
        return {}
    texts, numbers = ("worker",), ("seed", "epoch", "seconds")
    whole = all(
        isinstance(one, dict)
        and isinstance(one.get("names"), list)
        and all(isinstance(one.get(key), str) for key in texts)
        and all(isinstance(one.get(key), int | float) for key in numbers)
        for one in found["running"]
    )
    return found if whole else {}


def frozen_spec(folder: str | Path) -> dict[str, Any] | None:
    """Return the spec that a folder's study was frozen with, from its table or else its ``study.yaml``, or None."""
    try:
        with View(folder) as view:
            held = view.spec
    except ReglabError:
        held = None
    found = Frozen.read(folder)
    return held or (found.spec if found is not None and found.intact else None)


def frozen_facts(folder: str | Path) -> dict[str, Any]:
    """Return what the results of a folder's study depend on beside its spec; nothing where that is not known."""
    try:
        with View(folder) as view:
            return view.facts
    except ReglabError:
        return {}


def holds_study(folder: str | Path) -> bool:
    """Whether there is a study in the folder, be it damaged."""
    return owned.kind(folder) == owned.STUDY


def studies_in(folder: str | Path) -> list[Path]:
    """Return the studies that lie in a folder, as those of a search and its confirmation do; by name."""
    try:
        return sorted(path for path in Path(folder).iterdir() if holds_study(path))
    except OSError:
        return []


def study_in(folder: str | Path) -> Path:
    """Return the folder that is looked at: itself where it is a study, else the last confirmation or only study in it.

    Where there is none, or several that nothing tells apart, the folder itself is returned, and reading it says so.
    """
    folder = Path(folder)
    if holds_study(folder):
        return folder
    inside = studies_in(folder)
    # "confirmation-10" comes after "confirmation-9".
    confirmations = sorted(
        (p for p in inside if p.name.startswith("confirmation")), key=lambda p: (len(p.name), p.name)
    )
    if confirmations:
        return confirmations[-1]
    return inside[0] if len(inside) == 1 else folder


def _no_study(folder: str | Path) -> ReglabError:
    inside = studies_in(folder)
    if inside:
        return ReglabError(
            f"There is no study in {folder} itself; it holds those in {', '.join(path.name for path in inside)}. Give "
            f"one of them, as {inside[0]}."
        )
    return ReglabError(f"There is no study in {folder}. Give the folder that reglab compare wrote.")


def resumable_spec(folder: str | Path) -> dict[str, Any]:
    """Return the frozen spec of the study in a folder.

    Raises:
        ReglabError: if there is no study, or nothing there tells any more what it was.
    """
    if not holds_study(folder):
        raise _no_study(folder)
    held = frozen_spec(folder)
    if held is None:
        raise ReglabError(
            f"What the study in {folder} was is lost: neither its table nor its study.yaml tells it any more. Give the "
            "command that began it once more, with the same --out: the results that are there are taken in."
        )
    return held


def began_with(folder: str | Path) -> str | None:
    """Return the backend that the study in a folder began with, or None if nothing tells."""
    try:
        with View(folder) as view:
            return view.backend
    except ReglabError:
        return None
