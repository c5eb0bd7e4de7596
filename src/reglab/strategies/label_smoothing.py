"""Noise on the targets: label smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from reglab.strategies.base import Batch, InputRange, Strategy
from reglab.strategies.declare import param

__all__ = ["LabelSmoothing"]


@dataclass(frozen=True)
class LabelSmoothing(Strategy):
    """Trains on ``(1 - smoothing) * y + smoothing / classes`` in place of the one-hot target ``y``.

    Works with sparse labels too, for which ``compile(loss=...)`` has no option. Evaluation, and every metric, see the
    labels as they are. (Smoothing that is given to a Keras loss also changes ``val_loss``.)

    Differences from the paper (Srivastava names noise on the output targets, without numbers): this is its expectation
    over label noise at rate ``smoothing`` (Goodfellow et al. 2016, section 7.5.1).

    Example: ``LabelSmoothing(smoothing=0.1)``
    """

    name: ClassVar[str] = "label_smoothing"
    formula: ClassVar[str] = "(1 - smoothing) * y + smoothing / classes"
    paper: ClassVar[str] = "Szegedy et al. 2016, arXiv:1512.00567, section 7"
    order: ClassVar[int] = 15
    zero: ClassVar[dict[str, float]] = {"smoothing": 0.0}
    changes_inputs: ClassVar[bool] = False
    soft_targets: ClassVar[bool] = True

    smoothing: float = param(
        0.1, "share of the target spread over all classes", low=0, high=1, strength=True, search=(0.01, 0.4, "linear")
    )

    def on_batch(self, batch: Batch, s: Any, random: Any, input_range: InputRange | None) -> Batch:
        classes = max(batch.y.shape[-1], 2)  # one sigmoid output stands for two classes
        return batch._replace(y=batch.y * (1.0 - s.smoothing) + s.smoothing / classes)

    def write_keras(self, script: Any) -> None:
        script.soft = True
        classes = max(script.classes, 2)
        # As a float32 number, because 1 - smoothing is computed in the precision of the number.
        script.define(f"SMOOTHING = np.float32({self.smoothing!r})  # share of a label that is spread over all classes")
        # TensorFlow's optimizer of graphs makes a product of the division, which differs in the last bit.
        share = f"* np.float32(1 / {classes})" if script.backend == "tensorflow" else f"/ {classes}"
        script.on_labels(f"y = y * (1 - SMOOTHING) + SMOOTHING {share}")
