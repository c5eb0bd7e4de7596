"""A convolutional network over words, for tokens."""

from __future__ import annotations

from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.models.options import check_positive, check_tokens, is_positive

__all__ = ["text_cnn"]


def text_cnn(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    vocabulary: int | None = None,
    width: int = 128,
    filters: int = 100,
    kernels: tuple[int, ...] = (3, 4, 5),
    ending: str = "softmax",
) -> keras.Model:
    """Return the convolutional network of Kim 2014 (arXiv:1408.5882, CNN-rand) for tokens.

    Each token gets a learned vector; convolutions of several sizes over neighbouring tokens, ReLU, the largest value of
    each filter over the text, softmax. Differences from the paper: vectors of 128 numbers, there 300; texts are padded
    at both ends, so that short ones can be read; no dropout and no limit on the norm of weights, which a recipe adds
    (``dropout(rate=0.5) + max_norm(norm=3)``).

    Args:
        input_shape: ``(length,)``.
        num_classes: how many outputs there are: one per class, or per number to predict.
        vocabulary: how many token ids there can be; from the data.
        width: numbers in the vector of a token.
        filters: filters of each size.
        kernels: the sizes: how many tokens each sees.
        ending: the activation of the outputs: ``linear`` for numbers to predict.

    Raises:
        ReglabError: if the data is not tokens, or an option is invalid.

    Example:
        >>> text_cnn((50,), 2, vocabulary=1000).output_shape
        (None, 2)
    """
    count = check_tokens("text_cnn", input_shape, vocabulary)
    check_positive("text_cnn", width=width, filters=filters)
    if not (isinstance(kernels, tuple | list) and kernels and all(map(is_positive, kernels))):
        raise ReglabError(f"text_cnn: kernels={kernels!r} is invalid. Give whole numbers, as (3, 4, 5).")
    inputs = keras.Input(input_shape, dtype="int32", name="tokens")
    x = keras.layers.Embedding(count, width, name="embedding")(inputs)
    found = [
        keras.layers.GlobalMaxPooling1D(name=f"largest{size}")(
            keras.layers.Conv1D(filters, size, padding="same", activation="relu", name=f"conv{size}")(x)
        )
        for size in kernels
    ]
    x = keras.layers.Concatenate(name="found")(found) if len(found) > 1 else found[0]
    return keras.Model(inputs, keras.layers.Dense(num_classes, activation=ending, name="head")(x), name="text_cnn")
