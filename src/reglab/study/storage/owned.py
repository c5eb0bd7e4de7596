"""Which folders are reglab's, and what may be taken away in them.

A folder is known by its marker, the file ``.reglab``, written before anything else, or by a ``study.sqlite`` that says
in its header whose it is (copying ``study/*`` leaves hidden files behind). A folder that is neither reglab's nor empty
is refused before anything is written. Inside reglab's own folders three things are ever taken away, and links never:
names with the mark of temporary files (:data:`reglab.study.storage.disk.TEMPORARY`), and folders of runs and of
checkpoints, whose name is an identity and which hold the record that reglab put there. Anything else is somebody's, and
stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reglab.aliases import Plain
from reglab.errors import ReglabError
from reglab.study.storage import disk

__all__ = [
    "APPLICATION_ID",
    "EXPORT",
    "MARKER",
    "PACKED",
    "REPORT",
    "STUDY",
    "check",
    "check_group",
    "empty",
    "given",
    "kind",
    "mark",
    "marked",
    "removable",
    "strangers",
    "sweep",
]

MARKER = ".reglab"
STUDY, REPORT, EXPORT, PACKED = "study", "report", "export", "packed study"  # kinds of folders
APPLICATION_ID = 0x5265676C  # "Regl": what the header of a study.sqlite says, see PRAGMA application_id
_APPLICATION_ID_AT = 68  # bytes from the beginning of a SQLite file

_RUN = re.compile(r"[0-9a-f]{20}")
_CHECKPOINT = re.compile(r"[0-9a-f]{20}-\d+")
_LINKED = ("runs", "checkpoints", "report")
# What reglab itself puts into a study folder.
_KNOWN = re.compile(
    r"\.reglab|\.lock|study\.yaml|study\.sqlite(-journal|\.damaged-\d+(-journal)?)?|runs|checkpoints|report|live\.json"
    r"|(results|search|tuning)\.json|(diagnosis|robustness|race|references)(-[^/]+)?\.json|export|tensorboard|treatment(-[^/]+)?"
    r"|probe-(learning-curve|labels)(-[^/]+)?"
)


def given(out: str | Path, *, option: str = "out") -> Path:
    """Return the folder that somebody names, with ``~`` as the home folder.

    Raises:
        ReglabError: for an empty text, which as a path would be the current folder.
    """
    if not str(out).strip():
        raise ReglabError(f"{option}={out!r} names no folder. Is a variable not set? Give the path of a folder.")
    return Path(out).expanduser()


def marked(folder: str | Path) -> dict[str, Any]:
    """Return what a folder's marker says; nothing where there is none."""
    path = Path(folder) / MARKER
    held = disk.read_json(path) if path.is_file() else None
    return held if isinstance(held, dict) and isinstance(held.get("kind"), str) else {}


def kind(folder: str | Path) -> str | None:
    """Return what reglab made a folder for, or None for one that is not reglab's."""
    found: str | None = marked(folder).get("kind")
    return found or (STUDY if _has_table(Path(folder)) else None)


def empty(folder: str | Path) -> bool:
    """Whether there is no such folder, or nothing in it but what an interrupted write of reglab's left."""
    folder = Path(folder)
    if not folder.is_dir():
        return not folder.exists()
    return all(disk.temporary(path.name) for path in folder.iterdir())


def check(folder: str | Path, wanted: str = STUDY) -> None:
    """Make sure that reglab may write a study, report or export there. Nothing is written.

    Raises:
        ReglabError: if there is something that is not reglab's, or that reglab made for something else; or if folders
            of a study are links.
    """
    folder = Path(folder)
    with disk.errors_named(folder, "open"):
        found = kind(folder)
        if found is None and not empty(folder):
            what = "is a file" if not folder.is_dir() else f"is not empty and holds no reglab {wanted}"
            raise ReglabError(
                f"{folder} {what}, so nothing is written there. Give a new or an empty folder with --out."
                f"{_how_to_run(folder) if wanted == STUDY else ''}"
            )
        if found not in (None, wanted):
            raise ReglabError(
                f"{folder} holds a reglab {found}, and a {wanted} is to be written. Give another folder with --out."
            )
        links = [name for name in _LINKED if (folder / name).is_symlink()] if wanted == STUDY else []
    if links:
        raise ReglabError(
            f"{folder / links[0]} is a link. Folders inside a study are not followed out of it: move it back, or "
            "move the whole study and link that."
        )


def check_group(folder: str | Path, *names: str) -> None:
    """Make sure that studies called ``names`` (patterns) may be written into a folder. Nothing is written.

    Raises:
        ReglabError: if the folder is a study itself, or holds something and no such study.
    """
    folder = Path(folder)
    with disk.errors_named(folder, "open"):
        found = kind(folder)
        known = {path for name in names for path in folder.glob(name)}
        if found is None and (empty(folder) or any(kind(path) for path in known) or _only_begun(folder, known)):
            return
        what = "is a file" if folder.is_file() else "is not empty and holds nothing of this kind by reglab"
    if found is not None:
        what = f"holds a reglab {found}"
    raise ReglabError(f"{folder} {what}, so nothing is written there. Give a new or an empty folder with --out.")


def _only_begun(folder: Path, known: set[Path]) -> bool:
    """Whether there is nothing but folders of these names that are empty, which reglab was about to mark."""
    return folder.is_dir() and all(
        disk.temporary(path.name) or (path in known and path.is_dir() and empty(path)) for path in folder.iterdir()
    )


def mark(folder: Path, what: str, **more: Plain) -> None:
    """Mark a folder as reglab's, if it is not yet; ``more`` is kept with the mark."""
    held = {"kind": what, **more}
    if marked(folder) != held:
        disk.write(folder / MARKER, (json.dumps(held, indent=1) + "\n").encode())


def sweep(*folders: Path) -> None:
    """Clear away what interrupted writes left in reglab's folders."""
    for folder in folders:
        for path in list(folder.iterdir()):
            if disk.temporary(path.name) and not path.is_symlink():
                disk.remove(path)


def removable(folder: Path) -> bool:
    """Whether a folder is a run's or a checkpoint's that reglab wrote, and so may be taken away."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    if _RUN.fullmatch(folder.name):
        record = disk.read_json(folder / "record.json")
        return isinstance(record, Mapping) and record.get("id") == folder.name
    if _CHECKPOINT.fullmatch(folder.name):
        state = disk.read_json(folder / "state.json")
        return isinstance(state, Mapping) and disk.MANIFEST in state
    return False


def strangers(folder: Path) -> list[str]:
    """Return what lies in a study folder and is not reglab's, by its path in there."""
    found = [path.name for path in folder.iterdir() if not (_KNOWN.fullmatch(path.name) or disk.temporary(path.name))]
    for name in ("runs", "checkpoints"):
        found += [f"{name}/{path.name}" for path in (folder / name).iterdir() if not removable(path)]
    return sorted(found)


def _has_table(folder: Path) -> bool:
    try:
        with (folder / "study.sqlite").open("rb") as file:
            head = file.read(_APPLICATION_ID_AT + 4)
    except OSError:
        return False
    return head.startswith(b"SQLite format 3\0") and head[_APPLICATION_ID_AT:] == APPLICATION_ID.to_bytes(4, "big")


def _how_to_run(folder: Path) -> str:
    spec = folder / "study.yaml"
    return f" To run the study that {spec} describes: reglab compare {spec} --out NEW" if spec.is_file() else ""
