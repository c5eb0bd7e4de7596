"""What is given as Python objects: written as text where that says all of it, else kept so that it can be sent.

An optimizer of Keras' own becomes ``sgd(momentum=0.9)``, so the frozen spec of a study holds it and a folder can be
resumed without the script. What text cannot hold, such as a class of the user's, is kept as its class and what makes it
again: Keras pickles its objects by names, which another process does not know.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from reglab.aliases import Loss, Optimizer
from reglab.errors import ReglabError
from reglab.expressions import Call, format_call
from reglab.keras_internals import compiled_with, config_of, decays_all, schedule_of, settings_of, uncompiled
from reglab.lazy import keras
from reglab.models import by_output
from reglab.study.as_text import CLIPPING, LOSSES, OPTIMIZERS, SCHEDULES, is_own, read_loss, said_once
from reglab.study.spec import Assignment, Settings

__all__ = ["BY_OUTPUT", "OBJECTS", "Kept", "as_said", "kept", "said", "sendable", "spoken", "spoken_name", "taken"]

BY_OUTPUT = ("loss", "loss_weights", "metrics")  # of several outputs a dict of them by name
OBJECTS = ("optimizer", "schedule", "loss")  # settings that can be given as Python objects


@dataclass(frozen=True, eq=False)
class Kept:
    """A Keras object as its class and what makes it again.

    Attributes:
        cls: its class.
        config: its configuration, for ``from_config``; schedules of learning rates stand in it as they are.
        state: its attributes, where they and no configuration make it again.
    """

    cls: type
    config: Mapping[str, Any] | None = None
    state: Mapping[str, Any] | None = None

    def made(self) -> Any:
        """Return a new object like the one that was given."""
        if self.state is not None:
            found: Any = object.__new__(self.cls)
            found.__dict__.update(self.state)
            return found
        return self.cls.from_config(dict(self.config or {}))  # type: ignore[attr-defined]  # of Keras


def as_said(key: str, value: object) -> str | None:
    """Return the text that says all of an optimizer, a schedule or a loss, or None where no text does.

    >>> as_said("loss", keras.losses.Huber(delta=2.0)), as_said("optimizer", keras.optimizers.SGD(0.1, momentum=0.9))
    ('huber(delta=2.0)', 'sgd(learning_rate=0.1, momentum=0.9)')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):  # of several outputs, by name
        return None
    return {"optimizer": _optimizer, "schedule": _schedule, "loss": _loss}[key](value)


def _optimizer(optimizer: Optimizer) -> str | None:
    name = _name_of(optimizer, OPTIMIZERS, keras.optimizers)
    if name is None:
        return None
    options = _differing(optimizer, type(optimizer)())
    schedule = schedule_of(optimizer)
    if schedule is not None:
        del options["learning_rate"]
    elif "learning_rate" in options:
        options["learning_rate"] = float(str(np.float32(options["learning_rate"])))  # as it was written
    if not _can_be_written(options):
        return None
    if schedule is not None:
        options["learning_rate"] = _call(schedule)
    return None if options.get("learning_rate", 0) is None else format_call(name, options)


def _schedule(schedule: keras.optimizers.schedules.LearningRateSchedule) -> str | None:
    call = _call(schedule)
    return None if call is None else format_call(call.name, call.kwargs)


def _call(schedule: keras.optimizers.schedules.LearningRateSchedule) -> Call | None:
    name = _name_of(schedule, SCHEDULES, keras.optimizers.schedules)
    if name is None:
        return None
    usual = inspect.signature(type(schedule)).parameters
    options = {
        key: value for key, value in schedule.get_config().items() if key != "name" and value != usual[key].default
    }
    return Call(name, (), options) if _can_be_written(options) else None


