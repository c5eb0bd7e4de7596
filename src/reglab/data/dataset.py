"""Labelled examples, checked once."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Self

import numpy as np

from reglab.data.groups import checked_groups
from reglab.data.kinds import KINDS, SEVERAL, TABLE, are_indices, kinds_said, plural, seen, shaped
from reglab.data.labels import IGNORED, Form, Output, as_numbers, named
from reglab.data.listing import LONGEST, few, listed
from reglab.data.several import Shape, by_input, called, each, example_shape, together
from reglab.errors import ReglabError
from reglab.inert import shortened

__all__ = ["PARTS", "PLACES", "TEST", "TRAIN", "VAL", "Dataset"]

TRAIN, VAL, TEST = 0, 1, 2
PARTS = ("train", "val", "test")
# How errors begin that speak of one of so many parts that were given.
PLACES = {1: ("",), 2: ("train: ", "test: "), 3: ("train: ", "val: ", "test: ")}
_MOST_CLASSES = 10  # named with their counts; of more, the first ones
_CHUNK = 8192  # examples read at a time, so that data on disk is streamed


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Examples with their labels.

    Attributes:
        name: what it is called in reports.
        x: raw examples ``(N, ...)``: uint8 ``(N, height, width, channels)`` for images, float32 ``(N, features)`` for
            tables (float64 where float32 cannot tell values of a column apart), or the arrays a user gave. May be an
            array on disk (``numpy.memmap``). Several inputs have a field each, as
            :func:`reglab.data.several.together` makes them.
        y: class indices ``(N,)``, int32, ``0`` to ``classes - 1``; numbers to predict, float32, ``(N,)`` of one
            target, ``(N, targets)`` of several; which labels each example has, ``(N, labels)`` of 0 and 1, int8; or
            class indices ``(N, steps)`` or ``(N, height, width)`` of each position, and -1 where none counts. Labels of
            several outputs have a field each, as :func:`reglab.data.several.together` makes them.
        class_names: the name of each class; empty where labels are no classes.
        part: for each example ``TRAIN``, ``VAL`` or ``TEST`` where the source comes in parts, else None.
        label_changing: transforms that make another example of one, by the names of ``Augmentation``'s arguments.
        kind: what one example is: ``image``, ``table``, ``series``, ``tokens`` or ``array``, as
            :mod:`reglab.data.kinds` says, or a kind of one's own; by default what the number of axes shows. ``several``
            for several inputs.
        outputs: what the labels of each of several outputs are by its name, a form and names; empty of one output.
        kinds: the kind of each of several inputs by its name, where it is not what its axes show; afterwards of all, a
            single one by the name ``""``.
        value_range: lowest and highest valid raw value, or None.
        feature_names: what the columns of a table are called.
        notes: what was assumed, changed or left out when it was read, a sentence each.
        missing: whether NaN stands for a missing value, which becomes the mean of the training split.
        targets: what the numbers to predict are called; empty where there are none.
        labels: the names of the labels, of which each example can have any number; empty where it is of one class.
        groups: for each example a whole number or a text, where examples of the same one lie together in one part, such
            as those of a patient; else None.
        group: what groups are called, such as the column that held them.

    Raises:
        ReglabError: for data that nothing can be learned from: values that are not numbers, one class, a label that
            appears once, lengths that differ.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
        >>> reglab.Dataset("noise", x, np.arange(60) % 3, ("a", "b", "c"), kind="table").describe()
        'noise: 60 examples of 4, 3 classes'
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    class_names: tuple[str, ...]
    part: np.ndarray | None = None
    label_changing: frozenset[str] = frozenset()
    kind: str = ""
    value_range: tuple[float, float] | None = None
    feature_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    missing: bool = False
    targets: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Output] = field(default_factory=dict)
    groups: np.ndarray | None = None
    group: str = ""

    def __post_init__(self) -> None:
        read, check = _FORMS[self.form]
        object.__setattr__(self, "y", read(self))
        _check_shapes(self)
        check(self)
        _check_numbers(self)
        if self.groups is not None:
            groups = checked_groups(self.groups, len(self.y), name=self.name, of=self.group)
            object.__setattr__(self, "groups", groups)
        several = bool(self.x.dtype.names)
        object.__setattr__(self, "kind", SEVERAL if several else self.kind or seen(self.x))
        kinds = {name: self.kinds.get(name) or seen(x) for name, x in by_input(self.x).items()}
        object.__setattr__(self, "kinds", kinds if several else {"": self.kind})
        object.__setattr__(
            self, "x", each(lambda name, x: shaped(x, self.kinds[name], name=called(self.name, name)), self.x)
        )

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        """Return the facts and the notes, a line each: data is too long to be shown."""
        return "\n".join((*self.facts, *(f"note: {note}" for note in self.notes)))

    @property
    def form(self) -> Form:
        """What labels are: ``classes``, ``numbers``, ``sets``, classes ``per_position``, or those of ``outputs``."""
        if self.outputs:
            return "outputs"
        if self.class_names:
            return "per_position" if np.ndim(self.y) > 1 else "classes"
        return "sets" if self.labels else "numbers"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes, targets or labels, or of several outputs."""
        return tuple(self.outputs) or self.class_names or self.labels or self.targets

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def input_shape(self) -> Shape:
        """The shape of one example; of several inputs a dict of them by name."""
        return example_shape(self.x)

    def check_known_to(self, what: str) -> None:
        """Raise a ReglabError if ``what``, such as ``robustness``, does not know data of several inputs yet."""
        if self.kind == SEVERAL:
            raise ReglabError(
                f"{what} does not know data of several inputs yet, and {self.name} has {', '.join(self.kinds)}. "
                "Comparing, sweeping, ablating, calibrating, planning, the report and the export do."
            )

    def of_output(self, name: str) -> Self:
        """Return the same examples with the labels of one of several outputs."""
        found = object.__new__(type(self))  # what was checked once is not checked again
        output = self.outputs[name]
        own = {"name": called(self.name, name), "y": self.y[name], "outputs": {}, **named(output.form, output.names)}
        for each_field in fields(self):
            key = each_field.name
            object.__setattr__(found, key, own[key] if key in own else getattr(self, key))
        return found

    @functools.cached_property
    def vocabulary(self) -> int | None:
        """How many token ids there can be, the largest one and all below it; None of what is no indices."""
        largest = [int(chunk.max()) for kind, x in self._inputs() if are_indices(kind) for chunk in _chunks(x)]
        return 1 + max(largest) if largest else None

    def _inputs(self) -> list[tuple[str, np.ndarray]]:
        """Return the kind and the array of each input."""
        return [(self.kinds[name], x) for name, x in by_input(self.x).items()]

    def of_kind(self, kind: str) -> Self:
        """Return the same examples as data of another kind.

        Raises:
            ReglabError: if they are not of it.
        """
        if self.kind == SEVERAL:
            return replace(self, kinds={**self.kinds, **kinds_said(kind, list(self.kinds), name=self.name)})
        return self if kind == self.kind else replace(self, kind=kind)

    def taken_for(self, kinds: Collection[str], *, by: str) -> Self:
        """Return the data as one of the kinds that a network takes, where the arrays leave open which they are.

        Rows of numbers without names can be series of one feature, and whole numbers in rows tokens. That they were
        taken for it is a note.

        Args:
            kinds: what the network takes.
            by: what it is called.
        """
        if self.kind in kinds or self.kind != TABLE or self.feature_names or self.missing:
            return self
        for kind in kinds:
            if KINDS[kind].can_be(self.x):
                rows = f"Rows of {self.x.shape[1]} numbers ({self.x.dtype})"
                note = f"{rows} were taken for {plural(kind)}, which {by} takes."
                return replace(self, kind=kind, notes=(*self.notes, note))
        return self

    @functools.cached_property
    def facts(self) -> tuple[str, ...]:
        """What the data is, in a line or two: examples, shape, values, classes with counts, parts."""
        return _facts(self)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of the content: the same examples, labels and parts have the same one, wherever they lie."""
        digest = hashlib.sha256()
        dtype = self.x.dtype.descr if self.x.dtype.names else self.x.dtype.str
        digest.update(f"{dtype} {self.x.shape} {self.names}".encode())
        for output, (form, names) in self.outputs.items():
            digest.update(f"{output} {form} {names} {self.y[output].dtype}".encode())
        for chunk in self.chunks():
            digest.update(np.ascontiguousarray(chunk).tobytes())
        digest.update(self.y.tobytes())
        digest.update(b"" if self.part is None else np.asarray(self.part, "int8").tobytes())
        return digest.hexdigest()

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield the examples in order, some thousand at a time."""
        return _chunks(self.x)

    def describe(self) -> str:
        """Return one line about the data."""
        shape = _shape(self)
        return f"{self.name}: {len(self)} examples of {shape}, {_said_of_labels(self)}"


