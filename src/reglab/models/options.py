"""Checks of what a built-in model is given, in the words that all of them use."""

from __future__ import annotations

from reglab.data.kinds import IMAGE, KINDS, SERIES, TOKENS
from reglab.errors import ReglabError

__all__ = ["check_image", "check_positive", "check_series", "check_tokens", "is_positive"]


def check_image(model: str, input_shape: tuple[int, ...]) -> None:
    """Raise a ReglabError unless one example is an image ``(height, width, channels)``."""
    _check_shape(model, IMAGE, input_shape)


def check_series(model: str, input_shape: tuple[int, ...]) -> None:
    """Raise a ReglabError unless one example is a series ``(time, features)``."""
    _check_shape(model, SERIES, input_shape)


def check_tokens(model: str, input_shape: tuple[int, ...], vocabulary: int | None) -> int:
    """Return the number of token ids, or raise a ReglabError unless one example is tokens ``(length,)``."""
    _check_shape(model, TOKENS, input_shape)
    if vocabulary is None:
        raise ReglabError(
            f"{model} takes tokens, whole numbers that stand for words, and has to know how many there can be. Say "
            "that the data is tokens (kind='tokens', --kind tokens), or give vocabulary."
        )
    check_positive(model, vocabulary=vocabulary)
    return vocabulary


def _check_shape(model: str, kind: str, input_shape: tuple[int, ...]) -> None:
    known = KINDS[kind]
    if len(input_shape) != len(known.axes or ()):
        raise ReglabError(
            f"{model} takes {known.plural} {known.example}; the data is {tuple(input_shape)}. Use model='mlp' for "
            "tables."
        )


def check_positive(model: str, **options: object) -> None:
    """Raise a ReglabError for the first option that is not a whole number above 0."""
    for name, value in options.items():
        if not is_positive(value):
            raise ReglabError(f"{model}: {name}={value!r} is not possible. Give a whole number, 1 or more.")


def is_positive(number: object) -> bool:
    """Whether ``number`` is a whole number above 0.

    >>> is_positive(3), is_positive(True), is_positive(0)
    (True, False, False)
    """
    return isinstance(number, int) and not isinstance(number, bool) and number > 0
