"""How a study trains, as code of plain Keras: its optimizer with its schedule, its loss, its weights of examples."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reglab.errors import ReglabError
from reglab.export.source import literal
from reglab.lazy import keras
from reglab.tasks import Head

if TYPE_CHECKING:
    from reglab.study.training import Training

__all__ = ["Trained", "written"]


@dataclass(frozen=True)
class Trained:
    """What a script says of a study's training.

    Attributes:
        optimizer: the class of keras.optimizers and its arguments, as source.
        losses: as source, by the names of outputs, that of a single one empty; without those of the tasks.
        dense: the outputs whose loss takes labels as distributions over classes.
        compiled: further arguments of ``compile``, as source.
        factors: of several outputs how much the loss of each counts, where that is not alike.
        weighted: whether examples count unequally in the loss.
    """

    optimizer: tuple[str, Mapping[str, str]]
    losses: Mapping[str, str] = field(default_factory=dict)
    dense: Collection[str] = ()
    compiled: Mapping[str, str] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    weighted: bool = False


def written(training: Training, head: Head, *, dense: Collection[str]) -> Trained:
    """Return how a study trains, as source.

    Args:
        training: how it does.
        head: what its model ends in.
        dense: the outputs whose loss takes labels as distributions.

    Raises:
        ReglabError: for classes, functions and callbacks of the user's, which a script in plain Keras does not have.
    """
    cls, config = training.configured()
    own = [name for name, thing in (("optimizer", cls), ("schedule", type(config.get("learning_rate")))) if _own(thing)]
    losses = training.other_losses(head)
    own += (
        ["loss"] if any(not isinstance(each, keras.losses.Loss) or _own(type(each)) for each in losses.values()) else []
    )
    own += ["callbacks"] if training.callbacks() else []
    if own:
        raise ReglabError(
            f"The runs were trained with {training.spoken(head)}: of these {own[0]} is your own, which a script in "
            "plain Keras does not have. Leave the script out (script=False, --no-script)."
        )
    weight = training.loss_weights()
    return Trained(
        optimizer=(cls.__name__, {key: _source(value) for key, value in config.items()}),
        losses={name: _made("losses", loss) for name, loss in losses.items()},
        dense=dense,
        compiled={} if weight is None else {"loss_weights": literal(weight)},
        factors=weight if isinstance(weight, Mapping) else {},
        weighted=training.weighted,
    )


def _own(cls: type) -> bool:
    return not cls.__module__.startswith(("keras.", "builtins"))


def _source(value: object) -> str:
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        return _made("optimizers.schedules", value)
    return literal(value)


def _made(where: str, thing: keras.losses.Loss | keras.optimizers.schedules.LearningRateSchedule) -> str:
    """Return the call that makes a Keras object, with the arguments that are not Keras' defaults."""
    usual = inspect.signature(type(thing)).parameters
    arguments = [
        f"{key}={literal(value)}" for key, value in thing.get_config().items()
        if key not in ("name", "dtype") and key in usual and value != usual[key].default
    ]  # fmt: skip
    return f"keras.{where}.{type(thing).__name__}({', '.join(arguments)})"
