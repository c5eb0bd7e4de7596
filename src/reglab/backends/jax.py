"""JAX: gradients of pure functions, and a training step that is handed its state and hands it back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import keras
import numpy as np

from reglab.aliases import Tensor, Tensors
from reglab.backends.plain import DROPPED, Batches, Fed, by_class, dropped, random_kept, sum_of_squares

if TYPE_CHECKING:
    from reglab.backends.trainer import Trainer as _Trainer
else:
    _Trainer = object

__all__ = [
    "DROPPED",
    "StepMixin",
    "by_class",
    "compiled",
    "device",
    "dropped",
    "feed",
    "gradient",
    "random_kept",
    "sum_of_squares",
]


def gradient(function: Callable[[Any], Tensor], at: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    """Return the gradient of the scalar ``function`` at ``at``, a tensor or a list of tensors."""
    return jax.grad(function)(at)


def device() -> str:
    """Return what is computed on: CPU, or the name of the first accelerator."""
    (found, *_) = jax.devices()
    return "CPU" if found.platform == "cpu" else str(found.device_kind)


# Steps that an accelerator takes as one program, and bytes of their batches, at most. Starting each by itself takes the
# host longer than a small network takes for the step.
_TOGETHER, _TOGETHER_BYTES = 64, 2**26
_STEPS = "reglab: several steps"  # the only key of inputs that hold the batches of several steps


def feed(batches: Batches, *, watched: bool = False) -> Fed:
    """Return the batches as ``fit`` is to be given them: on an accelerator those of several steps as one item.

    Args:
        batches: those of all epochs.
        watched: whether somebody looks at each step, so that several cannot be taken together.
    """
    if watched or device() == "CPU":  # where starting a step costs little beside it
        return Fed(batches, batches.steps)
    size = sum(np.asarray(part).nbytes for part in keras.tree.flatten(batches[0]))
    most = min(_TOGETHER, max(1, _TOGETHER_BYTES // max(1, size)), batches.whole)
    if most < 2:
        return Fed(batches, batches.steps)
    # As many as an epoch is divided by, so that one program is compiled; or else the last ones one by one.
    together = next((each for each in range(most, most // 2, -1) if batches.whole % each == 0), most)
    return Fed(stacked := _Stacked(batches, together), stacked.steps, together)


class _Stacked(keras.utils.PyDataset):
    """Batches with those of several steps stacked, which :class:`StepMixin` takes one after the other.

    Args:
        batches: those of all epochs.
        together: of how many steps; the rest of an epoch and a last, smaller batch come one by one.
    """

    def __init__(self, batches: Batches, together: int) -> None:
        super().__init__()
        self._batches, self._together = batches, together
        self._stacks = batches.whole // together
        self.steps = self._stacks + batches.steps - self._stacks * together

    def __len__(self) -> int:
        return len(self._batches) // self._batches.steps * self.steps

    def __getitem__(self, item: int) -> Any:
        epoch, position = divmod(item, self.steps)
        first = epoch * self._batches.steps
        if position >= self._stacks:
            return self._batches[first + self._stacks * self._together + position - self._stacks]
        first += position * self._together
        several = [self._batches[step] for step in range(first, first + self._together)]
        x, *rest = keras.tree.map_structure(lambda *parts: np.stack(parts), *several)
        return {_STEPS: x}, *rest


def compiled(function: Callable[..., Any], variables: Sequence[keras.Variable]) -> Callable[..., Any]:
    """Return ``function`` compiled; it may read ``variables`` and change nothing.

    What is not handed in would be a constant of the program, so the values of the variables are arguments of it.
    """

    @jax.jit
    def pure(values: list[Tensor], *args: Tensor) -> Tensor:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*args)

    return lambda *args: pure([variable.value for variable in variables], *args)


# Values of trainable and other variables, of those of the optimizer and of those of metrics.
_State = tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]


class StepMixin(_Trainer):
    """Prepares the batch inside a scope that stands for the state, then leaves the step to Keras."""

    def train_step(self, state: _State, data: Tensors) -> tuple[dict[str, Tensor], _State]:
        x, *rest = data
        if not (isinstance(x, dict) and list(x) == [_STEPS]):
            return self._one_step(state, data)

        def step(state: _State, batch: Tensors) -> tuple[_State, dict[str, Tensor]]:
            logs, state = self._one_step(state, batch)
            return state, logs

        state, logs = jax.lax.scan(step, state, (x[_STEPS], *rest))
        return {name: values[-1] for name, values in logs.items()}, state

    def _one_step(self, state: _State, data: Tensors) -> tuple[dict[str, Tensor], _State]:
        trainable, non_trainable, optimizer, metrics = state
        mapping = [
            *zip(self.trainable_variables, trainable, strict=True),
            *zip(self.non_trainable_variables, non_trainable, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            data = self._prepare(data)
        # The batch was drawn from random streams, and those have moved on.
        non_trainable = [scope.get_current_value(variable) for variable in self.non_trainable_variables]
        self._held.around = list(zip(self.non_trainable_variables, non_trainable, strict=True))
        try:
            logs, state = super().train_step((trainable, non_trainable, optimizer, metrics), data)
        finally:
            self._held.around = None
        return logs, self._after(state) if self._acts_after_update() else state

    def _after(self, state: _State) -> _State:
        """Return the state of a step with what strategies make of it."""
        trainable, non_trainable, optimizer, metrics = state
        mapping = [
            *zip(self.trainable_variables, trainable, strict=True),
            *zip(self.non_trainable_variables, non_trainable, strict=True),
            *zip(self.optimizer.variables, optimizer, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            self._after_update()
        trainable = [scope.get_current_value(variable) for variable in self.trainable_variables]
        non_trainable = [scope.get_current_value(variable) for variable in self.non_trainable_variables]
        return trainable, non_trainable, optimizer, metrics

    def _settle(self) -> None:
        # After averaging (use_ema) Keras leaves weights that share memory with their averages, and the next fit would
        # hand that memory to the compiled step twice, which JAX refuses.
        for variable in self.trainable_variables:
            variable.assign(jax.numpy.copy(variable.value))
