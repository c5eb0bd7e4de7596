"""The course of a study: hand out trainings, take results, and tell apart how trainings end. Imports no Keras.

This is the one place that decides what happens to a run. A result is written before anything else happens. A training
that raised, diverged or ran out of time is a record; one whose process was killed is tried again, a few times; and none
of them stops the others. Only what would befall every run, such as a full disk, ends the study, and then all that is
recorded is kept.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from dataclasses import dataclass, field

from reglab.errors import ReglabError
from reglab.study.executors.base import (
    KILLED,
    NO_SPACE,
    OUT_OF_MEMORY,
    RAISED,
    TIMED_OUT,
    UNREACHED,
    CheckpointSaved,
    EpochFinished,
    Event,
    Executor,
    Job,
    JobFinished,
    JobLost,
    JobStarted,
    RunFinished,
)
from reglab.study.plan import Plan, Queue, Ride
from reglab.study.progress import Progress
from reglab.study.records import FAILED, Record, reason
from reglab.study.storage.store import Store

__all__ = ["Limits", "coordinate"]

_POLL_S = 0.2  # how long to wait for an event before looking at the clock
_LIVE_S = 1.0  # how often live.json is written


@dataclass(frozen=True)
class Limits:
    """What a training may take, which does not change what comes out of it.

    Attributes:
        timeout: seconds after which a training is given up; None for never.
        tries: how often a training is begun whose process is killed.
        checkpoint_every: epochs after which a training's state is kept; None for never.
    """

    timeout: float | None = None
    tries: int = 3
    checkpoint_every: int | None = None


def coordinate(
    store: Store, executor: Executor, plan: Plan, *, epochs: int, limits: Limits, progress: Progress,
    until: int | None = None,
) -> None:  # fmt: skip
    """Train every run of the plan that the store does not have.

    Args:
        store: where results go.
        executor: who trains.
        plan: the runs.
        epochs: of a training.
        limits: what a training may take.
        progress: hears of what happens.
        until: after how many epochs trainings are stopped, to go on later; their checkpoints are kept. By default they
            are trained to their end.
    """
    todo = plan.missing(store.accepted())
    done = {ride.key for ride in plan.missing(())} - {ride.key for ride in todo}
    if until is not None:
        todo = [ride for ride in todo if store.checkpoints.epoch(ride.key) < until]
    course = _Course(store, executor, limits, progress, Queue(todo), _Pace(epochs), until)
    runs = plan.unique()
    missing = sum(len(ride.runs) for ride in todo)
    store.check_room(missing * plan.result_bytes)
    store.checkpoints.forget(done)
    progress.started(
        runs=len(runs),
        trainings=len(todo),
        reused=len(runs) - missing,
        epochs=epochs,
        workers=executor.describe(),
        metric=plan.task.decides,
    )
    try:
        course.run()
    except BaseException:
        with contextlib.suppress(ReglabError):  # the disk may be what is in the way
            store.settle_all("interrupted")
        raise
    progress.finished()


@dataclass
class _Running:
    """A job that was handed out; the clock and the leases start when its worker begins with it."""

    ride: Ride
    worker: str
    began: float | None = None
    epoch: int = 0
    leases: dict[str, int] = field(default_factory=dict)


class _Pace:
    """How fast the study goes."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self._done = 0
        self._since: float | None = None

    def began(self) -> None:
        self._since = self._since or time.monotonic()

    def epochs_done(self, count: int) -> None:
        self._done += count

    def seconds_left(self, epochs: int) -> float | None:
        """Return how long that many epochs will take at the pace so far."""
        if self._since is None or not self._done:
            return None
        return epochs * (time.monotonic() - self._since) / self._done


