"""A study as it is sent to a cluster: examples once, through Ray's object store, and the files of the user's model."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import platform
import re
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import numpy as np

from reglab.data.dataset import Dataset
from reglab.errors import ReglabError
from reglab.study.objects import sendable
from reglab.study.spec import Assignment

__all__ = ["IN_A_MODULE", "Parcel", "packed", "unpacked"]

_FILES_BYTES = 2**23  # of Python files that are sent with a model

_IN_A_FILE = re.compile(r"\s*(?P<path>.+\.py):(?P<call>[^\W\d]\w*\s*(\(.*\)\s*)?)", re.DOTALL)
IN_A_MODULE = re.compile(r"\s*(?P<package>\w+)[\w.]*:.*", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Parcel:
    """A study as it lies in Ray's object store, whence every task of a node reads the examples where they are.

    Attributes:
        x: the examples, by their content; read-only in a task.
        rest: the assignment without them, pickled, so that what is missing on a node can be told there.
        model: where the model is in a file, its name and call.
        files: that file and those beside it.
    """

    x: np.ndarray
    rest: bytes
    model: str
    files: dict[str, bytes]


def packed(assignment: Assignment) -> Parcel:
    """Return a study as it can be sent.

    Raises:
        ReglabError: if the user's model or strategies cannot be sent, or too many files lie beside the model.
    """
    found = _IN_A_FILE.fullmatch(assignment.model) if isinstance(assignment.model, str) else None
    path = Path(found["path"]) if found else None
    files = _files_beside(path) if path is not None and path.is_file() else {}
    model = f"{path.name}:{found['call']}" if found and path is not None and files else ""
    try:
        bare = dataclasses.replace(assignment, data=_with_examples(assignment.data, None))
        with sendable(bare) as sent:
            rest = cloudpickle.dumps(sent, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise ReglabError(
            f"The study cannot be sent to a Ray cluster ({type(error).__name__}: {error}). Give the model as a "
            "function that builds it, or train in this process with workers=0."
        ) from error
    return Parcel(np.asarray(assignment.data.x), rest, model, files)


def _files_beside(path: Path) -> dict[str, bytes]:
    beside = sorted(path.parent.glob("*.py"))
    size = sum(file.stat().st_size for file in beside)
    if size > _FILES_BYTES:
        raise ReglabError(
            f"The Python files beside {path} have {size / 1e6:.0f} MB. They are all sent to the nodes of the Ray "
            f"cluster, and {_FILES_BYTES / 1e6:.0f} MB at most: put the model in a folder of its own."
        )
    return {file.name: file.read_bytes() for file in beside}


def unpacked(parcel: Parcel, folder: Path) -> Assignment:
    """Return the study on a node; ``folder`` takes the files of the model.

    Raises:
        ReglabError: if something it needs is not installed there.
    """
    try:
        assignment: Assignment = pickle.loads(parcel.rest)
    except (ImportError, AttributeError) as error:
        raise ReglabError(
            f"The node {platform.node()} cannot load the study: {error}. Install what is missing there, as on every "
            "node, or give the model as path/to/file.py:function, which is sent."
        ) from error
    for name, content in parcel.files.items():
        (folder / name).write_bytes(content)
    model = f"{folder / parcel.model}" if parcel.files else assignment.model
    return dataclasses.replace(assignment, model=model, data=_with_examples(assignment.data, parcel.x))


def _with_examples(data: Dataset, x: np.ndarray | None) -> Dataset:
    """Return the data set with other examples; what checks them has run, or will not."""
    other = copy.copy(data)
    object.__setattr__(other, "x", x)
    return other
