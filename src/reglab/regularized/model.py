"""The model around a network: its training step is Keras', with the hooks of a recipe in their places.

See ``reglab.strategies.base`` for the step in pseudocode.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np

from reglab import backends
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.regularized.activity import ActivityPenalty
from reglab.regularized.clone import OUTPUT, clone, without_taps
from reglab.regularized.export import exported
from reglab.regularized.fitted import Fitted
from reglab.regularized.graph import Graph, flat_layers, has_kernel, head_layers, is_graph
from reglab.regularized.roles import weights_by_role
from reglab.regularized.strengths import Part, Strengths
from reglab.regularized.targets import Targets
from reglab.strategies import Batch, InputRange
from reglab.streams import derive

__all__ = ["RegularizedModel"]

_backend = backends.adapter()


@keras.saving.register_keras_serializable(package="reglab")
class RegularizedModel(_backend.StepMixin, keras.Model):
    """A network and the recipe it is trained with. Made by :func:`reglab.regularize`.

    Attributes:
        network: the trained network, a clone of the user's model with its weights in the same order.
        recipe: the recipe it trains with.
        traces: how often the training step was traced, once for each batch shape on compiled backends.
    """

    def __init__(self, network: Any, recipe: Recipe, parts: list[Part], *, seed: int, source_policy: str) -> None:
        # Inputs reach the hooks as they are; each layer of the network casts for itself.
        super().__init__(name=f"regularized_{network.name}", dtype="float32", autocast=False)
        self.network = network
        self.fitted = Fitted(name="fitted")
        self.seed = seed
        self._randoms = [part.random for part in parts]
        self._strengths = [part.strengths.variables() for part in parts]
        # Plain Python state that Keras must not track or wrap.
        self._held = SimpleNamespace(
            recipe=recipe, program=recipe, parts=parts, offsets=None, targets=None, input_range=None, traces=0, policy=source_policy,
            skips_noise=False,
        )

    @classmethod
    def around(cls, source: Any, recipe: Recipe, *, seed: int) -> RegularizedModel:
        """Clone ``source`` and put ``recipe`` around it; see :func:`reglab.regularize` for the arguments."""
        model, owned = _the_model(source)
        _check_trainer(model)
        parts = [_part(strategy, position, recipe, seed) for position, strategy in enumerate(recipe)]
        _check_shapes(model, parts)
        taps = _taps(model, parts)
        try:
            network = clone(model, taps)
        except ReglabError:
            if not owned or taps:
                raise
            network = model  # a builder's model is ours already, so one that cannot be copied can be used as it is
        _add_activity(network, parts)
        _seed_layers(network, seed)
        return cls(network, recipe, parts, seed=seed, source_policy=model.dtype_policy.name)

    # --- what it is made of ----------------------------------------------------------------------------------------

    @property
    def recipe(self) -> Recipe:
        return self._held.recipe

    @property
    def traces(self) -> int:
        return self._held.traces

    def set_recipe(self, recipe: Any) -> None:
        """Train with other strengths from now on, in the same compiled program.

        Raises:
            ReglabError: if ``recipe`` differs in more than strengths.
        """
        recipe = Recipe.of(recipe)
        if not self._held.program.accepts(recipe):
            raise ReglabError(
                f"{recipe.to_text()!r} needs another program than {self._held.program.to_text()!r}: only strengths can change, and "
                "a term that was zero is not part of the program. Call reglab.regularize(model, recipe) for it."
            )
        self._held.recipe = recipe
        for part, strategy in zip(self._held.parts, recipe, strict=True):
            part.strategy = strategy
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Give every strength the value its schedule has in ``epoch``; ``fit`` does it at the start of each epoch."""
        for part, strategy in zip(self._held.parts, self.recipe.at(epoch), strict=True):
            part.strengths.assign(strategy.strengths())

    def set_seed(self, seed: int) -> None:
        """Restart every random stream, the network's own included, as if the model had been made with ``seed``."""
        self.seed = seed
        _seed_layers(self.network, seed)
        for position, part in enumerate(self._held.parts):
            _restart(part.random.state, _stream(part.strategy.name, position, self.recipe, seed))

    def adapt(self, x: Any, *, low: Any = None, high: Any = None) -> None:
        """Learn from training inputs what the recipe needs to know of the data before training.

        Args:
            x: the training inputs ``(N, ...)``, of the training split alone.
            low, high: where the lowest and the highest raw pixel value lie in ``x``, scalars or arrays that broadcast
                against one example; by default the extremes of ``x``.
        """
        x = np.asarray(x)
        if any(part.strategy.needs_data or part.strategy.needs_range for part in self._held.parts):
            arrays = {}
            for position, part in enumerate(self._held.parts):
                part.strategy.check_input((None, *x.shape[1:]))
                arrays.update({f"{position}_{key}": value for key, value in part.strategy.fit_data(x).items()})
            arrays["low"] = np.float32(x.min() if low is None else low)
            arrays["high"] = np.float32(x.max() if high is None else high)
            self.fitted.assign(arrays)

    def export_network(self) -> keras.Model:
        """Return the trained network as plain Keras: no layer of reglab's, and what was fitted as layers before it."""
        return exported(self.network, [part.strategy for part in self._held.parts], self.fitted)

    # --- Keras' entry points ---------------------------------------------------------------------------------------

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, **kwargs: Any) -> None:
        optimizer = self._prepared_optimizer(keras.optimizers.get(optimizer), kwargs.get("auto_scale_loss", True))
        soft = next((part.strategy.name for part in self._held.parts if part.strategy.soft_targets), None)
        self._held.targets = Targets(loss, soft)
        super().compile(optimizer, self._held.targets.loss if soft else loss, **kwargs)
        for part in self._held.parts:
            reason = part.strategy.refuses(backend=backends.name(), jit_compile=bool(self.jit_compile))
            if reason:
                raise ReglabError(f"{part.strategy.name}: {reason}.")

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(super().fit).bind(*args, **kwargs)
        given = bound.arguments.get("callbacks")
        callbacks = list(given.callbacks) if isinstance(given, keras.callbacks.CallbackList) else given
        callbacks = [callbacks] if isinstance(callbacks, keras.callbacks.Callback) else list(callbacks or ())
        self._check_ready(callbacks, validated=bound.arguments.get("validation_data") is not None
                          or bool(bound.arguments.get("validation_split")))
        if self.recipe.scheduled:
            callbacks.append(_Schedules())
        for part in self._held.parts:
            callbacks += part.strategy.callbacks()
        bound.arguments["callbacks"] = callbacks
        return super().fit(*bound.args, **bound.kwargs)

    def call(self, x: Any, training: bool | None = None) -> Any:
        y = self._forward(x, training=bool(training))
        penalty = self._penalty()
        if penalty is not None:
            self.add_loss(penalty)
        return y

    def build(self, input_shape: Any = None) -> None:
        if not self.network.built:
            self.network.build(input_shape)
        self.built = True

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        if self._held.targets.soft:
            y = self._held.targets.soften(y, y_pred.shape[-1])
        return super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if self._held.targets.soft:
            y = self._held.targets.harden(y)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "network": keras.saving.serialize_keras_object(without_taps(self.network)),
            "recipe": self.recipe.to_list(),
            "seed": self.seed,
            "fitted": {name: list(shape) for name, shape in self.fitted.shapes().items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> RegularizedModel:
        network = keras.saving.deserialize_keras_object(config["network"], custom_objects=custom_objects)
        model = cls.around(network, Recipe.from_list(config["recipe"]), seed=config["seed"])
        model.fitted.assign({name: np.zeros(shape, "float32") for name, shape in config["fitted"].items()})
        return model

    # --- the training step -----------------------------------------------------------------------------------------

    def _prepare(self, data: Any) -> tuple[Any, Any, Any]:
        """Turn a batch into the one that Keras' training step gets: augmented, mixed, attacked."""
        self._held.traces += 1
        batch = Batch(*keras.utils.unpack_x_y_sample_weight(data))
        parts = self._held.parts
        if self._held.targets.soft:
            batch = batch._replace(y=self._held.targets.soften(batch.y, self._classes(batch.x)))
        input_range = self.fitted.input_range()
        for part in parts:
            if part.overrides("on_batch"):
                batch = part.strategy.on_batch(batch, part.strengths, part.random, input_range)
        for part in parts:
            if part.overrides("perturb_inputs"):
                batch = batch._replace(x=self._perturbed(part, batch, input_range))
        self._held.offsets = self._weight_offsets(batch)
        return tuple(batch)

    def _perturbed(self, part: Part, batch: Batch, input_range: InputRange | None) -> Any:
        def gradient(x: Any, which: slice) -> Any:
            return self.input_gradient(x, batch.y[which])

        x = part.strategy.perturb_inputs(batch.x, gradient, part.strengths, part.random, input_range)
        return keras.ops.stop_gradient(x)

    def input_gradient(self, x: Any, y: Any) -> Any:
        """Return the gradient, shaped as ``x``, of the summed data loss with respect to inputs, in inference mode.

        Nothing moves: neither statistics of BatchNormalization nor random streams.
        """

        def loss(x: Any) -> Any:
            with self._frozen_scope():
                return keras.ops.sum(self._held.targets.each(y, self._forward(x, training=False)))

        return _backend.gradient(loss, x)

    def _weight_offsets(self, batch: Batch) -> list[Any] | None:
        """Return what is added to each trainable weight for the next forward pass, if a strategy asks for it."""
        parts = [part for part in self._held.parts if part.strategy.perturbs_weights]
        if not parts:
            return None
        weights = self.network.trainable_variables

        def loss(values: list[Any]) -> Any:
            with self._frozen_scope(zip(weights, values, strict=True)):
                each = self._held.targets.each(batch.y, self._forward(batch.x, training=True))
                if batch.sample_weight is not None:
                    each = each * keras.ops.cast(batch.sample_weight, each.dtype)
                return keras.ops.sum(each)

        gradients = _backend.gradient(loss, [keras.ops.convert_to_tensor(weight) for weight in weights])
        offsets = [keras.ops.zeros_like(gradient) for gradient in gradients]
        for part in parts:
            added = part.strategy.perturb_weights(gradients, part.strengths)
            offsets = [offset + more for offset, more in zip(offsets, added, strict=True)]
        return [keras.ops.stop_gradient(offset) for offset in offsets]

    def _frozen_scope(self, values: Any = ()) -> keras.StatelessScope:
        """Return a scope in which the model can be run without anything moving, with some variables at other values."""
        mapping = {id(v): (v, v.value) for v in self.variables}
        mapping.update({id(v): (v, value) for v, value in values})
        return keras.StatelessScope(state_mapping=list(mapping.values()))

    def _forward(self, x: Any, *, training: bool) -> Any:
        """Run the network, with what acts at its input and on its weights in training."""
        for position, part in enumerate(self._held.parts):
            if part.overrides("preprocess"):
                x = part.strategy.preprocess(x, self.fitted.of(position))
        if not training:
            return self._run(x, training=False)
        for part in self._held.parts:
            if "input" in part.strategy.places:
                x = keras.tree.map_structure(lambda t, p=part: _on_input(p, t), x)
        moved = self._moved_weights()
        return self._run(x, training=True) if moved is None else self._run_with(x, moved)

    def _run(self, x: Any, *, training: bool) -> Any:
        if "training" in inspect.signature(self.network.call).parameters:
            return self.network(x, training=training)
        return self.network(x)

    def _moved_weights(self) -> list[tuple[Any, Any]] | None:
        """Return the values that weights have in this pass alone: noisy, or moved by a gradient."""
        noisy = [part for part in self._held.parts if part.overrides("forward")]
        offsets, self._held.offsets = self._held.offsets, None
        if not noisy and offsets is None:
            return None
        weights = self.network.trainable_variables
        values = {id(weight): keras.ops.convert_to_tensor(weight) for weight in weights}
        kernels = [weight for weight, role in weights_by_role(self.network) if role == "kernel"]
        for part in noisy:
            for weight in kernels:
                values[id(weight)] = part.strategy.forward(values[id(weight)], part.strengths, part.random)
        for weight, offset in zip(weights, offsets or (), strict=False):
            values[id(weight)] = values[id(weight)] + keras.ops.cast(offset, values[id(weight)].dtype)
        return [(weight, values[id(weight)]) for weight in weights]

    def _run_with(self, x: Any, weights: list[tuple[Any, Any]]) -> Any:
        """Run the network in training with other weights, and keep what the pass did to its other state."""
        before = {id(v): (v, v.value) for v in self.variables}
        before.update({id(v): (v, value) for v, value in weights})
        with keras.StatelessScope(state_mapping=list(before.values()), collect_losses=True) as scope:
            y = self._run(x, training=True)
            losses = list(scope.losses)
        for variable in self.non_trainable_variables:
            after = scope.get_current_value(variable)
            if after is not before[id(variable)][1]:
                variable.assign(after)
        for loss in losses:
            self.add_loss(loss)
        return y

    def _penalty(self) -> Any:
        """Return the sum of all penalties on weights, in float32, or None."""
        total = None
        for part in self._held.parts:
            for weight, role in weights_by_role(self.network):
                if part.strategy.penalizes(role):
                    value = keras.ops.cast(keras.ops.convert_to_tensor(weight), "float32")
                    term = part.strategy.penalty(value, role, part.strengths)
                    total = term if total is None else total + term
        return total

    # --- before training -------------------------------------------------------------------------------------------

    def _prepared_optimizer(self, optimizer: Any, auto_scale_loss: bool) -> Any:
        changing = [part for part in self._held.parts if part.strategy.changes_optimizer]
        if changing and optimizer is not None:
            optimizer = type(optimizer).from_config(optimizer.get_config())  # the user's object is not touched
            for part in changing:
                # These numbers are read by the optimizer's own step, so it must be the one that tracks them.
                part.strengths = _strengths(part.strategy.at(0))
                part.strategy.optimizer(optimizer, part.strengths)
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        if auto_scale_loss and self._held.policy == "mixed_float16" and optimizer is not None and not scaled:
            # As keras.Model.compile does for a model of this policy; the model around it is float32.
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")
        return optimizer

    def _check_ready(self, callbacks: list[Any], *, validated: bool) -> None:
        for part in self._held.parts:
            strategy = part.strategy
            if (strategy.needs_data or strategy.needs_range) and not self.fitted.ready:
                raise ReglabError(
                    f"{strategy.name} has to know the training data: call model.adapt(x_train) before fit. "
                    "Give it the training split alone; what it learns is applied to validation and test as it is."
                )
            monitor = getattr(strategy, "monitor", "")
            provided = any(monitor in getattr(callback, "provides", ()) for callback in callbacks)
            if monitor.startswith("val_") and not validated and not provided:
                raise ReglabError(
                    f"{strategy.name} monitors {monitor!r}, and fit was given no validation data. "
                    "Give validation_data or validation_split."
                )

    def _classes(self, x: Any) -> int:
        if is_graph(self.network) and self.network.built:
            return self.network.output_shape[-1]
        return self.network.compute_output_shape(keras.tree.map_structure(lambda t: tuple(t.shape), x))[-1]


class _Schedules(keras.callbacks.Callback):
    """Gives scheduled strengths their value at the start of each epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.set_epoch(epoch)


def _the_model(source: Any) -> tuple[Any, bool]:
    """Return the model, and whether it is ours because a builder just made it."""
    if isinstance(source, keras.Model):
        return source, False
    if not callable(source):
        raise ReglabError(
            f"{source!r} is neither a keras.Model nor a function that builds one. Give keras.Sequential(...), a Functional "
            "or subclassed model, or a function without arguments."
        )
    model = source()
    if not isinstance(model, keras.Model):
        raise ReglabError(f"The builder returned {type(model).__name__}; it has to return a keras.Model.")
    return model, True


def _check_trainer(model: Any) -> None:
    for method in ("train_step", "compute_loss"):
        if getattr(type(model), method) is not getattr(keras.Model, method) and not isinstance(model, RegularizedModel):
            raise ReglabError(
                f"{type(model).__name__} has its own {method}, which reglab's training step would bypass. Give a model that "
                f"trains with Keras' own {method}, and express what yours does as a loss, a layer or a strategy."
            )
    if isinstance(model, RegularizedModel):
        raise ReglabError("The model is regularized already. Add the strategies to its recipe: model.recipe + ...")


def _strengths(strategy: Any) -> Strengths:
    return Strengths({
        name: keras.Variable(
            float(value), trainable=False, dtype="float32", autocast=False, name=f"{strategy.name}_{name}",
            aggregation="only_first_replica",
        )
        for name, value in strategy.strengths().items()
    })


def _stream(name: str, position: int, recipe: Recipe, seed: int) -> int:
    """Return the seed of a strategy's stream: by its name, and by its number where a name comes twice."""
    again = sum(strategy.name == name for strategy in list(recipe)[:position])
    return derive(seed, "strategy", name, again)


def _part(strategy: Any, position: int, recipe: Recipe, seed: int) -> Part:
    random = keras.random.SeedGenerator(_stream(strategy.name, position, recipe, seed))
    return Part(strategy, _strengths(strategy.at(0)), random)


def _restart(state: Any, seed: int) -> None:
    state.assign(np.array([seed, 0], dtype=keras.backend.standardize_dtype(state.dtype)))


def _seed_layers(network: Any, seed: int) -> None:
    """Give each random layer of the user's a stream of its own, by its place among them."""
    weights = {id(weight) for weight in network.weights}
    states = [v for v in network.variables if id(v) not in weights and v.name.endswith("seed_generator_state")]
    for position, state in enumerate(states):
        _restart(state, derive(seed, "layer", position))


def _check_shapes(model: Any, parts: list[Part]) -> None:
    shapes = keras.tree.flatten(keras.tree.map_structure(lambda t: t, model.inputs)) if is_graph(model) else []
    shapes = [tuple(tensor.shape) for tensor in shapes or ()]
    for part in parts:
        acts_on_x = part.overrides("on_batch") and not part.strategy.name == "label_smoothing"
        if acts_on_x and len(shapes) > 1:
            raise ReglabError(
                f"{part.strategy.name} acts on one array of inputs; the model has {len(shapes)} inputs. Leave it out, or do "
                "it in the data pipeline of that input."
            )
        if shapes:
            part.strategy.check_input(shapes[0])


def _taps(model: Any, parts: list[Part]) -> dict[str, list[Callable[[Any], Any]]]:
    """Return the functions to be placed in the network, by the path of the layer they follow."""
    taps: dict[str, list[Callable[[Any], Any]]] = {}
    for part in parts:
        for path in _paths(model, part):
            taps.setdefault(path, []).append(
                lambda h, part=part: part.strategy.on_activation(h, part.strengths, part.random)
            )
    return taps


def _paths(model: Any, part: Part) -> list[str]:
    places = [place for place in part.strategy.places if place != "input"]
    if not places:
        return []
    if not is_graph(model):
        raise ReglabError(
            f"{part.strategy.name} has to be placed {', '.join(places)}, and {type(model).__name__} is a subclassed model, "
            "whose layers are connected by its call method. Write it as a Sequential or Functional model, place the layer "
            "yourself, or use where='input'."
        )
    graph = Graph.of(model)
    paths: dict[str, None] = {}
    for place in places:
        if place == "hidden":
            points = graph.hidden_points()
            if not points:
                raise ReglabError(
                    f"{part.strategy.name}: the model has no hidden layer with a kernel. Name a layer: where='layer_name'."
                )
            paths.update(dict.fromkeys(points))
        else:
            paths[OUTPUT if place == OUTPUT else graph.resolve(place)] = None
    return list(paths)


def _on_input(part: Part, x: Any) -> Any:
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype in {"int32", "int64", "bool"}:
        raise ReglabError(
            f"{part.strategy.name} at the input needs numbers; the model's input is {dtype} (indices?). Use where='hidden'."
        )
    return part.strategy.on_activation(x if "float" in dtype else keras.ops.cast(x, "float32"), part.strengths, part.random)


def _add_activity(network: Any, parts: list[Part]) -> None:
    penalties = [
        (lambda h, part=part: part.strategy.activity_penalty(h, part.strengths)) for part in parts if part.strategy.penalizes_activity
    ]
    if not penalties:
        return
    heads = {id(layer) for layer in head_layers(network)}
    for layer in flat_layers(network):
        if has_kernel(layer) and id(layer) not in heads:
            layer.activity_regularizer = ActivityPenalty(layer.activity_regularizer, penalties)