def _said_of_labels(data: Dataset) -> str:
    if data.outputs:
        return "; ".join(f"{name}: {_said_of_labels(data.of_output(name))}" for name in data.outputs)
    return f"{', '.join(data.targets)} to predict" if data.targets else f"{len(data.names)} {_NOUNS[data.form]}"


def _of_outputs(data: Dataset) -> np.ndarray:
    fields_of = np.asarray(data.y).dtype.names
    if fields_of != tuple(data.outputs):
        raise ReglabError(
            f"{data.name}: labels have the fields {fields_of}, and outputs are {', '.join(data.outputs)}. "
            "reglab.data.load((x, {name: labels})) makes them of arrays."
        )
    parts = {name: data.of_output(name) for name in data.outputs}
    return together({name: _FORMS[part.form][0](part) for name, part in parts.items()})


def _check_outputs(data: Dataset) -> None:
    for name in data.outputs:
        part = data.of_output(name)
        _FORMS[part.form][1](part)


def _whole_numbers(data: Dataset) -> np.ndarray:
    y = np.asarray(data.y)
    if y.ndim != 1 or y.dtype.kind not in "uifb" or (y.dtype.kind == "f" and not (y == np.round(y)).all()):
        raise ReglabError(
            f"{data.name}: labels of a Dataset are class indices (N,); given were {y.dtype} of shape {y.shape}. "
            "reglab.data.load((x, y)) makes them of texts, one-hot rows and other numbers."
        )
    wrong = y[(y < 0) | (y >= data.num_classes)]
    if len(wrong):
        raise ReglabError(
            f"{data.name}: the label {wrong[0]} is no class. There are {data.num_classes} class names, so labels are 0 "
            f"to {data.num_classes - 1}."
        )
    return y.astype("int32")


