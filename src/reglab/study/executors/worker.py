"""A worker process: ``python -m reglab.study.executors.worker``, started by ``processes.py``.

It reads commands from its standard input and writes events to what was its standard output; whatever libraries print
goes to its standard error. When its input ends, whoever started it is gone, and so is the worker, in the middle of a
training if need be.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import pkgutil
import queue
import shutil
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from reglab.errors import ReglabError
from reglab.study.executors.base import Job, unstyled, work
from reglab.study.executors.wire import Answer, Ask, Hello, Planned, Ready, Refused, receive, send

if TYPE_CHECKING:
    from reglab.study.workbench import Workbench

__all__ = ["main"]


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this process
    commands, events = _channels()
    hello: Hello = receive(commands)
    _settle_in(hello)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(commands, inbox, hello.scratch), daemon=True).start()
    bench = _opened(hello.assignment, events)
    send(events, Ready())
    while True:
        _serve(bench, inbox.get(), events)


def _serve(bench: Workbench, command: Job | Ask | Literal["plan"], events: BinaryIO) -> None:
    if command == "plan" or isinstance(command, Ask):
        try:
            send(events, _answer(bench, command) if isinstance(command, Ask) else Planned(bench.plan()))
        except Exception as error:
            send(events, _refusal(error))
        return
    if not work(bench, command, lambda event: send(events, event)):
        events.close()
        os._exit(1)


def _answer(bench: Workbench, ask: Ask) -> Answer:
    return Answer(pkgutil.resolve_name(ask.function)(bench, *ask.arguments))


def _opened(assignment: bytes, events: BinaryIO) -> Workbench:
    """Return the workbench; where it cannot be made, tell and end."""
    try:
        from reglab.study.workbench import Workbench

        return Workbench(pickle.loads(assignment).open())
    except Exception as error:
        send(events, _refusal(error))
        events.close()
        os._exit(1)


def _refusal(error: Exception) -> Refused:
    expected = isinstance(error, ReglabError)
    return Refused(unstyled(str(error) if expected else traceback.format_exc()), expected)


def _channels() -> tuple[BinaryIO, BinaryIO]:
    """Take the pipes for ourselves: what is printed from now on goes to the standard error."""
    commands, events = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return commands, events


def _settle_in(hello: Hello) -> None:
    sys.path[:] = hello.paths
    if hello.cores is not None and hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, hello.cores)
    # Where memory runs out, the system should end a worker and not the process that keeps the records.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")


def _listen(commands: BinaryIO, inbox: queue.SimpleQueue[Any], scratch: str) -> None:
    try:
        while True:
            inbox.put(receive(commands))
    except BaseException:  # the other end is gone, and nobody would hear of anything else
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(0)


if __name__ == "__main__":
    main()
