"""Images in a folder per class, from a directory or an archive."""

from __future__ import annotations

import io
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from reglab.data.dataset import TEST, TRAIN, VAL, Dataset
from reglab.data.members import members
from reglab.errors import ReglabError

__all__ = ["CHANNELS", "load_images", "parse_size"]

CHANNELS = {"rgb": ("RGB", 3), "grayscale": ("L", 1), "rgba": ("RGBA", 4)}
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
_PART_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VAL,
    "valid": VAL,
    "validation": VAL,
    "test": TEST,
    "testing": TEST,
}
_MOST_PIXELS = 64 * 10**6  # of one image, decoded


@dataclass
class _Read:
    """What was read so far."""

    names: list[PurePosixPath] = field(default_factory=list)
    first: tuple[str, tuple[int, ...]] | None = None


def load_images(
    path: Path, *, image_size: tuple[int, int] | None, color_mode: str, memory_limit: int, cache: Path | None
) -> Dataset:
    """Return the images of a folder or archive, uint8 ``(N, height, width, channels)``.

    The layout is ``class/image`` or ``part/class/image``, where parts are ``train``, ``val`` and ``test`` (or the
    longer words); one enclosing folder is passed over. Images are decoded as they come, so that an archive is read
    once. What is larger than ``memory_limit`` bytes goes to a file in ``cache`` and is read from there.

    Raises:
        ReglabError: for a file that is no image, images of different sizes without ``image_size``, a folder without
            classes, a class that only the test part has.
    """
    read = _Read()
    pixels = _Pixels(memory_limit, cache)
    try:
        for name, image in _decoded(path, read, image_size=image_size, color_mode=color_mode):
            read.names.append(name)
            pixels.append(image)
        if not read.names:
            raise ReglabError(
                f"{path} holds no images. Expected is a folder per class with {', '.join(sorted(_SUFFIXES))} files, "
                "with or without train/, val/ and test/ around them."
            )
        order = sorted(range(len(read.names)), key=lambda i: read.names[i].parts)
        parts, labels = _labels(path, [read.names[i] for i in order])
        x = pixels.finish(np.array(order))
    except BaseException:
        pixels.discard()
        raise
    class_names = tuple(sorted(set(labels)))
    index = {name: i for i, name in enumerate(class_names)}
    return Dataset(
        name=_stem(path), x=x, y=np.array([index[label] for label in labels], "int32"), class_names=class_names,
        part=None if parts is None else np.array(parts, "int8"), kind="image", value_range=(0.0, 255.0),
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


def _decoded(
    path: Path, read: _Read, *, image_size: tuple[int, int] | None, color_mode: str
) -> Iterator[tuple[PurePosixPath, np.ndarray]]:
    for name, content in members(path):
        if name.suffix.lower() not in _SUFFIXES:
            continue
        image = _decode(content, f"{path}{os.sep}{name}", image_size=image_size, color_mode=color_mode)
        if read.first is None:
            read.first = (str(name), image.shape)
        elif image.shape != read.first[1]:
            one, other = "x".join(map(str, read.first[1][:2])), "x".join(map(str, image.shape[:2]))
            raise ReglabError(
                f"{path}: images differ in size: {read.first[0]} is {one}, {name} is {other}. Give image_size "
                "(--image-size), to which all are resized."
            )
        yield name, image


def _decode(content: bytes, name: str, *, image_size: tuple[int, int] | None, color_mode: str) -> np.ndarray:
    from PIL import Image, ImageOps

    mode, channels = CHANNELS[color_mode]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(io.BytesIO(content))
            if image.width * image.height > _MOST_PIXELS:
                raise ReglabError(
                    f"{name} has {image.width}x{image.height} pixels, too many. Leave it out or make it smaller."
                )
            image = ImageOps.exif_transpose(image).convert(mode)
            if image_size is not None and image.size != (image_size[1], image_size[0]):
                image = image.resize((image_size[1], image_size[0]), Image.Resampling.BILINEAR)
    except ReglabError:
        raise
    except Exception as error:  # Pillow raises many kinds for broken files
        raise ReglabError(f"{name} cannot be read as an image: {error}. Repair it or leave it out.") from None
    return np.asarray(image, dtype="uint8").reshape(image.height, image.width, channels)


def _labels(path: Path, names: list[PurePosixPath]) -> tuple[list[int] | None, list[str]]:
    """Return the part (or None) and the class of each image from its path."""
    folders = [name.parts[:-1] for name in names]
    while len({folder[:1] for folder in folders}) == 1 and folders[0] and len(folders[0]) > 1:
        folders = [folder[1:] for folder in folders]  # one folder around everything
    loose = next((name for name, folder in zip(names, folders, strict=True) if not folder), None)
    if loose is not None:
        raise ReglabError(f"{path}: {loose} lies in no class's folder. Expected is class/image or train/class/image.")
    tops = {folder[0].lower() for folder in folders}
    if not (tops <= set(_PART_NAMES) and all(len(folder) > 1 for folder in folders)):
        return None, [folder[0] for folder in folders]
    parts = [_PART_NAMES[folder[0].lower()] for folder in folders]
    labels = [folder[1] for folder in folders]
    trained = {label for part, label in zip(parts, labels, strict=True) if part == TRAIN}
    for part, label in zip(parts, labels, strict=True):
        if label not in trained:
            raise ReglabError(
                f"{path}: the class {label!r} is in {('train', 'val', 'test')[part]}/ and not in train/. Every class "
                "needs training images."
            )
    return parts, labels


def _stem(path: Path) -> str:
    name = path.resolve().name
    for suffix in (".tar.gz", ".tar.xz", ".tar.bz2", ".tgz", ".txz", ".tar", ".zip"):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name


class _Pixels:
    """Images of one shape as they come in: in memory as long as they fit, then in a file."""

    def __init__(self, limit: int, cache: Path | None) -> None:
        self._limit, self._cache = limit, cache
        self._images: list[np.ndarray] = []
        self._file: Any = None
        self._bytes = 0
        self._count = 0
        self._shape: tuple[int, ...] = ()

    def append(self, image: np.ndarray) -> None:
        self._shape = image.shape
        self._count += 1
        self._bytes += image.nbytes
        if self._file is None and self._bytes > self._limit:
            if self._cache is not None:
                self._cache.mkdir(parents=True, exist_ok=True)
            # The file has no name of its own to clean up: it goes with the process.
            self._file = tempfile.TemporaryFile(dir=self._cache)  # noqa: SIM115
            for earlier in self._images:
                self._file.write(earlier.tobytes())
            self._images = []
        if self._file is None:
            self._images.append(image)
        else:
            self._file.write(image.tobytes())

    def finish(self, order: np.ndarray) -> np.ndarray:
        """Return the images in another order; those in a file are brought into it there."""
        if self._file is None:
            return np.stack(self._images)[order]
        self._file.flush()
        with self._file as unordered:  # a mapping outlives the file object it was made from
            raw = np.memmap(unordered, dtype="uint8", mode="r", shape=(self._count, *self._shape))
        if (order == np.arange(len(order))).all():
            return raw
        with tempfile.TemporaryFile(dir=self._cache) as ordered:
            for start in range(0, len(order), 4096):
                ordered.write(raw[order[start : start + 4096]].tobytes())
            ordered.flush()
            return np.memmap(ordered, dtype="uint8", mode="r", shape=(self._count, *self._shape))

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
