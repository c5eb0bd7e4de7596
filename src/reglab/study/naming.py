"""What things are called: data and models in a spec, and the folders of studies that were given none."""

from __future__ import annotations

import hashlib
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reglab.study import owned
from reglab.study.frozen import differences
from reglab.study.view import frozen_facts, frozen_spec, holds_study

__all__ = ["by_name", "folder_for", "found_again", "free", "known", "numbered", "slug", "slugs", "text"]

_HOME = Path("reglab-out")
_LONGEST = 100  # letters of a folder's name; file systems take 255 bytes


def text(thing: Any) -> str:
    """Return how a spec calls data or a model: as it is found again, else by name."""
    name = getattr(thing, "name", None) or getattr(thing, "__name__", None) or type(thing).__name__
    return found_again(thing) or str(name)


def found_again(thing: Any) -> str | None:
    """Return the text under which another process finds data or a model, or None for what only Python holds."""
    if isinstance(thing, str | Path):
        return str(thing)
    name, module = getattr(thing, "__name__", None), sys.modules.get(getattr(thing, "__module__", None) or "")
    if module is None or module.__name__ == "__main__" or name is None or vars(module).get(name) is not thing:
        return None
    return f"{module.__name__}:{name}"


def slug(name: str) -> str:
    """Return a name that can be a folder's.

    >>> slug("digits-inception(pooled=true)")
    'digits-inception-pooled-true'
    """
    found = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "study"
    if len(found) > _LONGEST:
        found = f"{found[: _LONGEST - 9].rstrip('-')}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"
    return found


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Return for each of several names one that can be a folder's, no two of them alike.

    >>> slugs(["l2 + ema", "l2-ema", "dropout"])
    {'l2 + ema': 'l2-ema', 'l2-ema': 'l2-ema-2', 'dropout': 'dropout'}
    """
    found: dict[str, str] = {}
    for name in names:
        own = slug(name)
        numbered = itertools.chain([own], (f"{own}-{number}" for number in itertools.count(2)))
        found[name] = next(each for each in numbered if each not in found.values())
    return found


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
    return next(each for each in numbered(folder) if owned.empty(each) or _suits(each, spec, facts))


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


def _suits(folder: Path, spec: Mapping[str, Any], facts: Mapping[str, Any] | None) -> bool:
    if not holds_study(folder):
        return False
    held = frozen_spec(folder)
    if held is None or differences(held, spec):
        return False
    before = frozen_facts(folder)
    return not (facts and before and differences(before, facts))
