"""What things are called: data and models in a spec, and names that can be a folder's."""

from __future__ import annotations

import hashlib
import itertools
import re
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["found_again", "slug", "slugs", "text"]

_LONGEST = 100  # letters of a folder's name; file systems take 255 bytes


def text(thing: object) -> str:
    """Return how a spec calls data or a model: as it is found again, else by name."""
    names = (getattr(thing, "name", None), getattr(thing, "__name__", None))  # of a data frame, these may be columns
    return found_again(thing) or next((name for name in names if isinstance(name, str) and name), type(thing).__name__)


def found_again(thing: object) -> str | None:
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
