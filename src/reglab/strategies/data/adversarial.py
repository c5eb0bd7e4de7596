"""Adversarial training: examples moved along the gradient of their own loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from reglab.aliases import Random, Tensor
from reglab.declare import param
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.given import InputRange, StrengthView
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["Adversarial", "attacked"]

_TINY = 1e-12


@dataclass(frozen=True)
class Adversarial(Strategy):
    """Replaces a share of each batch by adversarial examples of the model as it is at that step.

    ``method="fgsm"``: ``x + epsilon * sign(d loss / d x)``. ``"bim"``: ``steps`` such steps of ``step_size``, each
    followed by a projection to the ball of radius ``epsilon`` around ``x``. ``"pgd"``: the same from a random point of
    the ball. With ``norm="l2"`` the step goes along the gradient divided by its norm, and the ball is an L2 ball.

    The gradient is of the data loss alone, in inference mode: dropout is off, statistics of BatchNormalization and
    random streams do not move. ``epsilon`` is in units of the model's input, or with ``unit="pixel"`` a fraction of the
    raw pixel range (``8/255``), which is converted with the range that ``adapt`` was told. ``clip`` keeps the
    examples in the valid range: ``"data"`` (from ``adapt``), ``(low, high)`` in units of the model's input, or none.

    Differences from the paper (Srivastava, Table 1: alpha 0.005, "as well"): it says neither the unit nor the share;
    its arm is built here in units of the normalized input, with half of each batch.

    Example: ``Adversarial(method="pgd", epsilon=8/255, unit="pixel", clip="data")``
    """

    name: ClassVar[str] = "adversarial"
    formula: ClassVar[str] = "x + epsilon * sign(d loss / d x), once or in projected steps"
    paper: ClassVar[str] = (
        "Goodfellow et al. 2015, arXiv:1412.6572; Kurakin et al. 2017, arXiv:1607.02533 (BIM); "
        "Madry et al. 2018, arXiv:1706.06083 (PGD)"
    )
    stage: ClassVar[Stage] = Stage.ATTACKS
    zero: ClassVar[dict[str, float]] = {"epsilon": 0.0}

    epsilon: float = param(
        0.005, "radius of the ball around an example", low=0, strength=True, search=(1e-3, 0.3, "log"), unit="`unit`"
    )
    method: str = param("fgsm", "how the examples are found", kind="choice", choices=("fgsm", "bim", "pgd"))
    unit: str = param(
        "input",
        "whether epsilon is in units of the model's input or of the raw pixel range",
        kind="choice",
        choices=("input", "pixel"),
    )
    norm: str = param("linf", "which ball", kind="choice", choices=("linf", "l2"))
    steps: int = param(10, "gradient steps of bim and pgd; fgsm takes one", kind="int", low=1, high=1000)
    step_size: float | None = param(
        None,
        "length of a step; by default epsilon for fgsm and 2.5 epsilon / steps otherwise",
        low=0,
        open_low=True,
        optional=True,
        strength=True,
        unit="`unit`",
    )
    random_start: bool | None = param(
        None, "start from a random point of the ball; by default pgd does", kind="bool", optional=True
    )
    clip: str | tuple[float, float] = param("none", "valid range of inputs", kind="bounds", choices=("none", "data"))
    share: float = param(0.5, "share of each batch that is replaced", low=0, high=1, open_low=True)

    def validate(self) -> None:
        if self.clip == "none" or self.clip is None:
            return
        if isinstance(self.clip, tuple) and self.clip[0] == self.clip[1]:
            raise ReglabError(f"adversarial: clip={self.clip} leaves a single value. Give (low, high) with low < high.")

    @property
    def needs_range(self) -> bool:
        return self.unit == "pixel" or self.clip == "data"

    @property
    def moves_padding(self) -> bool:
        return bool(self._how()["start"])  # a gradient is 0 there

    def strengths(self) -> dict[str, float]:
        default = self.epsilon if self.method == "fgsm" else 2.5 * self.epsilon / self.steps
        return {"epsilon": self.epsilon, "step": default if self.step_size is None else self.step_size}

    def perturb_inputs(
        self,
        x: Tensor,
        gradient: Callable[[Tensor, slice], Tensor],
        s: StrengthView,
        random: Random,
        input_range: InputRange | None,
    ) -> Tensor:
        width: Tensor = 1.0
        if self.unit == "pixel":
            assert input_range is not None  # needs_range says so, and fit checks it
            width = input_range.high - input_range.low
        numbers = {"epsilon": s.epsilon, "step": s.step, "width": width, "limits": self._limits(input_range)}
        return attacked(x, gradient, random, **numbers, **self._how())

    def _how(self) -> dict[str, Any]:
        """Return what decides the program of the attack."""
        start = self.method == "pgd" if self.random_start is None else self.random_start
        steps = 1 if self.method == "fgsm" else self.steps
        return {"steps": steps, "norm": self.norm, "start": start, "share": self.share}

    def write_keras(self, script: TrainingScript) -> None:
        script.gradient()
        low, high = script.range() if self.clip == "data" or self.unit == "pixel" else ("", "")
        arguments = [f"{name}={value!r}" for name, value in self.strengths().items()]
        arguments += [f"width={high} - {low}"] if self.unit == "pixel" else []
        limits = f"({low}, {high})" if self.clip == "data" else repr(self.clip)
        arguments += [f"limits={limits}"] if self.clip not in ("none", None) else []
        arguments += [f"{name}={value!r}".replace("'", '"') for name, value in self._how().items()]
        random = script.stream() if self._how()["start"] else "None"
        gradient = f"lambda at, part: self.input_gradient(at, {script.labels_of('part')})"
        script.on_batch_by(script.carry(attacked), ["x", gradient, random, *arguments])
        script.attacks = True

    def _limits(self, input_range: InputRange | None) -> tuple[Any, Any] | None:
        if self.clip == "data":
            assert input_range is not None
            return input_range.low, input_range.high
        return self.clip if isinstance(self.clip, tuple) else None


def attacked(
    x: Tensor,
    gradient: Callable[[Tensor, slice], Tensor],
    random: Random | None,
    *,
    epsilon: Tensor,
    step: Tensor,
    steps: int,
    norm: str,
    start: bool,
    share: float = 1.0,
    width: Tensor = 1.0,
    limits: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Return a batch of which a share is moved along a gradient, within a ball around each example.

    Args:
        x: examples, batch first.
        gradient: of what is to rise, from the examples of a part of the batch and that part.
        random: a ``keras.random.SeedGenerator``, where a random point of the ball is the start.
        epsilon: the radius of the ball, in units of ``width``.
        step: the length of a step, likewise.
        steps: how many.
        norm: ``linf`` or ``l2``.
        start: whether to begin at a random point of the ball.
        share: how much of the batch, from its beginning on.
        width: the unit, in units of ``x``: a scalar, or an array that broadcasts against an example.
        limits: the lowest and the highest value that examples can have.
    """
    ops = keras.ops
    part = _first(share, ops.shape(x)[0])
    clean = ops.cast(x[part], "float32")

    # delta is the perturbation in units of epsilon; moved(delta) is the example in units of the model's input.
    def moved(delta: Tensor) -> Tensor:
        example = clean + delta * width
        return example if limits is None else ops.clip(example, *limits)

    delta = ops.zeros_like(clean)
    if start:
        delta = _random_start(ops.shape(clean), norm, epsilon, random)
    for _ in range(steps):
        slope = gradient(moved(delta), part) * width
        delta = _project(delta + step * _direction(slope, norm), norm, epsilon)
        if limits is not None:  # what the valid range takes away is gone for the next step too
            delta = (moved(delta) - clean) / ops.maximum(width, _TINY)
    if share == 1.0:
        return moved(delta)
    return ops.concatenate([moved(delta), ops.cast(x, "float32")[part.stop :]], axis=0)


