"""Conformance checks that every strategy passes, reglab's own and yours.

``check_strategy(MyStrategy())`` runs them all and raises an AssertionError that says what is wrong; each check is a
function of its own too. They train a tiny network for a few steps, so all of them take seconds. Checks that train take
recipes as well: what holds for each strategy has to hold for several of them in one program. A strategy that has to be
found by name, in recipes written as text, is registered with ``reglab.strategies.register``.

Example:
    >>> import reglab
    >>> from reglab.testing import check_strategy
    >>> check_strategy(reglab.strategies.Dropout(rate=0.3))
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from reglab import backends
from reglab.aliases import Tensor
from reglab.declare import Param, params
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.recipe import Recipe, RecipeLike
from reglab.regularized import regularize
from reglab.strategies import CATALOGUE, Linear, Strategy
from reglab.strategies.architecture.dropout import Dropout
from reglab.strategies.architecture.gaussian_noise import GaussianNoise

__all__ = [
    "CHECKS",
    "Bench",
    "check_composition",
    "check_declaration",
    "check_inert_at_evaluation",
    "check_invalid_values",
    "check_mixed_precision",
    "check_own_stream",
    "check_reproducible",
    "check_resumed",
    "check_rider",
    "check_round_trip",
    "check_schedules",
    "check_strategy",
    "check_strengths_take_effect",
    "check_zero_strength",
    "problem",
    "small_network",
]

_BATCH, _STEPS, _CLASSES = 16, 3, 3


def check_strategy(strategy: Strategy | type[Strategy]) -> None:
    """Run every check on a strategy; a class stands for itself with default hyperparameters."""
    for check in CHECKS:
        check(_instance(strategy))


# --- what it says of itself ----------------------------------------------------------------------------------------


def check_declaration(strategy: Strategy) -> None:
    """It is a frozen value with a name, a formula, a source, an example, and a described range for each number."""
    cls = type(strategy)
    for attribute in ("name", "formula", "paper"):
        assert getattr(cls, attribute, "").strip(), f"{cls.__name__} declares no {attribute}."
    assert isinstance(cls.after, tuple), f"{cls.name}: after is a tuple of names of strategies."
    assert "Example:" in (cls.__doc__ or ""), f"{cls.name}: the docstring gives no Example."
    assert hash(strategy) == hash(copy.copy(strategy)), f"{cls.name} is not a value: equal ones hash differently."
    for field in dataclasses.fields(strategy):
        assert isinstance(field.metadata.get("param"), Param), f"{cls.name}: {field.name} is not declared with param()."
        declared = field.metadata["param"]
        assert declared.doc and declared.range(), f"{cls.name}: {field.name} has no description or range."
        try:
            setattr(strategy, field.name, field.default)
        except dataclasses.FrozenInstanceError:
            continue
        raise AssertionError(f"{cls.name} can be changed: make it @dataclass(frozen=True).")


def check_round_trip(strategy: Strategy) -> None:
    """Text, list, JSON and pickle give it back, and its fingerprint with it."""
    with _in_catalogue(type(strategy)):
        recipe = Recipe(strategy)
        forms = {
            "text": Recipe.parse(recipe.to_text()),
            "list": Recipe.from_list(recipe.to_list()),
            "JSON": Recipe.from_list(json.loads(json.dumps(recipe.to_list()))),
            "pickle": pickle.loads(pickle.dumps(recipe)),
        }
    for form, again in forms.items():
        assert again == recipe, f"{strategy.name}: as {form} it comes back as {again}, and was {recipe}."
        assert again.fingerprint() == recipe.fingerprint(), f"{strategy.name}: as {form} it has another fingerprint."


def check_invalid_values(strategy: Strategy) -> None:
    """Each value outside a declared range is refused by an error that names strategy, hyperparameter and range."""
    for name, declared in params(strategy).items():
        for value in declared.invalid_values():
            try:
                dataclasses.replace(strategy, **{name: value})
            except ReglabError as error:
                for needed in (strategy.name, name, declared.range()):
                    assert needed in str(error), f"The error about {name}={value!r} does not say {needed!r}: {error}"
            else:
                raise AssertionError(f"{strategy.name} accepts {name}={value!r}, outside of {declared.range()}.")


# --- what it does in training --------------------------------------------------------------------------------------


def check_zero_strength(strategy: Strategy | Recipe, *, exact: bool = True) -> None:
    """At ``zero`` it trains as if it were not there: bit for bit on TensorFlow and PyTorch, to rounding under XLA.

    Args:
        strategy: it, or a recipe of several.
        exact: whether the bits have to be the same. Where several strategies add to the gradient, the program with
            those at zero may sum in another order than the one without them; then they are the same to rounding.
    """
    exact, within = exact and _exact(), 1e-4 if exact else 1e-3
    recipe = Recipe.of(strategy)
    without = Recipe(*(each for each in recipe if each.zero is None))
    if len(without) == len(recipe):
        return
    zero = Recipe(*(each if each.zero is None else dataclasses.replace(each, **each.zero) for each in recipe))
    one_hot = any(each.soft_targets for each in recipe)
    baseline = _bench(without, one_hot=one_hot).train()
    built = _bench(zero, eager=_slow_to_compile()).train()
    _assert_same(built, baseline, f"{zero} built at zero is not the baseline", exact=exact, within=within)
    reused = _bench(recipe).train(zero)
    _assert_same(reused, baseline, f"{recipe} set to zero is not the baseline", exact=exact, within=within)


def check_inert_at_evaluation(strategy: Strategy | Recipe) -> None:
    """Evaluation is that of the exported network, the same each time, and moves nothing."""
    bench = _bench(Recipe.of(strategy))
    bench.train()
    before = [_array(variable) for variable in bench.model.variables]
    first, second = (bench.model.predict(bench.x, batch_size=_BATCH, verbose=0) for _ in range(2))
    plain = bench.model.export_network()(bench.x, training=False)
    after = [_array(variable) for variable in bench.model.variables]
    _assert_same([second], [first], f"{strategy}: two predictions differ", exact=True)
    _assert_same([first], [_array(plain)], f"{strategy}: not inert at evaluation")
    _assert_same(after, before, f"{strategy}: predict() moves state", exact=True)


def check_reproducible(strategy: Strategy | Recipe) -> None:
    """The same seed gives the same weights again; another seed gives others, if and only if it draws random numbers."""
    bench = _bench(Recipe.of(strategy))
    bench.reset(seed=5)
    before = bench.streams()
    first, traces = bench.train(seed=5), bench.model.traces
    draws = bench.streams() != before
    _assert_same(bench.train(seed=5), first, f"{strategy}: the same seed gives another result", exact=True)
    same = _same(bench.train(seed=6), first)
    assert same != draws, f"{strategy}: another seed gives {'the same' if same else 'another'} result, draws={draws}."
    _assert_not_traced_again(bench, traces, f"{strategy}: another seed")


def check_own_stream(strategy: Strategy) -> None:
    """What it draws does not change when another random strategy joins the recipe."""
    other = Dropout(rate=0.0) if isinstance(strategy, GaussianNoise) else GaussianNoise(stddev=0.0)
    alone = _bench(Recipe(strategy), eager=_slow_to_compile()).train()
    joined = _bench(Recipe(strategy, other), eager=_slow_to_compile()).train()
    # Another graph may be fused otherwise, so the last bits are not what this is about; and where an L1 penalty takes
    # the sign of a bias at zero, they become a step. Other random numbers give differences of 0.02 and more.
    _assert_same(joined, alone, f"{strategy}: its random stream moves when {other} joins", within=3e-4)


def check_strengths_take_effect(strategy: Strategy | Recipe) -> None:
    """A changed strength trains as a model made with it, in the program that is compiled already."""
    recipe = Recipe.of(strategy)
    bench = _bench(recipe)
    original, traces = bench.train(), bench.model.traces
    changes = _other_strengths(recipe)
    changed = recipe
    for each, name, value in changes:
        one = _with(recipe, each, name, value)
        assert not _same(bench.train(one), original), f"{recipe}: {each.name} with {name}={value} has no effect."
        changed = _with(changed, each, name, value)
    if changes:
        fresh = _bench(changed, eager=_slow_to_compile()).train()
        _assert_same(bench.train(changed), fresh, f"{recipe} set to {changed} is not {changed}", exact=_exact())
    _assert_same(bench.train(), original, f"{recipe}: changing strengths back is not what it was", exact=True)
    _assert_not_traced_again(bench, traces, f"{recipe}: another strength")


def check_schedules(strategy: Strategy | Recipe) -> None:
    """A strength that follows a schedule has its value in each epoch, in the same program."""
    plain = Recipe.of(strategy)
    bench = _bench(plain)
    bench.train()
    traces = bench.model.traces
    for each, name, value in _other_strengths(plain):
        start = getattr(each, name)
        start = start[0] if isinstance(start, tuple) else start
        end = value[0] if isinstance(value, tuple) else value
        recipe = _with(plain, each, name, Linear(start, end, 2))
        by_hand = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs, recipe=recipe: bench.model.set_recipe(recipe.at(epoch))
        )
        expected = bench.train(recipe.at(0), epochs=2, callbacks=[by_hand])
        constant = bench.train(recipe.at(0), epochs=2)
        scheduled = bench.train(recipe, epochs=2)
        _assert_same(scheduled, expected, f"{recipe}: not what its values by hand give", exact=True)
        assert not _same(scheduled, constant), f"{recipe}: the schedule has no effect."
    _assert_not_traced_again(bench, traces, f"{plain}: a schedule")


def check_mixed_precision(strategy: Strategy | Recipe) -> None:
    """In float16 and bfloat16 the loss stays finite and goes down."""
    recipe = Recipe.of(strategy)
    for policy in ("mixed_float16", "mixed_bfloat16"):
        bench = Bench(recipe, policy=policy, eager=_slow_to_compile())
        weights = bench.train(epochs=4)
        loss = bench.history["loss"]
        assert all(np.isfinite(weight).all() for weight in weights), f"{recipe}: weights not finite in {policy}."
        assert np.isfinite(loss).all() and loss[-1] < loss[0], f"{recipe} does not learn in {policy}: loss {loss}."


def check_rider(strategy: Strategy | Recipe) -> None:
    """What says that it rides leaves the trajectory of the weights alone: with it, each epoch ends as without it."""
    recipe = Recipe.of(strategy)
    if not any(each.rides() for each in recipe):
        return

    def trajectory(of: Recipe) -> list[np.ndarray]:
        bench, found = _bench(of), list[np.ndarray]()
        bench.train(epochs=3, callbacks=[_at_ends(lambda: found.extend(bench.weights()))])
        return found

    _assert_same(trajectory(recipe), trajectory(recipe.host()), f"{recipe} moves the weights", exact=_exact())


def check_resumed(strategy: Strategy | Recipe) -> None:
    """Going on from where a training stood equals not having stopped, to the last bit: all of it is in variables."""
    bench = _bench(Recipe.of(strategy), eager=_slow_to_compile())
    stood: list[list[np.ndarray]] = []
    whole = bench.train(epochs=2, callbacks=[_at_ends(lambda: stood.append(bench.standing()))])
    bench.train(seed=7)  # whatever was trained meanwhile
    resumed = bench.train(epochs=2, callbacks=[_at_ends(lambda: None)], stood=(1, stood[0]))
    _assert_same(resumed, whole, f"{strategy}: going on is not what it would have been", exact=True)


def check_composition(strategy: Strategy, other: Strategy) -> None:
    """The two train together, or declare that they cannot."""
    try:
        recipe = Recipe(strategy, other)
    except ReglabError as error:
        text = str(error)
        assert strategy.name in text and other.name in text, f"The conflict does not name both strategies: {text}"
        return
    bench = Bench(recipe, eager=True)
    before = bench.weights()
    after = bench.train()
    assert all(np.isfinite(weight).all() for weight in after), f"{recipe}: weights are not finite."
    assert not _same(after, before), f"{recipe}: nothing was trained."


CHECKS: tuple[Callable[[Strategy], None], ...] = (
    check_declaration, check_round_trip, check_invalid_values, check_zero_strength, check_inert_at_evaluation,
    check_reproducible, check_own_stream, check_strengths_take_effect, check_schedules, check_mixed_precision,
    check_rider, check_resumed,
)  # fmt: skip


# --- the bench -----------------------------------------------------------------------------------------------------


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Return 48 images ``(8, 8, 1)`` of three classes, each a pattern in noise, and their labels."""
    rng = np.random.default_rng(0)
    y = np.arange(_BATCH * _STEPS) % _CLASSES
    x = rng.normal(size=(_CLASSES, 8, 8, 1))[y] + 0.5 * rng.normal(size=(len(y), 8, 8, 1))
    return x.astype("float32"), y.astype("int32")


