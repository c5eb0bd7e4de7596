"""Early stopping: training ends when validation no longer improves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from reglab.declare import param
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.observing import Judgement, Observer
from reglab.strategies.stage import Stage
from reglab.tasks import Task

__all__ = ["DECIDING", "EarlyStopping"]

DECIDING = "val_accuracy"  # what is monitored by default; in a study it stands for the metric that decides


@dataclass(frozen=True)
class EarlyStopping(Strategy):
    """Stops after ``patience`` epochs without improvement of ``monitor``, and restores the best weights.

    It decides as ``keras.callbacks.EarlyStopping`` does with ``restore_best_weights=True``. It does not alter the
    weights on the way, so a study computes it from the run without it. In a study the monitored values are the clean
    ones: measured in inference mode and without penalties; ``val_accuracy`` stands for the metric that decides there,
    and ``val_loss`` for what the loss measures. Together with ``ema`` the averages are validated, and restored.

    Differences from the paper (Srivastava, Table 1: val_accuracy, patience 40): it does not say whether best weights
    were restored; here they are.

    Example: ``EarlyStopping(monitor="val_accuracy", patience=40)``
    """

    name: ClassVar[str] = "early_stopping"
    formula: ClassVar[str] = "stop after `patience` epochs without improvement of `monitor`; restore the best weights"
    paper: ClassVar[str] = "Prechelt 1998, Early Stopping - But When?; Goodfellow et al. 2016, section 7.8"
    stage: ClassVar[Stage] = Stage.OBSERVATION
    rider: ClassVar[bool] = True

    monitor: str = param(DECIDING, "what has to improve", kind="choice", choices=(DECIDING, "val_loss"))
    patience: int = param(
        10,
        "epochs without improvement after which training stops",
        kind="int",
        low=0,
        search=(2, 50, "log"),
        unit="epochs",
    )
    min_delta: float = param(0.0, "what counts as improvement, at least", low=0)
    start_from_epoch: int = param(0, "epochs before improvement is looked for", kind="int", low=0, unit="epochs")

    def structure(self) -> tuple[Any, ...]:
        return (self.name,)  # nothing of it is compiled

    def observer(self, task: Task | None) -> Observer:
        return _Stopping(self, task)

    def write_keras(self, script: Any) -> None:
        # Of val_loss the study watches the part without penalties. It is a metric in the script.
        accuracy = self.monitor == "val_accuracy"
        arguments = [f"patience={self.patience}"]
        arguments += [f"min_delta={self.min_delta!r}"] if self.min_delta else []
        arguments += [f"start_from_epoch={self.start_from_epoch}"] if self.start_from_epoch else []
        # By accuracy the best epoch is what ModelCheckpoint keeps, whatever counts as improvement here.
        script.restores = not accuracy
        where = '"val_accuracy", mode="max"' if accuracy else '"val_cross_entropy", mode="min"'
        arguments += [] if accuracy else ["restore_best_weights=True"]
        script.callbacks.append(f"keras.callbacks.EarlyStopping({where}, {', '.join(arguments)})")


_REMEMBERED = ("wait", "stopped_epoch", "best", "best_epoch")  # what Keras' callback decides by


class _Stopping(Observer):
    """Keras' own rule; it is asked when to stop, and which epoch was the best."""

    def __init__(self, strategy: EarlyStopping, task: Task | None) -> None:
        self._watched, self._sign = strategy.monitor, 1.0
        mode = "max" if strategy.monitor.endswith("accuracy") else "min"
        if task is not None:  # with the sign by which larger is better
            metric = task.decides if strategy.monitor == DECIDING else task.criterion
            self._watched, self._sign, mode = f"val_{metric.name}", metric.sign, "max"
        # In a study what decides chooses the epoch, whatever counts as improvement here.
        self.monitor = None if task is not None and strategy.monitor == DECIDING else strategy.monitor
        self._callback = keras.callbacks.EarlyStopping(
            monitor=self._watched,
            mode=mode,
            patience=strategy.patience,
            min_delta=strategy.min_delta,
            start_from_epoch=strategy.start_from_epoch,
        )
        self._callback.set_model(_StopFlag())
        self._callback.on_train_begin()

    def judge(self, epoch: int, values: Mapping[str, float]) -> Judgement:
        known = {self._watched: self._sign * values[self._watched]} if self._watched in values else {}
        self._callback.on_epoch_end(epoch, known)
        looked = bool(known) and epoch >= self._callback.start_from_epoch
        return Judgement(looked and self._callback.best_epoch == epoch, self._callback.model.stop_training)

    def remembered(self) -> dict[str, Any]:
        return {name: getattr(self._callback, name) for name in _REMEMBERED}

    def recall(self, remembered: Mapping[str, Any]) -> None:
        for name in _REMEMBERED:
            setattr(self._callback, name, remembered[name])


class _StopFlag:
    """All of a model that Keras' EarlyStopping needs when it restores nothing."""

    stop_training = False
