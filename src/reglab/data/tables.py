"""Tables with a target column, and arrays in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reglab.data.dataset import TEST, TRAIN, VAL, Dataset, class_indices
from reglab.errors import ReglabError, nearest
from reglab.rounding import narrowed

__all__ = ["from_arrays", "load_npz", "load_table"]

_MOST_CATEGORIES = 50  # distinct texts in a column; more are names or identifiers, not a feature


def load_table(path: Path, *, target: str | None) -> Dataset:
    """Return a CSV or Parquet file: features, and the classes of the column ``target``.

    Features are float32, or float64 where float32 cannot tell the values of a column apart. Columns of texts become one
    0/1 column a value. Missing values are an error that names row and column.
    """
    frame = _read_frame(path)
    columns = [str(column) for column in frame.columns]
    frame.columns = columns
    if target is None:
        raise ReglabError(
            f"{path}: say which column holds the label: target (--target). The columns are {_list(columns)}."
        )
    if target not in columns:
        raise ReglabError(f"{path} has no column {target!r}.{nearest(target, columns)} It has {_list(columns)}.")
    labels = frame.pop(target)
    if labels.isna().any():
        raise ReglabError(
            f"{path}: row {int(labels.isna().to_numpy().argmax())} has no label in {target!r}. Leave it out."
        )
    if frame.shape[1] == 0:
        raise ReglabError(f"{path} has no column besides {target!r}. A classifier needs features.")
    features = _numeric(path, frame)
    y, names = class_indices(labels.to_numpy(), f"{path}, column {target!r}")
    return Dataset(
        name=path.stem, x=narrowed(features.to_numpy(dtype="float64")), y=y, class_names=names, kind="table",
        feature_names=tuple(str(column) for column in features.columns),
    )  # fmt: skip


def load_npz(path: Path) -> Dataset:
    """Return arrays ``x, y``, or ``x_train, y_train, x_test, y_test`` and perhaps ``x_val, y_val``, of an .npz."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except Exception as error:  # zipfile, pickle, format and OS errors
        raise ReglabError(
            f"{path} cannot be read: {error}. Expected are arrays of numbers, as numpy.savez writes."
        ) from None
    if {"x", "y"} <= set(arrays):
        return from_arrays((arrays["x"], arrays["y"]), name=path.stem)
    if {"x_train", "y_train", "x_test", "y_test"} <= set(arrays):
        pairs = [
            (arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in ("train", "val", "test") if f"x_{part}" in arrays
        ]
        return from_arrays(tuple(pairs), name=path.stem)
    raise ReglabError(
        f"{path} holds {_list(list(arrays))}. Expected are x and y, or x_train, y_train, x_test and y_test."
    )


def from_arrays(source: Any, *, name: str = "arrays") -> Dataset:
    """Return ``(x, y)``, or ``((x_train, y_train), (x_test, y_test))`` with validation between if there are three."""
    pairs = [source] if not isinstance(source[0], tuple | list) or not _is_pair(source[0]) else list(source)
    if not (1 <= len(pairs) <= 3 and all(_is_pair(pair) for pair in pairs)):
        raise ReglabError("Arrays are given as (x, y) or as ((x_train, y_train), (x_test, y_test)).")
    xs, ys = [_array(x, name) for x, _ in pairs], [np.asarray(y) for _, y in pairs]
    for x, y in zip(xs, ys, strict=True):
        if len(x) != len(y):
            raise ReglabError(f"{name}: {len(x)} examples but {len(y)} labels. Each example needs one label.")
        if x.shape[1:] != xs[0].shape[1:]:
            raise ReglabError(
                f"{name}: examples have shapes {xs[0].shape[1:]} and {x.shape[1:]}; all parts need one shape."
            )
    codes = {1: None, 2: (TRAIN, TEST), 3: (TRAIN, VAL, TEST)}[len(pairs)]
    labels, names = class_indices(np.concatenate(ys) if len(ys) > 1 else ys[0], name)
    x = xs[0] if len(xs) == 1 else np.concatenate(xs)
    part = None if codes is None else np.repeat(np.array(codes, "int8"), [len(y) for y in ys])
    images = x.ndim == 4
    return Dataset(
        name=name, x=x, y=labels, class_names=names, part=part,
        kind="image" if images else "table" if x.ndim == 2 else "array",
        value_range=(0.0, 255.0) if x.dtype == np.uint8 else None,
    )  # fmt: skip


def _array(x: Any, name: str) -> np.ndarray:
    try:
        x = x if isinstance(x, np.memmap) else np.asarray(x)
    except ValueError as error:
        raise ReglabError(f"{name}: examples are not one array: {error}.") from None
    x = narrowed(x)
    if x.ndim == 3 and x.dtype == np.uint8:
        x = x[..., np.newaxis]  # grey images
    return x


def _is_pair(thing: Any) -> bool:
    return isinstance(thing, tuple | list) and len(thing) == 2


def _read_frame(path: Path) -> Any:
    import pandas

    try:
        return pandas.read_parquet(path) if path.suffix.lower() == ".parquet" else pandas.read_csv(path)
    except ImportError:
        raise ReglabError(
            "Reading Parquet needs pyarrow: pip install 'reglab[parquet]'; or save the table as CSV."
        ) from None
    except Exception as error:  # parser, encoding and OS errors
        raise ReglabError(f"{path} cannot be read as a table: {error}") from None


def _numeric(path: Path, frame: Any) -> Any:
    import pandas

    texts = [column for column in frame.columns if not pandas.api.types.is_numeric_dtype(frame[column])]
    for column in frame.columns:
        missing = frame[column].isna()
        if missing.any():
            raise ReglabError(
                f"{path}: row {int(missing.to_numpy().argmax())} has no value in column {column!r}. Fill such values "
                "in, or leave the rows or the column out."
            )
    for column in texts:
        distinct = frame[column].nunique()
        if distinct > _MOST_CATEGORIES:
            raise ReglabError(
                f"{path}: column {column!r} has {distinct} different texts, too many for a feature (at most "
                f"{_MOST_CATEGORIES}). Leave it out or group its values."
            )
    return pandas.get_dummies(frame, columns=texts, dtype="float32") if texts else frame


def _list(names: list[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
