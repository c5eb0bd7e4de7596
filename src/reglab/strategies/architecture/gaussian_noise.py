"""Gaussian noise on inputs, hidden activations or logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Random, Tensor
from reglab.declare import Places, param
from reglab.lazy import keras
from reglab.strategies.architecture.dropout import PLACES
from reglab.strategies.base import Strategy
from reglab.strategies.given import Place, StrengthView
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["GaussianNoise", "noisy"]


def noisy(h: Tensor, stddev: Tensor, random: Random) -> Tensor:
    """Return ``h + stddev * n`` with ``n ~ N(0, 1)`` of the same shape, drawn from a ``keras.random.SeedGenerator``."""
    noise = keras.random.normal(keras.ops.shape(h), dtype=h.dtype, seed=random)
    return h + keras.ops.cast(stddev, h.dtype) * noise


@dataclass(frozen=True)
class GaussianNoise(Strategy):
    """Adds noise ``stddev * N(0, 1)`` in training to what flows through the network.

    ``h + stddev * n``, ``n ~ N(0, 1)`` for every unit of every example; nothing at evaluation. At ``input`` the
    standard deviation is in units of the model's input (after normalization, if the data is normalized); at ``hidden``
    in units of the activations, after the same layers as ``Dropout``; at ``output`` it is added to the logits, before
    a softmax or sigmoid.

    Differences from the paper (Srivastava, Table 1, stddev 0.005): it does not say where the noise sits; its arm is
    built here with ``where="hidden"``, after each module.

    Example: ``GaussianNoise(stddev=0.1, where="input")``
    """

    name: ClassVar[str] = "gaussian_noise"
    formula: ClassVar[str] = "h + stddev * n, n ~ N(0, 1) a unit"
    paper: ClassVar[str] = "Bishop 1995, Neural Computation 7(1); Goodfellow et al. 2016, section 7.5"
    stage: ClassVar[Stage] = Stage.ACTIVATIONS
    zero: ClassVar[dict[str, float]] = {"stddev": 0.0}

    # keras.layers.GaussianNoise refuses more than 1, and a recipe has to be exportable to it.
    stddev: float = param(
        0.1, "standard deviation of the noise", low=0, high=1, strength=True, search=(1e-3, 1.0, "log"), unit="h"
    )
    where: Places = param(("input",), "where the noise is added", kind="places", choices=PLACES)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.where,) if isinstance(self.where, str) else self.where

    @property
    def moves_padding(self) -> bool:
        return "input" in self.places

    def on_activation(self, h: Tensor, place: Place, s: StrengthView, random: Random) -> Tensor:
        return noisy(h, s.stddev, random)

    def write_keras(self, script: TrainingScript) -> None:
        if self.stddev > 0:
            script.insert(noisy, lambda place: (self.stddev,))
