"""The model around a network: its training step is Keras', with the hooks of a recipe in their places.

See ``reglab.strategies.base`` for the step in pseudocode.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np

from reglab import backends
from reglab.aliases import Logs, Tensor, Tensors
from reglab.errors import ReglabError
from reglab.keras_internals import forget_losses_in, is_graph
from reglab.recipe import Recipe, RecipeLike
from reglab.regularized.checks import (
    check_callbacks,
    check_path,
    check_ready,
    check_shapes,
    check_trainer,
    metric_names,
    model_of,
)
from reglab.regularized.clone import clone, without_taps
from reglab.regularized.export import exported
from reglab.regularized.fitted import Fitted
from reglab.regularized.graph import inputs_of
from reglab.regularized.optimizer import prepared
from reglab.regularized.outputs import OutputTargets, output_shapes, targets_of
from reglab.regularized.parts import Part, give_state, parts_of, restart_state, seed_layers, streams_of
from reglab.regularized.placing import add_activity_penalties, taps
from reglab.regularized.step import Step, takes_training
from reglab.regularized.watching import Watchers, callbacks_for, inputs_of_fit
from reglab.strategies import ModelInput

__all__ = ["RegularizedModel"]

_backend = backends.adapter()


@keras.saving.register_keras_serializable(package="reglab")
class RegularizedModel(_backend.StepMixin, Step, keras.Model):  # type: ignore[name-defined]  # chosen at run time
    """A network and the recipe it is trained with. Made by :func:`reglab.regularize`.

    Attributes:
        network: the trained network, a clone of the user's model with its weights in the same order.
        recipe: the recipe it trains with.
        traces: how often the training step was traced, once for each batch shape on compiled backends.
    """

    def __init__(
        self, network: keras.Model, recipe: Recipe, parts: list[Part], *, seed: int, source_policy: str
    ) -> None:
        # Inputs reach the hooks as they are; each layer of the network casts for itself.
        super().__init__(name=f"regularized_{network.name}", dtype="float32", autocast=False)
        self.network = network
        self.fitted = Fitted(name="fitted")
        self.seed = seed
        self._randoms = [part.random for part in parts]
        self._strengths = [part.strengths.variables() for part in parts]
        self._states = [part.strengths.state.variables() for part in parts]
        # Plain Python state that Keras must not track or wrap.
        self._held = SimpleNamespace(
            recipe=recipe,
            program=recipe,
            parts=parts,
            offsets=None,
            around=None,
            output=None,
            masked=False,
            labels=None,
            compiled_with={},
            gather=None,
            targets=None,
            traces=0,
            policy=source_policy,
            takes_training=takes_training(network),
        )

    @classmethod
    def around(cls, source: keras.Model | Callable[[], keras.Model], recipe: Recipe, *, seed: int) -> RegularizedModel:
        """Clone ``source`` and put ``recipe`` around it; see :func:`reglab.regularize` for the arguments."""
        model, owned = model_of(source)
        if isinstance(model, RegularizedModel):
            raise ReglabError("The model is regularized already. Add the strategies to its recipe: model.recipe + ...")
        check_trainer(model)
        Watchers(recipe)  # says what observers do not go together
        parts = parts_of(recipe, seed)
        check_shapes(model, parts)
        placed = taps(model, parts)
        network = clone(model, placed, owned=owned)
        add_activity_penalties(network, parts)
        seed_layers(network, seed)
        give_state(parts, network)
        regularized = cls(network, recipe, parts, seed=seed, source_policy=model.dtype_policy.name)
        if network.built:
            regularized.build(_input_shape(network))  # so that it counts as built, and its weights can be loaded
        return regularized

    # --- what it is made of ----------------------------------------------------------------------------------------

    @property
    def recipe(self) -> Recipe:
        return self._held.recipe

    @property
    def inputs(self) -> list[keras.KerasTensor]:
        return self.network.inputs

    @property
    def outputs(self) -> list[keras.KerasTensor]:
        return self.network.outputs

    @property
    def input_shape(self) -> Any:
        return self.network.input_shape

    @property
    def output_shape(self) -> Any:
        return self.network.output_shape

    @property
    def output_names(self) -> list[str]:
        return self.network.output_names  # by which Keras names losses and metrics of several outputs

    @property
    def traces(self) -> int:
        return self._held.traces

    def set_recipe(self, recipe: RecipeLike) -> None:
        """Train with other strengths from now on, in the same compiled program.

        Raises:
            ReglabError: if ``recipe`` differs in more than strengths.
        """
        recipe = Recipe.of(recipe)
        if not self._held.program.accepts(recipe):
            raise ReglabError(
                f"{recipe.to_text()!r} needs another program than {self._held.program.to_text()!r}: only strengths can "
                "change, and a term that was zero is not part of the program. Call reglab.regularize(model, recipe) "
                "for it."
            )
        # The parts keep the strategies that the program was made with: a term of it that is zero now is not left out.
        self._held.recipe = recipe
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Give every strength the value its schedule has in ``epoch``; ``fit`` does it at the start of each epoch."""
        for part, strategy in zip(self._held.parts, self.recipe.at(epoch), strict=True):
            part.strengths.assign(strategy.strengths())

    def set_seed(self, seed: int) -> None:
        """Restart every random stream, the network's own included, as if the model had been made with ``seed``."""
        self.seed = seed
        seed_layers(self.network, seed)
        for part, stream in zip(self._held.parts, streams_of(self.recipe, seed), strict=True):
            part.restart(stream)

    def restart_state(self) -> None:
        """Let training begin with the present weights, for strategies that keep something of them."""
        restart_state(self._held.parts, self.network)

    def follow_weights(self) -> None:
        """Let strategies that make the weights of a pass from those that are trained know the present ones."""
        restart_state([part for part in self._held.parts if part.overrides("reparametrize")], self.network)

    def adapt(self, x: np.ndarray, *, low: Tensor = None, high: Tensor = None) -> None:
        """Learn from training inputs what the recipe needs to know of the data before training.

        Args:
            x: the training inputs ``(N, ...)``, of the training split alone.
            low: where the lowest raw pixel value lies in ``x``, a scalar or an array that broadcasts against one
                example; by default the lowest of ``x``.
            high: where the highest one lies.
        """
        x = np.asarray(x)
        if any(part.strategy.needs_data or part.strategy.needs_range for part in self._held.parts):
            arrays = {}
            for position, part in enumerate(self._held.parts):
                part.strategy.check_input(ModelInput((None, *x.shape[1:])))
                arrays.update({f"{position}_{key}": value for key, value in part.strategy.fit_data(x).items()})
            arrays["low"] = np.float32(x.min() if low is None else low)
            arrays["high"] = np.float32(x.max() if high is None else high)
            self.fitted.assign(arrays)

    def export_network(self) -> keras.Model:
        """Return the trained network as plain Keras: no layer of reglab's, and what was fitted as layers before it."""
        return exported(self.network, self._held.parts, self.fitted, self.evaluated_weights())

    def evaluated_weights(self) -> list[np.ndarray]:
        """Return weights of the network with which it predicts, by itself, what this model predicts."""
        other = {id(weight): value for weight, value in self._evaluated_weights() or ()}
        found = [other.get(id(weight), weight) for weight in self.network.weights]
        return [np.array(keras.ops.convert_to_numpy(value)) for value in found]

    def standing(self) -> list[Any]:
        """Return the variables that decide what the model predicts: of the network, and of what makes its weights."""
        made = [part.strengths for part in self._held.parts if part.overrides("reparametrize")]
        return [*self.network.weights, *(v for each in made for v in (*each.variables(), *each.state.variables()))]

    # --- Keras' entry points ---------------------------------------------------------------------------------------

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile as ``keras.Model.compile`` does, which takes the same arguments."""
        given = dict(inspect.signature(super().compile).bind(*args, **kwargs).arguments)
        self._held.compiled_with = dict(given)
        loss = given.get("loss")
        targets = targets_of(loss, given.get("loss_weights"), self._held.parts, output_shapes(self.network))
        scale_loss = given.get("auto_scale_loss", True) and self._held.policy == "mixed_float16"
        given["optimizer"] = prepared(
            keras.optimizers.get(given.get("optimizer", "rmsprop")),
            self._held.parts,
            self._on_gradients,
            scale_loss=scale_loss,
        )
        given["loss"] = targets.loss if targets.soft else loss
        if targets.soft and isinstance(targets, OutputTargets):
            given["loss_weights"] = targets.weights
        if given.get("jit_compile", "auto") == "auto" and self._refusal(jit_compile=True):
            given["jit_compile"] = False  # what Keras would choose depends on the device
        super().compile(**given)
        self._held.targets, self._held.labels = targets, None
        reason = self._refusal(jit_compile=bool(self.jit_compile))
        if reason:
            raise ReglabError(reason)
        self.set_epoch(0)  # the strengths that live in the optimizer are new variables

    def _refusal(self, *, jit_compile: bool) -> str | None:
        """Return why the recipe cannot run in a program compiled so, or None."""
        for part in self._held.parts:
            reason = part.strategy.refuses(backend=backends.name(), jit_compile=jit_compile)
            if reason:
                return f"{part.strategy.name}: {reason}."
        return None

    def get_compile_config(self) -> dict[str, Any]:
        # As given: what a recipe makes of the optimizer and the loss is made anew from it.
        return keras.saving.serialize_keras_object(self._held.compiled_with)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built and self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)  # so that its state can be loaded

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        bound = inspect.signature(super().fit).bind(*args, **kwargs)
        given = bound.arguments.get("callbacks")
        callbacks = list(given.callbacks) if isinstance(given, keras.callbacks.CallbackList) else given
        callbacks = [callbacks] if isinstance(callbacks, keras.callbacks.Callback) else list(callbacks or ())
        arguments = bound.arguments
        validated = arguments.get("validation_data") is not None or bool(arguments.get("validation_split"))
        compiled_with = self._held.compiled_with
        declared = [compiled_with.get(name) for name in ("metrics", "weighted_metrics")]
        metrics = metric_names(declared, list(getattr(self.network, "output_names", ())))
        check_ready(self.recipe, fitted=self.fitted.ready, validated=validated, metrics=metrics)
        check_callbacks(self.recipe, callbacks)
        if self._held.targets is not None:  # Keras says what is missing
            self._held.targets.check_labels(arguments.get("y"))
        bound.arguments["callbacks"] = self._callbacks(callbacks, inputs_of_fit(arguments, seed=self.seed))
        history = super().fit(*bound.args, **bound.kwargs)
        self._settle()
        return history

    def _callbacks(self, given: list[Any], inputs: Callable[[], Iterator[Tensors]] | None) -> list[Any]:
        """Return the callbacks of one call of ``fit``: the user's, the recipe's, and what goes with both."""
        schedules = [_Schedules()] if self.recipe.scheduled else []
        own = [callback for strategy in self.recipe for callback in strategy.callbacks()]
        measuring = [callback for callback in given if getattr(callback, "measures", False)]
        users = [callback for callback in given if callback not in measuring]
        # What measures by itself asks the observers too.
        first, last = ([], []) if measuring else callbacks_for(self, users=users, inputs=inputs)
        return [*first, *users, *schedules, *own, *last, *measuring]

    def state_of(self, name: str) -> dict[str, np.ndarray]:
        """Return what a strategy of the recipe keeps from step to step, as it is now."""
        part = next(part for part in self._held.parts if part.strategy.name == name)
        return {key: np.array(keras.ops.convert_to_numpy(value)) for key, value in part.strengths.state.items()}

    def save(self, filepath: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Any:
        """Save as ``keras.Model.save`` does, to a .keras file."""
        check_path(filepath)
        return super().save(filepath, *args, **kwargs)

    def stateless_call(self, *args: Any, **kwargs: Any) -> Any:
        forget_losses_in(self)  # of earlier calls: Keras does in __call__ alone
        return super().stateless_call(*args, **kwargs)

    def call(self, x: Tensors, training: bool | None = None) -> Tensors:
        y = self._forward(x, training=bool(training))
        penalty = self._penalty()
        if penalty is not None:
            self.add_loss(penalty)
        return y

    def build(self, input_shape: Any = None) -> None:
        # A subclassed network without a build method of its own is built by its first call.
        if not self.network.built and type(self.network).build is not keras.Model.build:
            self.network.build(input_shape)
        self.built = True

    def compute_loss(
        self,
        x: Tensors | None = None,
        y: Tensors | None = None,
        y_pred: Tensors | None = None,
        sample_weight: Tensor | None = None,
        training: bool = True,
    ) -> Tensor:
        if self._held.targets.soft:
            y, sample_weight = self._held.targets.soften(y, y_pred, sample_weight)
        outputs = self._held.targets.laid_out(y_pred)
        loss = super().compute_loss(x=x, y=y, y_pred=outputs, sample_weight=sample_weight, training=training)
        if training and self._adds_terms():
            loss = self._with_terms(loss, x, y, y_pred, sample_weight)
        return loss

    def compute_metrics(self, x: Tensors, y: Tensors, y_pred: Tensors, sample_weight: Tensor | None = None) -> Any:
        if self._held.labels is not None and y is self._held.labels[0]:
            y = self._held.labels[1]
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
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> RegularizedModel:
        network = keras.saving.deserialize_keras_object(config["network"], custom_objects=custom_objects)
        model = cls.around(network, Recipe.from_list(config["recipe"]), seed=config["seed"])
        model.fitted.assign({name: np.zeros(shape, "float32") for name, shape in config["fitted"].items()})
        return model


def _input_shape(network: keras.Model) -> Any:
    """Return the shapes of the inputs that a network was built for, structured as it takes them, or None."""
    if not is_graph(network):
        return (network.get_build_config() or {}).get("input_shape")
    if not inputs_of(network):
        return None
    struct = network.inputs[0] if isinstance(network, keras.Sequential) else network.input
    return keras.tree.map_structure(lambda tensor: tuple(tensor.shape), struct)


class _Schedules(keras.callbacks.Callback):
    """Gives scheduled strengths their value at the start of each epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.model.set_epoch(epoch)
