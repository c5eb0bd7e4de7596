"""The bytes of an image file as an array of pixels, and where the arrays of many are kept."""

from __future__ import annotations

import functools
import io
import re
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from reglab.errors import ReglabError

__all__ = ["BACKGROUND", "CHANNELS", "Decoder", "Store", "is_image"]

CHANNELS = {"rgb": ("RGB", 3), "grayscale": ("L", 1), "rgba": ("RGBA", 4)}
BACKGROUND = 255  # what transparent images are composed on, and the colour of what cannot be seen at all: white
_MOST_PIXELS = 64 * 10**6  # of one image, decoded
_PAGED = {"TIFF", "GIF", "WEBP", "PNG"}  # photographs of telephones (MPO) hold more than one too, of the same scene
_DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners put into 16
# Formats of pixels; Pillow reads others too, some by starting other programs.
_FORMATS = ("PNG", "JPEG", "MPO", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA", "PCX",
            "SGI", "XBM", "XPM", "MSP", "SUN", "IM")  # fmt: skip
_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ")


class Broken(Exception):
    """What is wrong with a file, in a few words."""


def is_image(head: bytes) -> bool:
    """Whether a file that begins like this is an image of a usual format.

    >>> is_image(b"GIF89a..."), is_image(b"<!doctype html>"), is_image(b"")
    (True, False, False)
    """
    return (
        head.startswith(_STARTS)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[:2] == b"BM" and head[6:10] == bytes(4))
        or (head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"))
    )


@dataclass
class Decoder:
    """Decodes images, and remembers what has to be said of how.

    Attributes:
        color_mode: a key of ``CHANNELS``.
        image_size: height and width to which images are resized, or None.
        transparent: how many images had transparent pixels.
        deep: how many had 16 bits.
        deepest: the largest value of those.
        several: how many hold several pages or frames.
    """

    color_mode: str
    image_size: tuple[int, int] | None
    transparent: int = 0
    deep: int = 0
    deepest: int = 0
    several: int = 0
    shallow: int = field(default=0, repr=False)

    def __call__(self, content: bytes, name: str) -> np.ndarray:
        """Return ``(height, width, channels)``: uint8, or uint16 of an image of 16 bits.

        Raises:
            Broken: if the content is no image, or a damaged one.
            ReglabError: for an image that is too large, or whose values have no known range.
        """
        if not content:
            raise Broken("it is empty")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                opened = Image.open(io.BytesIO(content), formats=_formats())
                if opened.width * opened.height > _MOST_PIXELS:
                    raise ReglabError(
                        f"{name} has {opened.width}x{opened.height} pixels, too many. Leave it out or make it smaller."
                    )
                image = ImageOps.exif_transpose(opened)
                deep = image.mode.startswith("I") or image.mode == "F"
                found = self._deep(image, name) if deep else self._shallow(image)
                self.shallow += not deep
                self.several += opened.format in _PAGED and getattr(opened, "n_frames", 1) > 1
                return found
        except (ReglabError, MemoryError):
            raise
        except Image.UnidentifiedImageError:
            raise Broken(_instead(content)) from None
        except Exception as error:  # Pillow raises many kinds for broken files
            raise Broken(
                re.sub(r"<[^<>]* object at 0x[0-9a-fA-F]+>", "it", str(error)) or type(error).__name__
            ) from None

    def _shallow(self, image: Image.Image) -> np.ndarray:
        mode, channels = CHANNELS[self.color_mode]
        if image.has_transparency_data:
            whole = image.convert("RGBA")
            if whole.getchannel("A").getextrema()[0] < 255:  # type: ignore[operator]  # of one channel: two numbers
                self.transparent += 1
                image = _without_hidden(whole) if mode == "RGBA" else _composed(whole)
        image = image.convert(mode)
        if self.image_size is not None and image.size != self.image_size[::-1]:
            image = image.resize(self.image_size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(image, dtype="uint8").reshape(image.height, image.width, channels)

    def _deep(self, image: Image.Image, name: str) -> np.ndarray:
        """Return an image of one channel that has more than 8 bits."""
        values = np.asarray(image)
        low, high = values.min(), values.max()
        if image.mode == "F" or low < 0 or high > 65535:
            kind = "floats" if image.mode == "F" else "whole numbers beyond 16 bits"
            raise ReglabError(
                f"{name} has pixels of {kind} ({low:g} to {high:g}), and nothing says which of them are black and "
                "white. Save such images with 8 or 16 bits, or give arrays (x, y) in Python, or an .npz file."
            )
        if self.image_size is not None and image.size != self.image_size[::-1]:
            floats = Image.fromarray(values.astype("float32"))
            values = np.round(np.asarray(floats.resize(self.image_size[::-1], Image.Resampling.BILINEAR)))
        self.deep += 1
        self.deepest = max(self.deepest, int(high))
        channels = CHANNELS[self.color_mode][1]
        found = np.repeat(values.astype("uint16")[..., np.newaxis], channels, axis=-1)
        if channels == 4:
            found[..., 3] = 65535
        return found

    def largest(self) -> int:
        """Return the value of 16-bit images that is white: of as many bits as they use, if they all are such images."""
        bits = 16 if self.shallow else next(bits for bits in _DEPTHS if self.deepest < 2**bits)
        return 2**bits - 1

    def notes(self) -> list[str]:
        """Return what was done to pixels."""
        found = []
        if self.several:
            found.append(f"{_images(self.several)} several pages or frames, of which the first was read.")
        if self.transparent:
            how = (
                "pixels that cannot be seen at all were made white" if self.color_mode == "rgba"
                else "they were composed on white. color_mode (--color-mode) rgba keeps transparency as a channel"
            )  # fmt: skip
            found.append(f"{_images(self.transparent)} transparent pixels; {how}.")
        if self.deep:
            found.append(
                f"{_images(self.deep)} 16 bits, with values up to {self.deepest:,}; 0 to {self.largest():,} became 0 "
                "to 255."
            )
        return found


def _images(count: int) -> str:
    return "1 image has" if count == 1 else f"{count:,} images have"


@functools.cache
def _formats() -> list[str]:
    Image.init()
    return [each for each in _FORMATS if each in Image.OPEN]


def _instead(content: bytes) -> str:
    """Return what a file holds that is no image."""
    start = content[:512].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "it holds " + ("an SVG drawing" if b"<svg" in content[:4096].lower() else "a page of HTML or XML")
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS: run git lfs pull"
    if content[4:8] == b"ftyp":
        return "it is in the format HEIC, or a film: convert it to JPEG"
    if is_image(content):
        return "its header is damaged, or it is of a kind that Pillow does not read, such as 16-bit colour in a TIFF"
    if not any(content):
        return "it holds nothing but zeros"
    return "its content is of no known format"


def _composed(image: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, (BACKGROUND,) * 3 + (255,)), image)