def small_network() -> keras.Model:
    """Return a network with a convolution, a normalization, a hidden layer and a residual branch, of fixed weights."""
    layers = keras.layers
    image = keras.Input((8, 8, 1), name="image")
    h = layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    h = layers.BatchNormalization(name="norm")(h)
    h = layers.Flatten(name="flat")(h)
    h = layers.Dense(8, activation="relu", name="hidden")(h)
    h = layers.Add(name="add")([h, layers.Dense(8, activation="relu", name="branch")(h)])
    model = keras.Model(image, layers.Dense(_CLASSES, activation="softmax", name="head")(h), name="small")
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        if len(weight.shape) > 1:
            weight.assign(rng.normal(scale=np.prod(weight.shape[:-1]) ** -0.5, size=weight.shape))
    return model


class Bench:
    """A small network under one recipe, which trains again and again from the same start.

    Args:
        recipe: what :func:`reglab.regularize` takes.
        policy: Keras' name of a dtype policy for the network.
        one_hot: whether labels are distributions, as they become with soft targets.
        eager: whether the step runs without being compiled.
    """

    def __init__(
        self, recipe: RecipeLike, *, policy: str = "float32", one_hot: bool = False, eager: bool = False
    ) -> None:
        from reglab.data.batches import Batches

        self.recipe = Recipe.of(recipe)
        self.x, self.y = problem()
        if one_hot:
            self.y = np.eye(_CLASSES, dtype="float32")[self.y]
        self._batches = functools.partial(
            Batches, self.x, self.y, np.arange(len(self.x)), batch_size=_BATCH, seed=0, preprocess=lambda x: x
        )
        self._feeds: dict[tuple[int, int], Any] = {}
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            self.model = regularize(small_network(), self.recipe, seed=0)
        finally:
            keras.config.set_dtype_policy(before)
        self._validated = any(getattr(s, "monitor", "").startswith("val_") for s in self.recipe)
        loss = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
        metrics = ["accuracy"] if self._validated else None
        optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
        self.model.compile(optimizer, loss, metrics=metrics, run_eagerly=eager)
        self.model.adapt(self.x)
        self.model.build(self.x.shape)
        self.model.optimizer.build(self.model.trainable_variables)
        self._start = [(variable, _array(variable)) for variable in self._state()]
        self.history: dict[str, list[float]] = {}

    def train(
        self,
        recipe: RecipeLike = None,
        *,
        seed: int = 0,
        epochs: int = 1,
        callbacks: Sequence[Any] = (),
        stood: tuple[int, list[np.ndarray]] = (0, []),
    ) -> list[np.ndarray]:
        """Train from the start, under a recipe of other strengths if one is given, and return the weights.

        ``stood`` is how many epochs are done, and what :meth:`standing` gave after them.
        """
        self.reset(recipe, seed=seed)
        first, values = stood
        for variable, value in zip(self._state() if values else (), values, strict=True):
            variable.assign(value)
        if (first, epochs) not in self._feeds:  # made once: a pipeline of TensorFlow's takes longer than three steps
            batches = self._batches(epochs=epochs, first_epoch=first)
            self._feeds[first, epochs] = backends.adapter().feed(batches, watched=True).data
        feed = self._feeds[first, epochs]
        validation = {"validation_data": feed, "validation_steps": _STEPS} if self._validated else {}
        self.history = self.model.fit(
            feed,
            epochs=epochs,
            initial_epoch=first,
            steps_per_epoch=_STEPS,
            shuffle=False,
            verbose=0,
            callbacks=list(callbacks),
            **validation,
        ).history
        return self.weights()

    def reset(self, recipe: RecipeLike = None, *, seed: int = 0) -> None:
        """Put everything back to where it stood before training."""
        for variable, value in self._start:
            variable.assign(value)
        self.model.stop_training = False
        self.model.set_recipe(self.recipe if recipe is None else recipe)
        self.model.set_seed(seed)

    def standing(self) -> list[np.ndarray]:
        """Return all that what comes next depends on: weights, streams, what strategies and the optimizer keep."""
        return [_array(variable) for variable in self._state()]

    def _state(self) -> list[Any]:
        return list({id(v): v for v in (*self.model.variables, *self.model.optimizer.variables)}.values())

    def weights(self) -> list[np.ndarray]:
        """Return copies of the network's weights."""
        return [_array(weight) for weight in self.model.network.weights]

    def streams(self) -> list[list[int]]:
        """Return the state of every random stream."""
        states = [v for v in self.model.variables if v.name.endswith("seed_generator_state")]
        return [_array(state).tolist() for state in states]


