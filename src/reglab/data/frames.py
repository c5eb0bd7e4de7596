"""Data frames of Python: pandas, and whatever speaks Arrow (polars, pyarrow); read on as a file of types is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from reglab.data.array_labels import as_array
from reglab.data.dataset import PLACES, TEST, TRAIN, VAL, Dataset
from reglab.data.labels import class_indices
from reglab.data.listing import few
from reglab.data.raw import RawTable
from reglab.data.table_options import TableOptions
from reglab.data.tables import from_table
from reglab.errors import ReglabError
from reglab.lazy import pandas

__all__ = ["Frame", "hold_frames", "is_frame", "load_frames"]

_PARTS = {1: None, 2: (TRAIN, TEST), 3: (TRAIN, VAL, TEST)}
_OF_TEXT = ("separator", "encoding")  # options that only a text file has


class Frame(Protocol):
    """A data frame of pandas (2.2 or newer), polars or pyarrow."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


def is_frame(thing: object) -> bool:
    """Whether something is a table of named columns."""
    return (hasattr(type(thing), "__arrow_c_stream__") and hasattr(type(thing), "columns")) or _of_pandas(thing)


def _of_pandas(thing: object) -> bool:
    """Whether something is a pandas frame; pandas is not imported to ask."""
    return any(each.__module__.startswith("pandas") and each.__name__ == "DataFrame" for each in type(thing).__mro__)


def hold_frames(source: object) -> bool:
    """Whether data is a frame, frames of parts, or pairs of a frame and its labels.

    >>> import pandas
    >>> frame = pandas.DataFrame({"a": [1, 2]})
    >>> [hold_frames(each) for each in (frame, (frame, [0, 1]), [(frame, [0, 1])], ([[1], [2]], frame))]
    [True, True, True, False]
    """
    if is_frame(source):
        return True
    if not isinstance(source, tuple | list) or not source:
        return False
    first = source[0]
    return is_frame(first) or (isinstance(first, tuple | list) and len(first) > 0 and is_frame(first[0]))


def load_frames(source: Any, *, target: str | None, options: TableOptions, form: str | None = None) -> Dataset:
    """Return what data frames hold, as :func:`reglab.data.tables.load_table` does of a file that has types.

    Args:
        source: a frame, whose column ``target`` holds the labels; frames of the training and test part, with validation
            between if there are three, where ``target`` is said; ``(x, y)``, a frame and its labels; or pairs of
            them, a pair per part.
        target: the column of labels, or those with commas between.
        options: what was said of the table.
        form: what labels are; by default what they show.

    Raises:
        ReglabError: for what is no such thing, or a table that cannot be learned from.
    """
    if wrong := [name for name in options.changed() if name in _OF_TEXT]:
        raise ReglabError(f"{' and '.join(wrong)}: said of a text file, and a data frame is none. Leave that out.")
    parts, labels = _parts(source, target)
    first = list(parts[0].columns)
    for part, place in zip(parts, PLACES[len(parts)], strict=True):
        if set(part.columns) != set(first) or len(part.columns) != len(first):
            raise ReglabError(
                f"{place}the columns are {few(part.columns, 20)}, and those of the training part are {few(first, 20)}. "
                "All parts need the same ones."
            )
    codes = _PARTS[len(parts)]
    whole = parts[0] if codes is None else pandas.concat([part[first] for part in parts], ignore_index=True)
    table = RawTable.of(
        whole, where="the data frame", short="data frame", name="data frame",
        part=None if codes is None else np.repeat(np.array(codes, "int8"), [len(part) for part in parts]),
        header=any(isinstance(name, str) for name in first),
    )  # fmt: skip
    return from_table(table, target=labels or target, options=options, form=form)


def _parts(source: Any, target: str | None) -> tuple[list[Any], tuple[str, ...]]:
    """Return a pandas frame per part, and the columns of labels where those were given beside the examples."""
    if is_frame(source):
        return [_as_pandas(source)], ()
    count = "A table comes as one frame, or in parts: train and test, with validation between if there are three."
    if target is not None:
        if not all(map(is_frame, source)):
            raise ReglabError(
                f"target={target!r} names a column of each frame, and given were examples and their labels. Leave it "
                "out, or give frames with that column."
            )
        if len(source) not in _PARTS:
            raise ReglabError(f"Given were {len(source)} data frames. {count}")
        return [_as_pandas(frame) for frame in source], ()
    pairs = [source] if is_frame(source[0]) else list(source)
    if len(pairs) not in _PARTS or not all(isinstance(each, tuple | list) and len(each) == 2 for each in pairs):
        raise ReglabError(
            f"Given was a {type(source).__name__} of {len(source)} that begins with a data frame. Say which column "
            f"holds the label (target), or give (x, y), or ((x_train, y_train), (x_test, y_test)). {count}"
        )
    joined = [_Pair.of(x, y, place) for (x, y), place in zip(pairs, PLACES[len(pairs)], strict=True)]
    names = joined[0].labels
    if any(pair.labels != names for pair in joined):
        told = " and ".join(few(pair.labels, 20) for pair in joined)
        raise ReglabError(f"Labels are called {told} in different parts. Give them one name.")
    return [pair.frame for pair in joined], names


