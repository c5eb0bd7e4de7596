"""The spec of a study as it was frozen: ``study.yaml``, and in what another spec differs from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Frozen", "as_yaml", "differences"]

_HEAD = (
    "# A reglab study, frozen when it began: `reglab resume` goes on with it, and a changed one is a new study.\n"
    "# To start one from this file: reglab compare THIS_FILE --out ANOTHER_FOLDER\n"
)
_SUM = "# sha256 of what follows: "


@dataclass(frozen=True)
class Frozen:
    """What stands in ``study.yaml``.

    Attributes:
        path: the file.
        written: all of it.
        spec: what it says; empty if it is not YAML any more.
        intact: whether it is what was written, to the last byte, as far as its checksum can tell.
    """

    path: Path
    written: str
    spec: dict[str, Any]
    intact: bool

    @classmethod
    def read(cls, folder: str | Path) -> Frozen | None:
        """Return what a study folder's ``study.yaml`` says, or None if there is none."""
        path = Path(folder) / "study.yaml"
        try:
            text = path.read_bytes().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return None
        except OSError:  # a folder of that name, or no permission
            return cls(path, "", {}, False)
        try:
            spec = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):  # PyYAML lets through what dates and numbers raise
            spec = None
        head, mark, rest = text.partition(_SUM)
        digest, _, body = rest.partition("\n")
        intact = head == _HEAD and bool(mark) and digest == _digest(body)
        known = spec if isinstance(spec, dict) and all(isinstance(key, str) for key in spec) else {}
        return cls(path, text, known, intact and bool(known))

    @staticmethod
    def text(spec: Mapping[str, Any]) -> str:
        """Return the file's text for a spec."""
        body = as_yaml(spec)
        return f"{_HEAD}{_SUM}{_digest(body)}\n{body}"

    def edited_from(self, spec: Mapping[str, Any]) -> bool:
        """Whether somebody changed the file, which is more than its being cut short by a disk."""
        return bool(self.spec) and bool(differences(spec, self.spec)) and not self.text(spec).startswith(self.written)


def as_yaml(value: Mapping[str, Any]) -> str:
    """Return a mapping as YAML that is read back as the same: other scripts as they are, where PyYAML can do that."""
    held = dict(value)
    text = yaml.safe_dump(held, sort_keys=False, allow_unicode=True)
    # It writes some line ends of Unicode as they are, and reads them as spaces.
    return text if yaml.safe_load(text) == held else yaml.safe_dump(held, sort_keys=False, allow_unicode=False)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in which fields two specs differ, each with both values.

    >>> differences({"epochs": 3, "seeds": 2}, {"epochs": 4, "seeds": 2})
    ['epochs is 4 and was 3']
    """
    keys = [*before, *(key for key in now if key not in before)]
    return [_difference(key, before.get(key), now.get(key)) for key in keys if not _same(before.get(key), now.get(key))]


def _same(one: object, other: object) -> bool:
    # The order of recipes is the order of the table.
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one == other and list(one) == list(other)
    return one == other


def _difference(key: str, before: object, now: object) -> str:
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        return f"{key} is {_short(now)} and was {_short(before)}"
    parts = [f"{name!r} is new" for name in now if name not in before]
    parts += [f"{name!r} is gone" for name in before if name not in now]
    parts += [
        f"{name!r} is {_short(now[name])} and was {_short(before[name])}"
        for name in now
        if name in before and now[name] != before[name]
    ]
    return f"{key}: {', '.join(parts) or 'in another order'}"


def _short(value: object) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