def _without_hidden(image: Image.Image) -> Image.Image:
    pixels = np.array(image)
    pixels[pixels[..., 3] == 0, :3] = BACKGROUND
    return Image.fromarray(pixels)


class Store:
    """Images of one shape as they come in: in memory as long as they fit, then in a file."""

    def __init__(self, limit: int, cache: Path | None) -> None:
        self._limit, self._cache = limit, cache
        self._images: list[np.ndarray] = []
        self._file: Any = None
        self._bytes = 0
        self._count = 0
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype("uint8")

    def append(self, image: np.ndarray) -> None:
        """Add an image; the first one's dtype is that of all, and others are scaled to its range."""
        if not self._count:
            self._dtype, self._shape = image.dtype, image.shape
        elif image.dtype != self._dtype:
            image = _scaled(image, 65535) if self._dtype == np.uint8 else image.astype("uint16") * 257
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

    def finish(self, order: np.ndarray, *, largest: int) -> np.ndarray:
        """Return the images in another order, uint8; of 16 bits, ``largest`` is white. Those in a file stay in one."""
        if self._file is None:
            found = np.stack(self._images)[order]
            return found if found.dtype == np.uint8 else _scaled(found, largest)
        self._file.flush()
        shape = (self._count, *self._shape)
        with self._file as unordered:  # a mapping outlives the file object it was made from
            raw = np.memmap(unordered, dtype=self._dtype, mode="r", shape=shape)
        if (order == np.arange(len(order))).all() and self._dtype == np.uint8:
            return raw
        with tempfile.TemporaryFile(dir=self._cache) as ordered:
            for start in range(0, len(order), 4096):
                chunk = raw[order[start : start + 4096]]
                ordered.write((chunk if chunk.dtype == np.uint8 else _scaled(chunk, largest)).tobytes())
            ordered.flush()
            return np.memmap(ordered, dtype="uint8", mode="r", shape=shape)

    def discard(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()


def _scaled(image: np.ndarray, largest: int) -> np.ndarray:
    """Return 0 to ``largest`` as 0 to 255, rounded; the alpha of an image of 16 bits is full.

    >>> _scaled(np.array([0, 257, 65535], "uint16"), 65535).tolist()
    [0, 1, 255]
    """
    wide = np.minimum(image, largest).astype("uint32")
    return ((wide * 510 + largest) // (2 * largest)).astype("uint8")
