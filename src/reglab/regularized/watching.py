"""The observers of a recipe in one training: what they look at, and what follows from what was seen.

A study asks them after each epoch; in ``fit`` they are behind two callbacks, one before the user's and one after.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from reglab.aliases import Logs, Tensor
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.regularized.optimizer import unscaled
from reglab.regularized.statistics import averaged_layers, settle
from reglab.strategies import Judgement, Observer, Strategy
from reglab.strategies.averaging.ema import Averages
from reglab.tasks import Task

if TYPE_CHECKING:
    from reglab.regularized.model import RegularizedModel

__all__ = ["Shown", "Watchers", "callbacks_for", "inputs_of_fit"]


@dataclass(frozen=True, eq=False)
class _Now:
    """A :class:`reglab.strategies.Moment` of a model."""

    model: RegularizedModel
    name: str
    epoch: int
    epochs: int

    @cached_property
    def weights(self) -> list[np.ndarray]:
        return [_array(weight) for weight in self.model.trainable_variables]

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        return unscaled(self.model.optimizer)

    @property
    def state(self) -> Mapping[str, np.ndarray]:
        return self.model.state_of(self.name)


class Watchers:
    """The observers of a recipe, made for one training.

    Attributes:
        bringing: the strategy whose observer brings other weights, or None; ``name`` is its name.
        settles: whether statistics of BatchNormalization are computed anew for them.

    Raises:
        ReglabError: if several bring weights.
    """

    def __init__(self, recipe: Recipe, task: Task | None = None) -> None:
        self._observers: list[tuple[Strategy, Observer]] = [
            (strategy, strategy.observer(task)) for strategy in recipe if strategy.implements("observer")
        ]
        bringing = [pair for pair in self._observers if type(pair[1]).bring is not Observer.bring]
        if len(bringing) > 1:
            raise ReglabError(
                f"{' and '.join(strategy.name for strategy, _ in bringing)} each put other weights in place of the "
                "trained ones, and one network has one set of them. Take one of them."
            )
        self.bringing: Strategy | None = bringing[0][0] if bringing else None
        self._bringer: Observer | None = bringing[0][1] if bringing else None
        self.name = self.bringing.name if self.bringing else ""

    @property
    def settles(self) -> bool:
        return self._bringer is not None and self._bringer.settles

    def __bool__(self) -> bool:
        return bool(self._observers)

    def look_at(self, observer: Observer) -> None:
        """Look at what an observer brings that is none of the recipe's, where the recipe has none that brings."""
        self._bringer = self._bringer or observer

    def bring(self, model: RegularizedModel, *, epoch: int, epochs: int) -> list[np.ndarray] | None:
        """Return what is to be looked at in place of the weights of a model, or None."""
        if self._bringer is None:
            return None
        brought = self._bringer.bring(_Now(model, self.name, epoch, epochs))
        shapes = [tuple(weight.shape) for weight in model.trainable_variables]
        if brought is not None and [np.shape(weight) for weight in brought] != shapes:
            raise ReglabError(
                f"{self.name} brings weights of the shapes {[np.shape(weight) for weight in brought]}; the "
                f"trainable weights have {shapes}. Bring one array for each of moment.weights."
            )
        return brought

    def judge(self, epoch: int, values: Mapping[str, float]) -> Iterator[tuple[Observer, Judgement]]:
        """Yield what each observer makes of an epoch."""
        for _, observer in self._observers:
            yield observer, observer.judge(epoch, values)

    def remembered(self) -> list[dict[str, Any]]:
        """Return what each of them remembers."""
        return [observer.remembered() for _, observer in self._observers]

    def recall(self, remembered: Iterable[Mapping[str, Any]]) -> None:
        """Be where observers were that remembered this."""
        for (_, observer), each in zip(self._observers, remembered, strict=True):
            observer.recall(each)


class Shown:
    """What an observer brought, in a network in place of what is trained there, until it is put back."""

    def __init__(
        self, model: RegularizedModel, brought: list[np.ndarray], *, inputs: Callable[[], Iterable[Any]] | None
    ) -> None:
        """Put it there; with ``inputs``, training inputs in batches, compute statistics anew."""
        self._network = model.network
        self._moving = [_array(weight) for weight in self._network.weights]
        for variable, value in zip(model.trainable_variables, brought, strict=True):
            variable.assign(value)
        if inputs is not None:
            settle(model, inputs())

    def back(self) -> None:
        """Go on with the weights that are trained."""
        self._network.set_weights(self._moving)


