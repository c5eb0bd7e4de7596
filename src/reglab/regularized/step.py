"""One training step, as far as it is not Keras' own: the batch, the forward pass, the penalties.

``reglab.strategies.base`` shows the step in pseudocode.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np

from reglab import backends
from reglab.aliases import Tensor, Tensors
from reglab.errors import ReglabError
from reglab.keras_internals import forget_losses_in, mask_of
from reglab.regularized.fitted import Fitted
from reglab.regularized.inputs import looks_up
from reglab.regularized.optimizer import unscaled
from reglab.regularized.parts import Part, random_states
from reglab.regularized.placing import at_inputs
from reglab.regularized.roles import places_of, weights_by_role
from reglab.regularized.terms import Context, with_terms
from reglab.strategies import Batch, InputRange, ModelInput, Strategy, Weight

__all__ = ["Step", "takes_training"]

_NOT_DENSE = {"SparseTensor", "RaggedTensor", "BCOO"}  # of TensorFlow and JAX; where it is not used, it is not imported


class Step:
    """What a training step of ``RegularizedModel`` does before and inside Keras' own.

    The class it is mixed into is a ``keras.Model`` that has these attributes.
    """

    network: keras.Model
    fitted: Fitted
    variables: list[keras.Variable]
    trainable_variables: list[keras.Variable]
    non_trainable_variables: list[keras.Variable]
    optimizer: keras.optimizers.Optimizer
    add_loss: Callable[[Tensor], None]
    _held: SimpleNamespace

    def _prepare(self, data: Tensors) -> tuple[Tensors, Tensors, Tensor | None]:
        """Turn a batch into the one that Keras' training step gets: augmented, mixed, attacked."""
        self._held.traces += 1
        batch = Batch(*(_tensors(part) for part in keras.utils.unpack_x_y_sample_weight(data)))
        parts, targets, given = self._held.parts, self._held.targets, batch.y
        self._check_batch(batch)
        if targets.soft:
            batch = self._softened(batch)
        input_range, each_its_own = self.fitted.input_range(), True
        for part in parts:
            if part.overrides("on_batch"):
                before = keras.tree.flatten(batch.y)
                batch = self._changed(part, batch, input_range)
                softened = part.strategy.soft_targets and not part.strategy.changes_inputs
                same = all(now is was for now, was in zip(keras.tree.flatten(batch.y), before, strict=True))
                each_its_own = each_its_own and (same or softened)
        for part in parts:
            if part.overrides("perturb_inputs"):
                batch = batch._replace(x=self._perturbed(part, batch, input_range))
        self._held.offsets = self._weight_offsets(batch)
        # What the loss gets, and what metrics get in place of it.
        seen = (given if each_its_own else targets.harden(batch.y)) if targets.soft else batch.y
        self._held.labels = (batch.y, seen)
        return batch.x, batch.y, batch.sample_weight

    def _changed(self, part: Part, batch: Batch, input_range: InputRange | None) -> Batch:
        """Return what a strategy makes of a batch."""

        def change(given: Batch) -> Batch:
            return part.strategy.on_batch(given, part.strengths, part.random, input_range)

        return self._held.targets.on_batch(batch, part, change)

    def _softened(self, batch: Batch) -> Batch:
        """Return a batch whose labels are distributions."""
        targets = self._held.targets
        output = self._output(batch.x)
        if self._held.masked and any(part.strategy.changes_inputs for part in self._soft()):
            raise ReglabError(
                f"{targets.soft} mixes examples position by position, and the model's own mask leaves other positions "
                f"out of each. Leave {targets.soft} out of the recipe."
            )
        y, weights = targets.soften(batch.y, output, batch.sample_weight)
        return batch._replace(y=y, sample_weight=weights, independent=targets.binary)

    def _soft(self) -> list[Part]:
        return [part for part in self._held.parts if part.strategy.soft_targets]

    def _check_batch(self, batch: Batch) -> None:
        """Raise a ReglabError where the first batch shows that a strategy cannot act on such data."""
        if is_nested(batch.x):
            return
        acting = [part.strategy.name for part in self._held.parts if part.strategy.acts_on_inputs]
        if acting and type(batch.x).__name__ in _NOT_DENSE:
            raise ReglabError(
                f"{acting[0]} changes the numbers that the model is given, and they are sparse or ragged "
                f"({type(batch.x).__name__}). Give an array (x.toarray()), or leave {acting[0]} out of the recipe."
            )
        labels = [each for each in keras.tree.flatten(batch.y) if each is not None]
        if not labels:
            return
        given = ModelInput(tuple(batch.x.shape), indices=looks_up(self.network, batch.x))
        for part in self._held.parts:
            if given.indices:
                part.strategy.check_input(given)
            for each in labels:
                part.strategy.check_targets(given, tuple(each.shape))

    def changed_inputs(self, x: np.ndarray, y: Tensors) -> list[tuple[Strategy, Tensor]]:
        """Return what each strategy that changes inputs makes of a batch, each by itself, for people to look at."""
        batch, input_range = Batch(keras.ops.convert_to_tensor(x), y), self.fitted.input_range()
        if self._held.targets.soft:  # whoever does it, the loss takes them so
            batch = self._softened(batch)
        found = []
        for part in self._held.parts:
            if part.overrides("on_batch") and part.strategy.changes_inputs:
                found.append((part.strategy, self._changed(part, batch, input_range).x))
            if part.overrides("perturb_inputs"):
                found.append((part.strategy, self._perturbed(part, batch, input_range)))
            if "input" in part.strategy.places and part.overrides("on_activation"):
                found.append((part.strategy, at_inputs(part, batch.x)))
        return found

    def _perturbed(self, part: Part, batch: Batch, input_range: InputRange | None) -> Tensor:
        weights = batch.sample_weight

        def gradient(x: Tensor, which: slice) -> Tensor:
            y = keras.tree.map_structure(lambda of_all: of_all[which], batch.y)
            if weights is None or (not is_nested(weights) and len(weights.shape) < 2):
                return self.input_gradient(x, y)  # of examples they only scale a gradient
            counts = keras.tree.map_structure(lambda of_all: None if of_all is None else of_all[which], weights)
            return self.input_gradient(x, y, lambda y, y_pred: self._held.targets.each(y, y_pred, counts))

        x = part.strategy.perturb_inputs(batch.x, gradient, part.strengths, part.random, input_range)
        return keras.ops.stop_gradient(x)

    def input_gradient(self, x: Tensor, y: Tensor, each: Callable[[Tensor, Tensor], Tensor] | None = None) -> Tensor:
        """Return the gradient, shaped as ``x``, of a summed loss with respect to inputs, in inference mode.

        Nothing moves: neither statistics of BatchNormalization nor random streams.

        Args:
            x: inputs.
            y: their labels.
            each: from labels and outputs to a loss an example; by default the data loss.
        """
        each = each or self._held.targets.each

        def loss(x: Tensor) -> Tensor:
            with self._frozen_scope():
                return keras.ops.sum(each(y, self._forward(x, training=False)))

        return backends.adapter().gradient(loss, x)

    def _weight_offsets(self, batch: Batch) -> list[Tensor] | None:
        """Return what is added to each trainable weight for the next forward pass, if a strategy asks for it."""
        parts = [part for part in self._held.parts if part.strategy.perturbs_weights]
        if not parts:
            return None
        weights = self.network.trainable_variables

        def loss(values: list[Any]) -> Tensor:
            with self._frozen_scope(zip(weights, values, strict=True)):
                y_pred = self._forward(batch.x, training=True)
                return keras.ops.sum(self._held.targets.each(batch.y, y_pred, batch.sample_weight))

        gradients = backends.adapter().gradient(loss, [keras.ops.convert_to_tensor(weight) for weight in weights])
        offsets = [keras.ops.zeros_like(gradient) for gradient in gradients]
        for part in parts:
            added = part.strategy.perturb_weights(gradients, self._weights(), part.strengths)
            offsets = [offset + more for offset, more in zip(offsets, added, strict=True)]
        return [keras.ops.stop_gradient(offset) for offset in offsets]

    def _frozen_scope(self, values: Iterable[tuple[keras.Variable, Tensor]] = ()) -> keras.StatelessScope:
        """Return a scope in which the model can be run without anything moving, with some variables at other values."""
        mapping = {id(v): (v, v.value) for v in self.variables}
        mapping.update({id(v): (v, value) for v, value in values})
        return keras.StatelessScope(state_mapping=list(mapping.values()))

    def _forward(self, x: Tensors, *, training: bool) -> Tensors:
        """Run the network, with what acts at its input and on its weights in training."""
        for position, part in enumerate(self._held.parts):
            if part.strategy.preprocesses:
                x = part.strategy.preprocess(x, self.fitted.of(position))
        if training:
            for part in self._held.parts:
                if "input" in part.strategy.places:
                    x = at_inputs(part, x)
        moved = self._moved_weights() if training else self._evaluated_weights()
        return self._run(x, training=training) if moved is None else self._run_with(x, moved, training=training)

    def _run(self, x: Tensors, *, training: bool) -> Tensors:
        return self.network(x, training=training) if self._held.takes_training else self.network(x)

    def _moved_weights(self) -> list[tuple[keras.Variable, Tensor]] | None:
        """Return the values that weights have in this pass alone: noisy, or moved by a gradient."""
        noisy = [part for part in self._held.parts if part.overrides("forward")]
        bound = [part for part in self._held.parts if part.overrides("reparametrize")]
        offsets = self._held.offsets
        if not self._adds_terms():  # for which the network may be run again
            self._held.offsets = None
        if not noisy and not bound and offsets is None:
            return None
        weights = self.network.trainable_variables
        values = {id(weight): keras.ops.convert_to_tensor(weight) for weight in weights}

        def offset_by(given: list[Tensor]) -> None:
            for weight, offset in zip(weights, given, strict=False):
                values[id(weight)] = values[id(weight)] + keras.ops.cast(offset, values[id(weight)].dtype)

        if bound:  # what is moved is the weight that the optimizer moves
            offset_by(offsets or [])
            self._reparametrize(values, training=True)
        kernels = [weight for weight, place in weights_by_role(self.network) if place.kind == "kernel"]
        for part in noisy:
            for weight in kernels:
                values[id(weight)] = part.strategy.forward(values[id(weight)], part.strengths, part.random)
        if not bound:
            offset_by(offsets or [])
        return [(weight, values[id(weight)]) for weight in weights]

    def _evaluated_weights(self) -> list[tuple[keras.Variable, Tensor]] | None:
        """Return the values that weights have at evaluation, or None where they are those that are trained."""
        if not any(part.overrides("reparametrize") for part in self._held.parts):
            return None
        weights = self.network.trainable_variables
        values = {id(weight): keras.ops.convert_to_tensor(weight) for weight in weights}
        self._reparametrize(values, training=False)
        return [(weight, values[id(weight)]) for weight in weights]

    def _reparametrize(self, values: dict[int, Tensor], *, training: bool) -> None:
        """Give weights, by their identity, the values that they have wherever the network is run."""
        for part in self._held.parts:
            if part.overrides("reparametrize"):
                for weight, place in places_of(self.network):
                    values[id(weight)] = part.strategy.reparametrize(
                        values[id(weight)], place, part.strengths, training=training
                    )

    def _run_with(self, x: Tensors, weights: list[tuple[keras.Variable, Tensor]], *, training: bool) -> Tensors:
        """Run the network with other weights, and keep what the pass did to its other state."""
        before = {id(v): (v, v.value) for v in self.variables}
        before.update({id(v): (v, value) for v, value in weights})
        with keras.StatelessScope(state_mapping=list(before.values()), collect_losses=True) as scope:
            y = self._run(x, training=training)
            losses = list(scope.losses)
        for variable in self.non_trainable_variables:
            after = scope.get_current_value(variable)
            if after is not before[id(variable)][1]:
                variable.assign(after)
        forget_losses_in(self.network)  # they are this model's now
        for loss in losses:
            self.add_loss(loss)
        return y

    def _penalty(self) -> Tensor | None:
        """Return the sum of all penalties on weights, in float32, or None."""
        total = None
        for part in self._held.parts:
            for weight, place in weights_by_role(self.network):
                if part.strategy.penalizes(place.kind):
                    value = keras.ops.cast(keras.ops.convert_to_tensor(weight), "float32")
                    term = part.strategy.penalty(value, place, part.strengths)
                    total = term if total is None else total + term
        return total

    # --- the loss, its gradient, and what comes after the update ----------------------------------------------------

    def _weights(self) -> list[Weight]:
        return [Weight(keras.ops.convert_to_tensor(weight), place) for weight, place in places_of(self.network)]

    def _adds_terms(self) -> bool:
        return any(part.overrides("loss") for part in self._held.parts)

    def _with_terms(self, loss: Tensor, x: Tensor, y: Tensor, y_pred: Tensor, sample_weight: Tensor | None) -> Tensor:
        """Return the loss of a batch in training with the terms that strategies add to it."""
        context = Context(x, y, y_pred, sample_weight, self._weights(), self._held.targets, self._run_again)
        loss = with_terms(loss, self._held.parts, context)
        self._held.offsets = None
        return loss

    def _run_again(self, x: Tensors, training: bool) -> Tensors:
        """Run the network without moving anything; in training random streams move, so that draws are other ones."""
        with self._frozen_scope() as scope:
            y = self._forward(x, training=training)
        if training:
            for state in (*(part.random.state for part in self._held.parts), *random_states(self.network)):
                state.assign(scope.get_current_value(state))
        return y

    def _on_gradients(self, gradients: list[Tensor], variables: list[keras.Variable] | None) -> list[Tensor]:
        """Return the gradients that the optimizer goes by; called by it, in whatever scope it steps."""
        variables = self.trainable_variables if variables is None else variables
        places = {id(weight): place for weight, place in places_of(self.network)}
        there = [at for at, gradient in enumerate(gradients) if gradient is not None]
        with self._values_around(variables):
            weights = [Weight(keras.ops.convert_to_tensor(variables[at]), places[id(variables[at])]) for at in there]
            given = [gradients[at] for at in there]
            for part in self._held.parts:
                if part.overrides("on_gradients"):
                    given = part.strategy.on_gradients(given, weights, part.strengths)
        changed = dict(zip(there, given, strict=True))
        return [changed.get(at) for at in range(len(gradients))]

    def _values_around(self, variables: list[keras.Variable]) -> AbstractContextManager[object]:
        """Return a scope with the values that variables have in a step, where an optimizer knows its own alone."""
        if self._held.around is None:
            return contextlib.nullcontext()
        own = [(variable, variable.value) for variable in (*variables, *unscaled(self.optimizer).variables)]
        return keras.StatelessScope(state_mapping=[*self._held.around, *own])

    def _acts_after_update(self) -> bool:
        return any(part.overrides("after_update") or part.overrides("next_state") for part in self._held.parts)

    def _after_update(self) -> None:
        """Let strategies change the updated weights, and what they keep."""
        for part in self._held.parts:
            if part.overrides("after_update"):
                weights = self._weights()
                changed = part.strategy.after_update(weights, part.strengths)
                for (variable, _), weight, value in zip(places_of(self.network), weights, changed, strict=True):
                    if value is not weight.value:
                        variable.assign(value)
        for part in self._held.parts:  # what is kept follows the weights as all strategies left them
            if part.overrides("next_state"):
                part.strengths.state.assign(part.strategy.next_state(self._weights(), part.strengths))

    def _output(self, x: Tensors) -> Any:
        """Return what the network gives, as far as its shape goes."""
        if self._held.output is None:
            with self._frozen_scope():
                y = self._forward(x, training=False)
            self._held.masked = any(len(of.shape) > 2 and mask_of(of) is not None for of in keras.tree.flatten(y))
            self._held.output = keras.tree.map_structure(_spec, y)
        return self._held.output


def _spec(tensor: Tensor) -> keras.KerasTensor:
    return keras.KerasTensor(tuple(tensor.shape), dtype=keras.backend.standardize_dtype(tensor.dtype))


def _tensors(part: Tensors | None) -> Any:
    """Return part of a batch as tensors: ``train_on_batch`` hands on what it was given."""

    def tensor(each: Tensor) -> Tensor:
        return each if each is None or keras.ops.is_tensor(each) else keras.ops.convert_to_tensor(each)

    return None if part is None else keras.tree.map_structure(tensor, part)


def is_nested(data: object) -> bool:
    """Whether inputs, labels or outputs are several arrays and not one."""
    return isinstance(data, dict | list | tuple)


def takes_training(network: keras.Model) -> bool:
    """Whether the network's ``call`` has an argument ``training``."""
    return "training" in inspect.signature(network.call).parameters
