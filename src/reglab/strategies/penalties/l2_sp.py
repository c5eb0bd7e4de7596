"""A penalty on the way that weights have come from where they began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reglab.aliases import Tensor
from reglab.declare import param
from reglab.strategies.base import Strategy
from reglab.strategies.given import Place, StrengthView, Weight
from reglab.strategies.penalties.coefficients import squares
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["L2SP"]


@dataclass(frozen=True)
class L2SP(Strategy):
    """Adds the squared distance of the weights from the ones that training began with.

    ``loss + coefficient * sum (W - W_0)^2``, summed over all trainable kernels and biases. ``W_0`` are the weights of
    the model that was given to ``regularize``; in a study the initial weights of the seed. It is meant for models that
    are pre-trained, where the start is better than zero.

    Differences from the paper (Li et al.): no factor 1/2, as for ``L2``; layers that are new are drawn to their start
    too, and not to zero.

    Example: ``L2SP(coefficient=1e-2)``
    """

    name: ClassVar[str] = "l2_sp"
    formula: ClassVar[str] = "loss + coefficient * sum (W - W_0)^2"
    paper: ClassVar[str] = "Li et al. 2018, arXiv:1802.01483"
    stage: ClassVar[Stage] = Stage.LOSS
    zero: ClassVar[dict[str, float]] = {"coefficient": 0.0}

    coefficient: float = param(
        1e-2, "coefficient on the squared distance from the start", low=0, strength=True, search=(1e-4, 1.0, "log")
    )

    def state(self, weights: list[Weight]) -> dict[str, np.ndarray]:
        return {_key(place): value for value, place in weights if self.penalizes(place.kind) and place.kind != "other"}

    def penalty(self, weight: Tensor, place: Place, s: StrengthView) -> Tensor:
        return s.coefficient * squares(weight - s.state[_key(place)])

    def write_keras(self, script: TrainingScript) -> None:
        script.hold(self.coefficient)


def _key(place: Place) -> str:
    return f"start_{place.index}"