def _loss(loss: Loss) -> str | None:
    by_function = {getattr(keras.losses, name): name for name in LOSSES if hasattr(keras.losses, name)}
    if callable(loss) and not isinstance(loss, keras.losses.Loss):
        name = by_function.get(loss) if _hashable(loss) else None
        return None if name is None else _with_logits(name, getattr(keras.losses, LOSSES[name])(), {})
    name = _name_of(loss, LOSSES, keras.losses)
    if name is None:
        return None
    options = _differing(loss, type(loss)())
    return _with_logits(name, loss, options) if _can_be_written(options) else None


def _with_logits(name: str, loss: keras.losses.Loss, options: dict[str, Any]) -> str:
    """Return the text of a loss; whether it takes logits is said, for text that leaves it out follows the model."""
    config = settings_of(loss)
    if "from_logits" in config:
        options = {**options, "from_logits": config["from_logits"]}
    return format_call(name, options)


def _differing(thing: keras.losses.Loss | Optimizer, default: keras.losses.Loss | Optimizer) -> dict[str, Any]:
    """Return the configuration of an object, without what is Keras' default."""
    usual = settings_of(default)
    found = {}
    for key, value in settings_of(thing).items():
        if key not in ("name", "dtype") and value != usual.get(key):
            found[key] = value
    return found


def _can_be_written(options: Mapping[str, Any]) -> bool:
    flat = [each for value in options.values() for each in (value if isinstance(value, list | tuple) else [value])]
    return all(each is None or isinstance(each, bool | int | float | str) for each in flat)


def _name_of(thing: object, table: Mapping[str, str], module: ModuleType) -> str | None:
    """Return the name of a Keras object in a table, if it is of that very class."""
    classes = {getattr(module, cls): name for name, cls in table.items() if hasattr(module, cls)}
    return classes.get(type(thing))


def _hashable(thing: object) -> bool:
    try:
        hash(thing)
    except TypeError:
        return False
    return True


def kept(key: str, value: object) -> Any:
    """Return an object in a form that can be sent to another process, and from which it can be made anew.

    Raises:
        ReglabError: for what is no such thing, or cannot be made anew.
    """
    if isinstance(value, Kept) or value is None:
        return value
    if isinstance(value, Mapping) and key in BY_OUTPUT:
        return {name: _kept_of_output(key, each) for name, each in value.items()}
    if key == "metrics":
        return _kept_metrics(value)
    if key == "sample_weight":
        return _kept_weights(value)
    if key == "groups":
        return np.asarray(value)  # checked with the data, whose examples they are of
    if key == "callbacks":
        from reglab.study.user_callbacks import kept_callbacks

        return kept_callbacks(value)
    if key == "optimizer":
        return _kept_optimizer(value)
    if isinstance(value, keras.losses.Loss):
        return Kept(type(value), state=dict(vars(value)))
    if not callable(value):
        raise ReglabError(f"{key}={value!r}: expected {_EXPECTED[key]}.")
    return value


def _kept_of_output(key: str, value: Any) -> Any:
    """Return what was given of one of several outputs."""
    if key == "loss_weights":
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not value >= 0:
            raise ReglabError(f"loss_weights: {value!r} is no factor before a loss. Expected a number of 0 or more.")
        return float(value)
    if key == "loss" and not isinstance(value, Kept):
        if isinstance(value, str):
            return format_call(*read_loss(value)) if not is_own(value) else value
        return as_said(key, value) or kept(key, value)
    return kept(key, value)


_EXPECTED = {
    "optimizer": "the name of an optimizer with its options ('sgd(momentum=0.9)'), or a keras.optimizers.Optimizer",
    "schedule": "the name of a schedule with its options ('cosine'), or a LearningRateSchedule of Keras'",
    "loss": "the name of a loss with its options ('huber(delta=2)'), a keras.losses.Loss, or a function of "
    "(y_true, y_pred)",
}


def _flat(given: object) -> list[Any]:
    """Return what lists and mappings of metrics hold, one after another."""
    if isinstance(given, Mapping):
        given = list(given.values())
    if isinstance(given, list | tuple):
        return [one for each in given for one in _flat(each)]
    return [] if given is None else [given]


