"""Arrays as people hold them: in Python, in a mapping, or in an .npz file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reglab.data.array_labels import as_array, labels_of
from reglab.data.dataset import PLACES, TEST, TRAIN, VAL, Dataset, no_numbers
from reglab.data.kinds import IMAGE, SERIES, TABLE, TOKENS, are_indices, are_pictures, kinds_said, plural, seen, shaped
from reglab.data.labels import SaidForm
from reglab.data.listing import few
from reglab.data.reading import alike
from reglab.data.several import by_input, called, each, example_shape, together
from reglab.data.sparse import dense, is_sparse
from reglab.errors import ReglabError
from reglab.rounding import narrowed

__all__ = ["from_arrays", "load_npz", "pairs_of"]

_FAR_APART = 50  # times as large are the values of one part: pixels to 255 and to 1, say
_CHUNK = 8192


def load_npz(path: Path, *, form: SaidForm = None, kind: str | None = None, ignore_class: int | None = None) -> Dataset:
    """Return arrays ``x, y``, or ``x_train, y_train, x_test, y_test`` and perhaps ``x_val, y_val``, of an .npz.

    Several inputs are ``x_NAME`` and labels of several outputs ``y_NAME``, or ``x_train_NAME`` and ``y_train_NAME``.
    """
    try:
        # Opened here: of a file that is not whole, NumPy would leave its own open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            arrays = {key: held[key] for key in held.files}
    except Exception as error:  # zipfile, pickle, format and OS errors
        raise ReglabError(
            f"{path} cannot be read: {error}. Expected are arrays of numbers, as numpy.savez writes."
        ) from None
    pairs = pairs_of(arrays, where=str(path))
    return from_arrays(pairs, name=path.stem, form=form, kind=kind, ignore_class=ignore_class)


def pairs_of(arrays: Mapping[str, Any], *, where: str = "the mapping") -> tuple[Any, ...]:
    """Return what is called as in an .npz file as a pair ``(x, y)``, or a pair per part."""
    whole, *parts = (_pair(arrays, part) for part in ("", "_train", "_val", "_test"))
    if whole is not None:
        return whole
    if parts[0] is not None and parts[2] is not None:
        return tuple(pair for pair in parts if pair is not None)
    raise ReglabError(
        f"{where} holds {few(arrays, 20)}. Expected are x and y, or x_train, y_train, x_test and y_test; of several "
        "inputs x_NAME for each, or x_train_NAME, and of several outputs y_NAME, or y_train_NAME."
    )


def _pair(arrays: Mapping[str, Any], part: str) -> tuple[Any, Any] | None:
    """Return the examples and labels of a part, a dict by name where there are several; None where it is not there.

    >>> _pair({"x_age": [1], "x_photo": [2], "y": [0]}, "")
    ({'age': [1], 'photo': [2]}, [0])
    >>> _pair({"x_train": [1], "y_train_kind": [0], "y_train_size": [2]}, "_train")
    ([1], {'kind': [0], 'size': [2]})
    """
    if not part and any(key.startswith(("y_train", "x_train")) for key in arrays):
        return None  # of those that come in parts
    found = [arrays.get(f"{what}{part}", _named(arrays, f"{what}{part}_")) for what in "xy"]
    return None if any(each is None for each in found) else (found[0], found[1])


def _named(arrays: Mapping[str, Any], start: str) -> dict[str, Any] | None:
    """Return the arrays whose names have this beginning, by the rest of their names."""
    return {key.removeprefix(start): of for key, of in arrays.items() if key.startswith(start) and key != start} or None


def from_arrays(
    source: Sequence[Any], *, name: str = "arrays", form: SaidForm = None, kind: str | None = None,
    ignore_class: int | None = None, assumed: Iterable[str] = (),
) -> Dataset:  # fmt: skip
    """Return ``(x, y)``, or ``((x_train, y_train), (x_test, y_test))`` with validation between if there are three.

    Args:
        source: the arrays; several inputs are a dict by name, and so are labels of several outputs.
        name: what they are called.
        form: what labels are, of several outputs by name; see :func:`reglab.data.labels.read_labels`.
        kind: what one example is (:mod:`reglab.data.kinds`); by default what the number of axes shows, and that is said
            where it can be taken in two ways.
        ignore_class: of labels per position, the one that counts nowhere; by default -1.
        assumed: what was assumed when they were read, a sentence each.
    """
    pairs = list(source) if len(source) and _is_pair(source[0]) else [source]
    if not (1 <= len(pairs) <= 3 and all(_is_pair(pair) for pair in pairs)):
        raise ReglabError("Arrays are given as (x, y) or as ((x_train, y_train), (x_test, y_test)).")
    where = [f"{name}: {part}" for part in PLACES[len(pairs)]]
    notes = list(assumed)
    if kind is None and any(is_sparse(x) for x, _ in pairs):
        kind = TABLE
    pairs = [
        (dense(x, place, "examples", notes), dense(y, place, "labels", notes))
        for (x, y), place in zip(pairs, where, strict=True)
    ]
    xs = [_examples(x, place) for (x, _), place in zip(pairs, where, strict=True)]
    tokens = are_indices(kind) if kind is not None else xs[0].ndim == 2 and xs[0].dtype.kind in "iu"
    read = labels_of([y for _, y in pairs], xs, where, name=name, form=form, tokens=tokens, ignore_class=ignore_class)
    for x in xs:
        if (one := example_shape(xs[0])) != (other := example_shape(x)):
            raise ReglabError(f"{name}: examples have shapes {one} and {other}; all parts need one shape.")
    inputs = list(by_input(xs[0]))
    said = _said(kind, inputs, name)
    for key in inputs:
        of_parts = [by_input(x)[key] for x in xs]
        if key not in said or are_pictures(said[key]):
            _check_axes(called(name, key), of_parts[0])
        _check_scales(called(name, key), of_parts, where, notes)
    codes = {1: None, 2: (TRAIN, TEST), 3: (TRAIN, VAL, TEST)}[len(pairs)]
    x = xs[0] if len(xs) == 1 else np.concatenate(xs)
    if kind is None and read.form == "per_position" and inputs == [""]:
        said = _said(_of_positions(x, read.y, tokens=tokens, notes=notes), inputs, name)
    x = each(
        lambda key, of: (
            shaped(of, said[key], name=called(name, key)) if key in said else _with_channels(of, notes, key)
        ),
        x,
    )
    images = are_pictures(said.get("") or seen(x))
    return Dataset(
        name=name, x=x, y=read.y, **read.named,
        part=None if codes is None else np.repeat(np.array(codes, "int8"), [len(x) for x in xs]),
        kind=said.get("", ""), kinds=said, value_range=(0.0, 255.0) if x.dtype == np.uint8 else None,
        notes=(*notes, *read.notes, *(alike(x) if images else ())),
    )  # fmt: skip


def _of_positions(x: np.ndarray, y: np.ndarray, *, tokens: bool, notes: list[str]) -> str | None:
    """Return the kind of examples whose positions have labels, where their own axes leave it open."""
    kind = {(3, 3): IMAGE, (2, 2): TOKENS if tokens else SERIES}.get((x.ndim, y.ndim))
    if kind is not None:
        notes.append(f"Examples of shape {x.shape[1:]} were taken for {plural(kind)}, for labels are {y.shape[1:]}.")
    return kind


def _said(kind: str | None, inputs: list[str], name: str) -> dict[str, str]:
    """Return the kinds that were said, by the name of the input; a single one has none."""
    if kind is None:
        return {}
    return {"": kind} if inputs == [""] else kinds_said(kind, inputs, name=name)


def _is_pair(thing: object) -> bool:
    return isinstance(thing, tuple | list) and len(thing) == 2


# --- examples --------------------------------------------------------------------------------------------------------


def _examples(x: object, where: str) -> np.ndarray:
    if isinstance(x, Mapping):
        return _by_name(x, where)
    x = as_array(x, where, "examples")
    if x.dtype == object and not any(isinstance(value, str | bytes) for value in x.flat):
        with contextlib.suppress(TypeError, ValueError):  # numbers of several kinds, as of a data frame
            x = x.astype("float64")
    if problem := no_numbers(x):
        raise ReglabError(f"{where}{problem}")
    return narrowed(x)


def _by_name(x: Mapping[Any, Any], where: str) -> np.ndarray:
    """Return the arrays of several inputs as one."""
    if not x or not all(isinstance(name, str) and name for name in x):
        raise ReglabError(
            f"{where}inputs are {few(x, 20) or 'none'}. Give a dict of arrays by the names of the model's inputs."
        )
    if any(isinstance(of, Mapping) for of in x.values()):
        raise ReglabError(f"{where}inputs are a dict of dicts. Give one dict of arrays, by the names of the inputs.")
    inputs = {name: _examples(of, f"{where}{name}: ") for name, of in x.items()}
    counts = {name: len(of) for name, of in inputs.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ReglabError(f"{where}inputs have different numbers of examples: {told}. Each example needs all of them.")
    return together({name: of.reshape(len(of), 1) if of.ndim == 1 else of for name, of in inputs.items()})


def _check_axes(name: str, x: np.ndarray) -> None:
    """Refuse images whose channels come first, which would be images of few rows and many channels."""
    if x.ndim == 4 and x.shape[1] in (1, 3, 4) and x.shape[-1] > 4 and x.shape[-2] > 4:
        raise ReglabError(
            f"{name}: examples have shape {x.shape[1:]}, which looks like {x.shape[1]} channels before height and "
            "width. Channels come last here: give x.transpose(0, 2, 3, 1). If these are no such images, make a "
            "reglab.Dataset(...) of them."
        )


def _with_channels(x: np.ndarray, notes: list[str], key: str = "") -> np.ndarray:
    """Return grey images with an axis for the channel; what else has three axes stays, and that is said."""
    if x.ndim != 3:
        return x
    height, width = x.shape[1:]
    of, option = (f"Examples of {key}, ", f"{key}=image") if key else ("Examples of ", "image")
    if x.dtype == np.uint8:
        notes.append(f"{of}{height}x{width} in uint8 were taken for grey images, and got an axis of one channel.")
        return x[..., np.newaxis]
    notes.append(
        f"{of}{height}x{width} in {x.dtype} were taken for series: {height} steps of {width} features. If they "
        f"are grey images, say kind='{option}' (--kind {option})."
    )
    return x


def _check_scales(name: str, xs: list[np.ndarray], where: list[str], notes: list[str]) -> None:
    """Compare the values of parts: training in uint8 and a test in float/255 is a mistake."""
    ends = [_ends(x) for x in xs]
    sizes = [max(-low, high) for low, high in ends]
    # Pixels in whole numbers beside some in [0, 1], or values that are far apart.
    whole = len({x.dtype.kind == "f" for x in xs}) > 1 and min(sizes) <= 1 < max(sizes)
    if min(sizes) <= 0 or not (whole or max(sizes) >= _FAR_APART * min(sizes)):
        return
    parts = "; ".join(
        f"{place.removeprefix(f'{name}: ')}{low:g} to {high:g} ({x.dtype})"
        for place, (low, high), x in zip(where, ends, xs, strict=True)
    )
    if xs[0].ndim == 4 or any(x.dtype == np.uint8 for x in xs):
        raise ReglabError(
            f"{name}: the parts differ in the range of their values ({parts}). Was one of them scaled? Give both alike."
        )
    notes.append(f"The parts differ in the range of their values ({parts}). Was one of them scaled?")


def _ends(x: np.ndarray) -> tuple[float, float]:
    chunks = [np.asarray(x[start : start + _CHUNK], "float64") for start in range(0, len(x), _CHUNK)]
    finite = [chunk[np.isfinite(chunk)] for chunk in chunks]  # what is not is told to the user later on
    finite = [chunk for chunk in finite if chunk.size] or [np.zeros(1)]
    return float(min(chunk.min() for chunk in finite)), float(max(chunk.max() for chunk in finite))
