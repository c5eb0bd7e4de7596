"""What a training script is made of: the slots that strategies fill, and the source that comes of it.

A strategy's ``write_keras(script)`` says how it is written in plain Keras, by filling the slots of its hooks: a
regularizer, a layer at its places, lines that change a batch, arguments of the optimizer, a callback. So everything
about a strategy stands in its own file, and this one knows no strategy by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from reglab import backends
from reglab.errors import ReglabError
from reglab.export.source import unannotated
from reglab.tasks import Metric, Task

__all__ = ["Script"]


@dataclass
class Script:
    """The parts of a script that depend on the recipe.

    Attributes:
        backend: Keras' backend.
        classes: outputs of the network: class probabilities or logits, or 1 for a sigmoid.
        input_shape: the shape of one example.
        precision: Keras' dtype policy.
        count: from a strategy to how many layers of the network it is placed behind.
        fitted: from a strategy to what it learned from the training data.
        limits: where the lowest and highest raw value lie in the network's input, or None.
        arrays: what the script reads from ``data.npz``, by name.
        soft: whether labels are distributions over classes.
        attacks: whether inputs are moved along their gradient.
        ascends: whether weights are.
        restores: the metric by which a callback restores the best weights, where not the checkpoint does.
        task: what is predicted.
    """

    backend: str
    task: Task
    classes: int
    input_shape: tuple[int, ...]
    precision: str
    count: Callable[[Any], int]
    fitted: Callable[[Any], dict[str, Any]]
    limits: tuple[Any, Any] | None = None
    arrays: dict[str, Any] = field(default_factory=dict)
    regularizers: dict[str, list[str]] = field(default_factory=dict)
    layers: dict[int, str] = field(default_factory=dict)
    front: list[str] = field(default_factory=list)
    definitions: list[str] = field(default_factory=list)
    streams: dict[str, int] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    batch: list[str] = field(default_factory=list)
    preprocess: list[str] = field(default_factory=list)
    noisy: list[str] = field(default_factory=list)
    optimizer: dict[str, str] = field(default_factory=dict)
    optimizer_lines: list[str] = field(default_factory=list)
    before_checkpoint: list[str] = field(default_factory=list)
    callbacks: list[str] = field(default_factory=list)
    soft: bool = False
    attacks: bool = False
    ascends: bool = False
    restores: Metric | None = None
    seed: int = 0
    strategy: Any = None

    def write(self, strategy: Any, seed: int) -> None:
        """Let a strategy fill its slots; ``seed`` is that of its stream."""
        if strategy.scheduled:
            raise ReglabError(
                f"{strategy.name} follows a schedule, and the numbers of a script are constants. Export a recipe of "
                "constant numbers, or the trained network alone (--no-script)."
            )
        self.seed, self.strategy = seed, strategy
        strategy.write_keras(self)

    # --- what strategies call --------------------------------------------------------------------------------------

    def regularize(self, role: str, regularizer: str) -> None:
        """Penalize all weights of a role, ``kernel`` or ``bias``, or ``activity``: the outputs of hidden layers."""
        self.regularizers.setdefault(role, []).append(regularizer)

    def place(self, layer: str, argument: str, *, draw: str, exact: bool = True) -> None:
        """Put a layer at each of the strategy's places.

        Args:
            layer: its name in ``keras.layers``.
            argument: its argument, the hyperparameter of the strategy that has the same name.
            draw: what becomes of ``h`` in training, as an expression; the stream is ``self.random``. It is used where
                several layers draw from one stream, which Keras' own layers cannot.
            exact: whether Keras' own layer draws the very numbers that the study drew, with the same seed.
        """
        at_input = "input" in self.strategy.places
        value = repr(getattr(self.strategy, argument))
        if exact and self.count(self.strategy) + at_input == 1:
            made = f"layers.{layer}({value}, seed={self.seed}"
        else:
            again = sum(text.startswith(f"class {layer}") for text in self.definitions)
            name = f"{layer}{again + 1 if again else ''}"
            stream = f"{re.sub(r'(?<!^)(?=[A-Z])', '_', name).upper()}_STREAM"
            self.definitions.append(f"{stream} = keras.random.SeedGenerator({self.seed})")
            self.definitions.append(
                _LAYER.format(name=name, argument=argument, stream=stream, draw=draw, own=_OWN[exact], layer=layer)
            )
            made = f"{name}({value}"
        self.layers[id(self.strategy)] = made
        if at_input:
            dtype = "" if self.precision == "float32" else ', dtype="float32"'
            self.front.append(f'{made}, name="{self.strategy.name}_input"{dtype})')

    def define(self, source: str | Callable[..., Any]) -> None:
        """Add a function or class; of a function of reglab's, its source without annotations."""
        text = source if isinstance(source, str) else unannotated(source)
        text = text.strip("\n").replace("    ops = keras.ops\n", "").replace("keras.ops.", "ops.")
        text = re.sub(
            r"(?<![\w.])_(?=[a-z]\w*\(|[A-Z]+\b)", "", text
        )  # what is private to a module of reglab's is not here
        if text not in self.definitions:
            self.definitions.append(text)

    def on_batch(self, line: str, *, stream: bool = False) -> None:
        """Add a line that changes ``x`` and ``y`` of a batch; with ``stream``, ``{random}`` in it is its own."""
        self.batch.append(line.format(random=self.stream() if stream else ""))

    def on_labels(self, line: str) -> None:
        """Add a line that changes the labels ``y`` of a batch, in NumPy and before anything else."""
        self.labels.append(line)

    def stream(self) -> str:
        """Return the attribute that holds the strategy's stream of random numbers."""
        self.streams[self.strategy.name] = self.seed
        return f"self.{self.strategy.name}_random"

    def array(self, name: str, value: Any) -> str:
        """Return the constant that holds an array, which is written to ``data.npz``."""
        self.arrays[name] = value
        return name.upper()

    def range(self) -> tuple[str, str]:
        """Return the constants that hold where raw values lie in the network's input."""
        assert self.limits is not None  # without a range the study would not have trained
        return self.array("lowest", self.limits[0]), self.array("highest", self.limits[1])

    def gradient(self) -> None:
        """Make ``gradient(function, at)`` known, as the backend has it."""
        self.define(backends.adapter().gradient)

    # --- what the recipe comes to ----------------------------------------------------------------------------------

    @property
    def wrapped(self) -> bool:
        """Whether something acts on batches or weights, so that the network is trained inside another model."""
        return bool(self.batch or self.preprocess or self.noisy or self.ascends)

    def penalty(self, role: str) -> str | None:
        """Return the expression of the regularizer of a role, or None."""
        return f"{role.upper()}_PENALTY" if role in self.regularizers else None

    def penalties(self) -> list[str]:
        """Return the lines that define the regularizers, and what layers take where there are several."""
        lines = []
        for role, found in self.regularizers.items():
            value = found[0] if len(found) == 1 else f"both({', '.join(found)})"
            if role == "activity" and self.precision != "float32":
                value = f"in_float32({value})"
            lines.append(f"{role.upper()}_PENALTY = {value}")
        for name, roles in self.bundles().items():
            own = [f'"{role}_regularizer": {role.upper()}_PENALTY' for role in roles]
            shared = name == "HIDDEN" and "WEIGHTS" in self.bundles()
            items = ", ".join(["**WEIGHTS", own[-1]] if shared else own)
            lines.append(f"{name} = {{{items}}}")
        return lines

    def bundles(self) -> dict[str, tuple[str, ...]]:
        """Return the dictionaries of regularizers that layers take, by name: those of weights, and of hidden layers."""
        roles = tuple(self.regularizers)
        weights = tuple(role for role in roles if role != "activity")
        found = {"WEIGHTS": weights} if len(weights) > 1 else {}
        return found | ({"HIDDEN": (*weights, "activity")} if len(roles) > len(weights) > 0 else {})


_OWN = {True: "all of them from one stream, as in the study", False: "drawing the very numbers that the study drew"}
_LAYER = '''class {name}(layers.Layer):
    """keras.layers.{layer}, {own}."""

    def __init__(self, {argument}, **kwargs):
        super().__init__(**kwargs)
        self.{argument}, self.random = {argument}, {stream}
        self.supports_masking = True

    def call(self, h, training=False):
        if not training:
            return h
        return {draw}'''
