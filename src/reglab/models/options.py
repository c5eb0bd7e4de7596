"""Checks of what a built-in model is given, in the words that all of them use."""

from __future__ import annotations

from typing import Any

from reglab.errors import ReglabError

__all__ = ["check_image", "check_positive", "is_positive"]


def check_image(model: str, input_shape: tuple[int, ...]) -> None:
    """Raise a ReglabError unless one example is an image ``(height, width, channels)``."""
    if len(input_shape) != 3:
        raise ReglabError(
            f"{model} takes images (height, width, channels); the data is {tuple(input_shape)}. Use "
            "model='mlp' for tables."
        )


def check_positive(model: str, **options: Any) -> None:
    """Raise a ReglabError for the first option that is not a whole number above 0."""
    for name, value in options.items():
        if not is_positive(value):
            raise ReglabError(f"{model}: {name}={value!r} is not possible. Give a whole number, 1 or more.")


def is_positive(number: Any) -> bool:
    """Whether ``number`` is a whole number above 0.

    >>> is_positive(3), is_positive(True), is_positive(0)
    (True, False, False)
    """
    return isinstance(number, int) and not isinstance(number, bool) and number > 0
