"""TRADES: predictions have to stay as they are in a ball around each example."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from reglab.aliases import Loss, Random, Tensor
from reglab.declare import param
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.given import LossContext, StrengthView
from reglab.strategies.penalties.divergence import check_cross_entropy, kl_divergence
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["TRADES", "ascended", "robust"]


def ascended(
    x: Tensor,
    start: Tensor,
    gradient: Callable[[Tensor], Tensor],
    *,
    epsilon: Tensor,
    step: Tensor,
    steps: int,
    limits: tuple[float, float] | None = None,
) -> Tensor:
    """Return where steps along the sign of a gradient lead, each followed by a projection to a ball around ``x``.

    Args:
        x: the middle of the ball.
        start: where the first step begins.
        gradient: of what is to rise.
        epsilon: the radius of the ball, in the largest of all coordinates.
        step: the length of a step.
        steps: how many.
        limits: the lowest and highest value there can be; None for any.
    """
    ops = keras.ops
    moved = start
    for _ in range(steps):
        moved = moved + step * ops.sign(gradient(moved))
        moved = ops.minimum(ops.maximum(moved, x - epsilon), x + epsilon)
        moved = moved if limits is None else ops.clip(moved, *limits)
    return moved


def robust(
    context: LossContext,
    random: Random,
    *,
    beta: Tensor,
    epsilon: Tensor,
    step: Tensor,
    steps: int,
    limits: tuple[float, float] | None,
) -> Tensor:
    """Return ``beta`` times the mean divergence of predictions from those at the worst point that was found."""
    ops = keras.ops
    x = ops.stop_gradient(ops.cast(context.x, "float32"))
    expected = ops.stop_gradient(context.probabilities(context.forward(x, training=False)))

    def apart(moved: Tensor) -> Tensor:
        return ops.sum(kl_divergence(expected, context.probabilities(context.forward(moved, training=False))))

    def slope(moved: Tensor) -> Tensor:
        return context.gradient(apart, moved)

    start = x + 0.001 * keras.random.normal(ops.shape(x), seed=random)
    moved = ascended(x, start, slope, epsilon=epsilon, step=step, steps=steps, limits=limits)
    q = context.probabilities(context.forward(ops.stop_gradient(moved), training=True))
    return beta * context.mean(kl_divergence(context.probabilities(context.y_pred), q))


@dataclass(frozen=True)
class TRADES(Strategy):
    """Adds how far predictions change within a ball around each example: ``beta * KL(p(x) || p(x'))``.

    ``x'`` is sought in the ball ``|x' - x| <= epsilon`` by ``steps`` steps of ``step_size`` along the sign of the
    gradient of that divergence, from ``x + 0.001 n``, ``n ~ N(0, 1)``, in inference mode. Both distributions of the
    term itself are of training mode, and the gradient goes through both; the pass of ``x'`` draws anew, and statistics
    of BatchNormalization do not move in it. ``epsilon`` and ``clip`` are in units of the model's input. Weights of
    examples weigh the term as they do the loss. It costs ``steps + 2`` further passes.

    Differences from the paper (Zhang et al.): ``beta`` is its ``1 / lambda``; its images lie in [0, 1] and are clipped
    to that, here nothing is clipped unless ``clip`` says so; the default step is ``2.5 epsilon / steps``.

    Example: ``TRADES(beta=6.0, epsilon=8/255, clip=(0, 1))``
    """

    name: ClassVar[str] = "trades"
    formula: ClassVar[str] = "loss + beta * max KL(p(x) || p(x')) over |x' - x| <= epsilon"
    paper: ClassVar[str] = "Zhang et al. 2019, arXiv:1901.08573"
    stage: ClassVar[Stage] = Stage.LOSS

    beta: float = param(6.0, "coefficient on the divergence", low=0, strength=True, search=(0.5, 10.0, "log"))
    epsilon: float = param(
        0.1, "radius of the ball around an example", low=0, strength=True, search=(1e-3, 0.3, "log"), unit="x"
    )
    steps: int = param(5, "gradient steps", kind="int", low=1, high=1000)
    step_size: float | None = param(
        None,
        "length of a step; by default 2.5 epsilon / steps",
        low=0,
        open_low=True,
        optional=True,
        strength=True,
        unit="x",
    )
    clip: str | tuple[float, float] = param("none", "valid range of inputs", kind="bounds", choices=("none",))

    def validate(self) -> None:
        if isinstance(self.clip, tuple) and self.clip[0] == self.clip[1]:
            raise ReglabError(f"trades: clip={self.clip} leaves a single value. Give (low, high) with low < high.")

    def strengths(self) -> dict[str, float]:
        step = 2.5 * self.epsilon / self.steps if self.step_size is None else self.step_size
        return {"beta": self.beta, "epsilon": self.epsilon, "step": step}

    @property
    def acts_on_inputs(self) -> bool:
        return True

    def check_loss(self, loss: Loss) -> None:
        check_cross_entropy(self.name, loss)

    def loss(self, context: LossContext, s: StrengthView, random: Random) -> Tensor:
        return robust(context, random, beta=s.beta, epsilon=s.epsilon, step=s.step, **self._how())

    def _how(self) -> dict[str, Any]:
        return {"steps": self.steps, "limits": self.clip if isinstance(self.clip, tuple) else None}

    def write_keras(self, script: TrainingScript) -> None:
        numbers = {**self.strengths(), **self._how()}
        script.add_term(robust, [script.stream(), *(f"{name}={value!r}" for name, value in numbers.items())])