def _to_predict(data: Dataset) -> np.ndarray:
    y = as_numbers(np.asarray(data.y), data.name)
    if len(data.targets) != (1 if y.ndim == 1 else y.shape[1]):
        raise ReglabError(
            f"{data.name}: labels have shape {y.shape}, and there are {len(data.class_names)} names of classes and "
            f"{len(data.targets)} of targets. Give class_names for class indices, targets for numbers to predict, or "
            "labels for columns of 0 and 1."
        )
    return y


def _label_sets(data: Dataset) -> np.ndarray:
    y = np.asarray(data.y)
    if y.ndim != 2 or y.shape[1] != len(data.labels) or not np.isin(y, (0, 1)).all():
        raise ReglabError(
            f"{data.name}: labels are {y.dtype} of shape {y.shape}, and there are {len(data.labels)} names of labels. "
            f"Expected a column of 0 and 1 for each of them, (N, {len(data.labels)})."
        )
    return y.astype("int8")


def _check_sets(data: Dataset) -> None:
    if len(data.labels) < 2:
        raise ReglabError(
            f"{data.name}: there is one label, {data.labels[0]!r}, which an example has or has not. Give it as two "
            "classes: class indices (N,)."
        )
    trained = np.ones(len(data.y), bool) if data.part is None else np.asarray(data.part) == TRAIN
    for name, column, learned in zip(data.labels, data.y.T, data.y[trained].T, strict=True):
        count = int(column.sum())
        if count in (0, len(column)):
            what = "no example" if count == 0 else "every example"
            raise ReglabError(
                f"{data.name}: {what} has the label {name!r}, so there is nothing to predict. Leave it out."
            )
        if count == 1:
            raise ReglabError(
                f"{data.name}: one example has the label {name!r}, so it cannot be in training and test both. Add "
                "examples of it, or leave the label out."
            )
        if not learned.any():
            raise ReglabError(
                f"{data.name}: no training example has the label {name!r}, which other parts have. Every label needs "
                "training examples."
            )


