"""Pipelines, ``tf.data.Dataset`` and ``keras.utils.PyDataset``: read to their end, into arrays."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from reglab.data.dataset import PLACES
from reglab.data.labels import class_indices
from reglab.data.listing import few
from reglab.errors import ReglabError

__all__ = ["Pipeline", "Steps", "are_pipelines", "read_pipelines"]

_INFINITE, _UNKNOWN = -1, -2  # what cardinality() says of a tf.data pipeline, tf.data.INFINITE_CARDINALITY and so on
_COMPARED = 8  # examples that are read twice: 1 of 40,320 orders of them is theirs


class Pipeline(Protocol):
    """A ``tf.data.Dataset``."""

    @property
    def element_spec(self) -> Any: ...
    def as_numpy_iterator(self) -> Any: ...
    def cardinality(self) -> Any: ...


class Steps(Protocol):
    """A ``keras.utils.PyDataset``."""

    @property
    def num_batches(self) -> int | None: ...
    def on_epoch_end(self) -> None: ...
    def __getitem__(self, index: int, /) -> Any: ...


def _of_tensorflow(thing: object) -> bool:
    return hasattr(thing, "as_numpy_iterator") and hasattr(thing, "element_spec")


def _of_keras(thing: object) -> bool:
    return any(each.__name__ == "PyDataset" for each in type(thing).__mro__)


def _is_pipeline(thing: object) -> bool:
    return _of_tensorflow(thing) or _of_keras(thing)


def are_pipelines(source: object) -> bool:
    """Whether data is a pipeline of examples with their labels, or one for each part.

    >>> are_pipelines(([1, 2], [0, 1]))
    False
    """
    return _is_pipeline(source) or (
        isinstance(source, tuple | list) and bool(source) and all(map(_is_pipeline, source))
    )


def read_pipelines(source: Any, *, memory_limit: int) -> tuple[tuple[Any, ...], list[str]]:
    """Return what pipelines hold as :func:`reglab.data.arrays.from_arrays` takes it, and what was assumed.

    A pipeline whose examples come in another order each time (``shuffle``) is put into an order that its examples
    decide, so that the same ones are the same study. Class names that Keras put into ``class_names`` take the place of
    indices.

    Args:
        source: one pipeline; or those of training and test, with validation between if there are three.
        memory_limit: bytes after which a pipeline is given up of which nobody knows whether it ends.

    Raises:
        ReglabError: for a pipeline that does not end, or whose elements are no examples with their labels.
    """
    pipelines = [source] if _is_pipeline(source) else list(source)
    if len(pipelines) not in PLACES:
        raise ReglabError(
            f"Given were {len(pipelines)} pipelines. Give one, or those of train and test, with validation between if "
            "there are three."
        )
    places = PLACES[len(pipelines)]
    for pipeline, place in zip(pipelines, places, strict=True):
        _check(pipeline, place)  # all of them before one is read
    said: list[str] = []
    pairs = [_read(each, place, memory_limit, said) for each, place in zip(pipelines, places, strict=True)]
    names = next(filter(None, map(_class_names, pipelines)), None)
    if names is not None:
        pairs = [(x, _in_words(y, names, place)) for (x, y), place in zip(pairs, places, strict=True)]
        unseen = sorted(set(names).difference(*(y for _, y in pairs)))
        said += [f"No example is of {few(unseen)}, which class_names of the pipeline has."] if unseen else []
    return (pairs[0] if len(pairs) == 1 else tuple(pairs)), said


def _check(pipeline: Any, place: str) -> None:
    """Raise a ReglabError for a pipeline that cannot be read, as far as that can be seen without reading it."""
    if _of_keras(pipeline):
        try:
            count = pipeline.num_batches
        except NotImplementedError:
            raise ReglabError(
                f"{place}the {type(pipeline).__name__} does not say how many batches it has. Define num_batches."
            ) from None
        endless = count is None
    else:
        endless = int(pipeline.cardinality()) == _INFINITE
        _check_elements(pipeline.element_spec, place)
    if endless:
        raise ReglabError(
            f"{place}the pipeline has no end (repeat()), and a study needs a fixed set of examples. Leave repeat() "
            "out, or cut it: pipeline.take(number of elements)."
        )


def _check_elements(spec: Any, place: str) -> None:
    if isinstance(spec, Mapping):
        raise ReglabError(
            f"{place}an element of the pipeline is a dict of {few(spec, 20)}. Give examples with their labels: "
            "pipeline.map(lambda each: (each['image'], each['label'])), by the names that these have; or "
            "as_supervised=True, where TensorFlow Datasets made it."
        )
    count = len(spec) if isinstance(spec, tuple | list) else 1
    if count == 3:
        raise ReglabError(
            f"{place}an element of the pipeline is (x, y, weight). Give weights of examples as sample_weight of the "
            "study, and the pipeline without them: pipeline.map(lambda x, y, weight: (x, y))."
        )
    if count != 2:
        raise ReglabError(
            f"{place}an element of the pipeline is {'one thing' if count == 1 else f'{count} things'}. Give examples "
            "with their labels, (x, y)."
        )
    for part, what in zip(spec, ("examples", "labels"), strict=True):
        for each in _leaves(part):
            if isinstance(each, tuple | list | Mapping):
                raise ReglabError(
                    f"{place}{what} of the pipeline are a {type(each).__name__} of several. Give a dict of arrays by "
                    "the names of the model's inputs or outputs: pipeline.map(lambda x, y: ({'photo': x[0]}, y))."
                )
            if type(each).__name__ != "TensorSpec":
                raise ReglabError(
                    f"{place}{what} of the pipeline are {type(each).__name__.removesuffix('Spec')}, and no array. Make "
                    "them dense and of one shape: to_tensor(), padded_batch, tf.sparse.to_dense."
                )


def _leaves(part: Any) -> list[Any]:
    return list(part.values()) if isinstance(part, Mapping) else [part]


def _each(part: Any, change: Callable[[Any], Any]) -> Any:
    return {name: change(leaf) for name, leaf in part.items()} if isinstance(part, Mapping) else change(part)


# --- reading ---------------------------------------------------------------------------------------------------------


def _read(pipeline: Any, place: str, memory_limit: int, said: list[str]) -> tuple[Any, Any]:
    of_keras = _of_keras(pipeline)
    batched = of_keras or _batched(pipeline.element_spec, place, said)
    limit = memory_limit if not of_keras and int(pipeline.cardinality()) == _UNKNOWN else None
    elements = _elements(pipeline, place, limit)
    if not elements:
        raise ReglabError(f"{place}the pipeline has no elements. Was it cut (take, skip), or is its folder empty?")
    x, y = (
        _joined([each[i] for each in elements], place, what, batched) for i, what in ((0, "examples"), (1, "labels"))
    )
    return _in_one_order(pipeline, elements, x, y, place, batched, said)


def _in_one_order(
    pipeline: Any, elements: list[tuple[Any, Any]], x: Any, y: Any, place: str, batched: bool, said: list[str]
) -> tuple[Any, Any]:
    """Return examples and labels in an order that is the same in every reading, and say where that is not theirs."""
    if len({len(leaf) for part in (x, y) for leaf in _leaves(part)}) > 1:
        return x, y  # an error of arrays
    first = len(_digests(elements[:1], batched))
    some = -(-_COMPARED // max(first, 1))
    again = _digests(list(itertools.islice(_iterated(pipeline, place), some)), batched)
    if again == _digests(elements[:some], batched):
        return x, y
    found = _digests(elements, batched)
    if not set(again) <= set(found):
        said.append(
            f"{place}The pipeline gives other examples each time it is read, as with random transforms; those of one "
            "reading are used in all epochs. Leave such transforms out, and give them as a recipe: augmentation."
        )
        return x, y
    said.append(
        f"{place}The pipeline shuffles, so its examples were put into an order that their content decides: the same "
        "ones are the same study."
    )
    order = np.argsort(np.array(found), kind="stable")
    return _each(x, lambda leaf: leaf[order]), _each(y, lambda leaf: leaf[order])


def _digests(elements: Sequence[tuple[Any, Any]], batched: bool) -> list[str]:
    """Return a hash of the content of each example with its labels."""
    found = []
    for element in elements:
        leaves = [
            np.asarray(leaf) if batched else np.asarray(leaf)[np.newaxis] for part in element for leaf in _leaves(part)
        ]
        for i in range(len(leaves[0])):
            digest = hashlib.sha256()
            for leaf in leaves:
                digest.update(repr(leaf[i].tolist()).encode() if leaf.dtype == object else leaf[i].tobytes())
            found.append(digest.hexdigest())
    return found


def _class_names(pipeline: Any) -> list[str] | None:
    """Return the names of the classes, in the order of their indices, where Keras left them."""
    indices = getattr(pipeline, "class_indices", None)  # of flow_from_directory
    if isinstance(indices, Mapping):
        return sorted(map(str, indices), key=lambda name: int(indices[name]))
    names = getattr(pipeline, "class_names", None)
    return list(map(str, names)) if isinstance(names, list | tuple) and names else None


def _in_words(y: Any, names: list[str], place: str) -> Any:
    """Return labels by the names of their classes."""
    if isinstance(y, Mapping) or y.ndim > 2 or y.dtype.kind not in "uif":
        raise ReglabError(
            f"{place}the pipeline has class_names, and labels that are no class indices or one-hot rows. Delete one of "
            "them: del pipeline.class_names."
        )
    indices = class_indices(y, place or "labels")[0] if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1)
    if not np.isin(indices, np.arange(len(names))).all():
        wrong = indices[~np.isin(indices, np.arange(len(names)))][0]
        raise ReglabError(
            f"{place}the label {wrong} is none of the {len(names)} class_names of the pipeline, which are of 0 to "
            f"{len(names) - 1}."
        )
    return np.array(names)[indices.astype("int64")]


def _iterated(pipeline: Any, place: str) -> Iterator[tuple[Any, Any]]:
    """Yield the elements as pairs of arrays."""
    held: Iterable[Any] = (
        (pipeline[i] for i in range(pipeline.num_batches)) if _of_keras(pipeline) else pipeline.as_numpy_iterator()
    )
    for each in held:
        if not isinstance(each, tuple | list) or len(each) != 2:
            _check_elements(each, place)
        yield each[0], each[1]


def _elements(pipeline: Any, place: str, limit: int | None) -> list[tuple[Any, Any]]:
    found, size = [], 0
    for each in _iterated(pipeline, place):
        found.append(each)
        size += sum(np.asarray(leaf).nbytes for part in each for leaf in _leaves(part))
        if limit is not None and size > limit:
            raise ReglabError(
                f"{place}the pipeline does not say how many elements it has, and no end was seen after {len(found):,} "
                f"of them, {size / 1e6:,.0f} MB. Cut it (pipeline.take(number)), say that there is an end "
                "(pipeline.apply(tf.data.experimental.assert_cardinality(number))), or read more of it: "
                "reglab.load(pipeline, memory_limit=bytes)."
            )
    return found


def _batched(spec: Any, place: str, said: list[str]) -> bool:
    """Whether elements are batches: their labels have an axis that their examples have too."""
    shapes = [each.shape for part in spec for each in _leaves(part)]
    if any(shape.rank is None for shape in shapes):
        raise ReglabError(
            f"{place}the pipeline does not say which shapes its elements have, so whether they are batches cannot be "
            "seen. Say them: pipeline.map(lambda x, y: (tf.ensure_shape(x, ...), tf.ensure_shape(y, ...)))."
        )
    if any(shape.rank == 0 for shape in shapes):
        return False
    firsts = {shape[0] for shape in shapes}
    if len(firsts) > 1:
        return False
    count = firsts.pop()
    if count is None:
        return True
    if _axes(spec[0]) < 2:
        return False  # examples are rows, and labels as long as they are
    said.append(
        f"{place}Elements of the pipeline were taken for batches of {count}, for examples and labels are as many. If "
        "each is one example, batch them: pipeline.batch(32)."
    )
    return True


def _axes(part: Any) -> int:
    """Return the smallest number of axes of what is fed together."""
    return min(each.shape.rank for each in _leaves(part))


def _joined(parts: Sequence[Any], place: str, what: str, batched: bool) -> Any:
    """Return elements as one array, or a dict of them by name."""
    if isinstance(parts[0], Mapping):
        return {name: _joined([each[name] for each in parts], place, f"{what} {name}", batched) for name in parts[0]}
    arrays = [np.asarray(each) for each in parts]
    shapes = {each.shape[1:] if batched else each.shape for each in arrays}
    if len(shapes) > 1:
        told = few(sorted(map(str, shapes)))
        raise ReglabError(
            f"{place}{what} of the pipeline have shapes {told}, and a study needs one. Resize or fill them up to one "
            "shape, in all batches."
        )
    return np.concatenate(arrays) if batched else np.stack(arrays)
