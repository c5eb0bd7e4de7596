"""Labels as people hold them: classes, numbers to predict, columns of 0 and 1, or a class per position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from reglab.errors import ReglabError

__all__ = [
    "FORMS", "IGNORED", "Form", "Labels", "Output", "SaidForm", "as_numbers", "class_indices", "named", "read_labels",
]  # fmt: skip

Form = Literal["classes", "numbers", "sets", "per_position", "outputs"]
# A class per example; numbers per example; which labels each example has; a class per step, token or pixel; labels of
# several outputs by name, each of one of the other forms.
FORMS: tuple[str, ...] = get_args(Form)
SaidForm: TypeAlias = str | Mapping[str, str] | None  # one of them, or one of each output by its name
IGNORED = -1  # in place of the class of a position that counts nowhere
_VOID = 255  # what images of classes often have where nobody said a class


class Output(NamedTuple):
    """What the labels of one of several outputs are: their form, and the names of classes, targets or labels."""

    form: Form
    names: tuple[str, ...]


def named(form: Form, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the names of classes, targets or labels as :class:`reglab.Dataset` takes them."""
    fields = {"class_names": ("classes", "per_position"), "targets": ("numbers",), "labels": ("sets",)}
    return {field: names if form in forms else () for field, forms in fields.items()}


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels as a data set holds them.

    Attributes:
        y: class indices ``(N,)``, int32; numbers to predict ``(N,)`` or ``(N, targets)``, float32; ``(N, labels)`` of
            0 and 1, int8; or class indices ``(N, steps)`` or ``(N, height, width)``, int32, and -1 where none counts.
        form: which of these.
        names: of the classes, targets or labels.
        notes: what was assumed, a sentence each.
    """

    y: np.ndarray
    form: Form
    names: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def named(self) -> dict[str, Any]:
        """The names as :class:`reglab.Dataset` takes them."""
        return named(self.form, self.names)


def read_labels(
    labels: npt.ArrayLike, where: str, *, form: str | None = None, names: Sequence[str] = ("target",),
    examples: tuple[int, ...] = (), tokens: bool = False, ignore_class: int | None = None,
) -> Labels:  # fmt: skip
    """Return labels in the form that they are in.

    Args:
        labels: one per example, or a row per example.
        where: what they are of, for errors.
        form: one of :data:`FORMS`; by default numbers where some are no whole numbers, a class per position where they
            have more axes, or one per step of the examples, label sets where rows are of 0 and 1 and not all of them
            have a single 1, and else classes.
        names: what targets or labels are called; of several that have no names, one that is numbered.
        examples: the shape of what they are labels of, which shows where labels are per position.
        tokens: whether those are indices of tokens.
        ignore_class: of labels per position, the one that counts nowhere; by default -1.

    >>> read_labels(["a", "b", "a"], "made")
    Labels(y=array([0, 1, 0], dtype=int32), form='classes', names=('a', 'b'), notes=())
    >>> read_labels([0.5, 1.0], "made")
    Labels(y=array([0.5, 1. ], dtype=float32), form='numbers', names=('target',), notes=())
    >>> read_labels([[0, 1], [1, 1]], "made").names
    ('0', '1')
    """
    found = np.asarray(labels)
    seen = form or _seen(found, where, examples, tokens=tokens)
    if ignore_class is not None and seen != "per_position":
        raise ReglabError(
            f"{where}: ignore_class={ignore_class} is said of labels per position, and these are {_TOLD[seen]}. Leave "
            "it out, or say task='positions' (--task positions)."
        )
    if seen == "per_position":
        return _per_position(found, where, examples, ignore_class, named=form is not None)
    if seen == "classes":
        y, classes = class_indices(found, where)
        return Labels(y, "classes", classes)
    if seen == "sets":
        y = _label_sets(found, where)
        return Labels(y, "sets", tuple(names) if len(names) == y.shape[1] else tuple(map(str, range(y.shape[1]))))
    y = as_numbers(found, where)
    count = 1 if y.ndim == 1 else y.shape[1]
    called = tuple(names) if len(names) == count else tuple(f"{names[0]} {i + 1}" for i in range(count))
    return Labels(y, "numbers", called)


_TOLD = {"classes": "a class per example", "numbers": "numbers to predict", "sets": "sets of labels"}


def _seen(labels: np.ndarray, where: str, examples: tuple[int, ...], *, tokens: bool) -> Form:
    """Return the form that labels show."""
    if labels.ndim > 2:
        return "per_position"
    several = labels.ndim == 2 and labels.shape[1] > 1
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels != np.round(labels)).any():
        if several and _are_shares(labels):
            raise ReglabError(
                f"{where}: labels of shape {labels.shape} are shares of classes, and no class. Give class indices "
                "(N,); or, to predict the shares as numbers, say task='regression' (--task regression)."
            )
        return "numbers"
    if not several:
        return "classes"
    bits = _are_bits(labels)
    if bits and (labels.sum(axis=1) == 1).all():
        return "classes"
    of_steps = labels.shape[1:] == examples[1:2]
    if of_steps and (len(examples) == 3 or (tokens and not bits)):
        return "per_position"
    return "sets" if bits else "classes"


def _per_position(
    labels: np.ndarray, where: str, examples: tuple[int, ...], ignore_class: int | None, *, named: bool
) -> Labels:
    """Return a class per position, numbered in the order of their sorted labels; -1 is what counts nowhere."""
    places = examples[1:-1] if len(examples) > 2 else examples[1:]
    if labels.ndim > 2 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    elif labels.ndim > 2 and labels.shape[1:-1] == places and _are_bits(labels):
        if (labels.sum(axis=-1) == 1).all():
            labels = labels.argmax(axis=-1)
        elif labels.shape[1:] != examples[1:]:  # of images without an axis for their channel
            raise ReglabError(
                f"{where}: labels of shape {labels.shape} give some positions several classes, or none. Give one class "
                "index per position; -1 for positions that count nowhere."
            )
    of_no_steps = labels.ndim == 2 and examples and (len(examples) > 3 or labels.shape[1:] != examples[1:2])
    if labels.ndim not in (2, 3) or of_no_steps:
        raise ReglabError(
            f"{where}: labels have shape {labels.shape}, and examples {examples}. A class per position is (N, steps) "
            "or (N, height, width), of the steps or pixels of the examples."
        )
    if labels.dtype.kind == "f" and not (labels == np.round(labels)).all():
        raise ReglabError(
            f"{where}: labels such as {labels[labels != np.round(labels)].flat[0]} are no classes of positions. Give "
            "class indices; numbers to predict per position are not supported."
        )
    if labels.dtype.kind == "f":
        labels = labels.astype("int64")
    signed = labels.dtype.kind == "i"
    ignored = labels == ignore_class if ignore_class is not None else labels == IGNORED if signed else None
    notes = _of_positions(labels, ignored, ignore_class, named=named)
    counted = labels if ignored is None else labels[~ignored]
    values, indices = np.unique(counted, return_inverse=True)
    y = np.full(labels.shape, IGNORED, "int32")
    y[... if ignored is None else ~ignored] = indices.reshape(labels.shape if ignored is None else -1)
    return Labels(y, "per_position", tuple(map(str, values)), tuple(notes))


def _of_positions(
    labels: np.ndarray, ignored: np.ndarray | None, ignore_class: int | None, *, named: bool
) -> Iterator[str]:
    """Yield what was assumed of labels per position."""
    if labels.ndim == 2 and not named and _are_bits(labels):
        yield (
            f"Labels of shape {labels.shape}, all 0 or 1, were taken for a class per step. If they are "
            f"{labels.shape[1]} labels per example, say task='multi-label' (--task multi-label)."
        )
    if ignore_class is None and ignored is not None and ignored.any():
        yield f"Positions labelled {IGNORED} count neither in the loss nor in metrics."
    if ignore_class is None and labels.dtype.kind in "iu" and labels.max() == _VOID:
        others = np.unique(labels[labels != _VOID])
        if len(others) > 1 and others[-1] < _VOID - 1:
            yield (
                f"The label {_VOID} counts as a class. If it stands for positions without a class, say "
                f"ignore_class={_VOID} (--ignore-class {_VOID})."
            )
    if ignore_class is not None and ignored is not None and not ignored.any():
        yield f"No position has the label {ignore_class} that is to be ignored."


def _are_shares(rows: np.ndarray) -> bool:
    return bool((rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=1e-3))


def _are_bits(labels: np.ndarray) -> bool:
    return labels.dtype.kind == "b" or (labels.dtype.kind in "uif" and bool(((labels == 0) | (labels == 1)).all()))


def as_numbers(labels: np.ndarray, where: str) -> np.ndarray:
    """Return numbers to predict as float32."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    try:
        found = labels.astype("float64")
    except (TypeError, ValueError):
        held = next(value for value in labels.flat if not isinstance(value, int | float | np.number))
        raise ReglabError(
            f"{where}: the label {str(held)!r} is no number to predict. Name another task, or none."
        ) from None
    if found.ndim not in (1, 2):
        raise ReglabError(f"{where}: labels have shape {labels.shape}; expected (N,) or (N, targets).")
    return found.astype("float32")