def _kept_metrics(given: object) -> tuple[Any, ...]:
    """Return metrics as they can be sent: names, functions, and Keras metrics as their class and configuration."""
    found: list[Any] = []
    for each in _flat(given):
        if isinstance(each, keras.metrics.Metric):
            found.append(_kept_metric(each))
        elif isinstance(each, str) or callable(each):
            found.append(each)
        else:
            raise ReglabError(
                f"metrics={each!r}: expected the names of Keras metrics, such metrics, or functions of "
                "(y_true, y_pred)."
            )
    return tuple(found)


def _kept_metric(metric: keras.metrics.Metric) -> Kept:
    config = metric.get_config()
    try:
        again = type(metric).from_config(dict(config))
    except Exception as error:
        raise ReglabError(
            f"The metric {metric.name} cannot be made anew from its get_config() ({type(error).__name__}: {error}). "
            "Let get_config() give its arguments, or give a function of (y_true, y_pred)."
        ) from error
    lost = [key for key, value in vars(metric).items() if isinstance(value, int | float | str)
            and key != "name" and vars(again).get(key) != value and not key.startswith("_")]  # fmt: skip
    if lost:
        raise ReglabError(
            f"The metric {metric.name} has another {lost[0]} when it is made anew from its get_config(). Let that give "
            "its arguments."
        )
    return Kept(type(metric), config)


def _kept_weights(value: object) -> np.ndarray:
    try:
        weights = np.asarray(value, "float32")
    except (TypeError, ValueError) as error:
        raise ReglabError(
            f"sample_weight is {type(value).__name__}: {error}. Give a weight for each example."
        ) from None
    if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ReglabError(
            f"sample_weight of shape {weights.shape} holds no weights. Give an array with one for each example, "
            "of 0 or more, and not zeros alone."
        )
    return weights


def _kept_optimizer(optimizer: Any) -> Kept:
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ReglabError(f"optimizer={optimizer!r}: expected {_EXPECTED['optimizer']}.")
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer  # what precision a study has says whether its loss is scaled
    if optimizer.use_ema:
        raise ReglabError(
            f"The optimizer {type(optimizer).__name__} averages weights (use_ema), and a study measures and keeps what "
            "each epoch ends with. Put ema into the recipes that are to have it."
        )
    if not decays_all(optimizer):
        raise ReglabError(
            f"The optimizer {type(optimizer).__name__} leaves out some weights from its decay "
            "(exclude_from_weight_decay), which its configuration does not hold. Leave its weight_decay out, and put "
            "weight_decay into the recipes, which says what decays."
        )
    config = config_of(optimizer)
    try:
        type(optimizer).from_config(dict(config))
    except Exception as error:
        raise ReglabError(
            f"The optimizer {type(optimizer).__name__} cannot be made anew from its get_config() "
            f"({type(error).__name__}: {error}), and each training needs a new one. Let get_config() give its "
            "arguments."
        ) from error
    return Kept(type(optimizer), config)


@contextmanager
def sendable(assignment: Assignment) -> Iterator[Assignment]:
    """Give an assignment as it can be pickled: what a model was compiled with goes beside it.

    Keras pickles it by the names of losses and metrics, which another process does not know.
    """
    compiled = taken(assignment.model)
    if not compiled:
        yield assignment
        return
    with uncompiled(assignment.model):
        yield replace(assignment, given={**assignment.given, "compiled": compiled})


def said(settings: Settings, given: Mapping[str, Any], compiled: Mapping[str, Any]) -> dict[str, Any]:
    """Return how runs are trained: what a study was given, else what its model was compiled with.

    An optimizer that was given comes with a rate, a schedule and clipping of its own.
    """
    found = {}
    for key in (*_OPTIMIZER, "loss", "loss_weights", "metrics"):
        found[key] = getattr(settings, key) if given.get(key) is None else given[key]
    own = found["optimizer"] is not None
    return found | {
        key: value for key, value in compiled.items() if found[key] is None and not (own and key in _OPTIMIZER)
    }


