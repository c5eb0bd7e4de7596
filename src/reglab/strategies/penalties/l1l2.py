"""Penalties on both sizes of weights and activities, the elastic net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Tensor
from reglab.declare import param
from reglab.strategies.given import StrengthView
from reglab.strategies.penalties.coefficients import ACTIVITY, BIAS, KERNEL, Penalty, magnitude, squares

__all__ = ["L1L2"]


@dataclass(frozen=True)
class L1L2(Penalty):
    """Adds both, the elastic net: ``loss + l1 * sum |W| + l2 * sum W^2`` with a pair ``(l1, l2)`` a role.

    One number stands for both coefficients: ``L1L2(kernel=1e-3)`` is ``L1L2(kernel=(1e-3, 1e-3))``, the paper's.
    Otherwise as ``L1`` and ``L2``; Zou and Hastie 2005 for the idea.

    Example: ``L1L2(kernel=(1e-5, 1e-3))``
    """

    name: ClassVar[str] = "l1l2"
    formula: ClassVar[str] = "loss + kernel[0] * sum|W| + kernel[1] * sum W^2 + the same for biases and activities"

    kernel: float | tuple[float, float] = param(
        (1e-4, 1e-3), KERNEL + ", as (l1, l2)", kind="pair", low=0, strength=True, search=(1e-6, 1e-2, "log")
    )
    bias: float | tuple[float, float] = param(
        (0.0, 0.0), BIAS + ", as (l1, l2)", kind="pair", low=0, strength=True, search=(1e-6, 1e-2, "log")
    )
    activity: float | tuple[float, float] = param(
        (0.0, 0.0), ACTIVITY + ", as (l1, l2)", kind="pair", low=0, strength=True, search=(1e-7, 1e-3, "log")
    )

    def validate(self) -> None:
        for key in ("kernel", "bias", "activity"):
            if isinstance(value := getattr(self, key), float):
                object.__setattr__(self, key, (value, value))

    def strengths(self) -> dict[str, float]:
        numbers = {}
        for key in ("kernel", "bias", "activity"):
            value = getattr(self, key)
            numbers[f"{key}_l1"], numbers[f"{key}_l2"] = value if isinstance(value, tuple) else (value, value)
        return numbers

    def measure(self, x: Tensor, what: str, s: StrengthView) -> Tensor:
        return s[f"{what}_l1"] * magnitude(x) + s[f"{what}_l2"] * squares(x)
