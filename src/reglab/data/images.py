"""Images in a folder per class, from a directory or an archive."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from reglab.data.dataset import Dataset
from reglab.data.layout import Layout, laid_out
from reglab.data.listing import few, readable
from reglab.data.members import Listing, contents, listing
from reglab.data.pixels import CHANNELS, Broken, Decoder, Store, is_image
from reglab.data.reading import alike
from reglab.errors import ReglabError

__all__ = ["CHANNELS", "load_images", "parse_size"]

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
_MOST_BROKEN = 100  # named in an error


@dataclass
class _Read:
    """What was read so far."""

    names: list[PurePosixPath] = field(default_factory=list)
    first: tuple[str, tuple[int, ...]] | None = None
    broken: dict[PurePosixPath, str] = field(default_factory=dict)


def load_images(
    path: Path, *, image_size: tuple[int, int] | None, color_mode: str, memory_limit: int, cache: Path | None,
    skip_broken: bool = False,
) -> Dataset:  # fmt: skip
    """Return the images of a folder or archive, uint8 ``(N, height, width, channels)``.

    The layout is ``class/image`` or ``part/class/image`` (:mod:`reglab.data.layout`). First the names are read, then
    the images that belong to a class, which are decoded as they come. What is larger than ``memory_limit`` bytes goes
    to a file in ``cache`` and is read from there. What was left out stands in the notes.

    Raises:
        ReglabError: for files that are no images, all of them at once, unless ``skip_broken``; for images of different
            sizes without ``image_size``; for a folder without classes; for a class that only the test part has.
    """
    found = listing(path, _SUFFIXES)
    images = [name for name, head in found.files.items() if head is None or is_image(head)]
    if not images:
        raise ReglabError(
            f"{path} holds no images. Expected is a folder per class with {', '.join(sorted(_SUFFIXES))} files, with "
            f"or without train/, val/ and test/ around them.{_instead(found)}"
        )
    layout = laid_out(str(path), images)
    read, decoder, store = _Read(), Decoder(color_mode, image_size), Store(memory_limit, cache)
    try:
        for name, image in _decoded(path, layout, read, decoder):
            read.names.append(name)
            store.append(image)
        if read.broken and not (skip_broken and read.names):
            raise _are_broken(path, read)
        order = np.array(sorted(range(len(read.names)), key=lambda i: read.names[i].parts))
        x = store.finish(order, largest=decoder.largest())
    except BaseException:
        store.discard()
        raise
    names = [read.names[i] for i in order]
    class_names = tuple(sorted({layout.labels[name] for name in names}))
    index = {name: i for i, name in enumerate(class_names)}
    return Dataset(
        name=_stem(path), x=x, y=np.array([index[layout.labels[name]] for name in names], "int32"),
        class_names=tuple(map(readable, class_names)), kind="image", value_range=(0.0, 255.0),
        part=np.array([layout.parts[name] for name in names], "int8") if layout.parts else None,
        notes=(*layout.notes, *_left_out(found, images), *_skipped(read), *decoder.notes(), *alike(x)),
    )  # fmt: skip


def parse_size(size: object) -> tuple[int, int] | None:
    """Return ``(height, width)`` from ``32``, ``"32"``, ``"32x48"`` or a pair."""
    if size is None:
        return None
    numbers = (
        size.lower().split("x") if isinstance(size, str) else list(size) if isinstance(size, tuple | list) else [size]
    )
    try:
        values = [int(str(number)) for number in numbers]
    except (TypeError, ValueError):
        values = []
    if len(values) not in (1, 2) or not all(0 < value <= 8192 for value in values):
        raise ReglabError(
            f"image_size={size!r} is not possible. Give one number, as 64, or height and width, as 64x48."
        )
    return (values[0], values[-1])


def _decoded(path: Path, layout: Layout, read: _Read, decoder: Decoder) -> Iterator[tuple[PurePosixPath, np.ndarray]]:
    for name, content in contents(path, layout.labels):
        try:
            if isinstance(content, OSError):
                raise Broken(content.strerror or str(content))
            image = decoder(content, f"{path}{os.sep}{name}")
        except Broken as error:
            read.broken[name] = str(error)
            continue
        if read.first is None:
            read.first = (str(name), image.shape)
        elif image.shape != read.first[1]:
            one, other = "x".join(map(str, read.first[1][:2])), "x".join(map(str, image.shape[:2]))
            raise ReglabError(
                f"{path}: images differ in size: {read.first[0]} is {one}, {name} is {other}. Give image_size "
                "(--image-size), to which all are resized."
            )
        yield name, image


def _are_broken(path: Path, read: _Read) -> ReglabError:
    named = [f"  {path}{os.sep}{name}: {why}" for name, why in sorted(read.broken.items())[:_MOST_BROKEN]]
    named += [f"  and {len(read.broken) - _MOST_BROKEN:,} more"] if len(read.broken) > _MOST_BROKEN else []
    whole = len(read.broken) + len(read.names)
    return ReglabError(
        "\n".join([f"{path}: {len(read.broken):,} of {whole:,} files cannot be read as an image:", *named])
        + "\nRepair them or leave them out: skip_broken=True (--skip-broken) does that, and the study records it."
    )


def _skipped(read: _Read) -> list[str]:
    if not read.broken:
        return []
    count = "1 broken file was" if len(read.broken) == 1 else f"{len(read.broken):,} broken files were"
    return [f"{count} left out, as skip_broken says ({few(sorted(read.broken))})."]


def _left_out(found: Listing, images: list[PurePosixPath]) -> list[str]:
    """Return what else is there: other files, pipes, hidden images, folders without any image."""
    others = sorted(set(found.files) - set(images))
    hidden = [name for name in found.hidden if name.suffix.lower() in _SUFFIXES]
    inhabited = {folder for name in images for folder in name.parents}
    empty = [folder for folder in found.folders if folder not in inhabited]
    empty = [folder for folder in empty if folder.parent not in empty]
    return [
        *([f"{_files(others)} left out, which are no images or in a format that is not known: {few(others)}."]
          if others else []),
        *([f"Pipes, sockets, devices or links to a folder around them were left out ({few(found.special)})."]
          if found.special else []),
        *([f"Hidden images were left out ({few(hidden)})."] if hidden else []),
        *([f"Folders that hold no images were left out ({few(f'{folder}/' for folder in empty)})."] if empty else []),
    ]  # fmt: skip


def _files(names: list[PurePosixPath]) -> str:
    """Return how many files of which suffix.

    >>> _files([PurePosixPath("a.txt"), PurePosixPath("b.txt"), PurePosixPath("LICENSE")])
    '3 files (2 .txt, 1 without suffix)'
    """
    counts = Counter(name.suffix.lower() or "without suffix" for name in names)
    kinds = few((f"{count:,} {suffix}" for suffix, count in counts.most_common()), 4)
    return f"{len(names):,} {'file' if len(names) == 1 else 'files'} ({kinds})"


def _instead(found: Listing) -> str:
    return f" It holds {few(sorted(found.files))}." if found.files else " It is empty."


def _stem(path: Path) -> str:
    name = path.resolve().name
    for suffix in (".tar.gz", ".tar.xz", ".tar.bz2", ".tgz", ".txz", ".tar", ".zip"):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name
