"""The training script in plain Keras, as the ``write_keras`` of a strategy sees it: slots to fill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from reglab.aliases import Tensor
from reglab.tasks import Head, Metric, Task

if TYPE_CHECKING:
    from reglab.strategies.base import Strategy

__all__ = ["ScriptOutput", "TrainingScript"]


@dataclass
class ScriptOutput:
    """One output of the network, as a script has it.

    Attributes:
        task: what it predicts.
        head: what it ends in: class probabilities or logits, 1 for a sigmoid, or numbers.
        name: of several outputs; empty of the only one.
        labels: those of a batch, as an expression: ``y``, of several outputs ``y["size"]``.
        at: where it is in what the network gives: of several outputs ``["size"]``, or ``[1]`` in their order.
        numbers: whether its loss is one of numbers to predict.
        soft: whether its labels are distributions over classes.
    """

    task: Task
    head: Head
    name: str = ""
    labels: str = "y"
    at: str = ""
    numbers: bool = False
    soft: bool = False


class TrainingScript(Protocol):
    """What strategies read of a script, and by what they write into it (``reglab.export.script.Script``).

    Attributes:
        backend: Keras' backend.
        task: what is predicted.
        outputs: what the network gives, by name; that of a single one is empty.
        input_shape: the shape of one example.
        preprocess: lines that change ``x`` in training and evaluation alike.
        optimizer: arguments of the optimizer, as expressions.
        optimizer_lines: lines that follow once there is an optimizer.
        callbacks: expressions of callbacks.
        attacks: whether inputs are moved along their gradient.
        ascent: the function of ``gradients`` and ``weights`` that says how far weights are, and its arguments.
        restores: the metric by which a callback restores the best weights, where not the checkpoint does.
    """

    backend: str
    task: Task
    outputs: Mapping[str, ScriptOutput]
    input_shape: tuple[int, ...]
    preprocess: list[str]
    optimizer: dict[str, str]
    optimizer_lines: list[str]
    callbacks: list[str]
    attacks: bool
    ascent: tuple[str, list[str]] | None
    restores: Metric | None

    @property
    def count(self) -> Callable[[Strategy], int]:
        """From a strategy to how many layers of the network it is placed behind."""

    @property
    def fitted(self) -> Callable[[Strategy], dict[str, np.ndarray]]:
        """From a strategy to what it learned from the training data."""

    def regularize(self, role: str, regularizer: str) -> None:
        """Penalize all weights of a role, ``kernel`` or ``bias``, or ``activity``: the outputs of hidden layers."""

    def carry(self, what: Callable[..., Any] | type) -> str:
        """Add a function or class of reglab's, with what it calls of reglab's and what it reads; return its name."""

    def define(self, source: str | Callable[..., Any]) -> None:
        """Add a function or class; of a function of reglab's, its source without annotations."""

    def insert(self, function: Callable[..., Any] | str, numbers: Callable[[Any], tuple[Any, ...]]) -> None:
        """Put a layer at each of the strategy's places, which in training changes what passes.

        ``numbers`` is from a :class:`Place`, or from None at the inputs, to what ``function`` takes beside what passes.
        """

    def own_layer(self, layer: str, options: Mapping[str, Any]) -> None:
        """Put a layer of Keras' own at the strategy's one place; what it draws comes from the strategy's stream."""

    def show_averages(self) -> None:
        """Let validation see the averages of weights that the optimizer keeps."""

    def show_mean(self, average: Callable[..., Any], arguments: list[str]) -> None:
        """Let validation see a mean of the weights that epochs end with, with statistics that belong to it.

        ``average`` is a function of how many epochs are averaged and the mean so far, the weights that an epoch ended
        with, its number and ``arguments``; it gives the number and the mean then.
        """

    def on_batch(self, line: str, *, stream: bool = False) -> None:
        """Add a line that changes ``x`` and ``y`` of a batch; with ``stream``, ``{random}`` in it is its own."""

    def mix(self, function: Callable[..., Any], arguments: list[str]) -> None:
        """Let a function of inputs, labels, arguments and a stream of random numbers change a batch.

        Of several outputs it changes the labels of each, and the inputs, by the same draws.
        """

    def soften(self) -> list[ScriptOutput]:
        """Make distributions of labels, and return the outputs of which the strategy changes them."""

    def on_batch_by(self, function: str, arguments: list[str]) -> None:
        """Let a function change the inputs of a batch."""

    def labels_of(self, part: str) -> str:
        """Return the labels of a part of a batch, given the expression of a slice."""

    def on_labels(self, line: str) -> None:
        """Add a line that changes the labels ``y`` of a batch, in NumPy and before anything else."""

    def on_weights(self, changed: str) -> None:
        """Run the network in training with kernels that are an expression of themselves, ``w``."""

    def on_every_pass(
        self, function: Callable[..., Any], arguments: list[str], *, first: Callable[..., Any], then: Callable[..., Any]
    ) -> None:
        """Run the network, in training and at evaluation, with kernels that a function made.

        Args:
            function: of a kernel, what is kept for it, and arguments.
            arguments: expressions.
            first: from a kernel that training begins with, and its number, to what is kept for it.
            then: from a kernel after a step, and what was kept for it, to what is kept then.
        """

    def on_kernels(self, how: str, argument: str) -> None:
        """Act on kernels: let the optimizer ``go_by`` changed gradients, or ``bind`` what they become in a step."""

    def add_term(self, function: Callable[..., Any], arguments: list[str]) -> None:
        """Add a function of the batch on its way through the model, and of arguments, to the loss in training."""

    def hold(self, coefficient: float) -> None:
        """Penalize the squared distance of kernels and biases from where the training begins."""

    def role(self) -> str:
        """Return the function that says of a weight whether it is a ``kernel``, a ``bias`` or neither."""

    def stream(self) -> str:
        """Return the attribute that holds the strategy's stream of random numbers."""

    def array(self, name: str, value: Tensor) -> str:
        """Return the constant that holds an array, which is written to ``data.npz``."""

    def range(self) -> tuple[str, str]:
        """Return the constants that hold where raw values lie in the network's input."""

    def gradient(self) -> None:
        """Make ``gradient(function, at)`` known, as the backend has it."""
