"""Labels of arrays as people hold them, of one output or of several by name, and of parts in one form."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np

from reglab.data.labels import Labels, Output, SaidForm, class_indices, read_labels
from reglab.data.listing import few
from reglab.data.several import called, together
from reglab.errors import ReglabError
from reglab.expressions import shown

__all__ = ["SeveralLabels", "as_array", "labels_of"]


@dataclass(frozen=True, eq=False)
class SeveralLabels:
    """Labels of several outputs; the same as :class:`reglab.data.labels.Labels` of one.

    Attributes:
        y: labels with a field per output.
        outputs: what those of each are.
        notes: what was assumed, a sentence each.
    """

    y: np.ndarray
    outputs: Mapping[str, Output]
    notes: tuple[str, ...] = field(default=())
    form: str = "outputs"

    @property
    def named(self) -> dict[str, Any]:
        """What the labels are, as :class:`reglab.Dataset` takes it."""
        return {"class_names": (), "outputs": self.outputs}


def labels_of(
    given: Sequence[Any], xs: Sequence[np.ndarray], where: Sequence[str], *, name: str, form: SaidForm, tokens: bool,
    ignore_class: int | None,
) -> Labels | SeveralLabels:  # fmt: skip
    """Return the labels of all parts together.

    Args:
        given: labels of each part, or a dict of them by the names of outputs.
        xs: the examples of each part.
        where: what errors call the parts.
        name: what the data is called.
        form: what labels are, of several outputs by name; by default what they show.
        tokens: whether examples are indices of tokens.
        ignore_class: of labels per position, the one that counts nowhere; by default -1.

    Raises:
        ReglabError: for labels that are none, or that are not of these examples.
    """
    if not any(isinstance(each, Mapping) for each in given):
        if isinstance(form, Mapping):
            raise ReglabError(
                f"{name}: tasks are named of the outputs {few(form, 20)}, and labels are one array. Give a dict of "
                "labels by the names of outputs, or name one task."
            )
        return _of_output(
            given, xs, where, name=name, form=form, tokens=tokens, ignore_class=ignore_class, target="target"
        )
    names = _output_names(given, where)
    forms = form if isinstance(form, Mapping) else {} if form is None else dict.fromkeys(names, form)
    if unknown := [each for each in forms if each not in names]:
        raise ReglabError(
            f"A task is named of the output {unknown[0]!r}, and {name} has labels of {few(names, 20)}. Name those."
        )
    if ignore_class is not None:
        raise ReglabError(
            f"ignore_class={ignore_class} is said of labels of one output, and {name} has those of {few(names, 20)}. "
            "Let -1 stand for positions that count nowhere."
        )
    found = {
        key: _of_output(
            [each[key] for each in given], xs, [f"{place}{key}: " for place in where], name=called(name, key),
            form=forms.get(key), tokens=tokens, ignore_class=None, target=key,
        )
        for key in names
    }  # fmt: skip
    return SeveralLabels(
        together({key: of.y for key, of in found.items()}),
        {key: Output(of.form, of.names) for key, of in found.items()},
        tuple(f"{key}: {note}" for key, of in found.items() for note in of.notes),
    )


def _output_names(given: Sequence[Any], where: Sequence[str]) -> list[str]:
    """Return the names of outputs, which all parts have alike."""
    for each, place in zip(given, where, strict=True):
        if not isinstance(each, Mapping) or not each or not all(isinstance(key, str) and key for key in each):
            raise ReglabError(
                f"{place}labels of several outputs are a dict of arrays by the names of the model's outputs, in each "
                "part."
            )
        if set(each) != set(given[0]):
            raise ReglabError(
                f"{place}labels are of {few(each, 20)}, and in another part of {few(given[0], 20)}. Give the labels "
                "of the same outputs in each part."
            )
    return list(given[0])


def _of_output(
    given: Sequence[Any], xs: Sequence[np.ndarray], where: Sequence[str], *, name: str, form: str | None, tokens: bool,
    ignore_class: int | None, target: str,
) -> Labels:  # fmt: skip
    """Return the labels of one output; ``target`` is what a number to predict is called that has no name."""
    notes: list[str] = []
    ys = [_labels(y, place) for y, place in zip(given, where, strict=True)]
    ys = ys if form in ("numbers", "sets") else _alike_labels(ys, list(where), notes)
    for x, y, place in zip(xs, ys, where, strict=True):
        if len(x) != len(y):
            raise ReglabError(f"{place}{len(x)} examples but {len(y)} labels. Each example needs one label.")
    read = read_labels(
        np.concatenate(ys) if len(ys) > 1 else ys[0], name, form=form, names=_columns(given[0]) or (target,),
        examples=xs[0].shape, tokens=tokens, ignore_class=ignore_class,
    )  # fmt: skip
    if read.form == "classes" and len(read.names) > 2 and read.names[0] == "-1":
        notes.append("The label -1 counts as a class. If it stands for examples without a label, leave those out.")
    return Labels(read.y, read.form, read.names, (*notes, *read.notes))


def _columns(y: object) -> tuple[str, ...]:
    """Return what the columns of labels are called, of a data frame of several."""
    found = tuple(map(str, getattr(y, "columns", ())))
    return found if len(found) > 1 else ()


def as_array(thing: object, where: str, what: str) -> np.ndarray:
    """Return an array, or say what was given in its place."""
    kind = type(thing).__name__
    if hasattr(thing, "toarray"):  # of scipy
        raise ReglabError(f"{where}{what} are a sparse matrix, {kind}. Give an array: x.toarray().")
    if hasattr(thing, "as_numpy_iterator") or hasattr(thing, "element_spec"):
        raise ReglabError(
            f"{where}{what} are a tf.data pipeline, {kind}. Give one pipeline of examples with their labels, "
            "tf.data.Dataset.zip(x, y), or such pipelines as (train, test)."
        )
    if isinstance(thing, np.ma.MaskedArray) and np.ma.getmaskarray(thing).any():
        raise ReglabError(f"{where}{what} are masked in places. Fill such values in, or leave the rows out.")
    if not hasattr(thing, "__array__") and not isinstance(thing, Sequence):
        raise ReglabError(f"{where}{what} are {kind}, which is no array. Give NumPy arrays (x, y).")
    try:
        found = thing if isinstance(thing, np.memmap) else np.asarray(thing)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ReglabError(f"{where}{what} are not one array: {error}.") from None
    if found.ndim == 0:
        raise ReglabError(f"{where}{what} are a single {kind}, {shown(thing)}. Give an array with one of each example.")
    return found


def _labels(y: object, where: str) -> np.ndarray:
    if isinstance(y, Mapping) or hasattr(y, "toarray"):
        raise ReglabError(f"{where}labels are one array, one label per example; given was {type(y).__name__}.")
    if _are_sets(y):
        raise ReglabError(
            f"{where}labels are a collection per example, such as {shown(y[0])}. Give a column of 0 and 1 for each "
            "label, which sklearn.preprocessing.MultiLabelBinarizer makes."
        )
    y = as_array(y, where, "labels")
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _are_sets(y: object) -> TypeGuard[Sequence[Collection[object]]]:
    """Whether labels are names in collections, of which examples have different numbers."""
    if not isinstance(y, list | tuple) or not all(isinstance(each, list | tuple | set | frozenset) for each in y):
        return False
    return any(isinstance(each, set | frozenset) for each in y) or len({len(each) for each in y}) > 1


def _alike_labels(ys: list[np.ndarray], where: list[str], notes: list[str]) -> list[np.ndarray]:
    """Return the labels of parts in one form: class indices, where some of them are one-hot."""
    widths = {y.shape[1] for y in ys if y.ndim == 2}
    if len(widths) > 1:
        raise ReglabError(
            f"{where[0]}one-hot labels have {' and '.join(map(str, sorted(widths)))} classes in different parts. Give "
            "class indices (N,), or as many columns in each part."
        )
    if widths and any(y.ndim == 1 for y in ys):
        ys = [_as_indices(y, place, widths.copy().pop()) for y, place in zip(ys, where, strict=True)]
        notes.append("Labels are one-hot in one part and class indices in another; both were taken for class indices.")
    if len({_holds_text(y) for y in ys}) > 1:
        kinds = ", ".join(f"{place.split(': ')[1]} {y.dtype}" for y, place in zip(ys, where, strict=True))
        raise ReglabError(
            f"{where[0].split(': ')[0]}: labels are texts in one part and numbers in another ({kinds}). Give one kind."
        )
    return ys


def _holds_text(y: np.ndarray) -> bool:
    return y.dtype.kind in "US" or (y.dtype.kind == "O" and y.size > 0 and isinstance(y.flat[0], str))


def _as_indices(y: np.ndarray, where: str, classes: int) -> np.ndarray:
    if y.ndim == 2:
        indices, _ = class_indices(y, where.removesuffix(": "))
        return indices
    known = np.isin(y, np.arange(classes))
    if not known.all():
        raise ReglabError(
            f"{where}the label {y[~known][0]!s} is none of the {classes} columns of the one-hot labels, which are 0 to "
            f"{classes - 1}."
        )
    return y.astype("int32")
