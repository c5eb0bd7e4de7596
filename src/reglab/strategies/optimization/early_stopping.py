"""Early stopping: training ends when validation no longer improves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from reglab.declare import param
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.observing import Judgement, Observer
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage
from reglab.tasks import Metric, Task, direction

__all__ = ["DECIDING", "EarlyStopping"]

DECIDING = "val_metric"  # what is monitored by default
_LOSS = "val_loss"


@dataclass(frozen=True)
class EarlyStopping(Strategy):
    """Stops after ``patience`` epochs without improvement of ``monitor``, and restores the best weights.

    It decides as ``keras.callbacks.EarlyStopping`` does with ``restore_best_weights=True``. It does not alter the
    weights on the way, so a study computes it from the run without it. In a study the monitored values are the clean
    ones: measured in inference mode and without penalties. Together with ``ema`` the averages are validated, and
    restored.

    ``val_metric`` stands for the metric that decides in a study, and in ``fit`` for the first one that the model is
    compiled with whose better direction is known (metrics of reglab's tasks, such as ``accuracy``, ``auc`` or ``mae``),
    or without one for ``val_loss``. ``val_loss`` stands in a study for what the loss measures. Another metric of those
    that are measured on validation can be named: ``val_auc``.

    Differences from the paper (Srivastava, Table 1: val_accuracy, patience 40): it does not say whether best weights
    were restored; here they are.

    Example: ``EarlyStopping(patience=40)``
    """

    name: ClassVar[str] = "early_stopping"
    formula: ClassVar[str] = "stop after `patience` epochs without improvement of `monitor`; restore the best weights"
    paper: ClassVar[str] = "Prechelt 1998, Early Stopping - But When?; Goodfellow et al. 2016, section 7.8"
    stage: ClassVar[Stage] = Stage.OBSERVATION
    rider: ClassVar[bool] = True

    monitor: str = param(
        DECIDING, "what has to improve: val_metric, the metric that decides; val_loss; or another metric by name",
        kind="text",
    )  # fmt: skip
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

    def validate(self) -> None:
        named = self.monitor.startswith("val_") and direction(self.monitor.removeprefix("val_"))
        if self.monitor not in (DECIDING, _LOSS) and not named:
            raise ReglabError(
                f"early_stopping: monitor={self.monitor!r} is nothing of validation that is known to be better high or "
                f"low. Give {DECIDING}, {_LOSS}, or val_ and the name of a metric of a task, such as val_auc."
            )

    def structure(self) -> tuple[Any, ...]:
        return (self.name,)  # nothing of it is compiled

    def watched(self, task: Task) -> Metric:
        """Return what is monitored where such a task is learned.

        Raises:
            ReglabError: for a metric that is not measured after each epoch there.
        """
        known = {DECIDING: task.decides, _LOSS: task.criterion}
        known |= {f"val_{metric.name}": metric for metric in task.watched}
        if self.monitor not in known:
            raise ReglabError(
                f"early_stopping monitors {self.monitor!r}; after each epoch {', '.join(known)} are known. Name one of "
                "them, or let the metric decide (--metric), which is measured then."
            )
        return known[self.monitor]

    def names_the_best(self, task: Task) -> bool:
        """Whether the best epoch is the one that is best in what is monitored, and not in the metric that decides."""
        return self.monitor == _LOSS or self.watched(task) != task.decides

    def observer(self, task: Task | None) -> Observer:
        return _Stopping(self, task)

    def write_keras(self, script: TrainingScript) -> None:
        # Of val_loss the study watches the part without penalties. It is a metric in the script.
        metric = self.watched(script.task)
        mode = "min" if metric.better == "lower" else "max"
        arguments = [f"patience={self.patience}"]
        arguments += [f"min_delta={self.min_delta!r}"] if self.min_delta else []
        arguments += [f"start_from_epoch={self.start_from_epoch}"] if self.start_from_epoch else []
        # By what decides, the best epoch is what ModelCheckpoint keeps, whatever counts as improvement here.
        if self.names_the_best(script.task):
            script.restores = metric
            arguments.append("restore_best_weights=True")
        monitored = json.dumps(f"val_{metric.name}", ensure_ascii=False)
        script.callbacks.append(f'keras.callbacks.EarlyStopping({monitored}, mode="{mode}", {", ".join(arguments)})')


_REMEMBERED = ("wait", "stopped_epoch", "best", "best_epoch")  # what Keras' callback decides by


class _Stopping(Observer):
    """Keras' own rule; it is asked when to stop, and which epoch was the best."""

    def __init__(self, strategy: EarlyStopping, task: Task | None) -> None:
        self._watched: str | None = None if strategy.monitor == DECIDING else strategy.monitor
        self.monitor: str | None = strategy.monitor
        if task is not None:
            self._watched = f"val_{strategy.watched(task).name}"
            # In a study what decides chooses the epoch, whatever counts as improvement here.
            self.monitor = strategy.monitor if strategy.names_the_best(task) else None
        self._task = task
        # It is given values with the sign by which larger is better.
        self._callback = keras.callbacks.EarlyStopping(
            monitor=strategy.monitor,
            mode="max",
            patience=strategy.patience,
            min_delta=strategy.min_delta,
            start_from_epoch=strategy.start_from_epoch,
        )
        self._callback.set_model(_StopFlag())
        self._callback.on_train_begin()

    def judge(self, epoch: int, values: Mapping[str, float]) -> Judgement:
        if self._watched is None and values:
            self._watched = _first_known(values)
        known = {}
        if self._watched is not None and self._watched in values:
            known[self._callback.monitor] = self._sign(self._watched) * values[self._watched]
        self._callback.on_epoch_end(epoch, known)
        looked = bool(known) and epoch >= self._callback.start_from_epoch
        return Judgement(looked and self._callback.best_epoch == epoch, self._callback.model.stop_training)

    def _sign(self, watched: str) -> float:
        metric = watched.removeprefix("val_")
        better = direction(metric) if self._task is None else self._task.metric(metric).better
        return 1.0 if better == "higher" else -1.0

    def remembered(self) -> dict[str, Any]:
        return {name: getattr(self._callback, name) for name in _REMEMBERED}

    def recall(self, remembered: Mapping[str, Any]) -> None:
        for name in _REMEMBERED:
            setattr(self._callback, name, remembered[name])


def _first_known(values: Mapping[str, float]) -> str:
    """Return the first metric on validation whose better direction is known, or the loss."""
    metrics = [name for name in values if name.startswith("val_") and name != _LOSS]
    return next((name for name in metrics if direction(name.removeprefix("val_"))), _LOSS)


class _StopFlag:
    """All of a model that Keras' EarlyStopping needs when it restores nothing."""

    stop_training = False
