"""A run's training as a script: what a recipe's strategies write, around the network that they act on."""

from __future__ import annotations

import inspect
import os
import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np

from reglab import backends
from reglab.data.labels import IGNORED
from reglab.data.several import fed
from reglab.errors import ReglabError
from reglab.export.carried import normalizing
from reglab.export.network import Printer
from reglab.export.render import Facts, render
from reglab.export.script import Script
from reglab.export.source import literal
from reglab.keras_internals import generators_of, layers_in, seed_of
from reglab.models import by_output, output_mask
from reglab.recipe import Recipe
from reglab.regularized.activity import ActivityPenalty
from reglab.regularized.clone import Tap
from reglab.regularized.graph import flat_layers
from reglab.regularized.model import RegularizedModel
from reglab.regularized.parts import streams_of
from reglab.regularized.roles import role, weights_by_role
from reglab.regularized.statistics import averaged_layers
from reglab.strategies import Strategy
from reglab.strategies.script import ScriptOutput
from reglab.study.run import Program, SeedData

__all__ = ["scripted", "write_start"]

_CLOSE = 1e-4  # outputs of two networks of the same weights, relative to their largest


def scripted(program: Program, recipe: Recipe, data: SeedData, facts: Facts) -> tuple[str, dict[str, np.ndarray]]:
    """Return the text of a script that repeats a run, and the arrays that it reads beside the examples.

    Args:
        program: what trained the run, standing at the seed's random streams.
        recipe: of the run, riders included.
        data: what the seed fixes.
        facts: what the script says of the run.

    Raises:
        ReglabError: if the network or a strategy cannot be written, with the reason.
    """
    model = program.model
    settings = facts.settings
    taps = [layer for layer in flat_layers(model.network) if isinstance(layer, Tap)]
    # The parts hold the strategies that the program was made with; the run's own stand in the same order.
    own = dict(zip(map(id, model._held.parts), recipe.host(), strict=True))
    positions = {id(strategy): position for position, strategy in enumerate(recipe.host())}

    def strategy_of(tap: Tap) -> Strategy:
        return own[id(tap._function.part)]  # type: ignore[attr-defined]  # an At

    def fitted(strategy: Strategy) -> dict[str, np.ndarray]:
        held = model.fitted.of(positions[id(strategy)])
        return {name: np.asarray(keras.ops.convert_to_numpy(value)) for name, value in held.items()}

    script = Script(
        backend=backends.name(), task=program.task, outputs=_outputs(program, facts), input_shape=data.x.shape[1:],
        precision=settings.precision,
        count=lambda strategy: sum(strategy_of(tap) is strategy for tap in taps), fitted=fitted,
        limits=_input_range(model), factors=facts.trained.factors, averaging=bool(averaged_layers(model.network)),
    )  # fmt: skip
    streams = iter(streams_of(recipe.host(), data.stream("training")))
    for strategy in recipe:
        script.write(strategy, 0 if strategy.rides() else next(streams))
    _check_positions(script, recipe)
    if script.settles and len(normalizing(model.network)) < len(averaged_layers(model.network)):
        raise ReglabError(
            "Statistics of BatchNormalization are computed anew, and the network has some in layers of your own, where "
            "a script does not look. Leave the script out (script=False, --no-script)."
        )
    if facts.trained.weighted and script.wrapped:
        raise ReglabError(
            "Examples count unequally in the loss, and a script that changes batches or weights in training does not "
            "weigh them. Leave the script out (--no-script)."
        )
    if data.x.dtype.names and script.front:
        raise ReglabError(
            "The recipe has a layer before the network, which has several inputs, and a script puts it before one. "
            "Leave the script out (script=False, --no-script)."
        )
    script.lay_out()
    counted = _counted(script, program, data)
    printer = Printer(
        tap=lambda tap: _inserted(script, strategy_of(tap), tap), more=lambda layer: _regularizers(script, layer),
        seeds=_seeds(model.network), policy=settings.precision, front=tuple(script.front),
    )  # fmt: skip
    printer.function(model.network, "build_network", "Return the network, with what the recipe places in it.")
    return render(script, printer.functions, printer.imports, facts), {**script.arrays, **counted}


def _outputs(program: Program, facts: Facts) -> dict[str, ScriptOutput]:
    """Return the outputs of the network by name, in the order in which it gives them."""
    network, task, dense = program.model.network, program.task, facts.trained.dense
    if not task.outputs:
        return {"": ScriptOutput(task, program.head, soft="" in dense)}
    by_name = isinstance(network.output, dict)
    return {
        name: ScriptOutput(
            task.outputs[name], program.head.by_output[name], name=name, labels=f"y[{literal(name)}]",
            at=f"[{literal(name) if by_name else position}]",
            numbers=program.model._held.targets.of[name].numbers, soft=name in dense,
        )
        for position, name in enumerate(by_output(network, network.output))
    }  # fmt: skip


def _check_positions(script: Script, recipe: Recipe) -> None:
    """Raise a ReglabError where labels per position of one of several outputs would move with the inputs."""
    named = [name for name, each in script.outputs.items() if name and each.task.per_position]
    moving = [each.name for each in recipe if each.implements("on_batch") and each.changes_inputs]
    if named and moving:
        raise ReglabError(
            f"{moving[0]} moves the labels per position of output {named[0]} with the inputs, which a script does "
            "where they are the only ones. Leave the script out (script=False, --no-script)."
        )


