"""Files of a study folder that answer questions, one each: another question does not replace an answer."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reglab.study.plan import as_text
from reglab.study.storage import disk

__all__ = ["SCHEMA", "every", "find", "keep", "latest"]

SCHEMA = 1  # of all answers: those of another one are not read


def every(folder: str | Path, stem: str) -> dict[Path, dict[str, Any]]:
    """Return the answers called ``<stem>.json`` or ``<stem>-<key>.json``, by file, the last asked at the end."""
    folder = Path(folder)
    found = {path: disk.read_json(path) for path in (folder / f"{stem}.json", *sorted(folder.glob(f"{stem}-*.json")))}
    whole = {path: held for path, held in found.items() if isinstance(held, dict) and held.get("schema") == SCHEMA}
    return dict(sorted(whole.items(), key=lambda item: str(item[1].get("asked", ""))))


def latest(folder: str | Path, stem: str) -> dict[str, Any] | None:
    """Return the answer to the question that was asked last, or None."""
    return next(reversed(every(folder, stem).values()), None)


def find(folder: str | Path, stem: str, question: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the answer to a question: the one whose entries are those of ``question``; or None."""
    return next((held for held in every(folder, stem).values() if _answers(held, question)), None)


def keep(folder: str | Path, stem: str, question: Mapping[str, Any], answer: Mapping[str, Any]) -> Path:
    """Write the answer to a question, in place of an earlier answer to the same one, and return the file."""
    path = _path(Path(folder), stem, question)
    asked = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() % 10**9:09d}Z"
    disk.write_json(path, {**answer, **question, "schema": SCHEMA, "asked": asked})
    return path


def _path(folder: Path, stem: str, question: Mapping[str, Any]) -> Path:
    plain = folder / f"{stem}.json"
    for path, held in every(folder, stem).items():
        if _answers(held, question):
            return path
    if not plain.is_file():
        return plain
    return folder / f"{stem}-{hashlib.sha256(as_text(question).encode()).hexdigest()[:8]}.json"


def _answers(held: Mapping[str, Any], question: Mapping[str, Any]) -> bool:
    return all(held.get(key) == value for key, value in question.items())
