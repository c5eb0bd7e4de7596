"""Worker processes on this machine: each imports Keras for itself, keeps what it compiles, and can be ended at once."""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
from pathlib import Path
from typing import Any

from reglab.errors import ReglabError
from reglab.study.executors.base import (
    KILLED,
    UNREACHED,
    Event,
    Executor,
    Handler,
    Job,
    JobFinished,
    JobLost,
    JobStarted,
)
from reglab.study.executors.shipment import pack
from reglab.study.executors.wire import Planned, Ready, Refused
from reglab.study.executors.worker_handle import Exit, WorkerHandle, cores
from reglab.study.plan import Plan
from reglab.study.spec import Assignment

__all__ = ["Processes", "default_workers"]

_WORKER_BYTES = 2 * 2**30  # of memory for each worker: a backend, a data set, some compiled programs
_STARTS = 3  # workers in a row that end before they have done anything, until the study gives up


def default_workers(assignment: Assignment) -> int:
    """Return how many workers train a study fastest here: one a core, as far as trainings and memory go round.

    Small networks gain little from a second thread, and large ones lose nothing (docs/scaling.md). Where there is a
    GPU it is one, which has the GPU for itself.
    """
    if _has_gpu():
        return 1
    hosts = {recipe.host() for recipe in assignment.recipes.values()}
    return max(1, min(cores(), _memory() // _WORKER_BYTES, len(hosts) * assignment.settings.seeds))


class Processes(Executor):
    """Trains in worker processes.

    Args:
        assignment: the study.
        workers: how many.
        threads: processor threads of each; by default they share the cores.
    """

    def __init__(self, assignment: Assignment, *, workers: int, threads: int | None = None) -> None:
        self.threads: int = threads or max(1, cores() // workers)
        self._inbox: queue.SimpleQueue[tuple[WorkerHandle, Any]] = queue.SimpleQueue()
        self._scratch = Path(tempfile.mkdtemp(prefix="reglab-"))
        self._failed_starts = 0
        try:
            self._assignment = pack(assignment, self._scratch)
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise
        self._count = workers
        self._slots: list[WorkerHandle | None] = [None] * workers

    def describe(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return (
            f"{self._count} worker{'s' if self._count > 1 else ''} with {threads}{' each' if self._count > 1 else ''}"
        )

    def plan(self) -> Plan:
        worker = self._hire(0)
        worker.tell("plan")
        while True:
            sender, message = self._inbox.get()
            if sender is not worker:
                continue
            match message:
                case Ready():
                    worker.ready = True
                case Planned(plan):
                    worker.proven = True
                    return plan
                case Refused(message, True):
                    raise ReglabError(message)
                case Refused(message, False):
                    raise RuntimeError(f"Planning the study failed in the worker:\n{message}")
                case Exit() as ended:
                    raise ReglabError(f"The worker process ended while it planned the study: {ended.detail}")

    def free(self) -> list[str]:
        # A place without a process is free too: one is started there when there is work for it.
        return [f"worker {i + 1}" for i, worker in enumerate(self._slots) if worker is None or not worker.jobs]

    def start(self, worker: str, jobs: list[Job]) -> None:
        slot = int(worker.split()[-1]) - 1
        hired = self._slots[slot] or self._hire(slot)
        hired.jobs = list(jobs)
        if hired.ready:  # before it is told, for it may answer at once
            self._inbox.put((hired, JobStarted(jobs[0].number, worker)))
        for job in jobs:
            hired.tell(job)

    def poll(self, handle: Handler, timeout: float) -> None:
        try:
            sender, message = self._inbox.get(timeout=timeout)
        except queue.Empty:
            return
        while True:
            self._take(sender, message, handle)
            try:
                sender, message = self._inbox.get_nowait()
            except queue.Empty:
                return

    def _take(self, sender: WorkerHandle, message: Event | Ready | Refused | Exit, handle: Handler) -> None:
        if sender not in self._slots:
            return  # it was given up; its last words are not ours any more
        match message:
            case Ready():  # only now the clock of its first job starts
                sender.ready = True
                if sender.jobs:
                    handle(JobStarted(sender.jobs[0].number, sender.name))
            case Refused(text, _):
                self._lost(sender, KILLED, text, handle)
            case Exit(how, detail):
                self._lost(sender, how, detail, handle)
            case JobLost(worker_lost=True):
                self._lost(sender, message.how, message.detail, handle)
            case JobFinished() | JobLost():
                sender.jobs.pop(0)
                sender.proven = True
                self._failed_starts = 0
                handle(message)
                if sender.jobs:
                    handle(JobStarted(sender.jobs[0].number, sender.name))
            case _:
                sender.proven = True
                handle(message)

    def _lost(self, worker: WorkerHandle, how: str, detail: str, handle: Handler) -> None:
        """Tell what became of the jobs of a worker that has ended; its place is filled when there is work."""
        self._slots[self._slots.index(worker)] = None
        worker.end()
        self._failed_starts = 0 if worker.proven else self._failed_starts + 1
        if self._failed_starts >= _STARTS:
            raise ReglabError(f"{_STARTS} worker processes in a row ended before they could train. The last: {detail}")
        for position, job in enumerate(worker.jobs):
            reached = position == 0
            handle(JobLost(job.number, how if reached else UNREACHED, detail if reached else "", worker_lost=True))

    def stop(self, job: int) -> None:
        for worker in self._slots:
            if worker is not None and worker.jobs and worker.jobs[0].number == job:
                self._slots[self._slots.index(worker)] = None
                worker.end()

    def close(self) -> None:
        for worker in self._slots:
            if worker is not None:
                worker.end()
        self._slots = []
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _hire(self, slot: int) -> WorkerHandle:
        worker = WorkerHandle(
            f"worker {slot + 1}",
            self._inbox,
            assignment=self._assignment,
            scratch=self._scratch,
            threads=self.threads,
            place=slot,
            alone=self._count == 1,
        )
        self._slots[slot] = worker
        return worker


def _memory() -> int:
    """Return the bytes of memory of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return 4 * _WORKER_BYTES


def _has_gpu() -> bool:
    return os.environ.get("CUDA_VISIBLE_DEVICES") != "" and (
        Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None
    )
