"""Adaptive sharpness-aware minimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.declare import param
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.given import StrengthView, Tensor, Weight
from reglab.strategies.stage import Stage

__all__ = ["ASAM"]


@dataclass(frozen=True)
class ASAM(Strategy):
    """Takes the gradient where the data loss nearby is about largest, near in proportion to the size of each weight.

    At ``W + rho * T^2 g / ||T g||``, ``T = |W| + eta`` for kernels and 1 for all other weights, ``g`` the gradient of
    the data loss at ``W``, its norm over all trainable weights together. Unlike the step of ``SAM``, this one does not
    change when layers are rescaled so that the network stays the same. Otherwise it is as ``SAM``: both passes see the
    same batch and the same draws, and it costs a second forward and backward pass.

    Differences from the paper (Kwon et al.): as for ``SAM``, penalties do not take part in the ascent.

    Example: ``ASAM(rho=0.5)``
    """

    name: ClassVar[str] = "asam"
    formula: ClassVar[str] = "gradient of the data loss at W + rho * T^2 g / ||T g||, T = |W| + eta"
    paper: ClassVar[str] = "Kwon et al. 2021, arXiv:2102.11600"
    stage: ClassVar[Stage] = Stage.GRADIENTS
    zero: ClassVar[dict[str, float]] = {"rho": 0.0}
    conflicts: ClassVar[dict[str, str]] = {"sam": "each moves the weights of the one second pass: take one of them"}

    rho: float = param(0.5, "how far the ascent goes", low=0, strength=True, search=(0.05, 2.0, "log"))
    eta: float = param(0.01, "what is added to the size of a weight", low=0, strength=True, unit="weight")

    def perturb_weights(self, gradients: list[Tensor], weights: list[Weight], s: StrengthView) -> list[Tensor]:
        ops = keras.ops
        scales = [
            ops.abs(ops.cast(value, "float32")) + s.eta if place.kind == "kernel" else 1.0 for value, place in weights
        ]
        scaled = [ops.cast(g, "float32") * scale for g, scale in zip(gradients, scales, strict=True)]
        squares = [ops.sum(ops.square(each)) for each in scaled]
        factor = s.rho / (ops.sqrt(sum(squares[1:], squares[0])) + 1e-12)
        return [each * scale * factor for each, scale in zip(scaled, scales, strict=True)]
