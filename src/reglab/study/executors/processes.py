"""Worker processes on this machine: each imports Keras for itself, keeps what it compiles, and can be ended at once."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from reglab.errors import ReglabError
from reglab.study.executors.base import (
    KILLED,
    OUT_OF_MEMORY,
    UNREACHED,
    Done,
    Executor,
    Gone,
    Handler,
    Job,
    Started,
)
from reglab.study.executors.shipment import pack
from reglab.study.executors.wire import Hello, Planned, Ready, Refused, receive, send
from reglab.study.plan import Plan
from reglab.study.spec import Task

__all__ = ["THREAD_VARIABLES", "Processes", "cores", "default_workers"]

_WORKER_BYTES = 2 * 2**30  # of memory for each worker: a backend, a data set, some compiled programs
_STARTS = 3  # workers in a row that end before they have done anything, until the study gives up
_TAIL = 3000  # characters of a worker's last words

THREAD_VARIABLES = (
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
)  # fmt: skip


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers(task: Task) -> int:
    """Return how many workers train a study fastest here: one a core, as far as trainings and memory go round.

    Small networks gain little from a second thread, and large ones lose nothing (docs/scaling.md). Where there is a
    GPU it is one, which has the GPU for itself.
    """
    if _has_gpu():
        return 1
    hosts = {recipe.host() for recipe in task.recipes.values()}
    return max(1, min(cores(), _memory() // _WORKER_BYTES, len(hosts) * task.settings.seeds))


class Processes(Executor):
    """Trains in worker processes.

    Args:
        task: the study.
        workers: how many.
        threads: processor threads of each; by default they share the cores.
    """

    def __init__(self, task: Task, *, workers: int, threads: int | None = None) -> None:
        self.threads: int = threads or max(1, cores() // workers)
        self._inbox: queue.SimpleQueue[tuple[_Worker, Any]] = queue.SimpleQueue()
        self._scratch = Path(tempfile.mkdtemp(prefix="reglab-"))
        self._failed_starts = 0
        try:
            self._task = pack(task, self._scratch)
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise
        self._count = workers
        self._slots: list[_Worker | None] = [None] * workers

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
                case _Exit() as ended:
                    raise ReglabError(f"The worker process ended while it planned the study: {ended.detail}")

    def free(self) -> list[str]:
        # A place without a process is free too: one is started there when there is work for it.
        return [f"worker {i + 1}" for i, worker in enumerate(self._slots) if worker is None or not worker.jobs]

    def start(self, worker: str, jobs: list[Job]) -> None:
        slot = int(worker.split()[-1]) - 1
        hired = self._slots[slot] or self._hire(slot)
        hired.jobs = list(jobs)
        if hired.ready:  # before it is told, for it may answer at once
            self._inbox.put((hired, Started(jobs[0].number, worker)))
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

    def _take(self, sender: _Worker, message: Any, handle: Handler) -> None:
        if sender not in self._slots:
            return  # it was given up; its last words are not ours any more
        match message:
            case Ready():  # only now the clock of its first job starts
                sender.ready = True
                if sender.jobs:
                    handle(Started(sender.jobs[0].number, sender.name))
            case Refused(text, _):
                self._lost(sender, KILLED, text, handle)
            case _Exit(how, detail):
                self._lost(sender, how, detail, handle)
            case Gone(worker_lost=True):
                self._lost(sender, message.how, message.detail, handle)
            case Done() | Gone():
                sender.jobs.pop(0)
                sender.proven = True
                self._failed_starts = 0
                handle(message)
                if sender.jobs:
                    handle(Started(sender.jobs[0].number, sender.name))
            case _:
                sender.proven = True
                handle(message)

    def _lost(self, worker: _Worker, how: str, detail: str, handle: Handler) -> None:
        """Tell what became of the jobs of a worker that has ended; its place is filled when there is work."""
        self._slots[self._slots.index(worker)] = None
        worker.end()
        self._failed_starts = 0 if worker.proven else self._failed_starts + 1
        if self._failed_starts >= _STARTS:
            raise ReglabError(f"{_STARTS} worker processes in a row ended before they could train. The last: {detail}")
        for position, job in enumerate(worker.jobs):
            reached = position == 0
            handle(Gone(job.number, how if reached else UNREACHED, detail if reached else "", worker_lost=True))

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

    def _hire(self, slot: int) -> _Worker:
        total, count = cores(), self.threads
        pinned = None
        if hasattr(os, "sched_getaffinity") and count < total:
            own = sorted(os.sched_getaffinity(0))
            pinned = [own[(slot * count + i) % total] for i in range(count)]
        worker = _Worker(f"worker {slot + 1}", self._inbox, environment=self._environment())
        worker.tell(Hello(tuple(sys.path), str(self._scratch), pinned, self._task))
        self._slots[slot] = worker
        return worker

    def _environment(self) -> dict[str, str]:
        """Return the variables of a worker; what the user has set is left alone."""
        variables = dict(os.environ)
        for name in THREAD_VARIABLES:
            variables.setdefault(name, str(self.threads))
        keras = sys.modules.get("keras")
        if keras is not None:
            variables["KERAS_BACKEND"] = keras.backend.backend()
        if self._count > 1:  # so that the first worker does not take all of a GPU's memory
            variables.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
            variables.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        return variables


class _Exit:
    """A worker process has ended."""

    __match_args__ = ("how", "detail")

    def __init__(self, how: str, detail: str) -> None:
        self.how, self.detail = how, detail


class _Worker:
    """A process, the thread that listens to it, and what it has to do.

    ``ready`` once it has imported what it needs, ``proven`` once it has done something.
    """

    def __init__(self, name: str, inbox: queue.SimpleQueue, *, environment: dict[str, str]) -> None:
        self.name = name
        self.jobs: list[Job] = []
        self.ready = False
        self.proven = False
        self._inbox = inbox
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by end()
        self._oom_kills = _oom_kills()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "reglab.study.executors.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, env=environment,
            start_new_session=True,  # so that Ctrl-C in a terminal reaches only us
        )  # fmt: skip
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def tell(self, message: Any) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended, and we shall hear of it
            send(cast(BinaryIO, self._process.stdin), message)

    def _listen(self) -> None:
        try:
            while True:
                self._inbox.put((self, receive(cast(BinaryIO, self._process.stdout))))
        except EOFError:
            code = self._process.wait()
            self._inbox.put((self, self._exit(code)))

    def _exit(self, code: int) -> _Exit:
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
            memory = -code == signal.SIGKILL and _oom_kills() > self._oom_kills
            told = f"it was killed by {name}"
            if memory:
                told += ": the system had no memory left"
            elif -code == signal.SIGKILL:
                told += ", which is what a system does that runs out of memory"
            return _Exit(OUT_OF_MEMORY if memory else KILLED, self._with_last_words(told))
        return _Exit(KILLED, self._with_last_words(f"it ended with exit code {code}"))

    def _with_last_words(self, told: str) -> str:
        with contextlib.suppress(OSError, ValueError):
            size = self._words.seek(0, os.SEEK_END)
            self._words.seek(max(0, size - _TAIL))
            words = self._words.read().decode(errors="replace").strip()
            if words:
                return f"{told}. Its last output:\n{words}"
        return told

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._listener.join(timeout=10)
        for pipe in (self._process.stdin, self._process.stdout, self._words):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def _oom_kills() -> int:
    """Return how many processes this container's memory limit has ended, where Linux tells."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        with contextlib.suppress(OSError):
            for line in Path(path).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


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
