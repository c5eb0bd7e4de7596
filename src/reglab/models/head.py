"""The end of a model: what its outputs are, and whether they fit what is to be predicted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import Any, TypeAlias

import numpy as np

from reglab.aliases import Tensor, Tensors
from reglab.data.several import Shape, fed
from reglab.errors import ReglabError, of_output
from reglab.keras_internals import made_by, mask_of
from reglab.lazy import keras
from reglab.tasks import Activation, Head, Task, with_batch

__all__ = ["by_output", "check_output", "output_mask"]

Examples: TypeAlias = "np.ndarray | dict[str, np.ndarray]"  # of several inputs by name
_ROWS = 16
_MASKED = 32  # examples whose mask is asked for at a time
_SCALES = (1.0, 100.0)  # logits that lie in [0, 1] by chance leave it when the inputs grow; probabilities stay
_TOLERANCE = 1e-2  # ten probabilities rounded to bfloat16 sum to 1 within this


def check_output(model: keras.Model, *, task: Task, input_shape: Shape) -> Head:
    """Return what ``model`` ends in, after making sure that it takes the data's inputs and gives what is predicted.

    Whether the outputs are probabilities is read from the layer that gives them, a dense, convolution or activation
    layer with one of Keras' own activations. Where that does not say it (subclassed models, other functions), it is
    seen from the outputs for random inputs of two scales: rows in [0, 1], which sum to 1 if one of several classes is
    predicted.

    Args:
        model: a ``keras.Model``. One that is not built yet is built by the call.
        task: what is predicted.
        input_shape: the shape of one example, without the batch; of several inputs a dict of them by name.

    Raises:
        ReglabError: if the model does not fit, saying what it takes and gives and what the data has.

    Example:
        >>> from reglab.models import mlp
        >>> from reglab.tasks import SingleLabel
        >>> check_output(mlp((4,), 3), task=SingleLabel(classes=("a", "b", "c")), input_shape=(4,))
        Head(activation='softmax', outputs=3)
    """
    _check_input(model, input_shape, outputs=task.outputs)
    inputs = _looked_at(input_shape)
    zeros = _given(model, inputs[0])
    if not task.outputs:
        outputs = _only(zeros)
        task.check_shape(outputs.shape[1:])
        ending = _ending(*(getattr(model, "outputs", None) or ())) or _seen(model, inputs, outputs, _only)
        head = Head(ending, outputs.shape[-1])
    else:
        head = _of_outputs(model, zeros, inputs, task)
    task.check_head(head)
    return head


def by_output(model: keras.Model, given: Tensors) -> dict[str, Any]:
    """Return what a model gives, by the names of its outputs: its keys of a dict, else the names that Keras has.

    Raises:
        ReglabError: for outputs in an order, of a model that knows no names of them.
    """
    if isinstance(given, dict):
        return given
    several = list(given) if isinstance(given, list | tuple) else [given]
    names = getattr(model, "output_names", None)
    if not names or len(names) != len(several):
        raise ReglabError(
            f"The model gives {len(several)} outputs in an order, and no names of them. Let its call return a dict of "
            "outputs by name."
        )
    return dict(zip(names, several, strict=True))


def _of_outputs(model: keras.Model, zeros: Tensors, inputs: list[Any], task: Task) -> Head:
    """Return what a model with several outputs ends in."""
    found = by_output(model, zeros)
    if set(found) != set(task.outputs):
        raise ReglabError(
            f"The model has the outputs {', '.join(found)}; the data has labels of {', '.join(task.outputs)}. Give "
            "labels by the names of the model's outputs, of each of them."
        )
    symbolic = model.output if getattr(model, "outputs", None) else None
    tensors = {} if symbolic is None else by_output(model, symbolic)
    heads = {}
    for name, task_of in task.outputs.items():
        if task_of.takes_masks and mask_of(found[name]) is not None:
            raise ReglabError(
                f"Output {name} has a mask of the model's own, which leaves positions out, and with several outputs it "
                "is not known which. Give a model without it (mask_zero=False), and label -1 what does not count."
            )
        outputs = _array(found[name])
        with of_output(name):
            task_of.check_shape(outputs.shape[1:])
            ending = _ending(*([tensors[name]] if name in tensors else ())) or _seen(
                model, inputs, outputs, _taken(model, name)
            )
            heads[name] = Head(ending, outputs.shape[-1])
            task_of.check_head(heads[name])
    first = next(iter(heads.values()))
    return Head(first.activation, sum(head.outputs for head in heads.values()), heads)


def output_mask(model: keras.Model, x: np.ndarray) -> np.ndarray | None:
    """Return which positions of the outputs count by the model's own mask, as of padding; None where it has none.

    Args:
        model: a ``keras.Model``.
        x: preprocessed inputs.
    """
    if mask_of(model(fed(x[:1]), training=False)) is None:
        return None
    masks = (mask_of(model(fed(x[start : start + _MASKED]), training=False)) for start in range(0, len(x), _MASKED))
    return np.concatenate([np.asarray(keras.ops.convert_to_numpy(mask), bool) for mask in masks])


def _taken(model: keras.Model, name: str) -> Callable[[Any], np.ndarray]:
    """Return what takes an output out of what a model gives."""
    return lambda given: _array(by_output(model, given)[name])


def _check_input(model: keras.Model, input_shape: Shape, *, outputs: Collection[str]) -> None:
    inputs, given = (getattr(model, name, None) or () for name in ("inputs", "outputs"))
    if len(given) > 1 and not outputs:
        names = ", ".join(by_output(model, model.output))
        raise ReglabError(
            f"The model has {len(given)} outputs ({names}), and the data has labels of one. Give labels as a dict of "
            "arrays by these names, or a model with one output."
        )
    if isinstance(input_shape, dict):
        _check_inputs({tensor.name: tuple(tensor.shape)[1:] for tensor in inputs}, input_shape)
        return
    if len(inputs) > 1:
        names = ", ".join(tensor.name for tensor in inputs)
        raise ReglabError(
            f"The model has {len(inputs)} inputs ({names}), and the data has one array. Give x as a dict of arrays by "
            "these names, or a model with one input."
        )
    if inputs and not _fits(tuple(inputs[0].shape)[1:], input_shape):
        raise ReglabError(
            f"The model takes inputs of shape {with_batch(inputs[0].shape[1:])}; the data has "
            f"{with_batch(input_shape)}. Build it for that shape, or read images in another size (image_size) or "
            "color_mode."
        )


def _check_inputs(taken: dict[str, tuple[int | None, ...]], given: dict[str, tuple[int, ...]]) -> None:
    """Raise a ReglabError unless a model takes inputs of these names and shapes; of one that knows none, nothing is."""
    if taken and taken.keys() != given.keys():
        raise ReglabError(
            f"The model takes {', '.join(taken)}; the data has {', '.join(given)}. Give the arrays of x by the names "
            "of the model's inputs (keras.Input(..., name=...)), and no others."
        )
    for name, shape in taken.items():
        if not _fits(shape, given[name]):
            raise ReglabError(
                f"The model takes {name} of shape {with_batch(shape)}; the data has {with_batch(given[name])}. Build "
                "it for that shape."
            )


def _made(shape: Shape, make: Callable[[tuple[int, ...]], np.ndarray]) -> Examples:
    """Return an array for a shape of examples, or a dict of them for several inputs."""
    return {name: make(of) for name, of in shape.items()} if isinstance(shape, dict) else make(shape)


def _scaled(x: Examples, scale: float) -> Examples:
    return {name: scale * of for name, of in x.items()} if isinstance(x, dict) else scale * x


def _told(x: Examples) -> str:
    if isinstance(x, dict):
        return ", ".join(f"{name} {with_batch(of.shape[1:])}" for name, of in x.items())
    return with_batch(x.shape[1:])


def _fits(expected: tuple[int | None, ...], given: tuple[int, ...]) -> bool:
    same = len(expected) == len(given)
    return same and all(want in (None, have) for want, have in zip(expected, given, strict=True))


def _looked_at(input_shape: Shape) -> list[Any]:
    """Return inputs that a model is looked at with: zeros, and random numbers of two scales."""
    random = np.random.default_rng(0)
    x = _made(input_shape, lambda shape: random.normal(size=(_ROWS, *shape)).astype("float32"))
    zeros = _made(input_shape, lambda shape: np.zeros((2, *shape), "float32"))
    return [zeros, *(_scaled(x, scale) for scale in _SCALES)]


def _given(model: keras.Model, x: Examples) -> Any:
    """Return what a model gives for a batch, in inference mode."""
    try:
        return model(x, training=False)
    except ReglabError:
        raise
    except Exception as error:
        raise ReglabError(
            f"The model cannot take inputs of shape {_told(x)}: {type(error).__name__}: {error}"
        ) from error


def _only(outputs: Any) -> np.ndarray:
    """Return the outputs of a model that has one, as float32."""
    if isinstance(outputs, list | tuple) and len(outputs) == 1:
        outputs = outputs[0]
    if not keras.ops.is_tensor(outputs):
        raise ReglabError(
            f"The model returns {type(outputs).__name__}; one tensor of predictions is expected. Give a model with one "
            "output."
        )
    return _array(outputs)


def _array(outputs: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32")))


def _ending(*outputs: Tensor) -> Activation | None:
    """Return the activation that a symbolic output comes from, or None where its layer does not say it."""
    layer: Any = None
    while len(outputs) == 1:  # a model may end in a model
        layer, _ = made_by(outputs[0])
        outputs = tuple(getattr(layer, "outputs", None) or ())
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    if isinstance(layer, keras.layers.TimeDistributed):
        layer = layer.layer
    if not isinstance(layer, _ending_layers()):
        return None
    activations = keras.activations
    # By identity: the name of tf.nn.softmax is softmax_v2, and a user's softmax may be anything.
    known: dict[Any, Activation] = {
        activations.softmax: "softmax",
        activations.sigmoid: "sigmoid",
        activations.linear: "linear",
    }
    return known.get(layer.activation)


def _ending_layers() -> tuple[type[keras.Layer], ...]:
    """Return the layers of Keras whose outputs are what their activation gives."""
    layers = keras.layers
    convolutions = (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.SeparableConv1D, layers.SeparableConv2D)
    transposed = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
    return (layers.Dense, layers.Activation, layers.EinsumDense, *convolutions, *transposed)


def _seen(
    model: keras.Model, inputs: list[Any], outputs: np.ndarray, taken: Callable[[Any], np.ndarray]
) -> Activation:  # fmt: skip
    """Return what an output looks like, given for zeros, that it stays in [0, 1] for other inputs, and sums to 1.

    ``taken`` gives it of what the model gives.
    """
    # An embedding takes the zeros and refuses other numbers, or gives NaN for them.
    with contextlib.suppress(ReglabError):
        outputs = np.concatenate([outputs, *(taken(_given(model, x)) for x in inputs[1:])])
    outputs = outputs[np.isfinite(outputs).all(axis=-1)]
    if not ((outputs >= 0) & (outputs <= 1)).all():
        return "linear"
    if outputs.shape[1] > 1 and np.allclose(outputs.sum(axis=-1), 1, atol=_TOLERANCE):
        return "softmax"
    return "sigmoid" if outputs.any() else "linear"  # a sigmoid is nowhere 0 for all; a layer that begins with zeros is
