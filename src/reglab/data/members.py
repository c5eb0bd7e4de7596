"""The files of a folder or an archive: first their names, then the contents of some, without anything being extracted.

An archive is text that somebody else wrote: names that lead outside, links, devices, and files that unpack to far more
than was promised are refused before or while they are read. Of a folder only regular files are opened: a pipe would
never end.
"""

from __future__ import annotations

import functools
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from reglab.errors import ReglabError

__all__ = ["ARCHIVES", "Listing", "contents", "is_archive", "listing"]

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
LARGEST_FILE = 64 * 2**20  # bytes of one image file
LARGEST_RATIO = 200  # unpacked bytes to packed bytes, above LARGEST_FREE
LARGEST_FREE = 512 * 2**20  # bytes that may be unpacked whatever the ratio
_HEAD = 64  # bytes that say what a file of unknown suffix is
_HERE = PurePosixPath()
_ASKED = {"zip": "Is it complete, and not encrypted?", "tar": "Is it complete?"}
_SYSTEM = ("thumbs.db", "desktop.ini", ".ds_store", "__macosx")  # what systems leave everywhere

# What reads the beginning of a file, while its entry is looked at;
# an entry: name, "file", "folder" or "special", and that.
_Read: TypeAlias = Callable[[int], bytes]
_Entry: TypeAlias = tuple[PurePosixPath, str, _Read]


@dataclass
class Listing:
    """What lies in a folder or an archive.

    Attributes:
        files: the regular files, with the first bytes of those whose suffix was not known, else None.
        folders: the folders.
        special: pipes, sockets and devices, and links to a folder around them.
        hidden: files whose name, or whose folder's name, begins with a point; what systems leave is not among them.
    """

    files: dict[PurePosixPath, bytes | None] = field(default_factory=dict)
    folders: list[PurePosixPath] = field(default_factory=list)
    special: list[PurePosixPath] = field(default_factory=list)
    hidden: list[PurePosixPath] = field(default_factory=list)


def is_archive(path: Path) -> bool:
    """Whether the name says that it is an archive that can be read."""
    return path.name.lower().endswith(ARCHIVES)


def listing(path: Path, known: Container[str]) -> Listing:
    """Return what lies in a folder or archive; files whose suffix is not ``known`` are looked into.

    Raises:
        ReglabError: for a broken archive, a path that leads outside, a link, or a bomb, naming the member; for a folder
            that cannot be listed.
    """
    found = Listing()
    for name, kind, read in _entries(path):
        if _system(name):
            continue
        if any(part.startswith(".") for part in name.parts):
            found.hidden += [name] if kind == "file" else []
        elif kind == "folder":
            found.folders.append(name)
        elif kind == "special":
            found.special.append(name)
        else:
            found.files[name] = None if name.suffix.lower() in known else _head(read)
    return found


def contents(path: Path, wanted: Container[PurePosixPath]) -> Iterator[tuple[PurePosixPath, bytes | OSError]]:
    """Yield the name and the content of each file that is wanted, or what the system says of one it cannot read.

    Raises:
        ReglabError: as in :func:`listing`; for a file that is too large.
    """
    for name, kind, read in _entries(path):
        if kind != "file" or name not in wanted:
            continue
        try:
            content = read(LARGEST_FILE + 1)  # the size in an archive's own list may be a lie
        except OSError as error:
            yield name, error
            continue
        if len(content) > LARGEST_FILE:
            size = f"larger than {LARGEST_FILE // 2**20} MiB"
            raise ReglabError(f"{path}{os.sep}{name} is {size}, too large for an image. Leave it out.")
        yield name, content


def _head(read: _Read) -> bytes:
    try:
        return read(_HEAD)
    except OSError:  # it counts among those that are no images
        return b""


def _entries(path: Path) -> Iterator[_Entry]:
    return _folder(path) if path.is_dir() else _zip(path) if path.name.lower().endswith(".zip") else _tar(path)


def _folder(path: Path, inside: PurePosixPath = _HERE, around: tuple[tuple[int, int], ...] = ()) -> Iterator[_Entry]:
    """Walk through a folder in the order of names; links are followed, but not into a folder that is around them."""
    here = path / inside
    try:
        places = (*around, _place(here.stat()))
        entries = sorted(os.scandir(here), key=lambda entry: entry.name)
    except OSError as error:
        raise ReglabError(
            f"Cannot read the folder {here}: {error.strerror}. Make it readable, or move it elsewhere if it is not "
            "part of the data."
        ) from None
    for entry in entries:
        name, read = inside / entry.name, functools.partial(_from_disk, here / entry.name)
        try:
            status = entry.stat()
        except OSError:  # a link to nothing: told when it is read
            yield name, "file", read
            continue
        if stat.S_ISREG(status.st_mode):
            yield name, "file", read
        elif stat.S_ISDIR(status.st_mode) and _place(status) not in places:
            yield name, "folder", read
            yield from _folder(path, name, places)
        else:
            yield name, "special", read


def _from_disk(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most)


def _place(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _zip(path: Path) -> Iterator[_Entry]:
    with _readable(path, "zip"), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        for entry in entries:
            _check_name(path, entry.filename)
        _check_ratio(path, sum(entry.file_size for entry in entries))
        for entry in entries:
            read = functools.partial(_from_zip, path, archive, entry)
            yield PurePosixPath(entry.filename), "folder" if entry.is_dir() else "file", read


def _from_zip(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    with _readable(path, "zip"), archive.open(entry) as file:
        return file.read(most)


def _tar(path: Path) -> Iterator[_Entry]:
    unpacked = 0
    # As a stream: a compressed tar can only be read from front to back.
    with _readable(path, "tar"), tarfile.open(path, mode="r|*") as archive:
        for entry in archive:
            _check_name(path, entry.name)
            if not entry.isdir() and not entry.isfile():
                raise ReglabError(
                    f"{path}: {entry.name!r} is a link or a device, not a file. Make the archive of plain files."
                )
            unpacked += entry.size
            _check_ratio(path, unpacked)
            read = functools.partial(_from_tar, path, archive, entry)
            yield PurePosixPath(entry.name), "folder" if entry.isdir() else "file", read


def _from_tar(path: Path, archive: tarfile.TarFile, entry: tarfile.TarInfo, most: int) -> bytes:
    with _readable(path, "tar"):
        file = archive.extractfile(entry)
        assert file is not None  # it is a plain file
        return file.read(most)


@contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    """Tell in a sentence what the modules for archives raise."""
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, NotImplementedError,
            RuntimeError) as error:  # fmt: skip
        raise ReglabError(f"{path} is not a readable {kind} archive: {error}. {_ASKED[kind]}") from None
    except OSError as error:
        raise ReglabError(f"Cannot read {path}: {error}.") from None


def _check_name(path: Path, name: str) -> None:
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or (pure.parts and pure.parts[0].endswith(":")):
        raise ReglabError(
            f"{path}: the member {name!r} leads outside the archive. Nothing was read; do you trust its source?"
        )


def _check_ratio(path: Path, unpacked: int) -> None:
    if unpacked > LARGEST_FREE and unpacked > LARGEST_RATIO * path.stat().st_size:
        raise ReglabError(
            f"{path} unpacks to more than {LARGEST_RATIO} times its size ({unpacked / 2**20:.0f} MiB so far), like a "
            "decompression bomb. Unpack it yourself and give the folder, if you trust it."
        )


def _system(name: PurePosixPath) -> bool:
    return any(part.lower() in _SYSTEM or part.startswith("._") for part in name.parts)
