"""Dropout: each unit is left out with a probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab import backends
from reglab.aliases import Random, Tensor
from reglab.declare import Places, param
from reglab.strategies.base import Strategy
from reglab.strategies.given import Place, StrengthView
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["PLACES", "Dropout"]

PLACES = ("input", "hidden", "output")


@dataclass(frozen=True)
class Dropout(Strategy):
    """Sets each unit to zero with probability ``rate`` in training, and scales the others by ``1 / (1 - rate)``.

    ``h * m / (1 - rate)``, ``m ~ Bernoulli(1 - rate)`` for every unit of every example. At evaluation it does nothing.
    ``m`` is not the mask that ``keras.layers.Dropout`` would draw from the same seed; on TensorFlow it is drawn
    at less cost (``reglab.backends.cheap_bits``).
    ``where`` says after which layers: ``hidden`` is behind every hidden layer that has a kernel, after its
    normalization and activation, once for branches that are concatenated or added (so after each module of an
    Inception); ``input`` is the input units.

    Differences from the paper (Srivastava, Table 1, rate 0.1): it does not say where dropout sits; here after each
    module. Srivastava et al. 2014 scale the weights at evaluation instead, which is the same in expectation.

    Example: ``Dropout(rate=0.5, where=("dense_1", "dense_2"))``
    """

    name: ClassVar[str] = "dropout"
    formula: ClassVar[str] = "h * m / (1 - rate), m ~ Bernoulli(1 - rate) a unit"
    paper: ClassVar[str] = "Srivastava et al. 2014, Journal of Machine Learning Research 15, 1929-1958"
    stage: ClassVar[Stage] = Stage.ACTIVATIONS
    zero: ClassVar[dict[str, float]] = {"rate": 0.0}

    rate: float = param(
        0.1,
        "probability with which a unit is left out",
        low=0,
        high=1,
        open_high=True,
        strength=True,
        search=(0.05, 0.6, "linear"),
    )
    where: Places = param(("hidden",), "after which layers", kind="places", choices=PLACES)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.where,) if isinstance(self.where, str) else self.where

    def strengths(self) -> dict[str, float]:
        # The scale is computed here, in full precision, so that it is the very number of keras.layers.Dropout.
        return {"rate": float(self.rate), "scale": 1.0 / (1.0 - float(self.rate))}

    def on_activation(self, h: Tensor, place: Place, s: StrengthView, random: Random) -> Tensor:
        return backends.adapter().dropped(h, s.rate, s.scale, random)

    def write_keras(self, script: TrainingScript) -> None:
        if self.rate == 0:
            return
        # keras.layers.Dropout draws another mask from the same stream.
        for part in backends.adapter().DROPPED:
            script.define(part)
        script.insert("dropped", lambda place: (self.rate, 1 / (1 - self.rate)))