@dataclass(frozen=True, eq=False)
class _Pair:
    """Examples and labels as one frame, and which of its columns are the labels."""

    frame: Any
    labels: tuple[str, ...]

    @classmethod
    def of(cls, x: Any, y: Any, place: str) -> _Pair:
        if not is_frame(x):
            raise ReglabError(f"{place}examples are {type(x).__name__}, and those of another part are a data frame.")
        examples, labels = _as_pandas(x), _label_frame(y, place)
        if len(examples) != len(labels):
            raise ReglabError(
                f"{place}{len(examples)} examples but {len(labels)} labels. Each example needs one label; if these are "
                "tables of parts, say which column holds the label: target."
            )
        names = tuple(str(name).strip() for name in labels.columns)
        twice = [name for name in names if name in [str(each).strip() for each in examples.columns]]
        if twice:
            raise ReglabError(
                f"{place}the column {twice[0]!r} is among the examples, and the labels are called so too. Leave it out "
                f"of the examples (x.drop(columns={twice[0]!r})), or give the labels another name; if these are tables "
                "of parts, say which column holds the label: target."
            )
        if _in_another_order(examples.index, labels.index):
            raise ReglabError(
                f"{place}the rows of the labels have the same index as those of the examples, in another order. Give "
                "both in one order (y.loc[x.index]), or drop the index of both (reset_index(drop=True))."
            )
        plain = labels.set_axis(examples.index, axis=0)
        return cls(pandas.concat([examples, plain], axis=1), names)


def _label_frame(y: Any, place: str) -> Any:
    """Return labels as a pandas frame: a series, a frame of several targets, or an array."""
    if isinstance(y, Mapping):
        raise ReglabError(f"{place}labels of several outputs are of arrays: give the examples as an array too.")
    if is_frame(y):
        return _as_pandas(y)
    if hasattr(y, "to_frame"):  # a series of pandas or polars
        named = y.to_frame("target") if getattr(y, "name", None) in (None, "") else y.to_frame()
        return _as_pandas(named)
    values = y if _are_names(y) else as_array(y, place, "labels")
    if np.ndim(values) > 2:
        raise ReglabError(f"{place}labels have shape {np.shape(values)}; those of a table are (N,) or (N, targets).")
    if np.ndim(values) == 2 and np.shape(values)[1] > 1:
        if np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all():  # one-hot, as of arrays
            return pandas.DataFrame({"target": class_indices(values, place)[0]})
        return pandas.DataFrame(values, columns=[f"target {i + 1}" for i in range(values.shape[1])])
    return pandas.DataFrame({"target": values if _are_names(values) else np.reshape(values, len(values))})


def _are_names(y: Any) -> bool:
    """Whether labels are a list of texts, some of which may be missing."""
    return isinstance(y, Sequence) and any(isinstance(each, str) for each in y)


def _in_another_order(one: Any, other: Any) -> bool:
    """Whether two indexes hold the same, each once, in different orders."""
    if len(one) != len(other) or one.equals(other) or not (one.is_unique and other.is_unique):
        return False
    return bool(one.isin(other).all())


def _as_pandas(frame: Any) -> Any:
    """Return a frame as pandas has it, as if it had been written to Parquet and read."""
    if not _of_pandas(frame):
        try:
            import pyarrow
        except ImportError:
            raise ReglabError(
                f"Reading a data frame of {type(frame).__module__.partition('.')[0]} needs pyarrow: pip install "
                "'reglab[parquet]'; or give frame.to_pandas()."
            ) from None
        frame = pyarrow.table(frame).to_pandas()
    names = [str(name).strip() for name in frame.columns]
    for i, name in enumerate(names):
        if names.count(name) > 1:
            raise ReglabError(
                f"The data frame has {names.count(name)} columns called {name!r}. Give each a name of its own."
            )
        if frame.dtypes.iloc[i].kind == "c":
            raise ReglabError(
                f"The column {name!r} of the data frame holds complex numbers, and a feature is one number or "
                "text. Give each part a column."
            )
    return frame
