"""Noise on the targets: label smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Loss, Random
from reglab.declare import param
from reglab.errors import ReglabError
from reglab.strategies.base import Strategy
from reglab.strategies.given import Batch, InputRange, StrengthView
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["LabelSmoothing"]


@dataclass(frozen=True)
class LabelSmoothing(Strategy):
    """Trains on ``(1 - smoothing) * y + smoothing / classes`` in place of the one-hot target ``y``.

    Works with sparse labels too, for which ``compile(loss=...)`` has no option. Evaluation, and every metric, see the
    labels as they are. (Smoothing that is given to a Keras loss also changes ``val_loss``; such a loss is refused, as
    it would smooth twice.) With several sigmoids, each of which tells of a label whether it is given, ``classes`` is 2.
    Classes of positions are smoothed alike. Numbers to predict have no classes, and are refused.

    Differences from the paper (Srivastava names noise on the output targets, without numbers): this is its expectation
    over label noise at rate ``smoothing`` (Goodfellow et al. 2016, section 7.5.1).

    Example: ``LabelSmoothing(smoothing=0.1)``
    """

    name: ClassVar[str] = "label_smoothing"
    formula: ClassVar[str] = "(1 - smoothing) * y + smoothing / classes"
    paper: ClassVar[str] = "Szegedy et al. 2016, arXiv:1512.00567, section 7"
    stage: ClassVar[Stage] = Stage.TARGETS
    zero: ClassVar[dict[str, float]] = {"smoothing": 0.0}
    changes_inputs: ClassVar[bool] = False
    soft_targets: ClassVar[bool] = True

    smoothing: float = param(
        0.1, "share of the target spread over all classes", low=0, high=1, strength=True, search=(0.01, 0.4, "linear")
    )

    def on_batch(self, batch: Batch, s: StrengthView, random: Random, input_range: InputRange | None) -> Batch:
        classes = 2 if batch.independent else max(batch.y.shape[-1], 2)  # a sigmoid stands for two classes
        return batch._replace(y=batch.y * (1.0 - s.smoothing) + s.smoothing / classes)

    def check_loss(self, loss: Loss) -> None:
        smoothing = getattr(loss, "label_smoothing", None)
        if smoothing:
            raise ReglabError(
                f"label_smoothing: the loss {type(loss).__name__}(label_smoothing={smoothing}) smooths labels already, "
                "so they would be smoothed twice. Take label_smoothing out of the loss, or out of the recipe."
            )

    def write_keras(self, script: TrainingScript) -> None:
        # As a float32 number, because 1 - smoothing is computed in the precision of the number.
        script.define(f"SMOOTHING = np.float32({self.smoothing!r})  # share of a label that is spread over all classes")
        for output in script.soften():
            classes = 2 if output.task.form == "sets" else max(output.head.outputs, 2)  # of each label by itself
            # TensorFlow's optimizer of graphs makes a product of the division, which differs in the last bit.
            share = f"* np.float32(1 / {classes})" if script.backend == "tensorflow" else f"/ {classes}"
            script.on_labels(f"{output.labels} = {output.labels} * (1 - SMOOTHING) + SMOOTHING {share}")
