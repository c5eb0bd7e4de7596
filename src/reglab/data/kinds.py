"""Kinds of input: what one example is, which decides what is done to it, what acts on it and what networks take it.

=========  ============================  ================================================================
kind       one example                   preprocessing
=========  ============================  ================================================================
image      ``(height, width, channels)``  per channel
table      ``(features,)``               per feature
series     ``(time, features)``          per feature, over examples and time
tokens     ``(length,)`` of indices      none: an index measures nothing, so there is nothing between two
array      any other shape               along the last axis
several    a dict of these, by name      each as its kind says
=========  ============================  ================================================================

A script makes a kind of its own known by :func:`register_kind`, a package by an entry point of the group
``reglab.kinds``, named as the kind is. Whoever deals with data asks the :class:`Kind` and not for its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from reglab.catalogue import Catalogue
from reglab.data.several import kinds_in
from reglab.errors import ReglabError

__all__ = [
    "ARRAY",
    "IMAGE",
    "KINDS",
    "SERIES",
    "SEVERAL",
    "TABLE",
    "TOKENS",
    "Kind",
    "are_indices",
    "are_pictures",
    "checked",
    "kinds_said",
    "measures",
    "plural",
    "register_kind",
    "seen",
    "shaped",
]

IMAGE, TABLE, SERIES, TOKENS, ARRAY = "image", "table", "series", "tokens", "array"
SEVERAL = "several"  # inputs by name, each of one of the kinds
_CHUNK = 8192


@dataclass(frozen=True)
class Kind:
    """What one example is.

    Attributes:
        name: what ``kind`` and ``--kind`` call it.
        plural: how sentences call data of it.
        axes: what the axes of one example are, the first one first; None for any.
        single: what the last axis is of, in the singular, where examples may come without it: then they are of one.
        indices: whether its numbers are whole ones that stand for something, 0 for padding. They measure nothing, so
            nothing is done to them, and what acts on inputs has to say that it understands them.
        pictures: whether an example ``(height, width, channels)`` can be shown as a picture, its numbers being pixels.
        check: a function of the examples ``(N, ...)``, which have these axes, and what errors call them; it raises a
            ReglabError for values that cannot be.

    Raises:
        ReglabError: for a kind that contradicts itself, or a name that ``--kind`` cannot say.

    Example:
        >>> Kind("spectrogram", "spectrograms", ("frequency", "time", "channels"), single="channel").shapes
        '(N, frequency, time, channels), or (N, frequency, time) for one channel'
    """

    name: str
    plural: str
    axes: tuple[str, ...] | None = None
    single: str = ""
    indices: bool = False
    pictures: bool = False
    check: Callable[[np.ndarray, str], None] | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and re.fullmatch(r"[^\W\d]\w*", self.name)) or self.name == SEVERAL:
            raise ReglabError(
                f"A kind of input cannot be called {self.name!r}. Give a word of letters, digits and underscores; "
                f"{SEVERAL} are inputs by name."
            )
        axes = self.axes
        if axes is not None and (isinstance(axes, str) or not axes or not all(isinstance(each, str) for each in axes)):
            raise ReglabError(f"{self.name}: axes={axes!r} is invalid. Name each axis of one example, or give None.")
        count = len(axes) if axes is not None else 0
        if self.single and count < 2:
            raise ReglabError(f"{self.name}: single={self.single!r} is of the last of two axes or more.")
        if self.pictures and count != 3:
            raise ReglabError(f"{self.name}: pictures have three axes, (height, width, channels); given were {axes!r}.")

    @property
    def example(self) -> str:
        """The shape of one example, in words: ``(time, features)``."""
        return _in_words(self.axes or ())

    @property
    def shapes(self) -> str:
        """The shapes that arrays of it can have, in words."""
        axes = self.axes or ()
        whole = _in_words(("N", *axes))
        return f"{whole}, or {_in_words(('N', *axes[:-1]))} for one {self.single}" if self.single else whole

    def can_be(self, x: np.ndarray) -> bool:
        """Whether arrays of this shape and type can be of it."""
        if self.axes is None:
            return True
        lacking = len(self.axes) + 1 - x.ndim
        return (lacking == 0 or (lacking == 1 and bool(self.single))) and (not self.indices or x.dtype.kind in "iu")

    def held(self, x: np.ndarray, *, name: str) -> np.ndarray:
        """Return examples as those of the kind are held; see :func:`shaped`."""
        if self.axes is not None:
            if self.single and x.ndim == len(self.axes):
                x = x[..., np.newaxis]
            if x.ndim != len(self.axes) + 1:
                raise ReglabError(
                    f"{name}: examples have shape {x.shape}; {self.plural} have {self.shapes}. Give another kind "
                    "(--kind), or arrays of that shape."
                )
        if self.indices:
            x = _indices(x, name, self.plural)
        if self.check is not None:
            self.check(x, name)
        return x


def _in_words(axes: Collection[str]) -> str:
    """Return a shape as Python shows one.

    >>> _in_words(["length"]), _in_words(["N", "length"])
    ('(length,)', '(N, length)')
    """
    return f"({', '.join(axes)}{',' * (len(axes) == 1)})"


KINDS: Catalogue[Kind] = Catalogue(
    (
        Kind(IMAGE, "images", ("height", "width", "channels"), single="channel", pictures=True),
        Kind(TABLE, "tables", ("features",)),
        Kind(SERIES, "series", ("time", "features"), single="feature"),
        Kind(TOKENS, "tokens", ("length",), indices=True),
        Kind(ARRAY, "other arrays"),
    ),
    base=Kind, what="kind of input", key="name", group="reglab.kinds", values=True,
)  # fmt: skip
register_kind = KINDS.add


def seen(x: np.ndarray) -> str:
    """Return the kind that the number of axes shows. Tokens look like a table, and have to be declared.

    >>> seen(np.zeros((5, 8, 8, 1))), seen(np.zeros((5, 3))), seen(np.zeros((5, 20, 2)))
    ('image', 'table', 'series')
    """
    return {2: TABLE, 3: SERIES, 4: IMAGE}.get(x.ndim, ARRAY)


def plural(kind: str) -> str:
    """Return how sentences call data of a kind: ``images``."""
    return "several inputs" if kind == SEVERAL else KINDS[kind].plural


def measures(kind: str) -> bool:
    """Whether numbers of a kind measure something, so that one between two of them is one too.

    It is false of several inputs, each of which has its own kind, and of a kind that is not known here.

    >>> measures("table"), measures("tokens"), measures("several")
    (True, False, False)
    """
    return kind in KINDS and not KINDS[kind].indices


def are_indices(kind: str) -> bool:
    """Whether examples of a kind are indices; false of several inputs, each of which has its own kind."""
    return kind in KINDS and KINDS[kind].indices


def are_pictures(kind: str) -> bool:
    """Whether an example of a kind can be shown as a picture."""
    return kind in KINDS and KINDS[kind].pictures


def checked(kind: str) -> str:
    """Return a kind, or kinds of several inputs, in the form in which a study holds it.

    Raises:
        ReglabError: for a kind that there is not.

    >>> checked("words = tokens,photo=image")
    'words=tokens,photo=image'
    """
    return kinds_in("kind", kind, KINDS, of="inputs")


def kinds_said(kind: str, inputs: Collection[str], *, name: str) -> dict[str, str]:
    """Return what was said of several inputs, by name.

    Raises:
        ReglabError: for an input that there is not, or a kind without a name.

    >>> kinds_said("words=tokens", ["words", "age"], name="made")
    {'words': 'tokens'}
    """
    found = dict(part.split("=", 1) for part in checked(kind).split(",") if "=" in part)
    unknown = [each for each in found if each not in inputs]
    if unknown or not found:
        raise ReglabError(
            f"kind={kind!r}: {name} has the inputs {', '.join(inputs)}. Say of which of them, as in "
            f"kind='{next(iter(inputs))}=tokens' (--kind)."
        )
    return found


def shaped(x: np.ndarray, kind: str, *, name: str) -> np.ndarray:
    """Return examples as those of a kind are held: with an axis for one channel or feature, tokens as whole numbers.

    Args:
        x: examples ``(N, ...)``.
        kind: one of :data:`KINDS`.
        name: what errors call the data.

    Raises:
        ReglabError: for a kind that there is not, or examples that are not of it.

    >>> shaped(np.zeros((5, 20)), "series", name="made").shape
    (5, 20, 1)
    >>> shaped(np.array([[1.0, 0.0]]), "tokens", name="made")
    array([[1, 0]], dtype=int32)
    """
    if "=" in checked(kind):
        raise ReglabError(f"kind={kind!r} is said of several inputs by name, and {name} has one. Give the kind alone.")
    return KINDS[kind].held(x, name=name)


def _indices(x: np.ndarray, name: str, plural: str) -> np.ndarray:
    """Return indices in a type of whole numbers."""
    for start in range(0, len(x), _CHUNK):
        chunk = np.asarray(x[start : start + _CHUNK])
        wrong = ~np.isfinite(chunk) | (chunk < 0) | (chunk != np.floor(chunk))
        if wrong.any():
            row, *position = at = tuple(map(int, np.argwhere(wrong)[0]))
            raise ReglabError(
                f"{name}: row {start + row}, position {tuple(position)} is {chunk[at]}, and {plural} are indices: "
                "whole numbers, 0 or larger, with 0 for padding. Give ids, as of keras.layers.TextVectorization, or "
                "name another kind (--kind)."
            )
    return x if x.dtype.kind in "iu" and x.dtype != np.uint8 else x.astype("int32")