@dataclass
class _Course:
    store: Store
    executor: Executor
    limits: Limits
    progress: Progress
    todo: Queue
    pace: _Pace
    until: int | None = None
    running: dict[int, _Running] = field(default_factory=dict)
    compiled: dict[str, set[tuple]] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    number: int = 0
    written: float = 0.0

    def run(self) -> None:
        while self.todo or self.running:
            self._hand_out()
            self._write_live()
            self.executor.poll(self._handle, timeout=_POLL_S)
            self._look_at_the_clock()
            self.progress.waiting()

    def _hand_out(self) -> None:
        self.executor.waiting = len(self.todo)
        for worker in self.executor.free():
            own = self.compiled.setdefault(worker, set())
            others = {structure for name, known in self.compiled.items() if name != worker for structure in known}
            rides = self.todo.take(compiled=own, elsewhere=others, most=self.executor.batch)
            if not rides:
                return
            own.add(rides[0].recipe.structure())
            self.executor.start(worker, [self._job(ride, worker) for ride in rides])

    def _job(self, ride: Ride, worker: str) -> Job:
        self.number += 1
        checkpoint = self.store.checkpoints.read(ride.key)
        if checkpoint is not None and not checkpoint.fits(ride):
            checkpoint = None
        self.running[self.number] = _Running(ride, worker, epoch=checkpoint.epoch if checkpoint else 0)
        return Job(self.number, ride, checkpoint, self.limits.checkpoint_every, self.until)

    # --- what happens ----------------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        job = self.running.get(event.job)
        if job is None:
            return  # it was given up
        match event:
            case JobStarted(worker=worker):
                job.began, job.worker = time.monotonic(), worker
                job.leases = self.store.begin([run.id for run in job.ride.runs], worker)
                self.pace.began()
                self.progress.training(event.job, job.ride.names, job.ride.seed, worker)
                self._write_live()
            case EpochFinished(epoch=epoch, metrics=metrics):
                self.pace.epochs_done(epoch + 1 - job.epoch)  # some executors tell of the last of several
                job.epoch = epoch + 1
                self._write_live()
                self.progress.epoch(event.job, epoch, metrics)
            case CheckpointSaved(checkpoint=checkpoint):
                self.store.checkpoints.write(job.ride.key, checkpoint)
            case RunFinished(record=record):
                self._record(job, record)
            case JobFinished():
                self._over(event.job)
                if job.leases:  # it was to stop before its end
                    self.store.settle(job.leases.values(), "paused")
                else:
                    self.store.checkpoints.drop(job.ride.key)
                self.progress.training_ended(event.job)
            case JobLost(how=how, detail=detail, worker_lost=worker_lost):
                if worker_lost:
                    self.compiled.pop(job.worker, None)
                self._over(event.job)
                self._ended_badly(event.job, job, how, detail)

    def _record(self, job: _Running, record: Record) -> None:
        if self.store.add(record, job.leases.pop(record.id)):
            self.progress.recorded(record)

    def _over(self, number: int) -> None:
        del self.running[number]

    def _ended_badly(self, number: int, job: _Running, how: str, detail: str) -> None:
        missing = [run for run in job.ride.runs if run.id in job.leases or job.began is None]
        again = Ride(job.ride.recipe, tuple(missing)) if missing else None
        if again is None:  # it ended after its last result
            self.progress.training_ended(number)
            return
        if how == UNREACHED:
            self.todo.put_back(again)
            return
        if how == NO_SPACE:
            self.store.settle(job.leases.values(), how, detail)
            raise ReglabError(
                f"There was no disk space left while {', '.join(job.ride.names)} (seed {job.ride.seed}) trained. "
                f"Make room, then reglab resume {self.store.folder} goes on from there.\n{reason(detail)}"
            )
        if how in (KILLED, OUT_OF_MEMORY):
            self.lost[again.key] = self.lost.get(again.key, 0) + 1
            if self.lost[again.key] < self.limits.tries:
                self.store.settle(job.leases.values(), how, detail)
                self.todo.put_back(again)
                self.progress.training_ended(number)
                self.progress.tried_again(again.names, again.seed, f"{how}: {detail.splitlines()[0]}")
                return
            detail = f"Its process ended {self.lost[again.key]} times. The last time {detail}"
        if job.began is None:
            job.leases = self.store.begin([run.id for run in missing], job.worker)
        for run in missing:
            error = detail if how == RAISED else f"{how}: {detail}"
            self._record(job, Record(**run.summary(), status=FAILED, error=error))
        self.progress.training_ended(number)

    def _look_at_the_clock(self) -> None:
        if self.limits.timeout is None:
            return
        for number, job in list(self.running.items()):
            if job.began is not None and time.monotonic() - job.began > self.limits.timeout:
                self.executor.stop(number)
                self.compiled.pop(job.worker, None)
                self._over(number)
                spent = f"it had not ended after {self.limits.timeout:g} s, in epoch {job.epoch + 1}"
                self._ended_badly(number, job, TIMED_OUT, f"{spent}. Allow more with --timeout.")

    # --- what is going on ------------------------------------------------------------------------------------------

    def _write_live(self) -> None:
        now = time.time()
        if now - self.written < _LIVE_S:
            return
        self.written = now
        running = [
            {
                "names": job.ride.names, "seed": job.ride.seed, "worker": job.worker, "epoch": job.epoch,
                "seconds": time.monotonic() - job.began,
            }
            for job in self.running.values() if job.began is not None
        ]  # fmt: skip
        self.store.write_live(
            {
                "at": now, "pid": os.getpid(), "host": platform.node(), "workers": self.executor.describe(),
                "epochs": self.pace.epochs, "running": running, "seconds_left": self.pace.seconds_left(self._left()),
            }
        )  # fmt: skip

    def _left(self) -> int:
        return self.pace.epochs * (len(self.todo) + len(self.running)) - sum(j.epoch for j in self.running.values())
