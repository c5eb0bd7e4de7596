"""One worker process, seen from outside: how it is started, spoken to, and ended."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from reglab.study.executors.base import KILLED, OUT_OF_MEMORY, Job
from reglab.study.executors.wire import Hello, receive, send

__all__ = ["COMMAND", "THREAD_VARIABLES", "Exit", "WorkerHandle", "cores"]

COMMAND = (sys.executable, "-m", "reglab.study.executors.worker")  # what a worker process runs

_TAIL = 3000  # characters of a worker's last words

THREAD_VARIABLES = (
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
)  # fmt: skip


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Exit:
    """A worker process has ended."""

    __match_args__ = ("how", "detail")

    def __init__(self, how: str, detail: str) -> None:
        self.how, self.detail = how, detail


class WorkerHandle:
    """A process, the thread that listens to it, and what it has to do.

    ``ready`` once it has imported what it needs, ``proven`` once it has done something.

    Args:
        name: for people.
        inbox: where its messages arrive, each beside the worker itself; the last one is an ``Exit``.
        assignment: the packed assignment.
        scratch: the folder that the assignment was packed with.
        threads: processor threads.
        place: which of several workers it is; their cores lie beside each other.
        backend: the Keras backend; by default that of this process, or what ``KERAS_BACKEND`` says.
        alone: whether a GPU is for this worker only.
    """

    def __init__(
        self,
        name: str,
        inbox: queue.SimpleQueue[tuple[WorkerHandle, Any]],
        *,
        assignment: bytes,
        scratch: Path,
        threads: int,
        place: int = 0,
        backend: str | None = None,
        alone: bool = True,
    ) -> None:
        self.name = name
        self.jobs: list[Job] = []
        self.ready = False
        self.proven = False
        self._inbox = inbox
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by end()
        self._oom_kills = _oom_kills()
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words,
            env=_environment(threads, backend=backend, alone=alone),
            start_new_session=True,  # so that Ctrl-C in a terminal reaches only us
        )  # fmt: skip
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.tell(Hello(tuple(sys.path), str(scratch), _pinned(place, threads), assignment))

    def tell(self, message: object) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended, and we shall hear of it
            send(cast(BinaryIO, self._process.stdin), message)

    def _listen(self) -> None:
        try:
            while True:
                self._inbox.put((self, receive(cast(BinaryIO, self._process.stdout))))
        except EOFError:
            code = self._process.wait()
            self._inbox.put((self, self._exit(code)))

    def _exit(self, code: int) -> Exit:
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
            return Exit(OUT_OF_MEMORY if memory else KILLED, self._with_last_words(told))
        return Exit(KILLED, self._with_last_words(f"it ended with exit code {code}"))

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


def _pinned(place: int, threads: int) -> list[int] | None:
    """Return the cores that a worker keeps to; None for all."""
    total = cores()
    if not hasattr(os, "sched_getaffinity") or threads >= total:
        return None
    own = sorted(os.sched_getaffinity(0))
    return [own[(place * threads + i) % total] for i in range(threads)]


def _environment(threads: int, *, backend: str | None, alone: bool) -> dict[str, str]:
    """Return the variables of a worker; what the user has set is left alone."""
    variables = dict(os.environ)
    for name in THREAD_VARIABLES:
        variables.setdefault(name, str(threads))
    keras = sys.modules.get("keras")
    if backend is not None:
        variables["KERAS_BACKEND"] = backend
    elif keras is not None:
        variables["KERAS_BACKEND"] = keras.backend.backend()
    if not alone:  # so that the first worker does not take all of a GPU's memory
        variables.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        variables.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    return variables
