"""Tasks on a Ray cluster: the same study, trained by as many processes on as many machines as there are.

The process that runs the study is Ray's driver. It hands out *tasks* of Ray Core, each a few trainings of one
structure, and they send back the events of ``base.py``; nothing but the driver writes to the study folder, and no file
system is shared::

    driver  --  ray.put(parcel), jobs  ->  task: Keras, Workbench, work()   (a process of its own, on any node)
           <-  events, one by one      -

Every node needs reglab with the backend and Ray, in the same versions. A model given as ``path/to/file.py:function`` is
sent with the Python files beside it; one given as ``package.module:function`` has to be installed on every node, as has
the module of a function or strategy that was given as an object, unless it comes from the script itself.

Ray repeats nothing by itself (``max_retries=0``): what becomes of a training whose process died is decided where it is
for every executor, in ``coordinate.py``. A task's process ends with it (``max_calls=1``), so none goes on with the
memory of another. Starting it, importing Keras and compiling take seconds, so a task is given several trainings. If the
cluster's head is lost, Ray ends the driver within a minute or so; ``reglab resume`` goes on, on whatever there is then.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reglab import backends
from reglab.errors import ReglabError
from reglab.study.executors.base import KILLED, UNREACHED, Event, Executor, Handler, Job, JobFinished, JobLost
from reglab.study.executors.ray.cluster import Node, connect, cores_of_a_task, how_it_ended, imported, plain
from reglab.study.executors.ray.node import plan_study, train_jobs
from reglab.study.executors.ray.parcel import packed
from reglab.study.executors.worker_handle import THREAD_VARIABLES
from reglab.study.plan import Plan
from reglab.study.spec import Assignment

__all__ = ["RayTasks"]

_ROUNDS = 2  # tasks that a slot gets of what is left; see RayTasks
_LOOK_S = 2.0  # how often the cluster is asked for its nodes
# Variables of the driver that tasks get too, beside backend and threads: last bits can depend on them.
_PASSED_ON = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "TF_DETERMINISTIC_OPS", "XLA_FLAGS")


class RayTasks(Executor):
    """Trains in tasks on a Ray cluster.

    A task gets as many processor cores, and threads, as leave room for ``workers`` tasks, or by default for one task on
    every node and one for every GPU, but four at most. If the cluster has GPUs, each task gets one, and nodes without
    are left alone. That is decided once; how many tasks there is room for is looked up all the time, so a node that
    joins is used if it has as much.

    ``batch`` is half of what an even distribution over the slots would give each of what is left: large at first, for
    each task imports and compiles anew, and one in the end, so that slots end together and late ones find work.

    Args:
        assignment: the study.
        workers: trainings at the same time; by default as many as the cluster has room for.
        address: ``host:port`` of a cluster that this machine belongs to. By default the one that this process is
            connected to already, or ``RAY_ADDRESS`` names, or runs here; where there is none, one is started.
        threads: of each task, where the study was trained with so many before.

    Raises:
        ReglabError: if Ray is not installed, nothing answers at the address, or the study cannot be sent.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        workers: int | None = None,
        address: str | None = None,
        threads: int | None = None,
    ) -> None:
        self._ray = imported()
        parcel = packed(assignment)
        self._workers = workers
        self._tasks: dict[str, _Running] = {}
        self._untold: list[Event] = []
        self._versions: dict[str, str] = {}
        self._slots, self._looked = 1, float("-inf")
        self._ours = connect(self._ray, address)
        try:
            nodes = self._nodes()
            self._gpus = int(any(node.gpus for node in nodes))
            self.threads: int = cores_of_a_task(nodes, workers, self._gpus, wanted=threads)
            self._parcel = self._ray.put(parcel)
            self._planning = self._remote(plan_study)
            self._training = self._remote(train_jobs, num_returns="streaming")
        except BaseException:
            self.close()
            raise

    def describe(self) -> str:
        nodes, slots = len(self._nodes()), self._room()
        return f"Ray cluster of {_count(nodes, 'node')}, {_count(slots, 'task')} at a time"

    def plan(self) -> Plan:
        errors = self._ray.exceptions
        planned = self._planning.remote(self._parcel)
        try:
            plan: Plan = self._ray.get(planned)
        except errors.RayTaskError as error:
            if isinstance(error.cause, ReglabError):
                raise ReglabError(str(error.cause)) from None
            if "No module named 'reglab" in str(error):
                raise ReglabError(
                    "reglab is not installed on a node of the Ray cluster, or an older one is. Run pip install "
                    "'reglab[ray]', with the extra of your backend, on every node."
                ) from None
            raise RuntimeError(f"Planning the study failed on the Ray cluster:\n{plain(error)}") from None
        except errors.RayError as error:
            raise ReglabError(
                f"The Ray task ended that planned the study: {how_it_ended(self._ray, error)[1]}"
            ) from None
        self._versions = plan.versions
        return plan

    def free(self) -> list[str]:
        slots = self._room()
        self.batch = max(1, -(-self.waiting // (_ROUNDS * slots)))
        names = (name for n in itertools.count(1) if (name := f"task {n}") not in self._tasks)
        return list(itertools.islice(names, max(0, slots - len(self._tasks))))

    def start(self, worker: str, jobs: list[Job]) -> None:
        stream = self._training.remote(self._parcel, worker, jobs, self._versions)
        self._tasks[worker] = _Running(stream, list(jobs))

    def poll(self, handle: Handler, timeout: float) -> None:
        if self._untold:
            untold, self._untold = self._untold, []
            for event in untold:
                handle(event)
            return
        names = {task.stream: name for name, task in self._tasks.items()}
        if not names:
            time.sleep(timeout)
            return
        ready, _ = self._ray.wait(list(names), num_returns=1, timeout=timeout)
        if ready:  # one event of each task that has one, so that none waits for another
            ready, _ = self._ray.wait(list(names), num_returns=len(names), timeout=0)
        for stream in ready:
            self._take(names[stream], handle)

    def _take(self, name: str, handle: Handler) -> None:
        """Pass on the next event of a task, which is on this machine already."""
        task = self._tasks[name]
        try:
            event: Event = self._ray.get(next(task.stream))
        except StopIteration:
            self._ended(name, KILLED, "its task ended without a word", handle)
        except self._ray.exceptions.RayError as error:
            self._ended(name, *how_it_ended(self._ray, error), handle)
        else:
            if isinstance(event, JobLost) and event.worker_lost:
                self._ended(name, event.how, event.detail, handle)
                return
            if isinstance(event, JobFinished | JobLost):
                task.jobs = [job for job in task.jobs if job.number != event.job]
            handle(event)

    def _ended(self, name: str, how: str, detail: str, handle: Handler) -> None:
        """Tell what became of the jobs of a task that has ended; none are left of one that ended well."""
        for position, job in enumerate(self._tasks.pop(name).jobs):
            reached = position == 0
            handle(JobLost(job.number, how if reached else UNREACHED, detail if reached else "", worker_lost=True))

    def stop(self, job: int) -> None:
        for name, task in list(self._tasks.items()):
            behind = [other for other in task.jobs if other.number != job]
            if len(behind) < len(task.jobs):
                del self._tasks[name]
                self._ray.cancel(task.stream, force=True)
                self._untold += [JobLost(other.number, UNREACHED, "", worker_lost=True) for other in behind]

    def close(self) -> None:
        tasks, self._tasks = self._tasks, {}
        self._parcel = None
        if self._ours:  # and all tasks end with the connection
            self._ours = False
            self._ray.shutdown()
            return
        for task in tasks.values():
            # Not of one that is at its end: Ray aborts this process if a task ends in the moment it is cancelled.
            if task.jobs:
                with contextlib.suppress(Exception):  # the cluster may be what is gone
                    self._ray.cancel(task.stream, force=True)

    def _remote(self, function: Callable[..., Any], **options: Any) -> Any:
        """Return a function as a task of Ray."""
        variables = {name: os.environ.get(name, str(self.threads)) for name in THREAD_VARIABLES}
        variables |= {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        variables["KERAS_BACKEND"] = backends.require()
        return self._ray.remote(
            num_cpus=self.threads, num_gpus=self._gpus, max_calls=1, max_retries=0,
            runtime_env={"env_vars": variables}, **options,
        )(function)  # fmt: skip

    def _nodes(self) -> list[Node]:
        alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return [Node(int(resources.get("CPU", 0)), int(resources.get("GPU", 0))) for resources in alive]

    def _room(self) -> int:
        """Return how many tasks there can be at a time."""
        if self._workers is not None:
            return self._workers
        if time.monotonic() - self._looked > _LOOK_S:
            self._looked = time.monotonic()
            self._slots = max(1, sum(node.room(self.threads, self._gpus) for node in self._nodes()))
        return self._slots


@dataclass(eq=False)
class _Running:
    """A task: where its events come from, and the jobs that have not ended."""

    stream: Any
    jobs: list[Job]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
