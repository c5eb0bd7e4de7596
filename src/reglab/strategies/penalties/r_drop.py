"""R-Drop: two passes with other draws, whose predictions have to agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Loss, Random, Tensor
from reglab.declare import param
from reglab.strategies.base import Strategy
from reglab.strategies.given import LossContext, StrengthView
from reglab.strategies.penalties.divergence import check_cross_entropy, kl_divergence
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["RDrop", "second_pass"]


def second_pass(context: LossContext, alpha: Tensor) -> Tensor:
    """Return the loss of a second pass, and ``alpha`` times how far its predictions are from those of the first."""
    again = context.forward(context.x, training=True)
    p, q = context.probabilities(context.y_pred), context.probabilities(again)
    apart = context.mean((kl_divergence(p, q) + kl_divergence(q, p)) / 2)
    return context.data_loss(again) + alpha * apart


@dataclass(frozen=True)
class RDrop(Strategy):
    """Runs each batch twice, with other draws of dropout, and adds the divergence between the two predictions.

    ``CE(p) + CE(q) + alpha * (KL(p || q) + KL(q || p)) / 2``, where ``p`` and ``q`` are the predictions of two passes
    in training mode. Without anything random in the network or the recipe both are the same, and it doubles the loss.
    Statistics of BatchNormalization move in the first pass only. It costs a second forward and backward pass.

    Differences from the paper (Wu et al.): the second pass is a pass of its own and not a second half of the batch.

    Example: ``RDrop(alpha=1.0)``
    """

    name: ClassVar[str] = "r_drop"
    formula: ClassVar[str] = "CE(p) + CE(q) + alpha * (KL(p||q) + KL(q||p)) / 2, p and q of two passes"
    paper: ClassVar[str] = "Wu et al. 2021, arXiv:2106.14448"
    stage: ClassVar[Stage] = Stage.LOSS

    alpha: float = param(
        1.0, "coefficient on the divergence between the two passes", low=0, strength=True, search=(0.1, 10.0, "log")
    )

    def check_loss(self, loss: Loss) -> None:
        check_cross_entropy(self.name, loss)

    def loss(self, context: LossContext, s: StrengthView, random: Random) -> Tensor:
        return second_pass(context, s.alpha)

    def write_keras(self, script: TrainingScript) -> None:
        script.add_term(second_pass, [repr(self.alpha)])
