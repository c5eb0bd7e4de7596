"""What the hooks of a strategy are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from reglab.aliases import Tensor, Variable

__all__ = [
    "Batch",
    "InputRange",
    "LossContext",
    "ModelInput",
    "Place",
    "StrengthView",
    "Weight",
]


class StrengthView(Protocol):
    """A strategy's numbers in a program: ``s.rate`` and ``s["rate"]`` are tensors, read anew at each access."""

    @property
    def state(self) -> Mapping[str, Tensor]:
        """What the strategy's ``state`` gave, as it is now."""

    @property
    def made(self) -> Any:
        """What the strategy's ``made`` gave."""

    def __getattr__(self, name: str) -> Tensor: ...
    def __getitem__(self, name: str) -> Tensor: ...
    def variable(self, name: str) -> Variable:
        """Return the variable itself, for an optimizer that keeps it."""


class Batch(NamedTuple):
    """A training batch: inputs, targets, and weights of the examples or None.

    ``independent`` says of soft targets that each column is a label of its own, given or not, as sigmoids tell it;
    otherwise a row is one distribution over classes.
    """

    x: Tensor
    y: Tensor
    sample_weight: Tensor | None = None
    independent: bool = False


class ModelInput(NamedTuple):
    """What is known of an input of a model before anything is trained.

    Attributes:
        shape: its shape, batch first; None for a size that is not known.
        dtype: the name of the dtype that the model takes.
        indices: whether its numbers stand for things and measure nothing: token ids, categories.
        masked: whether a layer of the model leaves steps out whose features all have one value, as padding.
    """

    shape: tuple[int | None, ...]
    dtype: str = "float32"
    indices: bool = False
    masked: bool = False

    @property
    def continuous(self) -> bool:
        """Whether a number between two of its values is a value too."""
        return "float" in self.dtype and not self.indices


class InputRange(NamedTuple):
    """Where raw pixel values lie in the model's input: arrays that broadcast against one example."""

    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class Place:
    """Where in a network something is.

    Attributes:
        kind: of what flows ``input``, ``hidden``, ``output`` (the logits), ``layer`` (a layer that was named) or
            ``branch`` (the end of a residual branch); of weights ``kernel``, ``bias`` or ``other``.
        layer: the path of the layer.
        name: of a weight, what its layer calls it: ``kernel``, ``embeddings``, ``gamma``; of what flows, nothing.
        rank: how many axes it has, the batch's included; None where that is not known.
        index: its number among the places at which a strategy acts, or among all trainable weights, in their order.
        count: how many there are.
    """

    kind: str
    layer: str
    rank: int | None
    index: int
    count: int
    name: str = ""


class Weight(NamedTuple):
    """A trainable weight of the network: its value, and where it is."""

    value: Tensor
    place: Place


class LossContext(Protocol):
    """What a term of the loss can be made of.

    Attributes:
        x: the inputs of the batch, as the network got them.
        y: the targets, as the loss got them.
        y_pred: what the network gave for ``x``.
        sample_weight: weights of the examples, or None.
        weights: the trainable weights.
    """

    x: Tensor
    y: Tensor
    y_pred: Tensor
    sample_weight: Tensor | None
    weights: list[Weight]

    def forward(self, x: Tensor, *, training: bool) -> Tensor:
        """Return what the network gives for inputs.

        In training random parts draw anew; statistics of BatchNormalization do not move a second time.
        """

    def data_loss(self, y_pred: Tensor) -> Tensor:
        """Return the mean loss of other predictions for ``y``, with the weights of the examples."""

    def probabilities(self, y_pred: Tensor) -> Tensor:
        """Return predictions as float32 probabilities ``(..., classes)``, where the loss is a cross-entropy."""

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of values of the examples, with their weights, as the loss takes it."""

    def gradient(self, function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
        """Return the gradient of a scalar function, which is a constant to whoever takes the gradient of the loss."""
