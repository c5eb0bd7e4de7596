"""Adversarial training: examples moved along the gradient of their own loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from reglab.declare import param
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.given import InputRange, Random, StrengthView, Tensor
from reglab.strategies.stage import Stage

__all__ = ["Adversarial"]

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
        ops = keras.ops
        part = _first(self.share, ops.shape(x)[0])
        clean = ops.cast(x[part], "float32")
        width = 1.0
        if self.unit == "pixel":
            assert input_range is not None  # needs_range says so, and fit checks it
            width = input_range.high - input_range.low
        low, high = self._limits(input_range)

        # delta is the perturbation in units of epsilon; moved(delta) is the example in units of the model's input.
        def moved(delta: Any) -> Any:
            example = clean + delta * width
            return example if low is None else ops.clip(example, low, high)

        delta = ops.zeros_like(clean)
        start = self.method == "pgd" if self.random_start is None else self.random_start
        if start:
            delta = _random_start(ops.shape(clean), self.norm, s.epsilon, random)
        for _ in range(1 if self.method == "fgsm" else self.steps):
            slope = gradient(moved(delta), part) * width
            delta = _project(delta + s.step * _direction(slope, self.norm), self.norm, s.epsilon)
            if low is not None:  # what the valid range takes away is gone for the next step too
                delta = (moved(delta) - clean) / ops.maximum(width, _TINY)
        if self.share == 1.0:
            return moved(delta)
        return ops.concatenate([moved(delta), ops.cast(x, "float32")[part.stop :]], axis=0)

    def write_keras(self, script: Any) -> None:
        script.gradient()
        if self.norm == "l2":
            script.define(f"TINY = {_TINY!r}")
        for function in (_first, *((_length, _direction, _project) if self.norm == "l2" else ())):
            script.define(function)
        start = self.method == "pgd" if self.random_start is None else self.random_start
        if start and self.norm == "l2":
            script.define(_random_start)
        script.define(self._as_function(script, start=start))
        random = ", {random}" if start else ""
        script.on_batch(f"x = attacked(x, y, self.input_gradient{random})", stream=start)
        script.attacks = True

    def _as_function(self, script: Any, *, start: bool) -> str:
        """Return ``attacked(x, y, gradient)``, with the numbers of this attack in it."""
        low, high = script.range() if self.clip == "data" or self.unit == "pixel" else (None, None)
        width = f" * ({high} - {low})" if self.unit == "pixel" else ""
        if self.clip != "data":
            low, high = map(repr, self.clip) if isinstance(self.clip, tuple) else (None, None)
        moved = f"clean + delta{width}" if low is None else f"ops.clip(clean + delta{width}, {low}, {high})"
        epsilon, step = self.strengths()["epsilon"], self.strengths()["step"]
        beginning = "ops.zeros_like(clean)"
        if start and self.norm == "linf":
            beginning = f"{epsilon!r} * keras.random.uniform(ops.shape(clean), minval=-1.0, maxval=1.0, seed=random)"
        elif start:
            beginning = f'random_start(ops.shape(clean), "l2", {epsilon!r}, random)'
        lines = [f"slope = gradient(moved(delta), y[part]){width}"]
        if self.norm == "linf":
            lines.append(f"delta = ops.clip(delta + {step!r} * ops.sign(slope), -{epsilon!r}, {epsilon!r})")
        else:
            lines.append(f'delta = project(delta + {step!r} * direction(slope, "l2"), "l2", {epsilon!r})')
        if low is not None:
            unit = width.removeprefix(" * ")
            lines.append(f"delta = (moved(delta) - clean) / {unit}" if unit else "delta = moved(delta) - clean")
        steps = 1 if self.method == "fgsm" else self.steps
        if steps > 1:
            lines = [f"for _ in range({steps}):", *(f"    {line}" for line in lines)]
        end = "" if self.share == 1.0 else "ops.concatenate([{}, x[part.stop :]], axis=0)"
        body = [
            f"part = first({self.share!r}, ops.shape(x)[0])",
            'x = ops.cast(x, "float32")',
            "clean = x[part]",
            "",
            "def moved(delta):",
            f"    return {moved}",
            "",
            f"delta = {beginning}",
            *lines,
            f"return {end.format('moved(delta)') if end else 'moved(delta)'}",
        ]
        given = "x, y, gradient, random" if start else "x, y, gradient"
        doc = f"Move {self.share:.0%} of the batch along the gradient of its own loss ({self.method.upper()})."
        return "\n".join([f"def attacked({given}):", f'    """{doc}"""', *(f"    {line}".rstrip() for line in body)])

    def _limits(self, input_range: InputRange | None) -> tuple[Any, Any]:
        if self.clip == "data":
            assert input_range is not None
            return input_range.low, input_range.high
        return self.clip if isinstance(self.clip, tuple) else (None, None)


def _first(share: float, count: Any) -> slice:
    """Return the slice of the first ``share`` of a batch, one example at least; batches come shuffled."""
    if isinstance(count, int):
        return slice(0, max(1, round(share * count)))
    ops = keras.ops
    return slice(0, ops.maximum(1, ops.cast(ops.round(share * ops.cast(count, "float32")), "int32")))


def _direction(slope: Any, norm: str) -> Any:
    """Return the step of length 1 in a norm that raises the loss most."""
    if norm == "linf":
        return keras.ops.sign(slope)
    return slope / keras.ops.maximum(_length(slope), _TINY)


def _project(delta: Any, norm: str, epsilon: Any) -> Any:
    """Return the nearest point of the ball of radius ``epsilon``."""
    if norm == "linf":
        return keras.ops.clip(delta, -keras.ops.convert_to_tensor(epsilon), keras.ops.convert_to_tensor(epsilon))
    return delta * keras.ops.minimum(1.0, epsilon / keras.ops.maximum(_length(delta), _TINY))


def _length(x: Any) -> Any:
    """Return the L2 norm of each example, shaped to broadcast against ``x``."""
    axes = tuple(range(1, len(x.shape)))
    return keras.ops.sqrt(keras.ops.sum(keras.ops.square(x), axis=axes, keepdims=True))


def _random_start(shape: Any, norm: str, epsilon: Any, random: Any) -> Any:
    """Draw uniformly from the ball of radius ``epsilon``."""
    if norm == "linf":
        return epsilon * keras.random.uniform(shape, minval=-1.0, maxval=1.0, seed=random)
    direction = keras.random.normal(shape, seed=random)
    size = 1
    for extent in shape[1:]:
        size *= extent
    radius = keras.random.uniform((shape[0],) + (1,) * (len(shape) - 1), seed=random) ** (1.0 / size)
    return epsilon * radius * direction / keras.ops.maximum(_length(direction), _TINY)
