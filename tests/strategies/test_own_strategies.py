"""Strategies of third parties: what they implement is called, and what cannot be is said."""

from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
import pytest

import reglab
from reglab import ReglabError
from reglab.strategies import CATALOGUE, EMA, SWA, EarlyStopping, Judgement, Observer, Stage, Strategy, param, register
from reglab.study.plan import Run, rides

layers = keras.layers


def declared(**methods):
    """Return a strategy with these hooks."""
    body = {"name": "own", "formula": "its own", "paper": "none", "stage": Stage.LOSS, **methods}
    return dataclass(frozen=True)(type("Own", (Strategy,), body))


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, "relu"), layers.Dense(3, "softmax")])


def called(**hooks):
    """Return which of these hooks were called in a step of training and in its preparation."""
    seen = set()

    def recorded(name, hook):
        def call(self, *args):
            seen.add(name)
            return hook(self, *args)

        return call

    strategy = declared(**{name: recorded(name, hook) for name, hook in hooks.items()})()
    model = reglab.regularize(network(), strategy, seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    model.adapt(np.ones((6, 4), "float32"))
    model.train_on_batch(np.ones((6, 4), "float32"), np.arange(6) % 3)
    return seen


HOOKS = {
    "penalty": lambda self, weight, place, s: keras.ops.sum(weight**2),
    "activity_penalty": lambda self, outputs, s: keras.ops.sum(outputs**2),
    "loss": lambda self, context, s, random: keras.ops.mean(context.y_pred),
    "perturb_weights": lambda self, gradients, weights, s: gradients,
    "on_gradients": lambda self, gradients, weights, s: gradients,
    "after_update": lambda self, weights, s: [weight.value for weight in weights],
    "state": lambda self, weights: {},
    "next_state": lambda self, weights, s: {},
    "perturb_inputs": lambda self, x, gradient, s, random, input_range: x,
    "on_batch": lambda self, batch, s, random, input_range: batch,
    "forward": lambda self, weight, s, random: weight,
    "fit_data": lambda self, x: {},
    "preprocess": lambda self, x, fitted: x,
    "optimizer": lambda self, optimizer, s: None,
}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_called_because_it_is_there(hook):
    assert called(**{hook: HOOKS[hook]}) == {hook}


def test_what_acts_on_activations_says_where():
    hook = {"on_activation": lambda self, h, place, s, random: h}
    with pytest.raises(ReglabError, match=r"own has on_activation .* Give it the property places"):
        declared(**hook)()
    assert declared(**hook, places=("hidden",))().places == ("hidden",)


@pytest.mark.parametrize(
    ("switch", "hook"), [("perturbs_weights", "perturb_weights"), ("penalizes_activity", "activity_penalty")]
)
def test_a_switch_without_its_hook_is_told(switch, hook):
    with pytest.raises(ReglabError, match=f"own has no method {hook}"):
        declared(**{switch: property(lambda self: True)})()


def test_what_preprocesses_is_not_left_out_of_the_export():
    model = reglab.regularize(network(), declared(preprocess=lambda self, x, fitted: 2 * x)())
    with pytest.raises(ReglabError, match=r"own .* as_layers"):
        model.export_network()


class TestRiders:
    """A study computes its own riders from another's training; it trains what it does not know."""

    @staticmethod
    def trained(*strategies):
        recipes = [reglab.Recipe(*strategies), reglab.Recipe()]
        runs = [Run(str(number), recipe.to_text(), recipe, 0) for number, recipe in enumerate(recipes)]
        return [ride.recipe for ride in rides(runs)]

    def test_reglabs_own_ride(self):
        assert self.trained(EMA(), EarlyStopping()) == [reglab.Recipe(EMA())]

    def test_a_third_partys_does_by_its_observer(self):
        own = declared(rider=True, observer=lambda self, task: Observer())()
        assert own.rides()
        assert self.trained(own) == [reglab.Recipe()]

    def test_what_watches_and_does_not_say_that_it_rides_is_trained(self):
        own = declared(observer=lambda self, task: Observer())()
        assert self.trained(own) == [reglab.Recipe(own), reglab.Recipe()]

    def test_what_a_program_has_to_do_for_it_is_in_the_program(self):
        own = declared(rider=True, observer=lambda self, task: Observer(), next_state=HOOKS["next_state"])()
        assert self.trained(own) == [reglab.Recipe(own)]

    def test_what_rides_and_does_not_say_what_it_sees_is_told(self):
        with pytest.raises(ReglabError, match=r"own says that it rides .* Give it the method observer"):
            declared(rider=True)()

    def test_what_is_made_of_a_rider_and_does_more_does_not(self):
        @dataclass(frozen=True)
        class Twice(EMA):
            name: ClassVar[str] = "twice"

            def optimizer(self, optimizer, s):
                super().optimizer(optimizer, s)

        @dataclass(frozen=True)
        class Renamed(EarlyStopping):
            name: ClassVar[str] = "renamed"

        assert self.trained(Twice()) == [reglab.Recipe(Twice()), reglab.Recipe()]
        assert self.trained(Renamed()) == [reglab.Recipe()]


@dataclass(frozen=True)
class Halving(Strategy):
    """Halves all weights, at the end of each epoch or of the training."""

    name: ClassVar[str] = "halving"
    formula: ClassVar[str] = "W / 2"
    paper: ClassVar[str] = "none"
    stage: ClassVar[Stage] = Stage.OBSERVATION

    at_end: bool = param(False, "whether at the end of the training", kind="bool")

    def callbacks(self):
        def halve(*args):
            for weight in callback.model.trainable_variables:
                weight.assign(0.5 * keras.ops.convert_to_tensor(weight))

        where = "on_train_end" if self.at_end else "on_epoch_end"
        callback = keras.callbacks.LambdaCallback(**{where: halve})
        return [callback]


@pytest.fixture
def _known():
    register(Halving)
    yield
    CATALOGUE.remove(Halving.name)


@pytest.mark.slow
@pytest.mark.usefixtures("_known")
class TestInAStudy:
    @staticmethod
    def study(recipe, out):
        rng = np.random.default_rng(0)
        data = rng.normal(size=(60, 4)).astype("float32"), np.arange(60) % 3
        return reglab.Study(data, network, {"own": recipe}, seeds=1, epochs=2, out=out)

    def test_what_a_callback_does_to_weights_is_measured(self, tmp_path):
        results = self.study(Halving(), tmp_path / "s").run(workers=0)
        runs = [next(iter(of_name.values())) for of_name in results.runs.values()]
        assert runs[0].history["val_cross_entropy"] != runs[1].history["val_cross_entropy"]
        assert runs[0].fingerprint != runs[1].fingerprint

    def test_what_changes_weights_where_nobody_looks_is_told(self, tmp_path):
        results = self.study(Halving(at_end=True), tmp_path / "s").run(workers=0)
        (run,) = results.runs["own"].values()
        assert run.status == "failed"
        assert "halving: the weights change when training ends" in run.error

    def test_what_watches_validation_is_refused_before_training(self, tmp_path):
        own = declared(monitor="val_loss", callbacks=lambda self: [])()
        with pytest.raises(ReglabError, match="own monitors 'val_loss'"):
            self.study(own, tmp_path / "s").run(workers=0)


class _Shrinking(Observer):
    """Looks at weights that are smaller than the trained ones, and stops after two epochs."""

    settles = True

    def __init__(self, factor):
        self.factor = factor

    def bring(self, moment):
        return [self.factor * weight for weight in moment.weights]

    def judge(self, epoch, values):
        return Judgement(stop=epoch == 1)


@dataclass(frozen=True)
class Shrunk(Strategy):
    """Looks at other weights than those that are trained."""

    name: ClassVar[str] = "shrunk"
    formula: ClassVar[str] = "evaluation uses factor * W"
    paper: ClassVar[str] = "none"
    stage: ClassVar[Stage] = Stage.OBSERVATION
    rider: ClassVar[bool] = True

    factor: float = param(0.5, "of what is trained")

    def observer(self, task):
        return _Shrinking(self.factor)


@pytest.fixture(scope="module")
def riders(tmp_path_factory):
    register(Shrunk)
    rng = np.random.default_rng(0)
    data = rng.normal(size=(60, 4)).astype("float32"), np.arange(60) % 3

    def build():
        keras.utils.set_random_seed(0)
        return keras.Sequential(
            [keras.Input((4,)), layers.Dense(4, "relu"), layers.BatchNormalization(), layers.Dense(3, "softmax")]
        )

    recipes = {"shrunk": Shrunk(), "shrunk more": Shrunk(factor=0.1), "whole": Shrunk(factor=1.0), "swa": SWA(0.5)}
    out = tmp_path_factory.mktemp("riders") / "s"
    study = reglab.Study(data, build, recipes, seeds=1, epochs=4, learning_rate=0.05, out=out)
    yield study.run(workers=0)
    CATALOGUE.remove(Shrunk.name)


class TestARiderInAStudy:
    """A third party's rider gets its own numbers, from a training that it shares with others."""

    @staticmethod
    def run(riders, name):
        (run,) = riders.runs[name].values()
        assert run.status == "finished", run.error
        return run

    @pytest.mark.slow
    def test_one_training_gives_all_of_them(self, riders):
        recipes = [reglab.Recipe(), *(reglab.Recipe(Shrunk(factor)) for factor in (0.5, 0.1)), reglab.Recipe(SWA(0.5))]
        runs = [Run(str(number), recipe.to_text(), recipe, 0) for number, recipe in enumerate(recipes)]
        assert [ride.recipe for ride in rides(runs)] == [reglab.Recipe()]

    def test_each_has_the_numbers_of_its_weights(self, riders):
        plain = self.run(riders, "none").history
        found = {name: self.run(riders, name).history for name in ("shrunk", "shrunk more", "swa")}
        assert {name: len(each["loss"]) for name, each in found.items()} == {"shrunk": 2, "shrunk more": 2, "swa": 4}
        key = "val_cross_entropy"
        assert all(found[name]["loss"] == plain["loss"][: len(found[name]["loss"])] for name in found)
        assert len({found["shrunk"][key][0], found["shrunk more"][key][0], plain[key][0]}) == 3
        assert found["swa"][key][:2] == plain[key][:2]
        assert found["swa"][key][3] != plain[key][3]

    def test_statistics_are_those_of_its_weights(self, riders):
        """With smaller weights before it, a normalization gives what it gave."""
        whole, shrunk = (self.run(riders, name).history["val_accuracy"][1] for name in ("whole", "shrunk"))
        assert abs(whole - shrunk) < 0.2
