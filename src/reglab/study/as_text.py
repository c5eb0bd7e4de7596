"""What ``compile`` and ``fit`` are told, as text: ``sgd(momentum=0.9)``, ``cosine(alpha=0.1)``, ``huber(delta=2)``.

The names are Keras' own, in whatever case, with underscores or without. They are known here, so that a misspelt one is
told without Keras; what an argument is called and may be is known to Keras alone, which says it before anything is
trained (``training.py``). What is somebody's own stands as models do: ``path/to/file.py:function``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from reglab.errors import ReglabError, nearest
from reglab.expressions import Call, format_call, format_value, parse_call, parse_value

__all__ = [
    "ALONE",
    "CLIPPING",
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "SHORT",
    "is_own",
    "plain",
    "read_loss",
    "read_weights",
    "said_once",
]

# Names as they are written, and the classes of keras.optimizers, .optimizers.schedules and .losses that they are.
OPTIMIZERS = {
    "sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "adamax": "Adamax", "nadam": "Nadam", "rmsprop": "RMSprop",
    "adagrad": "Adagrad", "adadelta": "Adadelta", "adafactor": "Adafactor", "lion": "Lion", "lamb": "Lamb",
    "ftrl": "Ftrl", "muon": "Muon",
}  # fmt: skip
SCHEDULES = {
    "cosine": "CosineDecay", "cosine_restarts": "CosineDecayRestarts", "exponential": "ExponentialDecay",
    "inverse_time": "InverseTimeDecay", "piecewise_constant": "PiecewiseConstantDecay",
    "polynomial": "PolynomialDecay",
}  # fmt: skip
LOSSES = {
    re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower(): name
    for name in (
        "BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy", "CategoricalFocalCrossentropy",
        "CategoricalHinge", "CosineSimilarity", "Dice", "Hinge", "Huber", "KLDivergence", "LogCosh",
        "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError",
        "Poisson", "SparseCategoricalCrossentropy", "SquaredHinge", "Tversky",
    )
}  # fmt: skip
SHORT = {  # as Keras has them, in small letters too
    "BCE": "binary_crossentropy", "KLD": "kl_divergence", "MAE": "mean_absolute_error",
    "MAPE": "mean_absolute_percentage_error", "MSE": "mean_squared_error", "MSLE": "mean_squared_logarithmic_error",
}  # fmt: skip
CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")
_AVERAGING = ("use_ema", "ema_momentum", "ema_overwrite_frequency")
BALANCED = "balanced"
ALONE = ("sample_weight", "groups", "callbacks")  # settings that are Python objects alone


def is_own(text: str) -> bool:
    """Whether a text names a function or class of somebody's own: ``module:function``, ``file.py:function(option=1)``.

    >>> is_own("my_losses.py:focal(gamma=2)"), is_own("huber"), is_own("huber(delta=2)")
    (True, False, False)
    """
    return ":" in text.split("(", 1)[0]


def said_once(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return optimizer, rate, schedule and clipping, each in its one place, whichever way they were written.

    Args:
        given: ``optimizer``, ``learning_rate``, ``schedule`` and clipping; None for what was not said.

    Raises:
        ReglabError: for a name that there is not, and for what was said twice.

    >>> said_once({"optimizer": "SGD(learning_rate=CosineDecay(initial_learning_rate=0.1), momentum=0.9, clipnorm=1)"})
    {'optimizer': 'sgd(momentum=0.9)', 'clipnorm': 1, 'learning_rate': 0.1, 'schedule': 'cosine'}
    """
    found = dict(given)
    if (text := found.get("optimizer")) is not None and not is_own(text):
        name, options = parse_call(text)
        name = _known(name, OPTIMIZERS, "optimizer")
        if averaging := [key for key in _AVERAGING if key in options]:
            raise ReglabError(
                f"optimizer={text!r}: {averaging[0]} lets Keras average weights, and a study measures and keeps what "
                "each epoch ends with. Put ema into the recipes that are to have it."
            )
        options.pop("name", None)
        for key in CLIPPING:
            if key in options:
                _say(found, key, options.pop(key), text)
        rate = options.pop("learning_rate", None)
        if isinstance(rate, Call):
            _say(found, "schedule", _schedule(rate, found), text)
        elif rate is not None:
            _say(found, "learning_rate", rate, text)
        found["optimizer"] = format_call(name, options)
    if (text := found.get("schedule")) is not None and not is_own(text):
        name, options = parse_call(text)
        found["schedule"] = _schedule(Call(name, (), options), found)
    return found


def _schedule(call: Call, found: dict[str, Any]) -> str:
    """Return the text of a schedule; the rate that it begins with is the learning rate of the study."""
    name, options = _known(call.name, SCHEDULES, "schedule"), dict(call.kwargs)
    if call.args:
        raise ReglabError(f"{call.name!r} was given a value without its name. Write {name}(option=value).")
    options.pop("name", None)
    if (first := options.pop("initial_learning_rate", None)) is not None:
        _say(found, "learning_rate", first, call.name)
    return format_call(name, options)


def _say(found: dict[str, Any], key: str, value: object, text: str) -> None:
    before = found.get(key)
    if before is not None and before != value:
        raise ReglabError(
            f"{key} is said twice: {format_value(value)} in {text!r}, and {format_value(before)} beside it. Leave one "
            "out."
        )
    found[key] = value


def read_loss(text: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the options of a loss of Keras'.

    >>> read_loss("Huber(delta=2)"), read_loss("mae")
    (('huber', {'delta': 2}), ('mean_absolute_error', {}))
    """
    name, options = parse_call(text)
    options.pop("name", None)
    return _known(name, LOSSES, "loss"), options


def read_weights(text: str) -> str | dict[str, float] | tuple[float, ...]:
    """Return what a text says of the weights of classes: ``balanced``, one by name, or all in the order of classes.

    Raises:
        ReglabError: for anything else, and for weights that are no numbers of 0 or more.

    >>> read_weights("balanced"), read_weights("{cat: 1, dog: 5}"), read_weights("(1, 5)")
    ('balanced', {'cat': 1.0, 'dog': 5.0}, (1.0, 5.0))
    """
    value = parse_value(text)
    if value == BALANCED:
        return BALANCED
    weights = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    sound = all(isinstance(w, int | float) and not isinstance(w, bool) and 0 <= w < math.inf for w in weights)
    if not weights or not sound:
        raise ReglabError(
            f"class_weight={text} is no set of weights. Give balanced, one for each class in their order ('(1, 5)'), "
            "or of 0 or more by class: '{cat: 1, dog: 5}'."
        )
    if isinstance(value, dict):
        return {str(key): float(weight) for key, weight in value.items()}
    return tuple(map(float, weights))


def plain(name: str) -> str:
    """Return a name of Keras' without what it may be written with: case and underscores.

    >>> plain("CosineDecay"), plain("cosine_decay")
    ('cosinedecay', 'cosinedecay')
    """
    return name.replace("_", "").lower()


def _known(name: str, table: Mapping[str, str], what: str) -> str:
    """Return the name that a table has for what was written."""
    names = {plain(cls): key for key, cls in table.items()} | {plain(key): key for key in table}
    names |= {plain(short): key for short, key in SHORT.items() if key in table}
    if plain(name) not in names:
        raise ReglabError(
            f"There is no {what} {name!r}.{nearest(name, _all(table))} There are {', '.join(table)}; one of your own "
            "is given as path/to/file.py:function."
        )
    return names[plain(name)]


def _all(table: Mapping[str, str]) -> Collection[str]:
    return [*table, *table.values(), *(short for short, key in SHORT.items() if key in table)]