def _input_range(model: RegularizedModel) -> tuple[np.ndarray, np.ndarray] | None:
    """Return where raw values lie in the network's input, as its strategies were told it, or None."""
    found = model.fitted.input_range()
    if found is None:
        return None
    low, high = (np.asarray(keras.ops.convert_to_numpy(each)) for each in found)
    return low, high


def _counted(script: Script, program: Program, data: SeedData) -> dict[str, np.ndarray]:
    """Return which positions of validation and test count, where the network leaves out some by its own mask."""
    script.masked = script.task.takes_masks and output_mask(program.model.network, data.validation[0][:1]) is not None
    if not script.masked:
        return {}
    if script.ascent or script.terms or script.attacks:
        raise ReglabError(
            "The network leaves positions out by its own mask, and a script does not where it takes the loss a second "
            "time, as sam, r_drop, trades and adversarial do. Leave the script out (script=False, --no-script)."
        )
    assert data.test is not None  # a replay refuses sealed studies
    return {"counted_val": data.validation[1] != IGNORED, "counted_test": data.test[1] != IGNORED}


def _inserted(script: Script, strategy: Strategy, tap: Tap) -> str | None:
    """Return the layer that stands where a tap does, or None where the strategy's strength leaves nothing to do."""
    made = script.layers.get(id(strategy))
    place = tap.name.split("_", 1)[1]
    at = tap._function.place  # type: ignore[attr-defined]  # an At
    return None if made is None else f"{made(at)}, name={literal(f'{strategy.name}_{place}')})"


def _regularizers(script: Script, layer: keras.Layer) -> dict[str, str]:
    """Return the arguments of a layer that penalize its weights and outputs, beside its own regularizers."""
    found = {}
    if isinstance(layer, keras.Layer) and not layers_in(layer):
        names = {weight.name: role(weight) for weight in layer.trainable_weights}
        for name, of_role in names.items():
            argument = f"{name.replace('_kernel', '') if name != 'kernel' else name}_regularizer"
            penalty = script.penalty(of_role) if of_role else None
            if penalty and argument in inspect.signature(type(layer)).parameters:
                found[argument] = penalty
    if isinstance(getattr(layer, "activity_regularizer", None), ActivityPenalty):
        found["activity_regularizer"] = script.penalty("activity") or ""
    own = layer.get_config() if found else {}
    if not any(own.get(argument) for argument in found if argument != "activity_regularizer"):
        for name, roles in script.bundles().items():
            if set(found) == {f"{of_role}_regularizer" for of_role in roles}:
                return {f"**{name}": ""}
    return found


def _seeds(network: keras.Model) -> dict[str, int]:
    """Return the seed of each random layer of the user's, as the run's seed decided it."""
    return {
        layer.name: seed_of(generators_of(layer)[0])
        for layer in layers_in(network, itself=True)
        if generators_of(layer)
    }


def write_start(path: Path, program: Program, data: SeedData, target: Path) -> None:
    """Run the part of a script that builds its network, check that, and write the seed's initial weights for it.

    Raises:
        ReglabError: if it builds another network than the study trained, or penalizes other weights.
    """
    network = program.model.network
    network.set_weights(data.initial_weights)
    with _as_it_was():
        namespace = runpy.run_path(str(path), run_name="exported")
        built = namespace["build_network"]()
    _copy_weights(network, built)
    x = fed(data.validation[0][:32])
    outputs = [keras.tree.flatten(each(x, training=False)) for each in (network, built)]
    if not all(_alike(*map(keras.ops.convert_to_numpy, pair)) for pair in zip(*outputs, strict=True)):
        raise ReglabError(
            "The network as code gives other outputs than the study's. Leave the script out (--no-script)."
        )
    penalized = {"kernel", "bias"} & {name.removesuffix("_PENALTY").lower() for name in namespace}
    wanted = sum(place.kind in penalized for _, place in weights_by_role(network))
    having = sum(weight.regularizer is not None for weight in built.trainable_weights)
    own = sum(weight.regularizer is not None for weight in network.trainable_weights)
    if penalized and having < max(wanted, own):
        raise ReglabError(
            f"Of the {wanted} weights that the recipe penalizes, {having} are in layers that take a regularizer as an "
            "argument. Leave the script out (--no-script)."
        )
    built.save_weights(target)


def _alike(expected: np.ndarray, found: np.ndarray) -> bool:
    return np.allclose(expected, found, atol=_CLOSE * max(1.0, float(np.abs(expected).max())))


def _copy_weights(source: keras.Model, copy: keras.Model) -> None:
    """Copy weights by the names of layers: the code may list them in another order."""
    by_name = {layer.name: layer for layer in copy.layers}
    for layer in source.layers:
        if isinstance(layer, Tap) or not layer.weights:
            continue
        if isinstance(layer, keras.Model):
            _copy_weights(layer, by_name[layer.name])
        else:
            by_name[layer.name].set_weights(layer.get_weights())


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Leave environment and dtype policy as they were before a script was run."""
    environment, policy = dict(os.environ), keras.config.dtype_policy()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        keras.config.set_dtype_policy(policy)
