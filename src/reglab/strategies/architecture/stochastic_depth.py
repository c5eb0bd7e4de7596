"""Stochastic depth: residual branches are left out at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Random, Tensor
from reglab.declare import param
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.given import Place, StrengthView
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["StochasticDepth", "survived"]


def survived(h: Tensor, rate: Tensor, together: bool, random: Random) -> Tensor:
    """Return ``h`` with each example left out with probability ``rate``, and the others divided by ``1 - rate``.

    Args:
        h: what a branch gives, batch first.
        rate: below 1.
        together: whether all examples of the batch are left out or stay together.
        random: a ``keras.random.SeedGenerator``.
    """
    ops = keras.ops
    count = 1 if together else ops.shape(h)[0]
    kept = keras.random.uniform((count,) + (1,) * (len(h.shape) - 1), seed=random) >= rate
    return ops.where(kept, h * ops.cast(1.0 / (1.0 - rate), h.dtype), ops.zeros((), dtype=h.dtype))


@dataclass(frozen=True)
class StochasticDepth(Strategy):
    """Leaves out each residual branch with some probability in training, so that its shortcut is all that passes.

    ``shortcut + b / (1 - p) * branch``, ``b ~ Bernoulli(1 - p)`` for each example, or for the whole batch. With
    ``decay="linear"`` the ``l``-th of ``L`` branches has ``p = rate * l / L``, with ``"none"`` every one has ``rate``.
    At evaluation it does nothing. A residual branch is what is added to a shortcut around it, and to nothing else; it
    is found by how the layers are connected, so that ``layers.Add()([h, x])`` is as good as ``h + x``.

    Differences from the paper (Huang et al.): branches that stay are divided by ``1 - p`` in training, there they are
    multiplied by it at evaluation, which is the same in expectation; each example draws by itself, there all of a batch
    draw together (``per="batch"``). Where the paper has a ReLU behind the sum, so has the network that is given.

    Example: ``StochasticDepth(rate=0.2)``
    """

    name: ClassVar[str] = "stochastic_depth"
    formula: ClassVar[str] = "shortcut + b / (1 - p_l) * branch_l, b ~ Bernoulli(1 - p_l), p_l = rate * l / L"
    paper: ClassVar[str] = "Huang et al. 2016, Deep Networks with Stochastic Depth, arXiv:1603.09382"
    stage: ClassVar[Stage] = Stage.ACTIVATIONS
    zero: ClassVar[dict[str, float]] = {"rate": 0.0}

    rate: float = param(
        0.2,
        "probability with which the last branch is left out",
        low=0,
        high=1,
        open_high=True,
        strength=True,
        search=(0.05, 0.5, "linear"),
    )
    decay: str = param("linear", "how it falls towards the input", kind="choice", choices=("linear", "none"))
    per: str = param("example", "what is left out together", kind="choice", choices=("example", "batch"))

    def on_branch(self, h: Tensor, place: Place, s: StrengthView, random: Random) -> Tensor:
        return survived(h, s.rate * self._share(place), self.per == "batch", random)

    def _share(self, place: Place) -> float:
        return (place.index + 1) / place.count if self.decay == "linear" else 1.0

    def write_keras(self, script: TrainingScript) -> None:
        if self.rate > 0:
            script.insert(survived, lambda place: (self.rate * self._share(place), self.per == "batch"))
