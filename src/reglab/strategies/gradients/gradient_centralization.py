"""Gradients without their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Tensor
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.given import StrengthView, Weight
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["GradientCentralization", "centralized"]


def centralized(gradient: Tensor) -> Tensor:
    """Return the gradient of a kernel ``(..., units)`` less its mean over the weights that come into each unit."""
    axes = tuple(range(len(gradient.shape) - 1))
    return gradient - keras.ops.mean(gradient, axis=axes, keepdims=True)


@dataclass(frozen=True)
class GradientCentralization(Strategy):
    """Takes from the gradient of each kernel its mean over the weights that come into a unit.

    ``g[..., j] <- g[..., j] - mean(g[..., j])`` for each unit (or filter) ``j``, before the optimizer sees it. So with
    plain gradient descent the sum of the weights that come into a unit stays what it was. The gradient is that of the
    whole loss, penalties included. Biases, normalization weights and embeddings are left alone.

    Differences from the paper: none.

    Example: ``GradientCentralization()``
    """

    name: ClassVar[str] = "gradient_centralization"
    formula: ClassVar[str] = "g_j <- g_j - mean(g_j), for each unit j"
    paper: ClassVar[str] = "Yong et al. 2020, arXiv:2004.01461"
    stage: ClassVar[Stage] = Stage.GRADIENTS

    def on_gradients(self, gradients: list[Tensor], weights: list[Weight], s: StrengthView) -> list[Tensor]:
        return [
            centralized(gradient) if place.kind == "kernel" and place.name != "embeddings" else gradient
            for gradient, (_, place) in zip(gradients, weights, strict=True)
        ]

    def write_keras(self, script: TrainingScript) -> None:
        script.on_kernels("go_by", script.carry(centralized))
