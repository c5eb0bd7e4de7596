"""Penalties on the squared size of weights and activities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Tensor
from reglab.declare import param
from reglab.strategies.given import StrengthView
from reglab.strategies.penalties.coefficients import ACTIVITY, BIAS, KERNEL, Penalty, squares

__all__ = ["L2"]


@dataclass(frozen=True)
class L2(Penalty):
    """Adds the squared size of weights to the loss, which keeps them small.

    ``loss + kernel * sum W^2 + bias * sum b^2 + activity / batch * sum h^2``: as in ``keras.regularizers.L2`` there is
    no factor 1/2. Under an adaptive optimizer the penalty's gradient is rescaled with the rest; see ``WeightDecay``
    for the decoupled form.

    Differences from the paper: as for ``L1``.

    Example: ``L2(kernel=1e-3)``
    """

    name: ClassVar[str] = "l2"
    formula: ClassVar[str] = "loss + kernel * sum W^2 + bias * sum b^2 + activity * mean over the batch of sum h^2"
    conflicts: ClassVar[dict[str, str]] = {"l1l2": "l1l2 has an L2 part already: give both coefficients to it"}

    kernel: float = param(1e-3, KERNEL, low=0, strength=True, search=(1e-6, 1e-1, "log"))
    bias: float = param(0.0, BIAS, low=0, strength=True, search=(1e-6, 1e-2, "log"))
    activity: float = param(0.0, ACTIVITY, low=0, strength=True, search=(1e-7, 1e-3, "log"))

    def measure(self, x: Tensor, what: str, s: StrengthView) -> Tensor:
        return s[what] * squares(x)
