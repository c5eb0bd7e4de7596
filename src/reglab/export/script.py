"""What a training script is made of: the slots that strategies fill, and the source that comes of it.

A strategy's ``write_keras(script)`` says how it is written in plain Keras, by filling the slots of its hooks: a
regularizer, a layer at its places, lines that change a batch, arguments of the optimizer, a callback. So everything
about a strategy stands in its own file, and this one knows no strategy by name.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reglab import backends
from reglab.aliases import Tensor
from reglab.errors import ReglabError
from reglab.export.source import call, literal, names_in, unannotated
from reglab.lazy import imported
from reglab.regularized.roles import role as role_of
from reglab.strategies import Place, Strategy
from reglab.strategies.script import ScriptOutput
from reglab.tasks import Metric, Task

__all__ = ["Script"]


@dataclass
class Script:
    """The parts of a script that depend on the recipe.

    Attributes:
        backend: Keras' backend.
        outputs: what the network gives, by name and in its order; that of a single one is empty.
        input_shape: the shape of one example.
        precision: Keras' dtype policy.
        count: from a strategy to how many layers of the network it is placed behind.
        fitted: from a strategy to what it learned from the training data.
        limits: where the lowest and highest raw value lie in the network's input, or None.
        arrays: what the script reads from ``data.npz``, by name.
        factors: of several outputs how much the loss of each counts, where that is not alike.
        attacks: whether inputs are moved along their gradient.
        ascent: the function of ``gradients`` and ``weights`` that says how far weights are, and its arguments.
        restores: the metric by which a callback restores the best weights, where not the checkpoint does.
        task: what is predicted.
        masked: whether the network's own mask leaves out positions.
        averaging: whether layers of the network keep running averages (BatchNormalization), and are trained.
        settles: whether those are computed anew, on the training inputs.
        made: of strategies that make kernels for every pass, by their names: the function of a kernel and of what is
            kept for it, what that begins with, and what becomes of it after a step.
        imports: statements that import what carried functions know beside NumPy and Keras.
    """

    backend: str
    task: Task
    outputs: Mapping[str, ScriptOutput]
    input_shape: tuple[int, ...]
    precision: str
    count: Callable[[Strategy], int]
    fitted: Callable[[Strategy], dict[str, np.ndarray]]
    limits: tuple[Tensor, Tensor] | None = None
    arrays: dict[str, Tensor] = field(default_factory=dict)
    regularizers: dict[str, list[str]] = field(default_factory=dict)
    layers: dict[int, Callable[[Place | None], str]] = field(default_factory=dict)
    front: list[str] = field(default_factory=list)
    definitions: list[str] = field(default_factory=list)
    streams: dict[str, int] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    batch: list[str] = field(default_factory=list)
    preprocess: list[str] = field(default_factory=list)
    terms: list[str] = field(default_factory=list)
    noisy: list[str] = field(default_factory=list)
    optimizer: dict[str, str] = field(default_factory=dict)
    optimizer_lines: list[str] = field(default_factory=list)
    before_checkpoint: list[str] = field(default_factory=list)
    callbacks: list[str] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    masked: bool = False
    averaging: bool = False
    settles: bool = False
    made: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    attacks: bool = False
    ascent: tuple[str, list[str]] | None = None
    restores: Metric | None = None
    seed: int = 0
    strategy: Strategy = field(init=False)  # the one that is writing

    def write(self, strategy: Strategy, seed: int) -> None:
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

    def carry(self, what: Callable[..., Any] | type) -> str:
        """Add a function or class of reglab's, with what it calls of reglab's and what it reads; return its name."""
        held = vars(sys.modules[what.__module__])
        for name in names_in(what):
            value = held.get(name)
            ours = str(getattr(value, "__module__", "")).startswith("reglab.")
            if callable(value) and value is not what and ours and inspect.isroutine(value) | inspect.isclass(value):
                self.carry(value)
            elif name != "keras" and (statement := imported(value)):
                self.imports.add(statement)
            elif isinstance(value, int | float | str | tuple | set | frozenset):
                self.define(f"{name} = {literal(value)}")
        self.define(what)
        return what.__name__.lstrip("_")

    def insert(self, function: Callable[..., Any] | str, numbers: Callable[[Any], tuple[Any, ...]]) -> None:
        """Put a layer at each of the strategy's places, which in training changes what passes.

        Args:
            function: of what passes, numbers and a stream of random numbers; or its name, where it is defined already.
            numbers: from a place, or None at the inputs, to these numbers.
        """
        from reglab.export import carried

        name = function if isinstance(function, str) else self.carry(function)
        again = sum(text.startswith(f"{self.strategy.name.upper()}_STREAM") for text in self.definitions)
        stream = f"{self.strategy.name.upper()}_STREAM{again + 1 if again else ''}"
        self.definitions.append(f"{stream} = keras.random.SeedGenerator({self.seed})")
        layer = self.carry(carried.InTraining)
        self._put(lambda place: f"{layer}({name}, {literal(numbers(place))}, {stream}")

    def own_layer(self, layer: str, options: Mapping[str, Any]) -> None:
        """Put a layer of Keras' own at the strategy's one place; what it draws comes from the strategy's stream."""
        arguments = {**options, "seed": self.seed}
        made = f"layers.{layer}({', '.join(f'{name}={literal(value)}' for name, value in arguments.items())}"
        self._put(lambda place: made)

    def _put(self, made: Callable[[Place | None], str]) -> None:
        self.layers[id(self.strategy)] = made
        if "input" in self.strategy.places:
            dtype = "" if self.precision == "float32" else ', dtype="float32"'
            self.front.append(f'{made(None)}, name="{self.strategy.name}_input"{dtype})')

    def show_averages(self) -> None:
        """Let validation see the averages of weights that the optimizer keeps."""
        from reglab.export import carried

        self.before_checkpoint.append(f"{self.carry(carried.Averages)}()")

    def show_mean(self, average: Callable[..., Any], arguments: list[str]) -> None:
        """Let validation see a mean of the weights that epochs end with, with statistics that belong to it.

        ``average`` is a function of how many epochs are averaged and the mean so far, the weights that an epoch ended
        with, its number and ``arguments``; it gives the number and the mean then.
        """
        from reglab.export import carried

        self.settles = self.averaging
        made = f"{self.carry(average)}(kept, weights, epoch, {', '.join(arguments)})"
        given = ["network", f"lambda kept, weights, epoch: {made}", *(["statistics_inputs"] if self.settles else [])]
        callback = self.carry(carried.SettledMean if self.settles else carried.Mean)
        self.before_checkpoint.append(call(callback, given, indent=12).lstrip())

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

    def on_weights(self, changed: str) -> None:
        """Run the network in training with kernels that are an expression of themselves, ``w``."""
        self.role()
        self.noisy.append(changed)

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
        from reglab.export import carried

        for each in (carried.kept_for, carried.made_of):
            self.carry(each)
        made = f"lambda w, kept: {self.carry(function)}(w, kept, {', '.join(arguments)})"
        self.made[self.strategy.name] = (made, self.carry(first), self.carry(then))

    def mix(self, function: Callable[..., Any], arguments: list[str]) -> None:
        """Let a function of inputs, labels, arguments and a stream of random numbers change a batch.

        Of several outputs it changes the labels of each, and the inputs, by the same draws.
        """
        from reglab.export import carried

        made, random = f"{self.carry(function)}(x, y, {', '.join(arguments)}, {{random}})", "{random}"
        if self.several:
            made = f"{self.carry(carried.of_each)}(lambda x, y: {made}, x, y, {random})"
        self.on_batch(f"x, y = {made}", stream=True)

    def soften(self) -> list[ScriptOutput]:
        """Make distributions of labels, and return the outputs of which the strategy changes them."""
        found = [each for each in self.outputs.values() if not (each.numbers and self.strategy.leaves_numbers)]
        for each in found:
            each.soft = True
        return found

    def labels_of(self, part: str) -> str:
        """Return the labels of a part of a batch, given the expression of a slice."""
        return f"keras.tree.map_structure(lambda of_all: of_all[{part}], y)" if self.several else f"y[{part}]"

    def on_batch_by(self, function: str, arguments: list[str]) -> None:
        """Let a function change the inputs of a batch."""
        self.batch.append(call(function, arguments, before="x = ", indent=8).lstrip())

    def add_term(self, function: Callable[..., Any], arguments: list[str]) -> None:
        """Add a function of the batch on its way through the model, and of arguments, to the loss in training."""
        from reglab.export import carried

        self.carry(carried.Context)
        self.gradient()
        self.terms.append(call(self.carry(function), ["context", *arguments], before="loss = loss + ", indent=12))

    def on_labels(self, line: str) -> None:
        """Add a line that changes the labels ``y`` of a batch, in NumPy and before anything else."""
        self.labels.append(line)

    def role(self) -> str:
        """Return the function that says of a weight whether it is a ``kernel``, a ``bias`` or neither."""
        return self.carry(role_of)

    def on_kernels(self, how: str, argument: str) -> None:
        """Act on kernels: let the optimizer ``go_by`` changed gradients, or ``bind`` what they become in a step.

        Args:
            how: the name of a function of ``reglab.export.carried``.
            argument: the function that changes them, as an expression.
        """
        from reglab.export import carried

        before = "optimizer, " if how == "go_by" else ""
        self.optimizer_lines.append(f"{self.carry(getattr(carried, how))}({before}network, {argument})")

    def hold(self, coefficient: float) -> None:
        """Penalize the squared distance of kernels and biases from where the training begins."""
        from reglab.export import carried

        self.optimizer_lines.append(f"{self.carry(carried.hold)}(network, {coefficient!r})")

    def stream(self) -> str:
        """Return the attribute that holds the strategy's stream of random numbers."""
        self.streams[self.strategy.name] = self.seed
        return f"self.{self.strategy.name}_random"

    def array(self, name: str, value: Tensor) -> str:
        """Return the constant that holds an array, which is written to ``data.npz``."""
        self.arrays[name] = value
        return name.upper()

    def range(self) -> tuple[str, str]:
        """Return the constants that hold where raw values lie in the network's input."""
        assert self.limits is not None  # without a range the study would not have trained
        return self.array("lowest", self.limits[0]), self.array("highest", self.limits[1])

    def lay_out(self) -> None:
        """Give the loss of class indices per position a gradient, where the backend's has none as it is."""
        from reglab.export import carried

        for each in self.outputs.values():
            if self.backend == "torch" and each.task.per_position and each.head.outputs > 1 and not each.soft:
                loss = f"LOSS[{literal(each.name)}]" if each.name else "LOSS"
                self.optimizer_lines.append(f"{loss}.call = {self.carry(carried.laid_out)}({loss}.call)")

    def gradient(self) -> None:
        """Make ``gradient(function, at)`` known, as the backend has it."""
        self.define(backends.adapter().gradient)

    # --- what the recipe comes to ----------------------------------------------------------------------------------

    @property
    def several(self) -> bool:
        """Whether the network has several outputs, by name."""
        return "" not in self.outputs

    @property
    def each_loss(self) -> str:
        """The function of labels and outputs that gives the loss of each example."""
        return "losses" if self.several else "LOSS.call"

    def losses(self) -> str:
        """Return the function that sums the losses of several outputs, where something asks for it; or nothing."""
        if not self.several or not (self.attacks or self.ascent):
            return ""
        terms = []
        for name, each in self.outputs.items():
            value = f"LOSS[{literal(name)}].call({each.labels}, y_pred{each.at})"
            if each.task.per_position:
                value = f"ops.mean(ops.reshape({value}, (ops.shape({each.labels})[0], -1)), axis=-1)"
            factor = self.factors.get(name, 1.0)
            terms.append(value if factor == 1 else f"{factor!r} * {value}")
        doc = '    """Return the loss of each example: the sum over outputs."""'
        lines = [f"    total = {terms[0]}", *(f"    total = total + {term}" for term in terms[1:])]
        return "\n".join(["def losses(y, y_pred):", doc, *lines, "    return total"])

    @property
    def wrapped(self) -> bool:
        """Whether something acts on batches or weights, so that the network is trained inside another model."""
        return bool(self.batch or self.preprocess or self.noisy or self.made or self.ascent or self.terms)

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
