"""How the runs of a study are trained: optimizer, schedule, loss and weights of examples, the same for every recipe.

What counts is, in this order: what the study was given, what its model was compiled with, and what the task is trained
with, by Adam. All of it is made anew for each program, so that no training has anything of another's.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import keras
import numpy as np

from reglab.aliases import Loss, Tensor
from reglab.data.several import together
from reglab.errors import ReglabError, nearest, of_output
from reglab.expressions import format_value, parse_call, shown
from reglab.keras_internals import schedule_of, settings_of
from reglab.models.registry import found_function
from reglab.recipe import Recipe
from reglab.regularized.checks import check_callbacks
from reglab.study.as_text import CLIPPING, LOSSES, OPTIMIZERS, SCHEDULES, is_own, read_loss, read_weights
from reglab.study.content import digest
from reglab.study.measured import Measured, MeasuredEach
from reglab.study.objects import Kept, kept, said, spoken, spoken_name
from reglab.study.spec import Settings
from reglab.study.user_callbacks import copies
from reglab.tasks import Head, Task

__all__ = ["Training"]

_SETTING_RATES = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
_FEW = 64  # labels that a loss is tried on


class Training:
    """How runs are trained.

    Args:
        settings: of the study.
        task: what is predicted.
        given: Python objects in place of settings, by their names.
        compiled: what the model was compiled with; see :func:`reglab.study.objects.taken`.
        steps: gives how many steps a training takes.
    """

    def __init__(
        self,
        settings: Settings,
        task: Task,
        *,
        given: Mapping[str, Any] | None = None,
        compiled: Mapping[str, Any] | None = None,
        steps: Callable[[], int],
    ) -> None:
        self._task, self._steps = task, steps
        self._class_weight = settings.class_weight
        self._sample_weight = (given or {}).get("sample_weight")
        self._callbacks = (given or {}).get("callbacks", ())
        if self._class_weight is not None and self._sample_weight is not None:
            raise ReglabError(
                "class_weight and sample_weight both say how much examples count, and Keras takes one of them. "
                "Multiply them into sample_weight."
            )
        self._said = said(settings, given or {}, compiled or {})
        self._found: dict[str, Any] = {}  # functions of the user's files, which are run once

    # --- the optimizer ---------------------------------------------------------------------------------------------

    def optimizer(self) -> keras.optimizers.Optimizer:
        """Return a new optimizer.

        Raises:
            ReglabError: for options that Keras does not take.
        """
        cls, config = self.configured()
        return _made("optimizer", cls.__name__, cls, config)

    def configured(self) -> tuple[Any, dict[str, Any]]:
        """Return the class of the optimizer and all of its arguments."""
        cls, config = self._chosen()
        config |= {key: self._said[key] for key in ("learning_rate", *CLIPPING) if self._said[key] is not None}
        if self._said["schedule"] is not None:
            before = config.get("learning_rate")
            first = before if isinstance(before, float) else _default(cls)
            config["learning_rate"] = self._scheduled(self._said["schedule"], first)
        return cls, config

    def _chosen(self) -> tuple[Any, dict[str, Any]]:
        """Return the class of the optimizer and its arguments, before what other settings say of them."""
        chosen = self._said["optimizer"] or "adam"
        if isinstance(chosen, str) and is_own(chosen):
            chosen = self._own("optimizer", chosen, keras.optimizers.Optimizer)
        if isinstance(chosen, keras.optimizers.Optimizer):
            chosen = kept("optimizer", chosen)
        if isinstance(chosen, Kept):
            return chosen.cls, dict(chosen.config or {})
        name, options = parse_call(chosen)
        return _class("optimizer", OPTIMIZERS, keras.optimizers, name), options

    def _scheduled(
        self, schedule: str | keras.optimizers.schedules.LearningRateSchedule, first: float
    ) -> keras.optimizers.schedules.LearningRateSchedule:
        """Return the schedule that begins with a rate and ends, where nothing else is said, with the training."""
        if isinstance(schedule, str) and is_own(schedule):
            schedule = self._own("schedule", schedule, keras.optimizers.schedules.LearningRateSchedule)
        if not isinstance(schedule, str):
            return schedule
        name, options = parse_call(schedule)
        cls = _class("schedule", SCHEDULES, keras.optimizers.schedules, name)
        known = inspect.signature(cls).parameters
        if "initial_learning_rate" in known:
            options["initial_learning_rate"] = first
        if "decay_steps" in known and "decay_steps" not in options:
            warming = options.get("warmup_steps", 0)
            options["decay_steps"] = max(1, self._steps() - (warming if isinstance(warming, int) else 0))
        return _made("schedule", name, cls, options)

    # --- the loss --------------------------------------------------------------------------------------------------

    def loss(self, head: Head) -> Loss:
        """Return the loss, new.

        Raises:
            ReglabError: for one that the model's outputs cannot be trained with.
        """
        if not self._task.outputs:
            return self._loss(self._task, self._said["loss"], head)
        said, found = self._of_outputs("loss"), {}
        for name, task in self._task.outputs.items():
            with of_output(name):
                found[name] = self._loss(task, said[name], head.by_output[name])
        return found

    def _loss(self, task: Task, chosen: Any, head: Head) -> Any:
        """Return the loss of one output: what was chosen for it, else the task's own."""
        if chosen is None:
            return task.loss(head)
        if isinstance(chosen, Kept):
            loss = chosen.made()
        elif isinstance(chosen, str):
            loss = self._own("loss", chosen, keras.losses.Loss) if is_own(chosen) else _loss_of_keras(chosen, head)
        else:
            loss = chosen
        task.check_loss(loss, head)
        return loss

    def other_losses(self, head: Head) -> dict[str, Any]:
        """Return the losses that are not those of the tasks, by the names of outputs; that of the only one is empty."""
        loss, usual = self.loss(head), self._task.loss(head)
        if not isinstance(loss, dict):
            loss, usual = {"": loss}, {"": usual}
        return {name: each for name, each in loss.items() if _content(each) != _content(usual[name])}

    def loss_weights(self) -> float | dict[str, float] | None:
        """Return the factor before the loss, of several outputs before each by name, or None."""
        if not self._task.outputs:
            found = self._said["loss_weights"]
            return None if found == 1 else found
        said = self._of_outputs("loss_weights")
        each = {name: 1.0 if value is None else float(value) for name, value in said.items()}
        return None if set(each.values()) == {1.0} else each

    def _of_outputs(self, key: str) -> dict[str, Any]:
        """Return what was said of each of several outputs, by name; what was said of all is that of each."""
        said, names = self._said[key], list(self._task.outputs)
        if not isinstance(said, Mapping):
            return dict.fromkeys(names, said)
        for name in said:
            if name not in names:
                raise ReglabError(
                    f"{key} names {name!r}, which is no output of the data.{nearest(str(name), names)} There are "
                    f"{', '.join(names)}."
                )
        return {name: said.get(name) for name in names}

    def form(self, head: Head, y: np.ndarray, outputs: Callable[[int], Any]) -> Callable[[np.ndarray], np.ndarray]:
        """Return what gives labels the form that the loss takes: of classes indices, or distributions.

        The loss is tried on a few labels in each form that the task has.

        Args:
            head: what the model ends in.
            y: labels.
            outputs: from a number of examples to what the model gives for so many, of several outputs by name.

        Raises:
            ReglabError: if it takes none of them.
        """
        if not self._task.outputs:
            return self._form(self._task, self._said["loss"], head, y, outputs)
        said = self._of_outputs("loss")

        def given(name: str) -> Callable[[int], np.ndarray]:
            return lambda count: np.asarray(outputs(count)[name])

        each = {}
        for name, task in self._task.outputs.items():
            with of_output(name):
                each[name] = self._form(task, said[name], head.by_output[name], y[name], given(name))
        return lambda y: together({name: form(y[name]) for name, form in each.items()})

    def _form(
        self, task: Task, chosen: Any, head: Head, y: np.ndarray, outputs: Callable[[int], np.ndarray]
    ) -> Callable[[np.ndarray], np.ndarray]:  # fmt: skip
        """Return the form of the labels of one output."""
        forms = task.label_forms(head)
        if chosen is None:
            return forms[0]
        count = head.outputs + 2  # neither one nor as many as there are outputs, which a wrong form would fit too
        some, given = np.resize(y[:_FEW], (count, *y.shape[1:])), outputs(count)
        loss, errors = self._loss(task, chosen, head), []
        for form in forms:
            try:
                values = np.asarray(keras.ops.convert_to_numpy(_each(loss, form(some), given)))
            except Exception as error:  # whatever it raises, it cannot be trained with
                errors.append(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
                continue
            if values.shape[:1] in ((), (count,)):
                self._check_values(loss, values)
                return form
            errors.append(f"it gives {values.shape}")
        raise ReglabError(
            f"The loss {_name(loss)} cannot be taken of labels {some.shape} and outputs {given.shape} ({errors[0]}). "
            "Give one that takes what is predicted here, or none, and the task's own is trained with."
        )

    def _check_values(self, loss: Loss, values: np.ndarray) -> None:
        if self.weighted and not values.ndim:
            raise ReglabError(
                f"The loss {_name(loss)} gives one number for a batch, and weights of examples need one for each. Let "
                "it return the loss of each example, without taking the mean."
            )

    # --- weights of examples ---------------------------------------------------------------------------------------

    @property
    def weighted(self) -> bool:
        """Whether examples count unequally in the training loss."""
        return self._class_weight is not None or self._sample_weight is not None

    def weights(self, y: np.ndarray, train: np.ndarray) -> np.ndarray | None:
        """Return how much each example counts in the training loss, float32 ``(N,)``, or None if all count alike.

        Args:
            y: labels of all examples, as the data has them.
            train: the positions of those that are trained on.
        """
        if self._sample_weight is not None:
            if any(task.takes_masks for task in (self._task, *self._task.outputs.values())):
                raise ReglabError(
                    "sample_weight has a weight for each example, and here each example has a label for each position, "
                    "whose losses Keras would weigh by position. Leave it out, or let the loss weigh (loss=...)."
                )
            return self._placed(self._sample_weight, y, train)
        if self._class_weight is None:
            return None
        return np.asarray(self._task.weigh(y, read_weights(self._class_weight), train))

    def _own(self, what: str, text: str, expected: type) -> Any:
        """Return what a function of somebody's own is or returns.

        A class is called, and so is a function that is given options or needs none; a function of ``(y_true, y_pred)``
        is the loss itself.
        """
        if text not in self._found:
            self._found[text] = found_function(text)
        function, options = self._found[text]
        needed = [
            parameter for parameter in inspect.signature(function).parameters.values()
            if parameter.default is parameter.empty and parameter.kind in (parameter.POSITIONAL_ONLY,
                                                                           parameter.POSITIONAL_OR_KEYWORD)
        ]  # fmt: skip
        if what == "loss" and not options and len(needed) == 2 and not inspect.isclass(function):
            return function
        try:
            made = function(**options)
        except Exception as error:
            raise ReglabError(f"{what} {text} failed: {type(error).__name__}: {error}") from error
        if isinstance(made, expected) or (what == "loss" and callable(made)):
            return made
        raise ReglabError(
            f"{what} {text} gave {shown(str(type(made).__name__))}; expected is a function or class that makes a "
            f"keras {expected.__name__}."
        )

    @staticmethod
    def _placed(weights: np.ndarray, y: np.ndarray, train: np.ndarray) -> np.ndarray:
        """Return the weights of all examples, checked."""
        if len(weights) != len(y):
            raise ReglabError(
                f"sample_weight has {len(weights)} weights; the data has {len(y)} examples, all parts together and in "
                "their order. Give one for each; only those of the training part count."
            )
        if not weights[train].any():
            raise ReglabError("sample_weight is 0 for all training examples. Give some of them more.")
        return weights

    # --- metrics ---------------------------------------------------------------------------------------------------

    def _metrics(self) -> Measured | MeasuredEach:
        given = self._said["metrics"]
        if self._task.outputs:
            if given is not None and not isinstance(given, Mapping):
                raise ReglabError(
                    f"metrics={spoken_name(given)!r} does not say of which output, and the model has "
                    f"{', '.join(self._task.outputs)}. Give a dict of metrics by these names; what tasks measure of "
                    "each is there in any case."
                )
            of = {name: each for name, each in self._of_outputs("metrics").items() if each}
            return MeasuredEach({name: Measured(each, self._task.outputs[name]) for name, each in of.items()})
        return Measured([given] if isinstance(given, str) else list(given or ()), self._task)

    def measured(
        self, head: Head, y: np.ndarray, outputs: Callable[[int], Any]
    ) -> Measured | MeasuredEach | None:  # fmt: skip
        """Return what measures the user's metrics, or None where there are none; see :meth:`form`."""
        found = self._metrics()
        if not found.names or self._task.takes_masks:
            return None
        count = head.outputs + 2
        found.fit(self._task, head, np.resize(y[:_FEW], (count, *y.shape[1:])), outputs(count))
        return found

    def notes(self) -> list[str]:
        """Return what has to be said of what was given and is not done."""
        names = self._metrics().names
        if not names or not self._task.takes_masks:
            return []
        return [
            f"Of {self._task.kind} the metrics {', '.join(names)} are not measured: labels that count nowhere would "
            "count in them. What the task measures leaves them out."
        ]

    # --- callbacks -------------------------------------------------------------------------------------------------

    def callbacks(self) -> list[Any]:
        """Return the user's callbacks for one training: no two trainings have one of them in common."""
        return copies(self._callbacks)

    def check_callbacks(self, recipe: Recipe) -> None:
        """Raise a ReglabError where a callback and a recipe, or a schedule, set the same thing."""
        own = self.callbacks()
        check_callbacks(recipe, own)
        setting = [each for each in own if isinstance(each, _SETTING_RATES)]
        if setting and schedule_of(self.optimizer()) is not None:
            raise ReglabError(
                f"{type(setting[0]).__name__} sets the learning rate, and so does the schedule of the optimizer. Take "
                "one of them out."
            )

    # --- what it is ------------------------------------------------------------------------------------------------

    def facts(self, head: Head) -> dict[str, Any]:
        """Return what decides results beside the settings, of what is not as usual."""
        found: dict[str, Any] = {}
        if self.other_losses(head):
            found["loss"] = _content(self.loss(head))
        if self.loss_weights() is not None:
            found["loss_weights"] = self.loss_weights()
        if self._class_weight is not None:
            found["class_weight"] = self._class_weight
        if self._sample_weight is not None:
            found["sample_weight"] = digest(self._sample_weight)
        if (metrics := self._metrics().identified()) and not self._task.takes_masks:
            found["metrics"] = metrics
        if self._callbacks:
            found["callbacks"] = [digest(each) for each in self._callbacks]
        return found

    def told(self, head: Head) -> dict[str, str]:
        """Return the same for people, each as a short text."""
        found = {key: str(value) for key, value in self.facts(head).items()}
        if "loss" in found:
            loss = self.loss(head)
            found["loss"] = f"{_name(loss)} {digest(_content(loss))[:12]}"
        return found

    def identified(self) -> dict[str, Any]:
        """Return the configuration of the optimizer, with what it does not hold of classes of the user's."""
        cls, config = self.configured()
        own = {} if _is_keras(cls) else {"class": digest(cls)}
        schedule = config.get("learning_rate")
        if callable(schedule) and not _is_keras(type(schedule)):
            own["schedule"], config["learning_rate"] = digest(schedule), 1.0
        found = _made("optimizer", cls.__name__, cls, config).get_config()
        # Keras counts the names of those that it made before.
        return {**found, "name": re.sub(r"_\d+$", "", found["name"]), **own}

    def spoken(self, head: Head) -> str:
        """Return how runs are trained, in a part of a line: ``sgd(momentum=0.9) 0.1, huber``."""
        loss = self._said["loss"] if "loss" in self.facts(head) else None
        extras = ["sample weights"] if self._sample_weight is not None else []
        extras += [spoken_name(self._callbacks)] if self._callbacks else []
        return ", ".join([spoken({**self._said, "loss": loss}, self._class_weight), *extras])

    @property
    def name(self) -> str:
        """The class of the optimizer, as settings write it."""
        return str(self._chosen()[0].__name__.lower())

    @property
    def rate(self) -> float | None:
        """The learning rate, where one was said and no schedule decides it."""
        found = self.configured()[1].get("learning_rate")
        return found if isinstance(found, float) else None


def _is_keras(cls: type) -> bool:
    return cls.__module__.startswith("keras.")


def _content(loss: Loss | dict[str, Loss]) -> Any:
    """Return what a loss is: Keras' own by its configuration, others by their content; of several outputs each."""
    if isinstance(loss, dict):
        return {name: _content(each) for name, each in loss.items()}
    name = next((key for key, cls in LOSSES.items() if type(loss) is getattr(keras.losses, cls)), None)
    if name is None:
        return digest(loss)
    return [name, {key: value for key, value in settings_of(loss).items() if key not in ("name", "dtype")}]


def _each(loss: Loss, y: np.ndarray, outputs: np.ndarray) -> Tensor:
    """Return a loss of some examples, without reduction, of what Keras gives it in training."""
    y, outputs = keras.ops.convert_to_tensor(y), keras.ops.convert_to_tensor(outputs)
    y = keras.ops.cast(y, outputs.dtype)
    return loss.call(y, outputs) if isinstance(loss, keras.losses.Loss) else loss(y, outputs)


def _loss_of_keras(text: str, head: Head) -> keras.losses.Loss:
    """Return the loss that a text names; it takes logits where the model gives them, unless the text says otherwise."""
    name, options = read_loss(text)
    cls = _class("loss", LOSSES, keras.losses, name)
    if "from_logits" in inspect.signature(cls).parameters:
        options.setdefault("from_logits", head.activation == "linear")
    return _made("loss", text, cls, options)


def _class(what: str, table: Mapping[str, str], module: ModuleType, name: str) -> type[Any]:
    cls = getattr(module, table[name], None)
    if cls is None:
        raise ReglabError(f"Keras {keras.__version__} has no {what} {name}. Name another, or use a newer Keras.")
    return cls


def _made(what: str, name: str, cls: type[Any], options: Mapping[str, Any]) -> Any:
    """Return a Keras object; what it does not take is an error that says what it does."""
    try:
        return cls(**options)
    except (TypeError, ValueError) as error:
        known = [key for key in inspect.signature(cls).parameters if key not in ("name", "kwargs", "dtype")]
        reason = str(error).splitlines()[0].rstrip(".")
        raise ReglabError(
            f"{what} {name} cannot be made with {format_value(dict(options))}: {reason}. It takes {', '.join(known)}."
        ) from error


def _default(cls: type[Any]) -> Any:
    return inspect.signature(cls).parameters["learning_rate"].default


def _name(loss: Loss | dict[str, Loss]) -> str:
    if isinstance(loss, dict):
        return ", ".join(f"{name} {_name(each)}" for name, each in loss.items())
    return str(getattr(loss, "__name__", None) or type(loss).__name__)
