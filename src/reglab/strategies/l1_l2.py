"""Penalties on the size of weights and activities: L1, L2 and both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from reglab import backends
from reglab.declare import param
from reglab.lazy import keras
from reglab.schedules import Schedule
from reglab.strategies.base import Strategy

__all__ = ["L1", "L1L2", "L2"]

_PAPER = "Srivastava, Regularization Strategies in Deep Learning, Table 1; Goodfellow et al. 2016, section 7.1"
_KERNEL = "coefficient on kernels: of convolutions, dense, separable and recurrent layers, and embeddings"
_BIAS = "coefficient on biases"
_ACTIVITY = "coefficient on the outputs of hidden layers that have a kernel, averaged over the batch"


def _l1(x: Any) -> Any:
    return keras.ops.sum(keras.ops.absolute(x))


def _l2(x: Any) -> Any:
    return backends.adapter().sum_of_squares(x)


@dataclass(frozen=True)
class _Penalty(Strategy):
    """What the three have in common: a coefficient of zero leaves its term out of the program."""

    order: ClassVar[int] = 60
    paper: ClassVar[str] = _PAPER
    zero: ClassVar[dict[str, float]] = {"kernel": 0.0, "bias": 0.0, "activity": 0.0}

    def terms(self) -> frozenset[str]:
        values = {key: getattr(self, key) for key in ("kernel", "bias", "activity")}
        return frozenset(
            key for key, value in values.items() if isinstance(value, Schedule) or value not in (0, (0, 0))
        )

    def penalizes(self, role: str) -> bool:
        return role in self.terms()

    @property
    def penalizes_activity(self) -> bool:
        return "activity" in self.terms()

    def penalty(self, weight: Any, role: str, s: Any) -> Any:
        return self._measure(weight, role, s)

    def activity_penalty(self, outputs: Any, s: Any) -> Any:
        return self._measure(outputs, "activity", s)

    def _measure(self, x: Any, what: str, s: Any) -> Any:
        raise NotImplementedError

    def write_keras(self, script: Any) -> None:
        for role in ("kernel", "bias", "activity"):
            if role in self.terms():
                value = getattr(self, role)
                numbers = f"l1={value[0]!r}, l2={value[1]!r}" if isinstance(value, tuple) else repr(value)
                script.regularize(role, f"keras.regularizers.{type(self).__name__}({numbers})")


@dataclass(frozen=True)
class L1(_Penalty):
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

    kernel: float = param(1e-4, _KERNEL, low=0, strength=True, search=(1e-7, 1e-2, "log"))
    bias: float = param(0.0, _BIAS, low=0, strength=True, search=(1e-7, 1e-3, "log"))
    activity: float = param(0.0, _ACTIVITY, low=0, strength=True, search=(1e-8, 1e-4, "log"))

    def _measure(self, x: Any, what: str, s: Any) -> Any:
        return s[what] * _l1(x)


@dataclass(frozen=True)
class L2(_Penalty):
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

    kernel: float = param(1e-3, _KERNEL, low=0, strength=True, search=(1e-6, 1e-1, "log"))
    bias: float = param(0.0, _BIAS, low=0, strength=True, search=(1e-6, 1e-2, "log"))
    activity: float = param(0.0, _ACTIVITY, low=0, strength=True, search=(1e-7, 1e-3, "log"))

    def _measure(self, x: Any, what: str, s: Any) -> Any:
        return s[what] * _l2(x)


@dataclass(frozen=True)
class L1L2(_Penalty):
    """Adds both, the elastic net: ``loss + l1 * sum |W| + l2 * sum W^2`` with a pair ``(l1, l2)`` a role.

    One number stands for both coefficients: ``L1L2(kernel=1e-3)`` is ``L1L2(kernel=(1e-3, 1e-3))``, the paper's.
    Otherwise as ``L1`` and ``L2``; Zou and Hastie 2005 for the idea.

    Example: ``L1L2(kernel=(1e-5, 1e-3))``
    """

    name: ClassVar[str] = "l1l2"
    formula: ClassVar[str] = "loss + kernel[0] * sum|W| + kernel[1] * sum W^2 + the same for biases and activities"

    kernel: float | tuple[float, float] = param(
        (1e-4, 1e-3), _KERNEL + ", as (l1, l2)", kind="pair", low=0, strength=True, search=(1e-6, 1e-2, "log")
    )
    bias: float | tuple[float, float] = param(
        (0.0, 0.0), _BIAS + ", as (l1, l2)", kind="pair", low=0, strength=True, search=(1e-6, 1e-2, "log")
    )
    activity: float | tuple[float, float] = param(
        (0.0, 0.0), _ACTIVITY + ", as (l1, l2)", kind="pair", low=0, strength=True, search=(1e-7, 1e-3, "log")
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

    def _measure(self, x: Any, what: str, s: Any) -> Any:
        return s[f"{what}_l1"] * _l1(x) + s[f"{what}_l2"] * _l2(x)
