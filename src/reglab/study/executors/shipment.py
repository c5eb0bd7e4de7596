"""An assignment as it is sent to worker processes on this machine: large arrays go by way of a file that all map."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import numpy as np

from reglab.data.dataset import Dataset
from reglab.errors import ReglabError
from reglab.study.objects import sendable
from reglab.study.spec import Assignment

__all__ = ["Shipment", "pack"]

_INLINE_BYTES = 2**22  # smaller arrays are sent with the assignment


@dataclass(frozen=True, eq=False)
class _Mapped:
    """An array in a file."""

    path: str
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int

    def open(self) -> np.ndarray:
        return np.memmap(self.path, dtype=self.dtype, mode="r", offset=self.offset, shape=self.shape)


@dataclass(frozen=True, eq=False)
class Shipment:
    """An assignment whose examples may lie in a file."""

    assignment: Assignment
    x: _Mapped | None

    def open(self) -> Assignment:
        """Return the assignment, at its destination."""
        if self.x is None:
            return self.assignment
        data = self.assignment.data
        fields = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
        return dataclasses.replace(self.assignment, data=type(data)(**{**fields, "x": self.x.open()}))


def pack(assignment: Assignment, scratch: Path) -> bytes:
    """Return an assignment as bytes; its examples go into a file in ``scratch``, unless they lie in one already.

    Raises:
        ReglabError: if the user's model or strategies cannot be sent to another process.
    """
    x = assignment.data.x
    mapped = None
    if x.nbytes > _INLINE_BYTES:
        mapped = _file_of(x) or _written(x, scratch)
        assignment = dataclasses.replace(assignment, data=_without_examples(assignment.data))
    try:
        with sendable(assignment) as sent:
            return cloudpickle.dumps(Shipment(sent, mapped), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise ReglabError(
            f"The study cannot be sent to a worker process ({type(error).__name__}: {error}). Give the model as a "
            "function that builds it, and losses and optimizers of your own as functions and classes of plain "
            "attributes, or train in this process with workers=0."
        ) from error


def _written(x: np.ndarray, scratch: Path) -> _Mapped:
    path = scratch / "examples"
    with path.open("wb") as file:  # and not through a map, which a full disk would turn into a crash
        for start in range(0, len(x), 8192):
            file.write(np.ascontiguousarray(x[start : start + 8192]).tobytes())
    return _Mapped(str(path), x.dtype, x.shape, 0)


def _file_of(x: np.ndarray) -> _Mapped | None:
    """Return where an array lies that is a whole file's, or a part of one, as it is there."""
    if not isinstance(x, np.memmap) or x.filename is None or isinstance(x.base, np.ndarray) or not x.flags.c_contiguous:
        return None
    return _Mapped(str(x.filename), x.dtype, x.shape, int(x.offset))


def _without_examples(data: Dataset) -> Dataset:
    """Return the data set without its examples; what checked them has run."""
    bare = object.__new__(type(data))
    for field in dataclasses.fields(data):
        object.__setattr__(bare, field.name, getattr(data, field.name) if field.name != "x" else None)
    return bare
