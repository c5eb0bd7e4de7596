"""In this process: no isolation, no time-outs, and a debugger sees everything."""

from __future__ import annotations

from reglab.study.executors.base import Event, Executor, Handler, Job, JobFinished, JobLost, JobStarted, work
from reglab.study.plan import Plan
from reglab.study.spec import Assignment
from reglab.study.workbench import Workbench

__all__ = ["InProcess"]

_NAME = "this process"


class InProcess(Executor):
    """Trains in the process that asks, one job at a time."""

    def __init__(self, assignment: Assignment) -> None:
        self._bench = Workbench(assignment)
        self._jobs: list[Job] = []

    def plan(self) -> Plan:
        return self._bench.plan()

    def free(self) -> list[str]:
        return [] if self._jobs else [_NAME]

    def start(self, worker: str, jobs: list[Job]) -> None:
        self._jobs = list(jobs)

    def poll(self, handle: Handler, timeout: float) -> None:
        while self._jobs:
            job = self._jobs[0]
            handle(JobStarted(job.number, _NAME))

            def tell(event: Event) -> None:
                if isinstance(event, JobFinished | JobLost):
                    self._jobs.pop(0)  # first, so that the handler finds this process free
                try:
                    handle(event)
                except Exception as error:
                    raise _HandlerFailedError(error) from error

            try:
                work(self._bench, job, tell)
            except _HandlerFailedError as failed:
                raise failed.error from None

    def stop(self, job: int) -> None:
        """Nothing can stop a training from the inside of it; it ends when it is done."""

    def close(self) -> None:
        self._jobs = []


class _HandlerFailedError(BaseException):
    """Carries an error of the coordinator's through a training, where it would be taken for the training's own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
