"""Adaptive sharpness-aware minimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Tensor
from reglab.declare import param
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.given import StrengthView, Weight
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["ASAM", "adaptive_ascent"]


def adaptive_ascent(
    gradients: list[Tensor], weights: list[Tensor], scaled: list[bool], rho: Tensor, eta: Tensor
) -> list[Tensor]:
    """Return the step ``rho T^2 g / ||T g||``, with ``T = |W| + eta`` for weights that are ``scaled``, 1 for others."""
    ops = keras.ops
    pairs = zip(weights, scaled, strict=True)
    scales = [ops.abs(ops.cast(w, "float32")) + eta if chosen else 1.0 for w, chosen in pairs]
    steps = [ops.cast(g, "float32") * scale for g, scale in zip(gradients, scales, strict=True)]
    squares = [ops.sum(ops.square(each)) for each in steps]
    factor = rho / (ops.sqrt(sum(squares[1:], squares[0])) + 1e-12)
    return [each * scale * factor for each, scale in zip(steps, scales, strict=True)]


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
        scaled = [place.kind == "kernel" for _, place in weights]
        return adaptive_ascent(gradients, [value for value, _ in weights], scaled, s.rho, s.eta)

    def write_keras(self, script: TrainingScript) -> None:
        script.gradient()
        scaled = f'[{script.role()}(w) == "kernel" for w in weights]'
        arguments = ["gradients", "weights", scaled, repr(self.rho), repr(self.eta)]
        script.ascent = script.carry(adaptive_ascent), arguments
