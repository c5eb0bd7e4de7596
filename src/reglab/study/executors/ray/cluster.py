"""Finding a Ray cluster and connecting to it, how much of it a task gets, and what Ray says of a task that ended."""

from __future__ import annotations

import logging
import os
import re
import socket
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from reglab.errors import ReglabError
from reglab.study.executors.base import KILLED, OUT_OF_MEMORY, RAISED
from reglab.study.executors.worker_handle import cores

__all__ = ["Node", "connect", "cores_of_a_task", "how_it_ended", "imported", "plain"]

_MOST_CORES = 4  # of a task, unless it is told; more threads make small networks hardly faster
_PATIENCE_S = 5.0  # how long an address may take to answer


@dataclass(frozen=True)
class Node:
    """Processor cores and GPUs of a node."""

    cpus: int
    gpus: int

    def room(self, cpus: int, gpus: int) -> int:
        """Return how many tasks fit that get so much."""
        return min(self.cpus // cpus, self.gpus // gpus) if gpus else self.cpus // cpus


def cores_of_a_task(nodes: list[Node], workers: int | None, gpus: int, *, wanted: int | None = None) -> int:
    """Return how many processor cores, and threads, each task gets; see :class:`.tasks.RayTasks`."""
    used = [node for node in nodes if node.room(1, gpus)]
    if wanted is not None:
        return max([1, *(min(wanted, node.cpus) for node in used)])
    for count in range(_MOST_CORES, 1, -1):
        rooms = [node.room(count, gpus) for node in used]
        enough = all(room >= max(1, node.gpus) for room, node in zip(rooms, used, strict=True))
        if used and (enough if workers is None else sum(rooms) >= workers):
            return count
    return 1


def imported() -> Any:
    """Return Ray, which tells nobody that it is used.

    Raises:
        ReglabError: if it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the future default; older versions warn
    try:
        import ray
    except ImportError as error:
        raise ReglabError(f"executor='ray' needs Ray: pip install 'reglab[ray]' ({error}).") from None
    return ray


def connect(ray: ModuleType, asked: str | None) -> bool:
    """Connect this process to a cluster; return whether it was not connected before, so that we close it."""
    named = asked or os.environ.get("RAY_ADDRESS")
    try:
        return _connected(ray, asked, named)
    except ReglabError:
        raise
    except (ray.exceptions.RayError, RuntimeError, OSError, ValueError) as error:
        where = f"the Ray cluster at {named}" if named else "Ray"
        locked = "Unauthenticated" in str(error.__cause__)
        hint = " It asks for a token: set RAY_AUTH_MODE=token where reglab runs, beside the token." if locked else ""
        raise ReglabError(f"Cannot connect to {where}: {error}.{hint}") from error


def _connected(ray: ModuleType, asked: str | None, named: str | None) -> bool:
    # What ray.init does to find a cluster. It is asked first, since ray.init tries for minutes where none answers.
    from ray._private.services import canonicalize_bootstrap_address

    if ray.is_initialized():
        here = ray.get_runtime_context().gcs_address
        if asked and canonicalize_bootstrap_address(asked) != here:
            raise ReglabError(
                f"This process is connected to the Ray cluster at {here} already, which is not {asked}. Leave the "
                "address out to train there, or call ray.shutdown() before."
            )
        return False
    if named and "://" in named:
        raise ReglabError(
            f"{named} is an address for Ray's clients. Give host:port of the cluster itself (the port is 6379 unless "
            "something else was said when it was started), on a machine that belongs to it."
        )
    address = canonicalize_bootstrap_address(asked)
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    if address is not None and _answers(address):
        ray.init(address, **quiet)  # what answered, whatever cluster is started here meanwhile
    elif address is not None and named:
        raise ConnectionError(f"no Ray cluster answers there within {_PATIENCE_S:g} s")
    else:  # none is here, or what says so is left from one that died
        ray.init("local", num_cpus=cores(), **quiet)
    return True


def _answers(address: str) -> bool:
    """Whether a server of gRPC answers, as a Ray cluster is: it greets with the settings of HTTP/2."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S) as peer:
            if os.environ.get("RAY_USE_TLS") == "1":
                return True
            peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            return peer.recv(9)[3:4] == b"\x04"
    except (OSError, ValueError):
        return False


def how_it_ended(ray: ModuleType, error: Exception) -> tuple[str, str]:
    """Return how a task ended of which Ray says this, and that for people: a short line first, then what Ray says."""
    errors = ray.exceptions
    if isinstance(error, errors.RayTaskError):  # on its way; what a training raises is an event
        return RAISED, plain(error)
    for kind, how, told in (
        (errors.OutOfMemoryError, OUT_OF_MEMORY, "its node had no memory left, and Ray ended its process"),
        ((errors.NodeDiedError, errors.LocalRayletDiedError), KILLED, "its node was lost"),
        (errors.ObjectLostError, KILLED, "what it sent was lost with its node"),
        (errors.WorkerCrashedError, KILLED, "its process died"),
    ):
        if isinstance(error, kind):
            return how, f"{told}\n{plain(error)}"
    return KILLED, f"Ray ended it ({type(error).__name__})\n{plain(error)}"


def plain(error: Exception) -> str:
    """Return what an error of Ray's says, without the colors that it has in a terminal."""
    return re.sub(r"\x1b\[\d+m", "", str(error))
