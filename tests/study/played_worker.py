"""A real worker process whose trainings are played, so that it imports no backend and is there in half a second.

Pipes, messages, leases, signals, time-outs and the process itself are real. ``employed()`` lets studies of this process
start such workers; a study in a process of its own does it with ``python played_worker.py compare ...``, which is
``reglab compare ...`` with them. Without arguments it is the worker.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path

COMMAND = (sys.executable, str(Path(__file__).resolve()))


@contextlib.contextmanager
def employed() -> Iterator[None]:
    """Let worker processes be played ones."""
    from reglab.study.executors import worker_handle

    before, worker_handle.COMMAND = worker_handle.COMMAND, COMMAND
    try:
        yield
    finally:
        worker_handle.COMMAND = before


def main() -> None:
    """Be ``reglab`` with played workers or, without arguments, such a worker."""
    if len(sys.argv) > 1:
        from reglab.cli import main as reglab

        with employed():
            reglab()
        return
    from played import Bench

    from reglab.study.executors import worker

    workbench = types.ModuleType("reglab.study.workbench")  # the real one imports Keras
    workbench.Workbench = Bench  # type: ignore[attr-defined]
    sys.modules[workbench.__name__] = workbench
    worker.main()


if __name__ == "__main__":
    main()
