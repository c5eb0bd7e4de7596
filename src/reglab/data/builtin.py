"""Data that comes with a library: scikit-learn's digits and tables, and CIFAR-10 through Keras."""

from __future__ import annotations

from typing import Any

import numpy as np

from reglab.data.dataset import TEST, TRAIN, Dataset
from reglab.errors import ReglabError
from reglab.lazy import datasets, keras

__all__ = ["BUILT_IN"]

_CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def digits() -> Dataset:
    """Return scikit-learn's 1,797 handwritten digits, 8x8 grey values from 0 to 16."""
    found = datasets.load_digits()
    return Dataset(
        name="digits",
        x=found.images.astype("uint8")[..., np.newaxis],
        y=found.target,
        class_names=tuple("0123456789"),
        label_changing=frozenset({"horizontal_flip", "vertical_flip"}),  # a flipped 6 or 9 is no 6 or 9
        kind="image",
        value_range=(0.0, 16.0),
    )


def _table(name: str) -> Dataset:
    found: Any = getattr(datasets, f"load_{name}")()
    return Dataset(
        name=name,
        x=found.data.astype("float32"),
        y=found.target,
        class_names=tuple(str(label) for label in found.target_names),
        kind="table",
        feature_names=tuple(str(feature) for feature in found.feature_names),
    )


def cifar10() -> Dataset:
    """Return CIFAR-10 as Keras downloads it, or from its cache: 50,000 training and 10,000 test images."""
    try:
        (x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
    except Exception as error:  # no network, a broken archive: Keras raises many kinds
        raise ReglabError(
            f"CIFAR-10 could not be downloaded ({error}). Put cifar-10-python.tar.gz, from its authors' page, into "
            "Keras' cache as ~/.keras/datasets/cifar-10-batches-py-target_archive; or give --data a folder or archive "
            "that has a folder a class in train/ and test/; or try --data digits, which needs no download."
        ) from error
    return Dataset(
        name="cifar10",
        x=np.concatenate([x_train, x_test]),
        y=np.concatenate([y_train, y_test]).reshape(-1),
        class_names=_CIFAR10_CLASSES,
        part=np.repeat(np.array([TRAIN, TEST], "int8"), [len(y_train), len(y_test)]),
        kind="image",
        value_range=(0.0, 255.0),
    )


def diabetes() -> Dataset:
    """Return scikit-learn's 442 patients with ten features each, and how diabetes progressed in a year."""
    found: Any = datasets.load_diabetes(scaled=False)
    return Dataset(
        name="diabetes",
        x=found.data.astype("float32"),
        y=found.target.astype("float32"),
        class_names=(),
        targets=("progression",),
        kind="table",
        feature_names=tuple(str(feature) for feature in found.feature_names),
    )


BUILT_IN = {
    "digits": digits,
    "cifar10": cifar10,
    "breast_cancer": lambda: _table("breast_cancer"),
    "diabetes": diabetes,
    "iris": lambda: _table("iris"),
    "wine": lambda: _table("wine"),
}
