"""Messages between processes over a pipe: a length, then a pickle. Both ends are reglab's own.

To a worker go a ``Hello``, then ``"plan"``, jobs (``base.Job``) or what else is asked of its workbench (``Ask``); from
it come what is here, and the events of jobs.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import cloudpickle

__all__ = ["Answer", "Ask", "Hello", "Planned", "Ready", "Refused", "receive", "send"]

_LENGTH = struct.Struct(">Q")


@dataclass(frozen=True)
class Hello:
    """The first message to a worker.

    Attributes:
        paths: where modules are looked for, as where the study was started.
        scratch: a folder to clear away if whoever started the worker dies.
        cores: the processor cores it keeps to; None for all.
        assignment: the pickled assignment, opened when the rest is in place.
    """

    paths: Sequence[str]
    scratch: str
    cores: Sequence[int] | None
    assignment: bytes


@dataclass(frozen=True)
class Ready:
    """The worker has imported what it needs."""


@dataclass(frozen=True)
class Planned:
    """The plan that was asked for."""

    plan: Any


@dataclass(frozen=True)
class Ask:
    """A function, ``module:name``, to be called with the workbench and some arguments."""

    function: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a function that was asked for returned."""

    value: Any


@dataclass(frozen=True)
class Refused:
    """Planning, opening the assignment or an ``Ask`` failed: a sentence for the user, or the traceback of a bug."""

    message: str
    expected: bool


def send(pipe: BinaryIO, message: object) -> None:
    """Write a message. It may hold functions of the user's script, which are sent by value."""
    content = cloudpickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(_LENGTH.pack(len(content)))
    pipe.write(content)
    pipe.flush()


def receive(pipe: BinaryIO) -> Any:
    """Read the next message.

    Raises:
        EOFError: if the other end is gone, be it in the middle of a message.
    """
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    return pickle.loads(_exactly(pipe, length))


def _exactly(pipe: BinaryIO, count: int) -> bytes:
    content = bytearray()
    while len(content) < count:
        piece = pipe.read(count - len(content))
        if not piece:
            raise EOFError
        content += piece
    return bytes(content)
