"""The regularization strategies, one file each in the packages of their families, and what one of your own is made of.

``reglab.strategies.Dropout`` and all others are found by their files (``registry.py``); there is no list of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reglab.aliases import Optimizer, Random, Tensor
from reglab.declare import Param, Places, param, params
from reglab.schedules import Cosine, Linear, Schedule, Steps
from reglab.strategies.base import Strategy
from reglab.strategies.given import Batch, InputRange, LossContext, ModelInput, Place, StrengthView, Weight
from reglab.strategies.observing import Judgement, Moment, Observer
from reglab.strategies.registry import catalogue, scanned
from reglab.strategies.script import ScriptOutput, TrainingScript
from reglab.strategies.stage import Stage

_OWN = {cls.__name__: cls for cls in scanned(__name__)}
globals().update(_OWN)

CATALOGUE = catalogue(_OWN.values())
register = CATALOGUE.add

__all__ = [
    "CATALOGUE",
    "Batch",
    "Cosine",
    "InputRange",
    "Judgement",
    "Linear",
    "LossContext",
    "ModelInput",
    "Moment",
    "Observer",
    "Optimizer",
    "Param",
    "Place",
    "Places",
    "Random",
    "Schedule",
    "ScriptOutput",
    "Stage",
    "Steps",
    "Strategy",
    "StrengthView",
    "Tensor",
    "TrainingScript",
    "Weight",
    "param",
    "params",
    "register",
    *sorted(_OWN),
]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """A strategy; who needs its type imports it from its file."""
