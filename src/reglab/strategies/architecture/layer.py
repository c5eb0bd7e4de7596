"""A layer of Keras' own as a strategy."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reglab.aliases import Random, Tensor
from reglab.declare import Places, param
from reglab.errors import ReglabError, nearest
from reglab.keras_internals import draw_from
from reglab.lazy import keras
from reglab.strategies.architecture.dropout import PLACES
from reglab.strategies.base import Strategy
from reglab.strategies.given import Place, StrengthView
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["Layer"]


@dataclass(frozen=True, init=False)
class Layer(Strategy):
    """Places a layer of ``keras.layers`` in the network, in training.

    ``layer(SpatialDropout2D, rate=0.2, where=hidden)``: arguments of the layer are written beside ``where``, as those
    of the strategy. It can be any layer without weights that gives what it gets at evaluation, in the shape it came:
    ``SpatialDropout1D``, ``SpatialDropout2D``, ``GaussianDropout``, ``AlphaDropout``, at the input ``RandomFlip``,
    ``RandomContrast`` and other augmentations. ``where`` is as for ``Dropout``; of hidden places those are taken whose
    number of axes the layer accepts. What it draws comes from the strategy's stream. Arguments are constants of
    the program: each value is compiled by itself.

    A layer with weights, or which acts at evaluation, is part of the model and not of its training: compare models.

    Example: ``Layer("SpatialDropout2D", rate=0.2)``
    """

    name: ClassVar[str] = "layer"
    formula: ClassVar[str] = "layer(h) in training, h at evaluation"
    paper: ClassVar[str] = "Chollet et al. 2015, Keras, https://keras.io/api/layers"
    stage: ClassVar[Stage] = Stage.ACTIVATIONS

    layer: str = param("SpatialDropout2D", "its name in keras.layers", kind="text")
    where: Places = param(("hidden",), "after which layers", kind="places", choices=PLACES)
    options: tuple[tuple[str, Any], ...] = param((), "its arguments", kind="options")

    def __init__(
        self,
        layer: str = "SpatialDropout2D",
        where: Places = ("hidden",),
        options: Mapping[str, Any] | tuple[tuple[str, Any], ...] = (),
        **more: Any,
    ) -> None:
        both = {**dict(options), **more} if isinstance(options, tuple | list | Mapping) and more else options
        for name, value in (("layer", layer), ("where", where), ("options", both)):
            object.__setattr__(self, name, value)
        self.__post_init__()

    @property
    def places(self) -> tuple[str, ...]:
        return (self.where,) if isinstance(self.where, str) else self.where

    def made(self, random: Random) -> keras.Layer:
        layer = self._new()
        draw_from(layer, random)
        return layer

    def acts_at(self, place: Place) -> bool:
        return place.kind != "hidden" or _accepts(self._new(), place.rank)

    def check_place(self, place: Place, shape: tuple[int | None, ...]) -> None:
        """Raise a ReglabError if the layer cannot be there: tried on numbers, in training and at evaluation."""
        layer = self._new()
        # Numbers that 16 bits hold as they are, whatever the layer computes in.
        x = np.random.default_rng(0).integers(-8, 9, size=[4 if size is None else size for size in shape])
        x = x.astype("float32")
        try:
            trained, evaluated = (_numbers(_called(layer, x, on)) for on in (True, False))
        except Exception as error:  # whatever a layer raises, it does not take that input
            reason = " ".join(str(error).split()).split(". ")[0]
            raise ReglabError(
                f"layer: {self.layer} cannot be placed at {place.layer!r}, which gives {shape}: {reason}. Name other "
                "layers (where=...)."
            ) from None
        if layer.weights:
            raise ReglabError(
                f"layer: {self.layer} has weights, so it is part of the model and not of its training. Build it into "
                "one, and compare the two models."
            )
        if trained.shape != x.shape or evaluated.shape != x.shape or not np.array_equal(evaluated, x):
            raise ReglabError(
                f"layer: {self.layer} changes what passes at evaluation too, or its shape, so it is part of the model "
                "and not of its training. Build it into one, and compare the two models."
            )

    def on_activation(self, h: Tensor, place: Place, s: StrengthView, random: Random) -> Tensor:
        return keras.ops.cast(_called(s.made, h, True), h.dtype)

    def write_keras(self, script: TrainingScript) -> None:
        if script.count(self) + ("input" in self.places) != 1:
            raise ReglabError(
                f"layer: {self.layer} stands at several places, which draw from one stream in a study, and those of a "
                "script cannot. Leave the script out (--no-script)."
            )
        script.own_layer(self.layer, dict(self.options))

    def _new(self) -> keras.Layer:
        cls = getattr(keras.layers, self.layer, None)
        if not (inspect.isclass(cls) and issubclass(cls, keras.layers.Layer)):
            known = [name for name, value in vars(keras.layers).items() if inspect.isclass(value)]
            raise ReglabError(f"layer: keras.layers has no {self.layer!r}.{nearest(self.layer, known)}")
        try:
            return cls(**dict(self.options))
        except Exception as error:  # each layer raises in its own way
            taken = [name for name in inspect.signature(cls).parameters if name != "kwargs"]
            raise ReglabError(
                f"layer: {self.layer} cannot be made with {dict(self.options)}: {error}. It takes {', '.join(taken)}."
            ) from None


def _numbers(value: Tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(value, "float32")))


def _called(layer: keras.Layer, x: np.ndarray | Tensor, training: bool) -> Tensor:
    return layer(x, training=training) if "training" in inspect.signature(layer.call).parameters else layer(x)


def _accepts(layer: keras.Layer, rank: int | None) -> bool:
    """Whether a layer takes what has so many axes, as far as it says."""
    spec = getattr(layer, "input_spec", None)
    if spec is None or rank is None or isinstance(spec, list | tuple):
        return True
    low, high = spec.min_ndim or 0, spec.max_ndim or rank
    return low <= rank <= high and spec.ndim in (None, rank)
