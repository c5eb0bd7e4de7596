"""Which executor trains a study, from what a user says."""

from __future__ import annotations

from dataclasses import dataclass

from reglab.declare import param, params
from reglab.errors import ReglabError
from reglab.study.executors.base import Executor
from reglab.study.executors.processes import Processes, default_workers
from reglab.study.executors.ray.tasks import RayTasks
from reglab.study.executors.worker_handle import cores
from reglab.study.spec import Assignment

__all__ = ["EXECUTORS", "Execution", "opened"]

EXECUTORS = ("processes", "ray")


@dataclass(frozen=True)
class Execution:
    """How a study is trained, declared once: the command line's options and the arguments of ``Study.run``.

    Nothing of it changes what a run is, so a study can go on in another way.
    """

    workers: int | None = param(
        None, "trainings at the same time, which share the cores; 0 trains in this process [default: what is fastest "
        "here; on Ray, what the cluster has room for]", kind="int", low=0, high=1024, optional=True,
    )  # fmt: skip
    timeout: float | None = param(
        None, "seconds after which a training is given up [default: never]", low=0, open_low=True, optional=True
    )
    checkpoint_every: int | None = param(
        None, "epochs after which the state of a training is kept, so that it goes on from there [default: never]",
        kind="int", low=1, optional=True,
    )  # fmt: skip
    executor: str = param("processes", "processes on this machine, or a Ray cluster", kind="choice", choices=EXECUTORS)
    address: str | None = param(
        None, "address of the Ray cluster [default: the one that runs here, or a new one]", kind="text", optional=True
    )

    def __post_init__(self) -> None:
        for key, declared in params(self).items():
            object.__setattr__(self, key, declared.check("study", key, getattr(self, key)))
        if self.workers == 0 and self.executor != "processes":
            raise ReglabError("workers=0 trains in this process, and executor='ray' on a cluster. Give one of them.")
        if self.workers == 0 and self.timeout is not None:
            raise ReglabError(
                "timeout needs a worker process, which can be ended from outside. Give workers=1 or more with it."
            )
        if self.address is not None and self.executor != "ray":
            raise ReglabError("An address is that of a Ray cluster. Give executor='ray' with it, or leave it out.")


def opened(assignment: Assignment, execution: Execution, *, threads: int | None) -> Executor:
    """Return the executor.

    Args:
        assignment: what will be trained.
        execution: how it is trained.
        threads: of each worker where the study was trained before, since the last bits of a result depend on them; by
            default the cores are divided.
    """
    if execution.executor == "ray":
        return RayTasks(assignment, workers=execution.workers, address=execution.address, threads=threads)
    if execution.workers == 0:
        from reglab.study.executors.in_process import InProcess

        return InProcess(assignment)

    if execution.workers is not None:
        return Processes(assignment, workers=execution.workers)
    return Processes(
        assignment, workers=max(1, cores() // threads) if threads else default_workers(assignment), threads=threads
    )
