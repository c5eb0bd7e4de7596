"""What reglab takes of Keras without a public name does on this Keras what it did on the one that it was seen on."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers as L

from reglab import keras_internals as internals
from reglab.backends import adapter

SEEN = "3.15.1"
ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.backend,
    # Read from the end of a report: which version changed it.
    pytest.mark.usefixtures("versions"),
]


@pytest.fixture
def versions(record_property):
    record_property("keras", f"seen on {SEEN}, here {keras.__version__}")


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((4,), name="x")
    hidden = L.Dropout(0.5, seed=3, name="drop")(L.Dense(3, name="first")(inputs))
    inner = keras.Sequential([keras.Input((3,)), L.Dense(2, name="inner")], name="nested")
    return keras.Model(inputs, inner(hidden) + 1.0)


def test_the_bound_of_the_dependency_has_this_version_inside():
    bounds = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (bound,) = [each for each in bounds if each.startswith("keras")]
    low, high = (tuple(map(int, each.split("."))) for each in re.findall(r"[\d.]+", bound))
    assert low == tuple(map(int, SEEN.split(".")))
    assert low <= tuple(map(int, re.findall(r"\d+", keras.__version__)[:3])) < high


def test_no_other_file_knows_a_private_part_of_keras():
    """Private names of Keras are those that this file takes; of Keras' modules, those below ``keras.src``."""
    used = set(re.findall(r"\.(_[a-z_]+)\b|\"(_[a-z_]+)\"", Path(internals.__file__).read_text()))
    private = {name for pair in used for name in pair if name}
    found = []
    for path in (ROOT / "src").rglob("*.py"):
        if path.name == "keras_internals.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in private and ast.unparse(node.value) != "self":
                found.append(f"{path.name}:{node.lineno} {node.attr}")
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found += [f"{path.name}:{node.lineno} {name}" for name in private if f".{name}" in node.value]
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras.src"):
                found.append(f"{path.name}:{node.lineno} {node.module}")
    assert not found, found


def test_models_that_are_graphs(model):
    class Own(keras.Model):
        def call(self, x):
            return x

    assert internals.is_graph(model)
    assert internals.is_graph(keras.Sequential([L.Dense(1)]))
    assert not internals.is_graph(Own())
    assert not internals.is_graph(model.layers[1])


def test_calls_of_a_graph_with_what_went_in_and_out(model):
    calls = internals.calls_in(model)
    named = {call.operation.name: call for call in calls}
    assert set(named) > {"first", "drop", "nested"}
    assert len(calls) == 4, "the addition is one too, and the input none"
    first = named["first"]
    assert tuple(first.input_tensors[0].shape) == (None, 4)
    assert tuple(first.outputs[0].shape) == (None, 3)
    given = np.ones((1, 4))
    args, kwargs = internals.call_with(first, {id(first.input_tensors[0]): given})
    assert args[0] is given
    assert kwargs == {}


def test_what_made_a_symbolic_tensor(model):
    assert internals.made_by(model.input) == (model.get_layer("x"), 0)
    for call in internals.calls_in(model):
        assert internals.made_by(call.outputs[0]) == (call.operation, 0)
    assert internals.made_by(np.zeros(2))[0] is None


def test_running_a_graph_call_by_call(model):
    called = []

    def call(layer, *args, **kwargs):
        called.append(layer.name)
        return layer(*args, **kwargs)

    x = np.ones((2, 4), "float32")
    y = internals.run_graph(model, x, call)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(y), keras.ops.convert_to_numpy(model(x)))
    assert called[:3] == ["first", "drop", "nested"]


def test_the_order_of_layers_is_that_of_weights():
    one, other = L.Dense(1, name="one"), L.Dense(1, name="other")
    inputs = keras.Input((1,))
    made = keras.Model(inputs, other(one(inputs)))
    internals.order_layers(made, lambda layer: -made.layers.index(layer) if layer in (one, other) else -9)
    assert [weight.path.split("/")[0] for weight in made.weights] == ["other", "other", "one", "one"]


def test_layers_inside_layers(model):
    names = [layer.name for layer in internals.layers_in(model)]
    assert names == ["x", "first", "drop", "nested", "inner"] or set(names) >= {"first", "drop", "nested", "inner"}
    assert internals.layers_in(model, itself=True)[0] is model
    assert "inner" not in [layer.name for layer in internals.layers_in(model, deep=False)]


