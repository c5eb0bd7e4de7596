"""The files of a folder or an archive, one after another, without anything being extracted.

An archive is text that somebody else wrote: names that lead outside, links, devices, and files that unpack to far more
than was promised are refused before or while they are read.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from reglab.errors import ReglabError

__all__ = ["ARCHIVES", "is_archive", "members"]

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
LARGEST_FILE = 64 * 2**20  # bytes of one image file
LARGEST_RATIO = 200  # unpacked bytes to packed bytes, above LARGEST_FREE
LARGEST_FREE = 512 * 2**20  # bytes that may be unpacked whatever the ratio


def is_archive(path: Path) -> bool:
    """Whether the name says that it is an archive that can be read."""
    return path.name.lower().endswith(ARCHIVES)


def members(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield the relative path and content of each file in a folder or archive; hidden files are passed over.

    Raises:
        ReglabError: for a broken archive, a path that leads outside, a link, or a bomb, naming the member.
    """
    source = _folder(path) if path.is_dir() else _zip(path) if path.name.lower().endswith(".zip") else _tar(path)
    for name, content in source:
        if not _hidden(name):
            yield name, content


def _folder(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    for folder, folders, files in os.walk(path, followlinks=True):
        folders.sort()
        for file in sorted(files):
            full = Path(folder) / file
            name = PurePosixPath(full.relative_to(path).as_posix())
            try:
                if full.stat().st_size > LARGEST_FILE:
                    raise _too_large(f"{path}/{name}")
                yield name, full.read_bytes()
            except OSError as error:
                raise ReglabError(f"Cannot read {full}: {error.strerror}.") from None


def _zip(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            for entry in entries:
                _check_name(path, entry.filename)
                if entry.file_size > LARGEST_FILE:
                    raise _too_large(f"{path}:{entry.filename}")
            _check_ratio(path, sum(entry.file_size for entry in entries))
            for entry in entries:
                with archive.open(entry) as file:
                    yield PurePosixPath(entry.filename), _read(file, f"{path}:{entry.filename}")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ReglabError(
            f"{path} is not a readable zip archive: {error}. Is it complete, and not encrypted?"
        ) from None
    except OSError as error:
        raise ReglabError(f"Cannot read {path}: {error}.") from None


def _tar(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    import lzma

    unpacked = 0
    try:
        # As a stream: a compressed tar can only be read once from front to back.
        with tarfile.open(path, mode="r|*") as archive:
            for entry in archive:
                _check_name(path, entry.name)
                if entry.isdir():
                    continue
                if not entry.isfile():
                    raise ReglabError(
                        f"{path}: {entry.name!r} is a link or a device, not a file. Make the archive of plain files."
                    )
                if entry.size > LARGEST_FILE:
                    raise _too_large(f"{path}:{entry.name}")
                unpacked += entry.size
                _check_ratio(path, unpacked)
                file = archive.extractfile(entry)
                assert file is not None  # it is a plain file
                yield PurePosixPath(entry.name), _read(file, f"{path}:{entry.name}")
    except (tarfile.TarError, lzma.LZMAError, EOFError, zlib.error) as error:
        raise ReglabError(f"{path} is not a readable tar archive: {error}. Is it complete?") from None
    except OSError as error:
        raise ReglabError(f"Cannot read {path}: {error}.") from None


def _read(file: IO[bytes], name: str) -> bytes:
    content = file.read(LARGEST_FILE + 1)  # the size in the archive's own list may be a lie
    if len(content) > LARGEST_FILE:
        raise _too_large(name)
    return content


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


def _too_large(name: str) -> ReglabError:
    return ReglabError(f"{name} is larger than {LARGEST_FILE // 2**20} MiB, too large for an image. Leave it out.")


def _hidden(name: PurePosixPath) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
