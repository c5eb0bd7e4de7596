"""Several outputs: labels, losses and weights of each by its name, with one batch and one set of random draws.

Labels and losses are given by the names of outputs, as a dict, or in their order, as a list, as Keras takes them. Of
each output there is known what :class:`reglab.regularized.targets.Targets` knows of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from reglab.aliases import Loss, Tensor, Tensors
from reglab.errors import ReglabError, of_output
from reglab.keras_internals import is_graph, mask_of
from reglab.regularized.graph import inputs_of
from reglab.regularized.parts import Part
from reglab.regularized.targets import Targets, of_numbers
from reglab.strategies import Batch

__all__ = ["OutputTargets", "Shapes", "output_shapes", "targets_of"]

Shapes = Mapping[str, tuple[int | None, ...]]  # of outputs by name, batch first
_Change = Callable[[Batch], Batch]


def output_shapes(network: keras.Model) -> tuple[Shapes, bool] | None:
    """Return the shapes of a network's outputs by name, and whether it gives them as a dict.

    None where they are not known before it is run, or are nested deeper.
    """
    if not (is_graph(network) and inputs_of(network) and getattr(network, "outputs", None)):
        return None
    struct = network.outputs if isinstance(network, keras.Sequential) else network.output
    if isinstance(struct, dict):
        named = struct
    else:
        outputs = struct if isinstance(struct, list | tuple) else [struct]
        named = dict(zip(network.output_names, outputs, strict=True)) if len(outputs) > 1 else {"": outputs[0]}
    if any(isinstance(each, dict | list | tuple) for each in named.values()):
        return None
    return {name: tuple(tensor.shape) for name, tensor in named.items()}, isinstance(struct, dict)


def targets_of(
    loss: object, weights: object, parts: list[Part], outputs: tuple[Shapes, bool] | None
) -> Targets | OutputTargets:
    """Return what is known of labels from the loss and the loss weights that a model was compiled with.

    Args:
        loss: as given to ``compile``: one for all outputs, or one of each in a list or a dict.
        weights: the same of loss weights, or None.
        parts: the strategies at work.
        outputs: see :func:`output_shapes`.

    Raises:
        ReglabError: if a strategy needs to know more of the loss than there is to know.
    """
    if outputs is not None and (len(outputs[0]) > 1 or outputs[1]):
        return OutputTargets(loss, weights, parts, *outputs)
    return Targets(loss, parts, None if outputs is None else list(outputs[0].values()))


class OutputTargets:
    """What is known of the labels of several outputs; it answers what :class:`Targets` answers of one.

    Args:
        loss, weights, parts: see :func:`targets_of`.
        shapes: of the outputs by name, batch first.
        by_name: whether the model gives a dict of outputs, and not a list.

    Attributes:
        of: what is known of each output that has a loss.
        soft: the name of a strategy that makes distributions of labels, or None.
        loss, weights: as ``compile`` takes them where that is so.
    """

    binary = False  # of each output by itself

    def __init__(self, loss: object, weights: object, parts: list[Part], shapes: Shapes, by_name: bool) -> None:
        self._names, self._by_name = tuple(shapes), by_name
        losses = self._each_of(loss)
        self._factors = {name: float(value) for name, value in self._each_of(weights).items() if value is not None}
        for part in parts:
            if part.overrides("loss"):
                raise ReglabError(
                    f"{part.strategy.name} adds a term that compares what one output gives; the model has "
                    f"{len(self._names)} outputs, {', '.join(self._names)}. Leave it out of the recipe, or train the "
                    "outputs apart."
                )
        self.of = {
            name: _of_output(name, keras.losses.get(one), parts, shapes[name])
            for name, one in losses.items()
            if one is not None
        }
        self.soft = next((part.strategy.name for part in parts if part.strategy.soft_targets), None)
        softening = [part.strategy for part in parts if part.strategy.soft_targets]
        for strategy in softening:
            if self.of and all(targets.numbers and strategy.leaves_numbers for targets in self.of.values()):
                raise ReglabError(
                    f"{strategy.name} spreads labels over classes, and no output of the model has any: "
                    f"{', '.join(self._names)} are numbers to predict. Leave it out of the recipe."
                )
        self.loss, self.weights = self._compiled(loss, weights)

    def _each_of(self, given: object) -> dict[str, Any]:
        """Return what was given of each output, by its name: the same of all, where one thing was given."""
        if isinstance(given, dict) and "class_name" not in given:
            return {name: given.get(name) for name in self._names}
        if isinstance(given, list | tuple):
            return dict(zip(self._names, given, strict=False))
        return dict.fromkeys(self._names, given)

    def _compiled(self, loss: object, weights: object) -> tuple[Any, Any]:
        """Return losses in the structure in which they were given, or that of the outputs where there was one."""
        made = {name: self.of[name].loss if name in self.of else None for name in self._names}
        if isinstance(loss, dict) and "class_name" not in loss:
            return {name: made.get(name) for name in loss}, weights
        if isinstance(loss, list | tuple):
            return [made[name] for name in self._names], weights
        factors = None if weights is None else {name: self._factors.get(name, 1.0) for name in self._names}
        return self._like_outputs(made), None if factors is None else self._like_outputs(factors)

    def _like_outputs(self, values: Mapping[str, Any]) -> Any:
        return dict(values) if self._by_name else [values[name] for name in self._names]

    def _named(self, given: Tensors | None) -> dict[str, Any]:
        """Return what there is of each output, by its name, of a dict, a list, or one thing for all."""
        if isinstance(given, dict):
            return {name: given[name] for name in self._names if name in given}
        if isinstance(given, list | tuple):
            return dict(zip(self._names, given, strict=False))
        return dict.fromkeys(self._names, given)

    def _like(self, given: Tensors, values: Mapping[str, Any]) -> Any:
        """Return labels with some of them replaced, in the structure that they have."""
        changed = {**self._named(given), **values}
        if isinstance(given, dict):
            return {**given, **changed}
        return type(given)(changed[name] for name in self._names[: len(given)])

    # --- labels ----------------------------------------------------------------------------------------------------

    def soften(self, y: Tensors, y_pred: Tensors, weights: Tensors | None = None) -> tuple[Any, Any]:
        """Return labels of which those of soft outputs are distributions, and the weights of their losses."""
        labels, outputs, given = self._named(y), self._named(y_pred), self._named(weights)
        soft = [name for name, targets in self.of.items() if targets.soft and name in labels]
        made = {name: self.of[name].soften(labels[name], outputs[name], given.get(name)) for name in soft}
        softened = self._like(y, {name: labels for name, (labels, _) in made.items()})
        weighed = {name: of_name for name, (_, of_name) in made.items()}
        return softened, self._weights(weights, {**given, **weighed})

    def _weights(self, before: Tensors | None, after: Mapping[str, Any]) -> Any:
        """Return weights of losses: those of before where none of any output is another, else one of each."""
        given = self._named(before)
        if all(after.get(name) is given.get(name) for name in self._names):
            return before
        return self._like_outputs({name: after.get(name) for name in self._names})

    def on_batch(self, batch: Batch, part: Part, change: _Change) -> Batch:
        """Return a batch that a strategy changed: with the labels of each output in turn, and the same random draws.

        What changes labels alone is given those outputs that have what it acts on.
        """
        labels, weights = self._named(batch.y), self._named(batch.sample_weight)
        state, made = part.random.state, {}
        start = keras.ops.copy(state)
        for name in labels:
            targets = self.of.get(name)
            if part.strategy.soft_targets and (targets is None or (targets.numbers and part.strategy.leaves_numbers)):
                continue
            state.assign(start)
            independent = targets is not None and targets.binary
            made[name] = change(
                batch._replace(y=labels[name], sample_weight=weights.get(name), independent=independent)
            )
        if not made:
            return batch
        return batch._replace(
            x=next(iter(made.values())).x,
            y=self._like(batch.y, {name: each.y for name, each in made.items()}),
            sample_weight=self._weights(
                batch.sample_weight, {**weights, **{name: each.sample_weight for name, each in made.items()}}
            ),
        )

    def harden(self, y: Tensors) -> Any:
        """Return labels in the form the user gave them, for metrics."""
        labels = self._named(y)
        soft = [name for name, targets in self.of.items() if targets.soft and name in labels]
        return self._like(y, {name: self.of[name].harden(labels[name]) for name in soft})

    def check_labels(self, y: object) -> None:
        """Raise a ReglabError if labels that are at hand are none of an output's classes."""
        if not isinstance(y, dict | list | tuple):
            return
        for name, labels in self._named(y).items():
            if name in self.of:
                with of_output(name):
                    self.of[name].check_labels(labels)

    # --- losses ----------------------------------------------------------------------------------------------------

    def each(self, y: Tensors, y_pred: Tensors, weights: Tensors | None = None) -> Tensor:
        """Return the loss of each example, float32 ``(batch,)``: the sum over outputs, each times its loss weight."""
        labels, outputs, given = self._named(y), self._named(y_pred), self._named(weights)
        total = None
        for name, targets in self.of.items():
            values = targets.each(labels[name], outputs[name], given.get(name))
            values = self._factors.get(name, 1.0) * _per_example(values, outputs[name])
            total = values if total is None else total + values
        if total is None:
            raise ReglabError("The model has no loss. Give one to compile(loss=...).")
        return total

    def laid_out(self, y_pred: Tensors) -> Any:
        """Return outputs, with their masks, of which each loss has a gradient on every backend."""
        outputs = self._named(y_pred)
        return self._like(y_pred, {name: targets.laid_out(outputs[name]) for name, targets in self.of.items()})

    def distributions(self, y_pred: Tensors) -> Tensor:
        """Refuse: what compares distributions is of one output."""
        raise ReglabError("A strategy of the recipe compares the predictions of one output, and the model has several.")


def _of_output(name: str, loss: Loss, parts: list[Part], shape: tuple[int | None, ...]) -> Targets:
    """Return what is known of one output, from its loss, for the strategies that act on it."""
    numbers = of_numbers(loss)
    with of_output(name):
        return Targets(loss, [part for part in parts if not (numbers and part.strategy.leaves_numbers)], [shape])


def _per_example(values: Tensor, y_pred: Tensor) -> Tensor:
    """Return the mean loss of each example, as Keras takes it: of positions over those that no mask leaves out."""
    ops = keras.ops
    if len(values.shape) < 2:
        return values
    if (mask := mask_of(y_pred)) is not None:
        counted = ops.cast(mask, values.dtype)
        values = values * (ops.cast(ops.size(counted), values.dtype) / ops.maximum(ops.sum(counted), 1.0))
    return ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=-1)
