"""Decoupled weight decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Optimizer
from reglab.declare import param
from reglab.errors import ReglabError
from reglab.strategies.base import Strategy
from reglab.strategies.given import StrengthView
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["WeightDecay"]


@dataclass(frozen=True)
class WeightDecay(Strategy):
    """Shrinks kernels by ``learning_rate * decay`` of themselves in every step, apart from the gradient.

    ``W <- W - learning_rate * decay * W``, then the optimizer's own update. Unlike an L2 penalty it is not rescaled by
    an adaptive optimizer; unlike it, it scales with the learning rate. It is the ``weight_decay`` of Keras' optimizers,
    which decays every variable; here biases, normalization weights and slopes of
    activations are excluded, as is usual.

    Differences from the paper (Loshchilov and Hutter multiply by a schedule factor and not by the learning rate):
    as in Keras and PyTorch, the learning rate multiplies the decay.

    Example: ``WeightDecay(decay=4e-3)``
    """

    name: ClassVar[str] = "weight_decay"
    formula: ClassVar[str] = "W <- W - learning_rate * decay * W, then the optimizer's update"
    paper: ClassVar[str] = "Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, arXiv:1711.05101"
    stage: ClassVar[Stage] = Stage.UPDATE
    zero: ClassVar[dict[str, float]] = {"decay": 0.0}

    decay: float = param(
        4e-3,
        "share of a weight that is taken away, in units of the learning rate",
        low=0,
        strength=True,
        search=(1e-4, 1.0, "log"),
    )

    def optimizer(self, optimizer: Optimizer, s: StrengthView) -> None:
        if optimizer.weight_decay is not None:
            raise ReglabError(
                f"The optimizer {type(optimizer).__name__} already decays weights "
                f"(weight_decay={optimizer.weight_decay}). Take that out, or leave weight_decay out of the recipe."
            )
        optimizer.weight_decay = s.variable("decay")
        # On TensorFlow the optimizer sees names such as "dense/bias:0", elsewhere "bias".
        optimizer.exclude_from_weight_decay(var_names=[r"bias(:\d+)?$", r"\b(gamma|beta|scale|alpha)(:\d+)?$"])

    def write_keras(self, script: TrainingScript) -> None:
        script.optimizer["weight_decay"] = repr(self.decay)
        script.optimizer_lines.append(
            r'optimizer.exclude_from_weight_decay(var_names=[r"bias(:\d+)?$", r"\b(gamma|beta|scale|alpha)(:\d+)?$"])'
        )
