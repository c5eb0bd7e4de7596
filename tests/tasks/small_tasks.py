"""Small data and networks of tasks, that their tests share."""

import numpy as np

from reglab.data import Dataset


def label_sets():
    """Rows of which each has some of four labels."""
    random = np.random.default_rng(0)
    x = random.normal(size=(240, 6)).astype("float32")
    y = (x @ random.normal(size=(6, 4)) + random.normal(size=(240, 4)) > (1.0, 0.5, 0.0, 2.5)).astype("int8")
    return Dataset("scenes", x, y, (), labels=("sea", "sun", "sand", "rain"), kind="table")


def masks(count=60):
    """Images of two grey values and noise, whose brighter side is to be found; the first row is not labelled."""
    random = np.random.default_rng(0)
    y = np.zeros((count, 6, 6), "int32")
    for mask, edge in zip(y, random.integers(1, 6, count), strict=True):
        mask[:, edge:] = 1
    x = (y + random.normal(0, 0.8, y.shape)).astype("float32")[..., None]
    y[:, 0] = -1
    return Dataset("scenes", x, y, ("dark", "bright"))


def segmenting(input_shape, num_classes):
    """Two convolutions that keep the pixels."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.Conv2D(num_classes, 1, activation="softmax"),
        ]
    )


def tagging(input_shape, num_classes):
    """A recurrent layer that keeps the tokens, and masks those that are 0."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(input_shape, dtype="int32"),
            layers.Embedding(12, 8, mask_zero=True),
            layers.GRU(8, return_sequences=True),
            layers.TimeDistributed(layers.Dense(num_classes, activation="softmax")),
        ]
    )
