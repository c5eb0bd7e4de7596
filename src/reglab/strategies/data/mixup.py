"""Mixup: training on mixtures of two examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from reglab.declare import param
from reglab.lazy import keras
from reglab.strategies.base import Batch, InputRange, Strategy
from reglab.strategies.stage import Stage

__all__ = ["Mixup"]


@dataclass(frozen=True)
class Mixup(Strategy):
    """Trains on ``m * x_i + (1 - m) * x_j`` with target ``m * y_i + (1 - m) * y_j``, ``m ~ Beta(alpha, alpha)``.

    Each example has its own ``m`` and is mixed with its neighbour in the shuffled batch. Sparse labels are turned into
    distributions; metrics during training see the heavier of the two labels. With sample weights the weights are
    mixed so that the loss is the mixture of the two weighted losses.

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

    alpha: float = param(
        0.2,
        "how strongly examples are mixed; 1 draws m uniformly",
        low=0,
        high=100,
        strength=True,
        search=(0.05, 2.0, "log"),
    )

    def on_batch(self, batch: Batch, s: Any, random: Any, input_range: InputRange | None) -> Batch:
        ops = keras.ops
        x = ops.cast(batch.x, "float32")
        count = ops.shape(x)[0]
        # Beta(0, 0) puts all its mass on 0 and 1: no mixing, which the sampler cannot be asked for.
        alpha = ops.full((count,), 1.0) * ops.maximum(s.alpha, 1e-3)
        m = keras.random.beta((count,), alpha, alpha, seed=random)
        m = ops.where(s.alpha > 0, m, 1.0)
        x_mixed = _mix(x, m)
        if batch.sample_weight is None:
            return batch._replace(x=x_mixed, y=_mix(batch.y, m))
        w = ops.cast(batch.sample_weight, "float32")
        w_mixed = _mix(w, m)
        weighted = _mix(batch.y * ops.reshape(w, (-1, 1)), m)
        y_mixed = weighted / ops.reshape(ops.maximum(w_mixed, 1e-12), (-1, 1))
        return batch._replace(x=x_mixed, y=y_mixed, sample_weight=w_mixed)

    def write_keras(self, script: Any) -> None:
        if self.alpha == 0:
            return
        script.soft = True
        script.define(_mix)
        script.define(_MIXUP.replace("ALPHA", repr(max(self.alpha, 1e-3))))
        script.on_batch("x, y = mixup(x, y, {random})", stream=True)

    def refuses(self, *, backend: str, jit_compile: bool) -> str | None:
        if backend == "tensorflow" and jit_compile:
            return "TensorFlow cannot compile its Beta sampler with XLA. Compile with jit_compile=False"
        return None


_MIXUP = '''
def mixup(x, y, random):
    """Mix each example and its label with its neighbour's, with m ~ Beta(alpha, alpha) an example."""
    alpha = ops.full((ops.shape(x)[0],), ALPHA)
    m = keras.random.beta((ops.shape(x)[0],), alpha, alpha, seed=random)
    return _mix(ops.cast(x, "float32"), m), _mix(y, m)
'''


def _mix(values: Any, m: Any) -> Any:
    """Return ``m * values + (1 - m) * values of the neighbour``, with one ``m`` an example."""
    m = keras.ops.reshape(m, (-1,) + (1,) * (len(values.shape) - 1))
    # Written so that m = 1 gives the values to the last bit.
    return values + (1.0 - m) * (keras.ops.roll(values, 1, axis=0) - values)