def callbacks_for(
    model: RegularizedModel, *, users: list[Any], inputs: Callable[[], Iterable[Any]] | None
) -> tuple[list[Any], list[Any]]:
    """Return the callbacks by which the observers of a model's recipe watch ``fit``: before and after the user's.

    Args:
        model: a regularized model.
        users: the callbacks that ``fit`` was given.
        inputs: gives the training inputs in batches, or None where they can be read once.
    """
    watchers = Watchers(model.recipe)
    averaging = getattr(unscaled(getattr(model, "optimizer", None)), "use_ema", False)
    if not watchers:
        return [], []
    if averaging:
        watchers.look_at(Averages())  # those of the user's optimizer
    if watchers.bringing is None and not averaging:
        return [], [_Judging(watchers)]
    if any(isinstance(callback, keras.callbacks.SwapEMAWeights) for callback in users):
        raise ReglabError(
            f"SwapEMAWeights is not needed with {model.recipe.to_text()!r}: the averages are what is validated, and "
            "what fit leaves. Take it out."
        )
    if watchers.settles and inputs is None and averaged_layers(model.network):
        raise ReglabError(
            f"{watchers.name} reads the training inputs again, to compute statistics of BatchNormalization, and fit "
            "was given an iterator, which is read once. Give arrays or a data set."
        )
    return [_Showing(watchers, inputs)], [_Judging(watchers)]


class _Showing(keras.callbacks.Callback):
    """Has what is brought in the weights from validation, or the end of the epoch, until the next epoch begins."""

    def __init__(self, watchers: Watchers, inputs: Callable[[], Iterable[Any]] | None) -> None:
        super().__init__()
        self._watchers, self._inputs = watchers, inputs
        self._epoch = 0
        self._asked = False
        self._brought: list[np.ndarray] | None = None
        self._shown: Shown | None = None

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if self._shown is not None:
            self._shown.back()
        self._epoch, self._asked, self._shown = epoch, False, None

    def on_test_begin(self, logs: Logs = None) -> None:
        self._show()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._show()  # where there was no validation

    def on_train_end(self, logs: Logs = None) -> None:
        # Where an optimizer averages, Keras has put its averages there meanwhile.
        for variable, value in zip(self.model.trainable_variables, self._brought or (), strict=False):
            variable.assign(value)

    def _show(self) -> None:
        if self._asked:
            return
        self._asked = True
        self._brought = self._watchers.bring(self.model, epoch=self._epoch, epochs=self.params["epochs"])
        if self._brought is not None:
            inputs = self._inputs if self._watchers.settles else None
            self._shown = Shown(self.model, self._brought, inputs=inputs)


class _Judging(keras.callbacks.Callback):
    """Ends training where an observer says so, and leaves the weights of the epoch that one calls the best."""

    def __init__(self, watchers: Watchers) -> None:
        super().__init__()
        self._watchers = watchers
        self._best: list[np.ndarray] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for _, judgement in self._watchers.judge(epoch, logs or {}):
            if judgement.best:
                self._best = [_array(variable) for variable in self.model.standing()]
            if judgement.stop:
                self.model.stop_training = True

    def on_train_end(self, logs: Logs = None) -> None:
        for variable, value in zip(self.model.standing(), self._best or (), strict=False):
            variable.assign(value)


def inputs_of_fit(arguments: Mapping[str, Any], *, seed: int) -> Callable[[], Iterator[Any]] | None:
    """Return what gives the training inputs of a call of ``fit`` in batches; None if they can be read once.

    Arrays are read in an order that ``seed`` decides: in batches of one class the statistics of a layer are others.
    """
    x: Any = arguments.get("x")
    steps = arguments.get("steps_per_epoch")
    if hasattr(x, "__next__"):
        return None
    if arguments.get("y") is None and not _is_array(x):

        def of_data_set() -> Iterator[Any]:
            of_keras = isinstance(x, keras.utils.PyDataset)
            batches = (x[number] for number in range(steps or x.num_batches)) if of_keras else x
            for batch in itertools.islice(batches, steps):
                yield keras.utils.unpack_x_y_sample_weight(batch)[0]

        return of_data_set
    size = arguments.get("batch_size") or 32

    def of_arrays() -> Iterator[Any]:
        arrays = keras.tree.map_structure(_array, x)
        order = np.random.default_rng(seed).permutation(len(keras.tree.flatten(arrays)[0]))
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            yield keras.tree.map_structure(lambda array, chosen=chosen: array[chosen], arrays)

    return of_arrays


def _is_array(x: object) -> bool:
    return isinstance(x, np.ndarray) or keras.ops.is_tensor(x) or isinstance(x, dict | list | tuple)


def _array(value: Tensor) -> np.ndarray:
    """Return an array that nobody else has: some backends hand out views of memory they go on using."""
    return np.array(keras.ops.convert_to_numpy(value))
