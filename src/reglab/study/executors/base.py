"""What every executor does: it plans a study, trains what it is given, and tells what happens.

The coordinator hands out jobs and takes events; it never imports Keras and is the only one that writes::

    coordinator  --  Job  ->  executor  ->  Workbench.train   (in this process, a worker process, or a Ray task)
                <-  Event  -

A job that was given up (its worker was killed, its time is over) says no more: its number is not known any longer, and
its lease in the store has ended.
"""

from __future__ import annotations

import errno
import re
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reglab.study.checkpoint import Checkpoint
from reglab.study.plan import Plan, Ride
from reglab.study.records import Record

if TYPE_CHECKING:
    from reglab.study.workbench import Workbench

__all__ = [
    "KILLED", "NO_SPACE", "OUT_OF_MEMORY", "RAISED", "TIMED_OUT", "UNREACHED", "CheckpointSaved", "EpochFinished",
    "Event", "Executor", "Job", "JobFinished", "JobLost", "JobStarted", "RunFinished", "failure_kind", "unstyled",
    "work",
]  # fmt: skip

# How a training can end without a result.
RAISED = "exception"  # it raised; the traceback is its record
KILLED = "killed"  # its process ended without a word: by a signal, by an exit of native code, with its machine
OUT_OF_MEMORY = "out of memory"
TIMED_OUT = "timed out"
NO_SPACE = "no disk space"
UNREACHED = "not reached"  # it waited behind another one whose process ended; not its fault


@dataclass(frozen=True, eq=False)
class Job:
    """One training to be done.

    Attributes:
        number: which job it is, in this process.
        ride: what is trained, and for which runs.
        checkpoint: where it goes on, or None for the beginning.
        checkpoint_every: after how many epochs each it tells where it stands, or None.
        until: after how many epochs it stops and tells where it stands, without a result; None for its end.
    """

    number: int
    ride: Ride
    checkpoint: Checkpoint | None = None
    checkpoint_every: int | None = None
    until: int | None = None


@dataclass(frozen=True, eq=False)
class Event:
    """Something happened to a job."""

    job: int


@dataclass(frozen=True, eq=False)
class JobStarted(Event):
    """``worker`` began with it."""

    worker: str


@dataclass(frozen=True, eq=False)
class EpochFinished(Event):
    """An epoch ended, counted from 0, with these clean metrics."""

    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True, eq=False)
class CheckpointSaved(Event):
    """The training can go on from this state."""

    checkpoint: Checkpoint


@dataclass(frozen=True, eq=False)
class RunFinished(Event):
    """One of its runs has a result."""

    record: Record


@dataclass(frozen=True, eq=False)
class JobFinished(Event):
    """It is over: all of its runs have results, or it was to stop before."""


@dataclass(frozen=True, eq=False)
class JobLost(Event):
    """It ended without giving all of its results.

    Attributes:
        how: ``RAISED``, ``KILLED``, ``OUT_OF_MEMORY``, ``NO_SPACE`` or ``UNREACHED``.
        detail: a traceback, or what is known.
        worker_lost: whether whoever trained it has to start anew, so that what it had compiled is lost.
    """

    how: str
    detail: str
    worker_lost: bool = False


Handler = Callable[[Event], None]

_STYLED = re.compile(r"\x1b\[[0-9;]*m")  # Keras prints its messages in bold


class Executor(ABC):
    """Trains jobs. Opened as a context; leaving it ends whatever still runs."""

    #: how many trainings of one structure are handed to a worker at a time
    batch: int = 1

    #: processor threads of each worker, on which the last bits of a result depend; None where the process decides
    threads: int | None = None

    #: how many trainings have not been handed out; the coordinator says it before it asks who is free
    waiting: int = 0

    @abstractmethod
    def plan(self) -> Plan:
        """Check the study on a real model and return its runs.

        Raises:
            ReglabError: for whatever cannot work, before anything is trained.
        """

    @abstractmethod
    def free(self) -> list[str]:
        """Return the workers that can be given jobs now, by name."""

    @abstractmethod
    def start(self, worker: str, jobs: list[Job]) -> None:
        """Give a free worker jobs, to be trained one after another."""

    @abstractmethod
    def poll(self, handle: Handler, timeout: float) -> None:
        """Pass on what happened; if nothing did, wait up to ``timeout`` seconds for something to happen."""

    @abstractmethod
    def stop(self, job: int) -> None:
        """End a job that has begun, whatever it is doing, and the worker with it. No event comes of it any more."""

    @abstractmethod
    def close(self) -> None:
        """End everything."""

    def describe(self) -> str:
        """Return who trains, in a few words, or nothing where it goes without saying."""
        return ""

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def work(bench: Workbench, job: Job, emit: Handler) -> bool:
    """Train a job and tell what happens; return whether the process can go on to train others."""
    number = job.number
    try:
        records = bench.train(
            job.ride,
            start=job.checkpoint,
            checkpoint_every=job.checkpoint_every,
            until=job.until,
            on_epoch=lambda epoch, metrics: emit(EpochFinished(number, epoch, metrics)),
            on_checkpoint=lambda checkpoint: emit(CheckpointSaved(number, checkpoint)),
        )
    except (Exception, SystemExit) as error:  # whatever it was, it is this training's and not the end of the study
        how = failure_kind(error)
        detail = unstyled(traceback.format_exc())
        emit(JobLost(number, how, detail, worker_lost=how == OUT_OF_MEMORY))
        return how != OUT_OF_MEMORY
    for record in records:
        emit(RunFinished(number, record))
    emit(JobFinished(number))
    return True


def unstyled(text: str) -> str:
    """Return a text without the codes by which a terminal shows parts of it in bold."""
    return _STYLED.sub("", text)


def failure_kind(error: BaseException) -> str:
    """Return how a training ended that raised ``error``."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NO_SPACE
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return OUT_OF_MEMORY
    # TensorFlow, PyTorch and XLA have errors of their own for it.
    named = type(error).__name__ in ("ResourceExhaustedError", "OutOfMemoryError") or "RESOURCE_EXHAUSTED" in str(error)
    return OUT_OF_MEMORY if isinstance(error, MemoryError) or named else RAISED