def _check_targets(data: Dataset) -> None:
    rows = data.y.reshape(len(data.y), -1)
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        row, which = map(int, bad[0])
        raise ReglabError(
            f"{data.name}: {data.targets[which]} of row {row} is {rows[row, which]}. Fill it in or leave the row out."
        )
    for name, column in zip(data.targets, rows.T, strict=True):
        if np.ptp(column) == 0:
            raise ReglabError(
                f"{data.name}: {name} is {column[0]:g} in all examples, so there is nothing to predict. Take it out."
            )


def no_numbers(x: np.ndarray) -> str:
    """Return what is wrong with examples that are no numbers, or an empty text.

    >>> no_numbers(np.array(["a film", "a book"]))
    "examples are texts (dtype <U6). ..."
    """
    if x.dtype.kind in "uifb":
        return ""
    if any(isinstance(value, str | bytes) for value in x.flat[:_CHUNK]):
        return (
            f"examples are texts (dtype {x.dtype}). Give numbers: x.astype('float32') for numbers that were read as "
            "text, token ids as of keras.layers.TextVectorization for sentences; or save a table of them as CSV."
        )
    if x.dtype.kind in "mM":
        return (
            f"examples are dates or times (dtype {x.dtype}). Give numbers, such as days since a day: x.astype('int64')."
        )
    return f"examples have dtype {x.dtype}; expected numbers. Are they of different shapes?"


def _check_shapes(data: Dataset) -> None:
    for name, x in by_input(data.x).items():
        where = called(data.name, name)
        if problem := no_numbers(x):
            raise ReglabError(f"{where}: {problem}")
        if x.ndim < 2:
            raise ReglabError(
                f"{where}: examples have shape {x.shape}; expected (N, features) or (N, height, width, channels)."
            )
    if len(data.x) == 0:
        raise ReglabError(f"{data.name}: there are no examples.")
    if len(data.x) != len(data.y):
        raise ReglabError(
            f"{data.name}: {len(data.x)} examples but {len(data.y)} labels. Each example needs one label."
        )
    if data.part is not None and len(data.part) != len(data.y):
        raise ReglabError(f"{data.name}: {len(data.part)} part codes for {len(data.y)} examples.")


def _check_labels(data: Dataset) -> None:
    counts = np.bincount(data.y, minlength=data.num_classes)
    if np.count_nonzero(counts) < 2:
        raise ReglabError(
            f"{data.name}: all examples have the label {data.class_names[data.y[0]]!r}. A classifier needs two classes."
        )
    for index, count in enumerate(counts):
        if count == 1:
            raise ReglabError(
                f"{data.name}: the label {data.class_names[index]!r} appears once, so it cannot be in training and "
                "test both. Add examples of it, join it with another class, or leave it out; if labels are numbers to "
                "predict, say task='regression' (--task regression)."
            )
        if count == 0:
            raise ReglabError(f"{data.name}: the class {data.class_names[index]!r} has no examples. Leave it out.")
    if data.part is not None:
        trained = np.bincount(data.y[np.asarray(data.part) == TRAIN], minlength=data.num_classes)
        absent = [name for name, count in zip(data.class_names, trained, strict=True) if not count]
        if absent:
            raise ReglabError(
                f"{data.name}: other parts have the labels {few(map(repr, absent))}, which training has not. Every "
                "class needs training examples."
            )


