"""What runs on a node of the cluster: tasks that plan and train. Nothing is written there but the model's files."""

from __future__ import annotations

import importlib.util
import platform
import queue
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from reglab import backends
from reglab.errors import ReglabError
from reglab.study.executors.base import EpochFinished, Event, Job, JobLost, JobStarted, failure_kind, work
from reglab.study.executors.ray.parcel import IN_A_MODULE, Parcel, unpacked
from reglab.study.plan import Plan
from reglab.version import __version__

if TYPE_CHECKING:
    from reglab.study.workbench import Workbench

__all__ = ["plan_study", "train_jobs"]

_EPOCH_S = 1.0  # how often a training tells of its epochs


def plan_study(parcel: Parcel) -> Plan:
    """Check a study on a real model and return its runs."""
    with tempfile.TemporaryDirectory(prefix="reglab-", ignore_cleanup_errors=True) as folder:
        return _bench(parcel, Path(folder)).plan()


def train_jobs(parcel: Parcel, worker: str, jobs: list[Job], versions: dict[str, str]) -> Iterator[Event]:
    """Train jobs one after another and yield what happens: a thread trains, for Ray takes events from this one."""
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    threading.Thread(target=_work, args=(parcel, worker, jobs, versions, events.put), daemon=True).start()
    yield from _thinned(iter(events.get, None))


def _work(
    parcel: Parcel, worker: str, jobs: list[Job], versions: dict[str, str], emit: Callable[[Event | None], None]
) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="reglab-", ignore_cleanup_errors=True) as folder:
            try:
                bench = _bench(parcel, Path(folder), versions=versions)
            except Exception as error:
                detail = str(error) if isinstance(error, ReglabError) else traceback.format_exc()
                for job in jobs:
                    emit(JobLost(job.number, failure_kind(error), detail))
                return
            for job in jobs:
                emit(JobStarted(job.number, worker))
                if not work(bench, job, emit):
                    return
    finally:
        emit(None)


def _bench(parcel: Parcel, folder: Path, *, versions: dict[str, str] | None = None) -> Workbench:
    backends.require()
    import keras

    here = {"reglab": __version__, "keras": keras.__version__, backends.name(): backends.version()}
    if versions is not None and here != versions:
        told = [", ".join(f"{name} {version}" for name, version in known.items()) for known in (here, versions)]
        raise ReglabError(
            f"The node {platform.node()} has {told[0]}, and the study was planned with {told[1]}. Results depend on "
            "them: install the same on every node."
        )
    from reglab.study.workbench import Workbench

    assignment = unpacked(parcel, folder)
    try:
        return Workbench(assignment)
    except ReglabError as error:
        found = (
            IN_A_MODULE.fullmatch(assignment.model) if isinstance(assignment.model, str) and not parcel.files else None
        )
        if found and importlib.util.find_spec(found["package"]) is None:
            raise ReglabError(
                f"{error} That was on the node {platform.node()} of the Ray cluster, and a module has to be installed "
                "on every node; path/to/file.py:function is sent there."
            ) from error
        raise


def _thinned(events: Iterable[Event]) -> Iterator[Event]:
    """Yield events, of epochs one a second and the last of each training: every one is an object that travels."""
    held: EpochFinished | None = None
    told = float("-inf")
    for event in events:
        if isinstance(event, EpochFinished):
            held = event
        if held is not None and (event is not held or time.monotonic() - told >= _EPOCH_S):
            yield held
            held, told = None, time.monotonic()
        if not isinstance(event, EpochFinished):
            yield event
            told = float("-inf") if isinstance(event, JobStarted) else told
