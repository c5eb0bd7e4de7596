"""Where studies lie that were given no folder: one that is theirs already, else the first that is free."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reglab.study.storage import owned
from reglab.study.storage.frozen import differences
from reglab.study.storage.view import frozen_facts, frozen_spec, holds_study

__all__ = ["by_name", "first", "folder_for", "free", "holds", "known", "numbered"]

_HOME = Path("reglab-out")


def folder_for(name: str, spec: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> Path:
    """Return the folder of a study that was given none: the one it is in already, else the first that is free.

    Args:
        name: what the folder is called.
        spec: of the study.
        facts: what its results depend on beside the spec, as far as that is known yet.
    """
    return free(_HOME / name, spec, facts)


def free(folder: Path, spec: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> Path:
    """Return ``folder``, or the same with a number: the one that holds this study, else the first that is empty."""
    return _first(folder, lambda each: holds(each, spec, facts))


def first(name: str, suits: Callable[[Path], bool]) -> Path:
    """Return the first default folder of that name, or the same with a number, that suits or is empty."""
    return _first(_HOME / name, suits)


def _first(folder: Path, suits: Callable[[Path], bool]) -> Path:
    return next(each for each in numbered(folder) if owned.empty(each) or suits(each))


def known(folder: Path) -> list[Path]:
    """Return ``folder`` and those with a number that are there, the first one first."""
    return list(itertools.takewhile(lambda each: each.exists(), numbered(folder)))


def by_name(name: str) -> list[Path]:
    """Return the default folders of studies of that name, the first one first."""
    return known(_HOME / name)


def numbered(folder: Path) -> Iterator[Path]:
    """Yield ``folder``, then the same with a number at its end: 2, 3, ..."""
    yield folder
    for number in itertools.count(2):
        yield folder.with_name(f"{folder.name}-{number}")


def holds(folder: Path, spec: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> bool:
    """Whether a folder holds this study, as far as its facts are known."""
    if not holds_study(folder):
        return False
    held = frozen_spec(folder)
    if held is None or differences(held, spec):
        return False
    before = frozen_facts(folder)
    return not (facts and before and differences(before, facts))
