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
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from reglab.data.several import kinds_in
from reglab.errors import ReglabError

__all__ = [
    "ARRAY",
    "IMAGE",
    "KINDS",
    "MEASURED",
    "SERIES",
    "SEVERAL",
    "TABLE",
    "TOKENS",
    "checked",
    "kinds_said",
    "plural",
    "seen",
    "shaped",
]

IMAGE, TABLE, SERIES, TOKENS, ARRAY = "image", "table", "series", "tokens", "array"
SEVERAL = "several"  # inputs by name, each of one of the kinds
KINDS = (IMAGE, TABLE, SERIES, TOKENS, ARRAY)
MEASURED = frozenset(KINDS) - {TOKENS}  # whose numbers measure something, so that one between two of them is one too

_AXES = {TABLE: 2, TOKENS: 2, SERIES: 3, IMAGE: 4}
_SHAPES = {
    IMAGE: "(N, height, width, channels), or (N, height, width) for one channel",
    TABLE: "(N, features)",
    SERIES: "(N, time, features), or (N, time) for one feature",
    TOKENS: "(N, length)",
}
_PLURALS = {
    IMAGE: "images",
    TABLE: "tables",
    SERIES: "series",
    TOKENS: "tokens",
    ARRAY: "other arrays",
    SEVERAL: "several inputs",
}
_CHUNK = 8192


def seen(x: np.ndarray) -> str:
    """Return the kind that the number of axes shows. Tokens look like a table, and have to be declared.

    >>> seen(np.zeros((5, 8, 8, 1))), seen(np.zeros((5, 3))), seen(np.zeros((5, 20, 2)))
    ('image', 'table', 'series')
    """
    return {2: TABLE, 3: SERIES, 4: IMAGE}.get(x.ndim, ARRAY)


def plural(kind: str) -> str:
    """Return how sentences call data of a kind: ``images``."""
    return _PLURALS[kind]


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
    if kind == ARRAY:
        return x
    if kind in (IMAGE, SERIES) and x.ndim == _AXES[kind] - 1:
        x = x[..., np.newaxis]
    if x.ndim != _AXES[kind]:
        raise ReglabError(
            f"{name}: examples have shape {x.shape}; {plural(kind)} have {_SHAPES[kind]}. Give another kind (--kind), "
            "or arrays of that shape."
        )
    return _indices(x, name) if kind == TOKENS else x


def _indices(x: np.ndarray, name: str) -> np.ndarray:
    """Return token ids in a type of whole numbers."""
    for start in range(0, len(x), _CHUNK):
        chunk = np.asarray(x[start : start + _CHUNK])
        wrong = ~np.isfinite(chunk) | (chunk < 0) | (chunk != np.floor(chunk))
        if wrong.any():
            row, column = map(int, np.argwhere(wrong)[0])
            raise ReglabError(
                f"{name}: row {start + row}, position ({column},) is {chunk[row, column]}, and tokens are indices: "
                "whole numbers, 0 or larger, with 0 for padding. Give token ids, as of keras.layers.TextVectorization, "
                "or name another kind (--kind)."
            )
    return x if x.dtype.kind in "iu" and x.dtype != np.uint8 else x.astype("int32")
