"""Mixup: training on mixtures of two examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Random, Tensor
from reglab.declare import param
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.data.mixing import NO_XLA, mix, mixed_targets, shares
from reglab.strategies.given import Batch, InputRange, StrengthView
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["Mixup", "mixed", "mixup"]


def mixup(x: Tensor, y: Tensor, alpha: Tensor, random: Random) -> tuple[Tensor, Tensor]:
    """Return examples and targets that are each mixed with their neighbour's in the batch.

    Args:
        x: examples, batch first.
        y: targets, such as distributions ``(batch, classes)``.
        alpha: the share ``m`` that an example keeps of itself is drawn from ``Beta(alpha, alpha)``.
        random: a ``keras.random.SeedGenerator``.
    """
    x, m = mixed(x, alpha, random)
    return x, mix(y, m)


def mixed(x: Tensor, alpha: Tensor, random: Random) -> tuple[Tensor, Tensor]:
    """Return mixed examples, and the share that each keeps of itself, ``(batch,)``."""
    x = keras.ops.cast(x, "float32")
    m = shares(alpha, keras.ops.shape(x)[0], random)
    return mix(x, m), m


@dataclass(frozen=True)
class Mixup(Strategy):
    """Trains on ``m * x_i + (1 - m) * x_j`` with target ``m * y_i + (1 - m) * y_j``, ``m ~ Beta(alpha, alpha)``.

    Each example has its own ``m`` and is mixed with its neighbour in the shuffled batch. Sparse labels are turned into
    distributions; metrics during training see the heavier of the two labels. Numbers to predict, and classes of
    positions, are mixed alike. With sample weights the weights are mixed so that the loss is the mixture of the two
    weighted losses.

    Differences from the paper (Zhang et al.): one ``m`` an example, theirs one a batch; the partner is the neighbour,
    theirs a second permutation of the batch.

    Example: ``Mixup(alpha=0.2)``
    """

    name: ClassVar[str] = "mixup"
    formula: ClassVar[str] = "m * (x_i, y_i) + (1 - m) * (x_j, y_j), m ~ Beta(alpha, alpha)"
    paper: ClassVar[str] = "Zhang et al. 2018, arXiv:1710.09412"
    stage: ClassVar[Stage] = Stage.MIXTURES
    zero: ClassVar[dict[str, float]] = {"alpha": 0.0}
    soft_targets: ClassVar[bool] = True
    mixes_numbers: ClassVar[bool] = True

    alpha: float = param(
        0.2,
        "how strongly examples are mixed; 1 draws m uniformly",
        low=0,
        high=100,
        strength=True,
        search=(0.05, 2.0, "log"),
    )

    def on_batch(self, batch: Batch, s: StrengthView, random: Random, input_range: InputRange | None) -> Batch:
        x, m = mixed(batch.x, s.alpha, random)
        return mixed_targets(batch, m)._replace(x=x)

    def write_keras(self, script: TrainingScript) -> None:
        if self.alpha > 0:
            script.soften()
            script.mix(mixup, [repr(self.alpha)])

    def refuses(self, *, backend: str, jit_compile: bool) -> str | None:
        return NO_XLA if backend == "tensorflow" and jit_compile else None