def _class_per_position(data: Dataset) -> np.ndarray:
    y = np.asarray(data.y)
    steps = data.x.shape[1:2] if data.x.ndim < 4 else ()
    if y.ndim > 3 or (y.ndim == 2 and y.shape[1:] != steps) or y.dtype.kind not in "uib":
        raise ReglabError(
            f"{data.name}: labels of a Dataset are class indices (N,), or, per position, (N, steps) or (N, height, "
            f"width); given were {y.dtype} of shape {y.shape} for examples {data.x.shape}. reglab.data.load((x, y)) "
            "makes them of texts, one-hot rows and other numbers."
        )
    wrong = y[(y < IGNORED) | (y >= data.num_classes)] if y.dtype.kind == "i" else y[y >= data.num_classes]
    if len(wrong):
        raise ReglabError(
            f"{data.name}: the label {wrong[0]} of a position is no class. There are {data.num_classes} class names, "
            f"so labels are 0 to {data.num_classes - 1}, and {IGNORED} for positions that count nowhere."
        )
    return y.astype("int32")


def _check_positions(data: Dataset) -> None:
    trained = data.y if data.part is None else data.y[np.asarray(data.part) == TRAIN]
    seen_in, learned = (np.bincount(y[y != IGNORED], minlength=data.num_classes) > 0 for y in (data.y, trained))
    if seen_in.sum() < 2:
        raise ReglabError(f"{data.name}: all positions are of one class. There is nothing to tell apart.")
    absent = [
        name for name, there, known in zip(data.class_names, seen_in, learned, strict=True) if there and not known
    ]
    if absent:
        raise ReglabError(
            f"{data.name}: other parts have positions of {few(map(repr, absent))}, which training has not. Every class "
            "needs training examples."
        )


# What labels of a form are read with, and checked with.
_FORMS = {
    "classes": (_whole_numbers, _check_labels), "numbers": (_to_predict, _check_targets),
    "sets": (_label_sets, _check_sets), "per_position": (_class_per_position, _check_positions),
    "outputs": (_of_outputs, _check_outputs),
}  # fmt: skip
_NOUNS = {"classes": "classes", "sets": "labels", "per_position": "classes"}


def _check_numbers(data: Dataset) -> None:
    for name, x in by_input(data.x).items():
        if x.dtype.kind == "f":
            _check_finite(data, name, x)


def _check_finite(data: Dataset, name: str, x: np.ndarray) -> None:
    first = 0
    for chunk in _chunks(x):
        bad = np.argwhere(np.isinf(chunk) if data.missing else ~np.isfinite(chunk))
        if len(bad):
            row, *rest = bad[0]
            column = (
                f", column {data.feature_names[rest[0]]!r}"
                if data.feature_names
                else f", position {tuple(map(int, rest))}"
            )
            raise ReglabError(
                f"{called(data.name, name)}: row {first + row}{column} is {chunk[tuple(bad[0])]}. Fill such "
                "values in, or leave the rows out."
            )
        first += len(chunk)


