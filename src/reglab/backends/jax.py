"""JAX: gradients of pure functions, and a training step that is handed its state and hands it back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import keras

from reglab.aliases import Tensor, Tensors
from reglab.backends.plain import DROPPED, by_class, dropped, feed, random_kept, sum_of_squares

if TYPE_CHECKING:
    from reglab.backends.trainer import Trainer as _Trainer
else:
    _Trainer = object

__all__ = [
    "DROPPED", "StepMixin", "by_class", "compiled", "dropped", "feed", "gradient", "random_kept", "sum_of_squares",
]  # fmt: skip


def gradient(function: Callable[[Any], Tensor], at: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    """Return the gradient of the scalar ``function`` at ``at``, a tensor or a list of tensors."""
    return jax.grad(function)(at)


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
