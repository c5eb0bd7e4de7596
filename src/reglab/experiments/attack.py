"""Attacks on a trained network: FGSM and PGD, by the same code that trains against them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import keras
import numpy as np

from reglab import backends
from reglab.aliases import Tensor, Tensors
from reglab.data.several import fed
from reglab.models import by_output
from reglab.strategies import InputRange, StrengthView
from reglab.strategies.data.adversarial import Adversarial
from reglab.study.run import Program

__all__ = ["ATTACKS", "Attacker"]

PGD_STEPS = 20
ATTACKS = {"fgsm": Adversarial(method="fgsm", share=1.0), "pgd": Adversarial(method="pgd", steps=PGD_STEPS, share=1.0)}
_BATCH = 256


class Attacker:
    """Makes adversarial examples of what a program knows; it is compiled once, whatever the weights.

    The loss that attacks climb is the task's (:meth:`reglab.tasks.Task.costs`). Of classes it is the cross-entropy in a
    form that does not saturate: of probabilities it is ``log(1 + sum of the others / p(y))``, the same number, where
    Keras' own clips them at 1e-7. A network that has memorized its training set is so sure that a clipped loss has no
    gradient, and attacks would seem to fail.

    Of several outputs it is the sum of theirs, each times its loss weight, as training has it; what is left is that of
    the output that decides.

    Args:
        program: whose network is attacked.
        weights: of several outputs how much the loss of each counts, by name; by default alike.
    """

    def __init__(self, program: Program, weights: float | Mapping[str, float] | None = None) -> None:
        self.program = program
        self._weights = weights if isinstance(weights, Mapping) else {}
        self._compiled: dict[tuple[str, bool], Callable[..., Any]] = {}  # by attack, and whether there are limits

    def examples(
        self, x: np.ndarray, y: np.ndarray, *, attack: str, epsilon: float, limits: tuple[Any, Any] | None
    ) -> np.ndarray:
        """Return adversarial examples, shaped as ``x``.

        Args:
            x: inputs of the network.
            y: their labels, in their own units.
            attack: ``fgsm`` or ``pgd``: 20 steps of ``2.5 epsilon / 20`` from a random point of the ball.
            epsilon: radius of the ball: the largest change of a value, in units of the input; with ``limits`` as a
                fraction of the raw range.
            limits: where the lowest and highest raw value lie among the inputs; examples are kept between.
        """
        if epsilon == 0:
            return x
        y = self.program.as_trained(y)
        size = _batch_size(len(x))
        pieces = [
            self._batch(x[start : start + size], y[start : start + size], size, attack, epsilon, limits)
            for start in range(0, len(x), size)
        ]
        return np.concatenate(pieces)

    def left(self, x: np.ndarray, y: np.ndarray, **how: Any) -> float:
        """Return the metric that decides, of examples under attack; the arguments are those of ``examples``."""
        moved = self.examples(x, y, **how)
        return self.program.task.decides(y, self.program.predict(moved))

    def blind(self, x: np.ndarray, y: np.ndarray) -> float:
        """Return the share of examples at which the loss has no gradient at all, so that attacks cannot climb it.

        Of those that have a label that counts.
        """
        there = self.program.task.counting(y)
        if not there.any():
            return 0.0
        x, y = x[there], y[there]
        run = self._compiled.setdefault(("slope", False), self._compile(lambda x, y: self._slope(x, y)))
        y, still, size = self.program.as_trained(y), 0, _batch_size(len(x))
        for start in range(0, len(x), size):
            count = len(x[start : start + size])
            slope = keras.ops.convert_to_numpy(run(*_tensors(size, x[start : start + size], y[start : start + size])))
            slope = slope[:count]
            still += int(np.count_nonzero(np.abs(slope.reshape(count, -1)).max(axis=1) == 0))
        return still / len(x)

    def _batch(
        self, x: np.ndarray, y: np.ndarray, size: int, attack: str, epsilon: float, limits: tuple[Any, Any] | None
    ) -> np.ndarray:
        strategy = ATTACKS[attack]
        if limits is not None:
            strategy = dataclasses.replace(strategy, unit="pixel", clip="data")
        step = epsilon if attack == "fgsm" else 2.5 * epsilon / strategy.steps

        def attacked(x: Tensor, y: Tensor, epsilon: Tensor, step: Tensor, low: Tensor, high: Tensor) -> Tensor:
            strength = cast(StrengthView, SimpleNamespace(epsilon=epsilon, step=step))
            return strategy.perturb_inputs(
                x, lambda x, part: self._slope(x, _part(y, part)), strength, 0, InputRange(low, high)
            )

        run = self._compiled.setdefault((attack, limits is not None), self._compile(attacked))
        low, high = (np.float32(0), np.float32(1)) if limits is None else limits
        tensors = [keras.ops.convert_to_tensor(np.float32(value)) for value in (epsilon, step, low, high)]
        moved = run(*_tensors(size, x, y), *tensors)
        return np.asarray(keras.ops.convert_to_numpy(moved))[: len(x)]

    def _compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return backends.adapter().compiled(function, self.program.model.variables)

    def _slope(self, x: Tensor, y: Tensor) -> Tensor:
        return self.program.model.input_gradient(x, y, self._each)

    def _each(self, y: Tensors, outputs: Tensors) -> Tensor:
        task = self.program.task
        given = by_output(self.program.model.network, outputs) if task.outputs else outputs
        given = keras.tree.map_structure(lambda each: keras.ops.cast(each, "float32"), given)
        return task.costs(y, given, self.program.head, self._weights)


def _batch_size(examples: int) -> int:
    """Return how many rows a batch has: a power of two, so that few are filled up and few sizes are compiled.

    >>> [_batch_size(examples) for examples in (1, 20, 64, 1000)]
    [1, 32, 64, 256]
    """
    return min(1 << (examples - 1).bit_length(), _BATCH)


def _part(y: Tensors, part: slice) -> Any:
    return keras.tree.map_structure(lambda of_all: of_all[part], y)


def _tensors(size: int, *arrays: np.ndarray) -> list[Any]:
    """Return full batches as tensors; labels of several outputs by name."""
    return [keras.tree.map_structure(keras.ops.convert_to_tensor, fed(_padded(array, size))) for array in arrays]


def _padded(x: np.ndarray, size: int) -> np.ndarray:
    """Return a full batch, filled up with its first row, so that nothing is compiled for the last one."""
    missing = size - len(x)
    return x if missing <= 0 else np.concatenate([x, np.repeat(x[:1], missing, axis=0)])