def _first(share: float, count: int | Tensor) -> slice:
    """Return the slice of the first ``share`` of a batch, one example at least; batches come shuffled."""
    if isinstance(count, int):
        return slice(0, max(1, round(share * count)))
    ops = keras.ops
    return slice(0, ops.maximum(1, ops.cast(ops.round(share * ops.cast(count, "float32")), "int32")))


def _direction(slope: Tensor, norm: str) -> Tensor:
    """Return the step of length 1 in a norm that raises the loss most."""
    if norm == "linf":
        return keras.ops.sign(slope)
    return slope / keras.ops.maximum(_length(slope), _TINY)


def _project(delta: Tensor, norm: str, epsilon: Tensor) -> Tensor:
    """Return the nearest point of the ball of radius ``epsilon``."""
    if norm == "linf":
        return keras.ops.clip(delta, -keras.ops.convert_to_tensor(epsilon), keras.ops.convert_to_tensor(epsilon))
    return delta * keras.ops.minimum(1.0, epsilon / keras.ops.maximum(_length(delta), _TINY))


def _length(x: Tensor) -> Tensor:
    """Return the L2 norm of each example, shaped to broadcast against ``x``."""
    axes = tuple(range(1, len(x.shape)))
    return keras.ops.sqrt(keras.ops.sum(keras.ops.square(x), axis=axes, keepdims=True))


def _random_start(shape: Sequence[int], norm: str, epsilon: Tensor, random: Random) -> Tensor:
    """Draw uniformly from the ball of radius ``epsilon``."""
    if norm == "linf":
        return epsilon * keras.random.uniform(shape, minval=-1.0, maxval=1.0, seed=random)
    direction = keras.random.normal(shape, seed=random)
    size = 1
    for extent in shape[1:]:
        size *= extent
    radius = keras.random.uniform((shape[0],) + (1,) * (len(shape) - 1), seed=random) ** (1.0 / size)
    return epsilon * radius * direction / keras.ops.maximum(_length(direction), _TINY)