def _at_ends(called: Callable[[], None]) -> Any:
    """Return a callback that calls a function at the end of each epoch, with the trained weights in the network."""
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: called())
    callback.measures = True  # so that what observers bring is not in the weights
    return callback


@functools.lru_cache(maxsize=12)
def _bench(recipe: Recipe, *, one_hot: bool = False, eager: bool = False) -> Bench:
    return Bench(recipe, one_hot=one_hot, eager=eager)


# --- helpers -------------------------------------------------------------------------------------------------------


def _instance(strategy: Strategy | type[Strategy]) -> Strategy:
    return strategy() if isinstance(strategy, type) else strategy


@contextmanager
def _in_catalogue(cls: type[Strategy]) -> Iterator[None]:
    """Make a third party's strategy known by name for a moment."""
    known = cls.name in CATALOGUE
    if not known:
        CATALOGUE.add(cls)
    try:
        yield
    finally:
        if not known:
            CATALOGUE.remove(cls.name)


def _other_strengths(recipe: Recipe) -> list[tuple[Strategy, str, Any]]:
    """Return another valid value for each strength that is not zero: twice or half of it."""
    changes = []
    for strategy in recipe:
        for name, declared in params(strategy).items():
            value = getattr(strategy, name)
            if not declared.strength or value is None or value in (0, (0, 0)):
                continue
            for factor in (2.0, 0.5):
                other = tuple(v * factor for v in value) if isinstance(value, tuple) else value * factor
                try:
                    dataclasses.replace(strategy, **{name: other})
                except ReglabError:
                    continue
                changes.append((strategy, name, other))
                break
    return changes