def test_variables_of_a_layer_alone():
    norm = L.BatchNormalization()
    norm.build((None, 2))
    assert [v.name for v in internals.own_variables(norm)] == ["gamma", "beta", "moving_mean", "moving_variance"]
    nested = keras.Sequential([keras.Input((2,)), L.Dense(1)])
    assert internals.own_variables(nested) == []


def test_a_layer_is_frozen_alone():
    inner = L.Dense(1)
    outer = keras.Sequential([keras.Input((2,)), inner])
    internals.set_trainable_alone(outer, False)
    assert not outer.trainable
    assert inner.trainable


def test_whether_a_call_takes_training():
    assert internals.takes_training(L.Dropout(0.5), False)
    assert not internals.takes_training(L.Reshape((1,)), True)
    assert internals.takes_training(object(), True)


def test_losses_of_an_earlier_call_are_forgotten():
    """Keras keeps the ids of a stateless call: once it forgets them itself, `forget_losses_in` can go."""

    class Adds(L.Layer):
        def call(self, x):
            self.add_loss(keras.ops.sum(x))
            return x

    inner = Adds()
    model = keras.Sequential([keras.Input((2,)), inner])
    mine = Adds()
    mine.built = True
    kept = [mine.stateless_call([], [], keras.ops.ones(2), return_losses=True)[2] for _ in range(3)]
    assert [len(losses) for losses in kept] == [1, 1, 1]
    assert len(mine._loss_ids) == 3
    with keras.StatelessScope(collect_losses=True):
        model(keras.ops.ones((1, 2)))
    assert inner._loss_ids
    for layer in (mine, model):
        internals.forget_losses_in(layer)
    assert not mine._loss_ids
    assert not inner._loss_ids


def test_the_mask_that_goes_with_a_tensor():
    y = L.Embedding(3, 2, mask_zero=True)(np.array([[0, 1]]))
    assert keras.ops.convert_to_numpy(internals.mask_of(y)).tolist() == [[False, True]]
    assert internals.mask_of(keras.ops.zeros(2)) is None
    assert internals.mask_of(internals.with_mask(keras.ops.ones((1, 2)), internals.mask_of(y))) is not None


def test_the_mask_of_a_tensor_that_a_gradient_is_taken_through():
    """JAX traces there, and its tensors take no attributes."""
    seen = []

    def loss(x):
        y = L.Masking()(x)
        seen.append(internals.mask_of(y))
        return keras.ops.sum(y)

    adapter().gradient(loss, keras.ops.ones((1, 2, 3)))
    assert seen[0] is not None


def test_generators_and_their_seeds(model):
    drop = model.get_layer("drop")
    (generator,) = internals.generators_of(drop)
    assert internals.generators_in(model) == [generator]
    assert internals.seed_of(generator) == 3
    internals.set_seed_of(generator, 4)
    assert internals.seed_of(generator) == 4


def test_a_layer_draws_from_another_generator():
    drop, generator = L.Dropout(0.5, seed=3), keras.random.SeedGenerator(4)
    internals.draw_from(drop, generator)
    before = np.array(keras.ops.convert_to_numpy(generator.state))
    drop(np.ones((2, 3), "float32"), training=True)
    assert drop.seed_generator is generator
    assert not np.array_equal(keras.ops.convert_to_numpy(generator.state), before)


def test_operations_without_a_seed_draw_from_the_generator_that_is_given():
    drawn = []
    for _ in range(2):
        with internals.unseeded_drawn_from(keras.random.SeedGenerator(5)):
            drawn.append(keras.ops.convert_to_numpy(keras.random.normal((3,))))
    np.testing.assert_array_equal(*drawn)


def test_automatic_names_begin_anew_and_are_put_back():
    number = int((re.findall(r"\d+$", L.Dense(1).name) or [0])[0])
    with internals.naming_kept():
        assert L.Dense(1).name == "dense"
        assert L.Dense(1).name == "dense_1"
        internals.name_anew()
        assert L.Dense(1).name == "dense"
    assert L.Dense(1).name == f"dense_{number + 1}"


