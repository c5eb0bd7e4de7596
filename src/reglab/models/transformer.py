"""A small transformer encoder, for tokens."""

from __future__ import annotations

from reglab.aliases import Tensor
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.models.options import check_positive, check_tokens

__all__ = ["transformer"]


def transformer(
    input_shape: tuple[int, ...],
    num_classes: int,
    *,
    vocabulary: int | None = None,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    ending: str = "softmax",
    per_position: bool = False,
) -> keras.Model:
    """Return the encoder of the transformer (Vaswani et al. 2017, arXiv:1706.03762, figure 1, left) for tokens.

    Learned vectors of tokens and of their places; ``depth`` blocks of self-attention and two dense layers, the first of
    ``4 width`` units with GELU, each added to what it is given; the mean over the tokens; softmax. Token 0 is padding:
    nothing attends to it, and the mean leaves it out. A block has ``12 width**2 + 13 width`` weights.

    Differences from the paper: layer normalization comes before attention and dense layers and once more at the end,
    which needs no warm-up of the learning rate (Xiong et al. 2020, arXiv:2002.04745); places have learned vectors;
    GELU in place of ReLU; no dropout, which a recipe adds.

    Args:
        input_shape: ``(length,)``.
        num_classes: how many outputs there are: one per class, or per number to predict.
        vocabulary: how many token ids there can be; from the data.
        width: numbers in the vector of a token; a multiple of ``heads``.
        depth: blocks.
        heads: of the attention.
        ending: the activation of the outputs: ``linear`` for numbers to predict.
        per_position: whether each token has a label: then there is no mean over the tokens, and padding counts nowhere.

    Raises:
        ReglabError: if the data is not tokens, or an option is invalid.

    Example:
        >>> transformer((50,), 2, vocabulary=1000).output_shape
        (None, 2)
    """
    count = check_tokens("transformer", input_shape, vocabulary)
    check_positive("transformer", width=width, depth=depth, heads=heads)
    if width % heads:
        raise ReglabError(f"transformer: width={width} is no multiple of heads={heads}. Give one that is.")
    layers, ops = keras.layers, keras.ops
    inputs = keras.Input(input_shape, dtype="int32", name="tokens")
    words = layers.Embedding(count, width, mask_zero=per_position, name="embedding")(inputs)
    places = ops.cumsum(ops.ones_like(inputs), axis=1)
    real = ops.not_equal(inputs, 0)
    if per_position:  # what is added needs the mask of the words, or the sum has none
        places = layers.Embedding(input_shape[0] + 1, width, mask_zero=True, name="places")(
            places * ops.cast(real, "int32")
        )
    else:
        places = layers.Embedding(input_shape[0], width, name="places")(places - 1)
    x = layers.Add(name="placed")([words, places])
    for number in range(1, depth + 1):
        x = _block(x, real, width=width, heads=heads, name=f"block{number}")
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    x = x if per_position else _mean(x, ops.cast(real, x.dtype))
    return keras.Model(inputs, layers.Dense(num_classes, activation=ending, name="head")(x), name="transformer")


def _block(x: Tensor, real: Tensor | None, *, width: int, heads: int, name: str) -> Tensor:
    layers = keras.layers
    h = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
    attention = layers.MultiHeadAttention(heads, width // heads, name=f"{name}_attention")
    x = layers.Add(name=f"{name}_add1")([x, attention(h, h, attention_mask=keras.ops.expand_dims(real, 1))])
    h = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
    h = layers.Dense(4 * width, activation="gelu", name=f"{name}_dense1")(h)
    return layers.Add(name=f"{name}_add2")([x, layers.Dense(width, name=f"{name}_dense2")(h)])


def _mean(x: Tensor, real: Tensor | None) -> Tensor:
    """Return the mean over the tokens that are no padding; 0 where all of them are."""
    ops = keras.ops
    counts = ops.maximum(ops.sum(real, axis=1, keepdims=True), 1)
    kept = keras.layers.Multiply(name="kept")([x, ops.expand_dims(real, -1)])
    return ops.sum(kept, axis=1) / counts