def _with(recipe: Recipe, strategy: Strategy, name: str, value: object) -> Recipe:
    """Return the recipe with another value of one hyperparameter of the strategy of this name and these places."""
    return Recipe(
        *(
            dataclasses.replace(each, **{name: value})
            if (each.name, each.places) == (strategy.name, strategy.places)
            else each
            for each in recipe
        )
    )


def _array(tensor: Tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))  # a copy: some backends hand out views


def _exact() -> bool:
    """Whether two programs of the same arithmetic give the same bits; XLA fuses each in its own way."""
    return backends.name() != "jax"


def _slow_to_compile() -> bool:
    """Whether a few steps take less time as they are than compiled."""
    return backends.require() == "jax"  # Keras may not be imported yet


def _same(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def _assert_same(
    found: list[np.ndarray], expected: list[np.ndarray], message: str, *, exact: bool = False, within: float = 1e-4
) -> None:
    far = max(float(np.abs(one - other).max(initial=0)) for one, other in zip(found, expected, strict=True))
    close = _same(found, expected) if exact else far <= within
    assert close, f"{message}: largest difference {far:.3g}."


def _assert_not_traced_again(bench: Bench, traces: int, what: str) -> None:
    compiled = backends.name() != "torch" and not bench.model.run_eagerly
    assert not compiled or bench.model.traces == traces, (
        f"{what} traced the step again ({bench.model.traces - traces} x)."
    )