def _facts(data: Dataset) -> tuple[str, ...]:
    r"""Return what the data is: examples, shape, values, classes with counts, and parts.

    >>> from reglab.data import load
    >>> print(*load("iris").facts, sep="\n")
    iris: 150 examples of 4 (table, float32, 0.1 to 7.9), 3 classes: setosa 50, versicolor 50, virginica 50
    no parts are given: test and validation are split off
    """
    told = [
        f"{_before(name)}{_sizes(x)} ({data.kinds[name]}, {x.dtype}, {_range(x)})"
        for name, x in by_input(data.x).items()
    ]
    examples = f"{data.name}: {len(data):,} examples of {listed(told, len(told))}"
    if data.outputs:
        of_outputs = (f"{shortened(name, LONGEST)}: {_labels(data.of_output(name))}" for name in data.outputs)
        return f"{examples}, of {len(data.outputs)} outputs", *of_outputs, _parts(data)
    return f"{examples}, {_labels(data)}", _parts(data)


def _labels(data: Dataset) -> str:
    """Return what labels of one output are, with counts."""
    if data.form == "numbers":
        columns = data.y.reshape(len(data.y), -1).T
        told = [_target(name, column) for name, column in zip(data.targets, columns, strict=True)]
        return f"to predict: {listed(told, _MOST_CLASSES)}"
    if data.form == "per_position":
        return _positions(data)
    sets = data.form == "sets"
    counts = data.y.sum(axis=0) if sets else np.bincount(data.y, minlength=data.num_classes)
    told = [f"{shortened(name, LONGEST)} {count:,}" for name, count in zip(data.names, counts, strict=True)]
    each = f", {counts.sum() / len(data):.2g} per example" if sets else ""
    return f"{len(told)} {_NOUNS[data.form]}{each}: {listed(told, _MOST_CLASSES)}"


def _positions(data: Dataset) -> str:
    """Return how many positions each example has a class for, and which share of them each class has."""
    counted = data.y[data.y != IGNORED]
    shares = np.bincount(counted, minlength=data.num_classes) / len(counted)
    told = [f"{shortened(name, LONGEST)} {100 * each:.3g} %" for name, each in zip(data.names, shares, strict=True)]
    ignored = data.y.size - len(counted)
    left = f"; {100 * ignored / data.y.size:.3g} % of the positions are ignored" if ignored else ""
    places = "x".join(map(str, data.y.shape[1:]))
    return f"a class for each of {places} positions, {len(told)} classes: {listed(told, _MOST_CLASSES)}{left}"


def _target(name: str, values: np.ndarray) -> str:
    spread = f"mean {values.mean():.4g}, deviation {values.std():.4g}"
    return f"{shortened(name, LONGEST)} {values.min():g} to {values.max():g} ({spread})"


def _before(name: str) -> str:
    return f"{shortened(name, LONGEST)} " if name else ""


def _sizes(x: np.ndarray) -> str:
    return "x".join(map(str, x.shape[1:]))


def _shape(data: Dataset) -> str:
    shapes = [f"{_before(name)}{_sizes(x)}" for name, x in by_input(data.x).items()]
    return listed(shapes, len(shapes))


def _chunks(x: np.ndarray) -> Iterator[np.ndarray]:
    """Yield examples in order, some thousand at a time."""
    for start in range(0, len(x), _CHUNK):
        yield np.asarray(x[start : start + _CHUNK])


def _range(x: np.ndarray) -> str:
    ends = [(np.fmin.reduce(chunk, axis=None), np.fmax.reduce(chunk, axis=None)) for chunk in _chunks(x)]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return f"{low:g} to {high:g}" if x.dtype.kind != "b" else "0 or 1"


def _parts(data: Dataset) -> str:
    whole = "" if data.groups is None else f", whole groups{f' of {data.group}' if data.group else ''}"
    if data.part is None:
        return f"no parts are given: test and validation are split off{whole}"
    counts = np.bincount(np.asarray(data.part), minlength=len(PARTS))
    given = ", ".join(f"{name} {count:,}" for name, count in zip(PARTS, counts, strict=True) if count)
    absent = [name for name, count in zip(("training", "validation", "test"), counts, strict=True) if not count]
    return f"parts: {given}" + (f"; {' and '.join(absent)} split off{whole}" if absent else "")
