"""Files that are whole or not there: every byte a study leaves on disk is written by a function of this module.

A file is written under a temporary name, synced, and renamed; then its folder is synced. So whoever looks finds the
file as it was before or as it is afterwards, whenever the process or the machine stops. Temporary names begin with
``.reglab-tmp-``, which nobody else's do; whoever opens the folder next clears them away.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import shutil
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from reglab.errors import ReglabError

__all__ = [
    "MANIFEST",
    "TEMPORARY",
    "checksums",
    "errors_named",
    "finite",
    "intact",
    "new_folder",
    "publish",
    "read_arrays",
    "read_json",
    "remove",
    "set_aside",
    "sync_files",
    "temporary",
    "write",
    "write_arrays",
    "write_json",
    "write_quickly",
]  # fmt: skip

MANIFEST = "files"  # the key of a folder's own list of its files, each with size and SHA-256
TEMPORARY = ".reglab-tmp-"  # how every temporary name of reglab's begins: what may be cleared away


def temporary(name: str) -> bool:
    """Whether a name is one that reglab gives to what is not finished."""
    return name.startswith(TEMPORARY)


def write(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there, and outlives a power cut."""
    with _replacing(path) as unfinished:
        _write_through(unfinished, content)
    _sync_folder(path.parent)


def write_quickly(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there, and may be lost in a power cut: what is written again in a second."""
    with _replacing(path) as unfinished:
        unfinished.write_bytes(content)


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON; numbers that are not finite, which JSON cannot hold, become null."""
    write(path, (json.dumps(finite(value), indent=1) + "\n").encode())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as an ``.npz`` that is whole or not there, and outlives a power cut."""
    with _replacing(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def new_folder(target: Path) -> Path:
    """Make the folder that will be ``target``, under a temporary name; :func:`publish` gives it its own."""
    unfinished = _unfinished(target)
    if unfinished.is_dir() and not unfinished.is_symlink():
        shutil.rmtree(unfinished)
    unfinished.mkdir()
    return unfinished


def publish(folder: Path, target: Path, *, replaces: bool) -> None:
    """Give a new folder its name.

    What had that name before is taken away if it ``replaces`` that, and else set aside under another name.
    """
    _sync_folder(folder)
    doomed = None
    if os.path.lexists(target):
        doomed = _unfinished(target, "removed") if replaces else None
        if doomed is None:
            set_aside(target)
        else:
            shutil.rmtree(doomed, ignore_errors=True)
            os.replace(target, doomed)
    os.replace(folder, target)
    _sync_folder(target.parent)
    if doomed is not None:
        remove(doomed)


def set_aside(path: Path) -> Path:
    """Give a damaged file or folder another name, ``<name>.damaged-<n>``, and return it; nothing is lost."""
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
    aside = next(name for name in names if not os.path.lexists(name))
    os.replace(path, aside)
    return aside


def sync_files(folder: Path) -> None:
    """Make sure that copied files are on disk."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Take away a file or folder; a folder loses its name first, so that nobody finds half of it.

    Of a link the link is taken away, and never what it leads to.
    """
    if path.is_dir() and not path.is_symlink():
        doomed = path if temporary(path.name) else _unfinished(path, "removed")
        if doomed != path:
            shutil.rmtree(doomed, ignore_errors=True)
            os.replace(path, doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)


def checksums(folder: Path) -> dict[str, list[Any]]:
    """Return size and SHA-256 of each file of a folder, for its manifest."""
    return {path.name: [path.stat().st_size, _digest(path)] for path in sorted(folder.iterdir())}


def read_json(path: Path) -> Any:
    """Return the value a JSON file holds, or None if it is not there or not whole."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays that an ``.npz`` holds, none if it is not there or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    # What NumPy and zipfile raise on bytes that are not theirs; an array that claims to be huge, MemoryError.
    except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError, struct.error,
            zlib.error, zipfile.BadZipFile):  # fmt: skip
        return {}


def intact(folder: Path, manifest: object, *, thorough: bool) -> bool:
    """Whether a folder has every file of its manifest, in its size, and with ``thorough`` in its very bytes."""
    if not isinstance(manifest, Mapping):
        return False
    try:
        return all(
            (folder / name).stat().st_size == size and (not thorough or _digest(folder / name) == digest)
            for name, (size, digest) in manifest.items()
        )
    except (OSError, TypeError, ValueError):
        return False


@contextmanager
def errors_named(folder: Path, what: str) -> Iterator[None]:
    """Turn what the disk answers into a sentence; ``what`` is what could not be done to the study folder."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise ReglabError(
            f"Cannot {what} the study folder {folder}: {error}. What was recorded is kept. {_advice(error, folder)}"
        ) from error


def finite(value: object) -> object:
    """Return ``value`` with None where a number is not finite."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _unfinished(path: Path, what: str = "") -> Path:
    """Return the temporary name of what is to be ``path``."""
    return path.with_name(f"{TEMPORARY}{os.getpid()}-{what}{'-' if what else ''}{path.name}")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give the temporary name under which to write a file, then give the file its own; take it away on an error."""
    unfinished = _unfinished(path)
    if unfinished.is_symlink():  # writing would go through it
        unfinished.unlink()
    try:
        yield unfinished
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _advice(error: BaseException, folder: Path) -> str:
    text = str(error).lower()
    if "space" in text or "full" in text or "quota" in text:
        return f"Make room on its disk, then reglab resume {folder} goes on from there."
    return "Mend that, or choose another folder with --out."