def _label_sets(labels: np.ndarray, where: str) -> np.ndarray:
    """Return which labels each example has, 0 or 1, int8."""
    if labels.ndim != 2 or labels.shape[1] < 2:
        raise ReglabError(
            f"{where}: labels have shape {labels.shape}; to predict which labels an example has, give a column of 0 "
            "and 1 for each of them, (N, labels), such as sklearn.preprocessing.MultiLabelBinarizer makes."
        )
    if labels.dtype == object and all(isinstance(value, bool | int | float | np.generic) for value in labels.flat):
        labels = labels.astype("float64")
    if not _are_bits(labels):
        wrong = next(value for value in labels.flat if value not in (0, 1))
        raise ReglabError(
            f"{where}: {str(wrong)!r} does not say whether an example has a label. Give 0 and 1 in each column."
        )
    return labels.astype("int8")


def class_indices(labels: npt.ArrayLike, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return class indices and class names for labels of any kind: numbers, texts, or one-hot rows ``(N, classes)``.

    Classes are numbered in the order of their sorted labels.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        return _one_hot(labels, where), tuple(str(i) for i in range(labels.shape[1]))
    if labels.ndim != 1:
        raise ReglabError(f"{where}: labels have shape {labels.shape}; expected (N,) or one-hot (N, classes).")
    if labels.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(labels))
        if len(bad):
            raise ReglabError(
                f"{where}: the label of row {bad[0]} is {labels[bad[0]]}. Fill it in or leave the row out."
            )
        if not (labels == np.round(labels)).all():
            raise ReglabError(
                f"{where}: labels such as {labels[labels != np.round(labels)][0]} are not classes. To predict numbers, "
                "say task='regression' (--task regression)."
            )
        labels = labels.astype("int64")
    try:
        names, indices = np.unique(labels, return_inverse=True)
    except TypeError:
        raise ReglabError(f"{where}: labels mix kinds of values, such as numbers and texts. Give one kind.") from None
    return indices.reshape(-1).astype("int32"), tuple(str(name) for name in names)


def _one_hot(labels: np.ndarray, where: str) -> np.ndarray:
    try:
        rows = np.asarray(labels, "float64")
    except (TypeError, ValueError):
        rows = np.full(labels.shape, np.nan)
    if not (np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all()):
        raise ReglabError(
            f"{where}: labels of shape {labels.shape} are not one-hot. Give class indices (N,) or one 1 a row; columns "
            "of 0 and 1 if an example has several labels (task='multi-label'); a class per step of the examples "
            "(task='positions'); or, if they are numbers to predict, say task='regression' (--task regression)."
        )
    return np.asarray(rows.argmax(axis=1).astype("int32"))
