"""Gaussian noise on the weights of each forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Random, Tensor
from reglab.declare import param
from reglab.strategies.architecture.gaussian_noise import noisy
from reglab.strategies.base import Strategy
from reglab.strategies.given import StrengthView
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["WeightNoise"]


@dataclass(frozen=True)
class WeightNoise(Strategy):
    """Runs each training step with kernels ``W + stddev * N(0, 1)``, drawn anew for every batch.

    The gradient is taken at the noisy weights and applied to the clean ones; penalties see the clean ones. Biases and
    normalization weights are left alone, and evaluation uses the clean weights.

    Differences from the paper (Srivastava names noise on weights, without numbers): Graves 2011 draws one noise an
    example or sequence; here one a batch.

    Example: ``WeightNoise(stddev=0.01)``
    """

    name: ClassVar[str] = "weight_noise"
    formula: ClassVar[str] = "forward pass with W + stddev * n, n ~ N(0, 1) a weight and batch"
    paper: ClassVar[str] = "Graves 2011, Practical Variational Inference for Neural Networks"
    stage: ClassVar[Stage] = Stage.WEIGHTS
    zero: ClassVar[dict[str, float]] = {"stddev": 0.0}

    stddev: float = param(
        0.01, "standard deviation of the noise", low=0, strength=True, search=(1e-4, 0.2, "log"), unit="weight"
    )

    def forward(self, weight: Tensor, s: StrengthView, random: Random) -> Tensor:
        return noisy(weight, s.stddev, random)

    def write_keras(self, script: TrainingScript) -> None:
        script.on_weights(f"{script.carry(noisy)}(w, {self.stddev!r}, {script.stream()})")