def test_averages_that_an_optimizer_keeps():
    weight = keras.Variable([1.0, 2.0])
    optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    optimizer.build([weight])
    for _ in range(2):
        optimizer.apply([keras.ops.ones(2)])
    # The first step sets the average to the weights; the second goes half of the way.
    (average,) = internals.averages_in(optimizer)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(average), [-0.5, 0.5])


def test_whether_a_learning_rate_follows_a_schedule():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    assert internals.follows_schedule(keras.optimizers.SGD(schedule))
    assert not internals.follows_schedule(keras.optimizers.SGD(0.1))
    assert not internals.follows_schedule(None)


def test_attributes_that_copies_begin_anew_with_are_there():
    made = keras.Sequential([keras.Input((2,)), L.Dense(1)])
    made.compile("sgd", "mse")
    held = vars(made)
    missing = [name for name in internals.fresh_values(made) if name not in held and not hasattr(type(made), name)]
    assert not missing
    assert set(internals.fresh_values(made.layers[0])) < set(internals.fresh_values(made))
    made.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    assert {"_inbound_nodes", "_losses", "_compile_loss", "_loss_tracker"} <= set(internals.fresh_values(made))


def test_a_variable_says_whether_it_is_cast():
    assert internals.autocast_of(keras.Variable([1.0]))
    assert not internals.autocast_of(keras.Variable([1.0], autocast=False))
    assert {"_path", "_regularizer", "_constraint"} <= set(vars(keras.Variable([1.0])))


def test_a_copied_tracker_knows_its_stores():
    class Tracker:
        def __init__(self, items):
            self.config = {"layers": (lambda item: True, items)}
            self.stored_ids = {"layers": set()}

    copy = Tracker([object()])
    internals.track_again(Tracker([]), copy)
    assert copy.stored_ids == {"layers": {id(copy.config["layers"][1][0])}}
    real = L.Dense(1)._tracker
    assert isinstance(real.config, dict)
    assert all(len(each) == 2 for each in real.config.values())
    assert set(real.stored_ids) == set(real.config)


def test_what_a_model_was_compiled_with_and_a_model_that_stands_uncompiled_meanwhile():
    made = keras.Sequential([keras.Input((2,)), L.Dense(1)])
    assert internals.compiled_with(made) == {}

    def own(y, p):
        return y - p

    optimizer = keras.optimizers.SGD(0.1)
    made.compile(optimizer, own, loss_weights=0.5, metrics=["mae"])
    given = internals.compiled_with(made)
    assert (given["optimizer"], given["loss"], given["loss_weights"], given["metrics"]) == (
        optimizer,
        own,
        0.5,
        ["mae"],
    )
    with internals.uncompiled(made):
        assert not made.compiled
        assert made.get_compile_config() == {}
        assert internals.compiled_with(made) == {}
    assert made.compiled
    assert made.optimizer is optimizer


def test_an_optimizer_gives_its_schedule_as_it_is_and_says_whether_all_weights_decay():
    class Own(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.1

    schedule = Own()
    optimizer = keras.optimizers.AdamW(schedule, clipnorm=1.0)
    assert internals.schedule_of(optimizer) is schedule
    config = internals.config_of(optimizer)
    assert (config["learning_rate"], config["clipnorm"]) == (schedule, 1.0)
    assert internals.schedule_of(optimizer) is schedule
    assert internals.schedule_of(keras.optimizers.AdamW.from_config(config)) is schedule
    assert internals.config_of(keras.optimizers.SGD(0.5))["learning_rate"] == 0.5
    assert internals.decays_all(optimizer)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert not internals.decays_all(optimizer)


def test_a_callback_is_copied_without_its_model(model):
    callback = keras.callbacks.Callback()
    callback.set_model(model)
    assert internals.without_model(callback).model is None
    assert callback.model is model


def test_a_compiled_model_is_made_ready_for_training_by_a_batch():
    made = keras.Sequential([keras.Input((2,)), L.Dense(1)])
    made.compile("sgd", "mse")
    assert not made._compile_loss.built
    internals.build_for(made, (np.zeros((3, 2), "float32"), np.zeros((3, 1), "float32")))
    assert made._compile_loss.built
