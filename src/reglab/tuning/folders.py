"""Where a search lies that was given no folder: in one that has it already, else in the first that is free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reglab.studies import Study
from reglab.study.storage import folders, owned

__all__ = ["group_folder"]


def group_folder(
    out: str | Path | None,
    name: str,
    parts: Mapping[str, Study[Any]],
    *,
    same: Callable[[Path], bool] = lambda folder: True,
) -> Path:
    """Return the folder of several studies: the one that was given, or the default one.

    Args:
        out: what was given.
        name: of the default one.
        parts: the studies, by the names of their folders in it.
        same: whether a folder that has these studies was asked the same.
    """
    if out is not None:
        return owned.given(out)

    def suits(folder: Path) -> bool:
        there = {part: study for part, study in parts.items() if (folder / part).exists()}
        held = all(folders.holds(folder / part, study.spec()) for part, study in there.items())
        return bool(there) and held and same(folder)

    return folders.first(name, suits)