_OPTIMIZER = ("optimizer", "learning_rate", "schedule", *CLIPPING)


def spoken(how: Mapping[str, Any], class_weight: str | None) -> str:
    """Return in a part of a line how runs are trained.

    >>> spoken({"optimizer": None, "learning_rate": 0.1, "schedule": "cosine", "loss": "huber(delta=2)"}, None)
    'adam 0.1, cosine, huber(delta=2)'
    """
    rate = "" if how.get("learning_rate") is None else f" {how['learning_rate']:g}"
    clipped = [f"{key} {how[key]:g}" for key in CLIPPING if how.get(key)]
    weights = [f"class weights {class_weight}"] if class_weight else []
    names = [f"{spoken_name(how['optimizer'] or 'adam')}{rate}", *map(spoken_name, (how["schedule"], how["loss"]))]
    return ", ".join(filter(None, (*names, *clipped, *weights)))


def spoken_name(thing: object) -> str:
    """Return what people call an optimizer, a schedule or a loss."""
    if thing is None or isinstance(thing, str):
        return thing or ""
    if isinstance(thing, Mapping):
        return ", ".join(f"{name} {spoken_name(each)}" for name, each in thing.items())
    if isinstance(thing, float):
        return f"{thing:g}"
    if isinstance(thing, tuple):
        return ", ".join(map(spoken_name, thing))
    return str(getattr(thing, "__name__", None) or (thing.cls if isinstance(thing, Kept) else type(thing)).__name__)


def taken(model: Any) -> dict[str, Any]:
    """Return what a model was compiled with, in a form that can be sent, and nothing for one that was not compiled.

    The keys are those of settings: ``optimizer``, ``learning_rate``, ``schedule``, clipping, ``loss`` and
    ``loss_weights``, as far as there is any.
    """
    given = compiled_with(model)
    if not given:
        return {}
    text = as_said("optimizer", model.optimizer)
    found = {"optimizer": kept("optimizer", model.optimizer)} if text is None else said_once({"optimizer": text})
    if (names := _output_names(model, given.get("loss"))) is not None:
        return found | _taken_of_outputs(names, given)
    loss = given.get("loss")
    if isinstance(loss, list | tuple) and len(loss) == 1:
        (loss,) = loss
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    if loss is not None and not isinstance(loss, list | tuple | dict):
        found["loss"] = as_said("loss", loss) or kept("loss", loss)
    if measured := _flat([given.get("metrics"), given.get("weighted_metrics")]):
        found["metrics"] = _kept_metrics(measured)
    weights = given.get("loss_weights")
    flat = list(weights.values()) if isinstance(weights, dict) else weights
    if isinstance(flat, list | tuple) and len(flat) == 1:
        (flat,) = flat
    if isinstance(flat, int | float) and flat != 1:
        found["loss_weights"] = float(flat)
    return found


def _output_names(model: Any, loss: Any) -> list[str] | None:
    """Return the names of several outputs of a model, or None where it has one, or does not say."""
    if getattr(model, "outputs", None):
        one = isinstance(model, keras.Sequential) or (len(model.outputs) == 1 and not isinstance(model.output, dict))
        return None if one else list(by_output(model, model.output))
    return list(loss) if isinstance(loss, dict) and "class_name" not in loss else None


def _taken_of_outputs(names: list[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model with several outputs was compiled with, by their names."""
    found: dict[str, Any] = {}
    for key in BY_OUTPUT:
        value = given.get(key)
        if isinstance(value, list | tuple) and len(value) == len(names):
            value = dict(zip(names, value, strict=True))
        if isinstance(value, Mapping):
            kept_of = {name: each for name, each in value.items() if each is not None}
            found[key] = kept(key, kept_of)
        elif value is not None and key != "metrics":
            found[key] = kept(key, dict.fromkeys(names, value))
    return found
