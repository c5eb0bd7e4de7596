"""Penalties on the absolute size of weights and activities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Tensor
from reglab.declare import param
from reglab.strategies.given import StrengthView
from reglab.strategies.penalties.coefficients import ACTIVITY, BIAS, KERNEL, Penalty, magnitude

__all__ = ["L1"]


@dataclass(frozen=True)
class L1(Penalty):
    """Adds the absolute size of weights to the loss, which drives many of them to zero.

    ``loss + kernel * sum |W| + bias * sum |b| + activity / batch * sum |h|``, summed over all trainable weights of
    the role and over the outputs ``h`` of hidden layers that have a kernel. Coefficients mean what they mean to
    ``keras.regularizers.L1``, and penalties that the model already has stay beside these.

    Differences from the paper: it does not say which layers its bias and activity coefficients reach; here biases of
    every layer, and activities of every hidden layer with a kernel, the output layer left out because its
    activity is the prediction.

    Example: ``L1(kernel=1e-4)``
    """

    name: ClassVar[str] = "l1"
    formula: ClassVar[str] = "loss + kernel * sum|W| + bias * sum|b| + activity * mean over the batch of sum|h|"
    conflicts: ClassVar[dict[str, str]] = {"l1l2": "l1l2 has an L1 part already: give both coefficients to it"}

    kernel: float = param(1e-4, KERNEL, low=0, strength=True, search=(1e-7, 1e-2, "log"))
    bias: float = param(0.0, BIAS, low=0, strength=True, search=(1e-7, 1e-3, "log"))
    activity: float = param(0.0, ACTIVITY, low=0, strength=True, search=(1e-8, 1e-4, "log"))

    def measure(self, x: Tensor, what: str, s: StrengthView) -> Tensor:
        return s[what] * magnitude(x)
