"""Files that are whole or not there: every byte a study leaves on disk is written by a function of this module.

A file is written under a temporary name, synced, and renamed; then its folder is synced. So whoever looks finds the
file as it was before or as it is afterwards, whenever the process or the machine stops. Temporary names begin with a
dot; whoever opens the folder next clears them away.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from reglab.errors import ReglabError

__all__ = [
    "MANIFEST", "checksums", "finite", "intact", "new_folder", "publish", "read_json", "remove", "sync_files",
    "telling", "write", "write_arrays", "write_json", "write_quickly",
]  # fmt: skip

MANIFEST = "files"  # the key of a folder's own list of its files, each with size and SHA-256


def write(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there, and outlives a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _write_through(temporary, content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_quickly(path: Path, content: bytes) -> None:
    """Write a file that is whole or not there, and may be lost in a power cut: what is written again in a second."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON; numbers that are not finite, which JSON cannot hold, become null."""
    write(path, (json.dumps(finite(value), indent=1) + "\n").encode())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as ``.npz`` into a folder that is not published yet."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())


def new_folder(target: Path) -> Path:
    """Make the folder that will be ``target``, under a temporary name; :func:`publish` gives it its own."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    return temporary


def publish(temporary: Path, target: Path) -> None:
    """Give a new folder its name, in place of what had that name."""
    _sync_folder(temporary)
    if target.exists():
        remove(target)
    os.replace(temporary, target)
    _sync_folder(target.parent)


def sync_files(folder: Path) -> None:
    """Make sure that copied files are on disk."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Take away a file or folder; a folder loses its name first, so that nobody finds half of it."""
    if path.is_dir() and not path.is_symlink():
        doomed = path if path.name.startswith(".") else path.with_name(f".{path.name}.removed.{os.getpid()}")
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


def intact(folder: Path, manifest: Any, *, thorough: bool) -> bool:
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
def telling(folder: Path, what: str) -> Iterator[None]:
    """Turn what the disk answers into a sentence; ``what`` is what could not be done to the study folder."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise ReglabError(
            f"Cannot {what} the study folder {folder}: {error}. What was recorded is kept. {_advice(error, folder)}"
        ) from error


def finite(value: Any) -> Any:
    """Return ``value`` with None where a number is not finite."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


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
