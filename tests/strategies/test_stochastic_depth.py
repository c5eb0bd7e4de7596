"""Stochastic depth: which branches are residual ones, and how often each is left out."""

import itertools

import keras
import numpy as np
import pytest
from small import training

import reglab
from reglab.models import resolve
from reglab.regularized.graph import Graph
from reglab.strategies import StochasticDepth

pytestmark = pytest.mark.backend
layers = keras.layers


def branch(x, name, units=4):
    return layers.Dense(units, use_bias=False, kernel_initializer="ones", name=name)(x)


def model_of(build, size=4):
    inputs = keras.Input((size,), name="x")
    return keras.Model(inputs, build(inputs))


def twice(x):
    x = layers.Add(name="sum1")([branch(x, "first"), x])
    return layers.Add(name="sum2")([x, branch(x, "second")])


NETWORKS = {
    "a layer adds": (lambda x: layers.Add()([branch(x, "b"), x]), ["b"]),
    "an operation adds": (lambda x: x + branch(x, "b"), ["b"]),
    "keras.ops adds": (lambda x: keras.ops.add(branch(x, "b"), x), ["b"]),
    "what is normalized and activated ends it": (
        lambda x: x + layers.ReLU(name="end")(layers.BatchNormalization()(branch(x, "b"))),
        ["end"],
    ),
    "a branch of two layers, a shortcut of one": (
        lambda x: branch(branch(x, "a", 3), "b", 3) + branch(x, "shortcut", 3),
        ["b"],
    ),
    "one behind the other": (twice, ["first", "second"]),
    "two equal branches are none": (lambda x: branch(x, "a", 3) + branch(x, "b", 3), []),
    "a product is none": (lambda x: x * branch(x, "b"), []),
    "what goes elsewhere too is none": (lambda x: layers.Concatenate()([(b := branch(x, "b")) + x, b]), []),
    "a constant is none": (lambda x: branch(x, "b") + 1.0, []),
}


@pytest.mark.parametrize("which", NETWORKS)
def test_residual_branches_are_found_by_how_layers_are_connected(which):
    build, expected = NETWORKS[which]
    assert Graph.of(model_of(build)).branches() == expected


def test_of_the_built_in_residual_network_each_block_has_one():
    model = resolve("resnet(depth=8, width=2)", input_shape=(8, 8, 1), num_classes=3)()
    assert Graph.of(model).branches() == [f"stage{stage}_block1_b_norm" for stage in (1, 2, 3)]


def test_those_in_a_nested_model_have_its_path():
    inner = model_of(lambda x: x + branch(x, "b"))
    inner.name = "inner"
    model = model_of(lambda x: (h := inner(x)) + branch(h, "outer"))
    assert Graph.of(model).branches() == ["inner/b", "outer"]
    regularized = reglab.regularize(model, StochasticDepth(rate=0.5))
    x = np.ones((64, 4), "float32")
    assert len(np.unique(training(regularized, x))) == 4  # each of the two branches is there or not


def one(x):
    return layers.Add()([branch(x, "only", 1), x])


@pytest.mark.parametrize(("decay", "rates"), [("linear", (0.2, 0.4)), ("none", (0.4, 0.4))])
def test_each_example_leaves_out_each_branch_with_its_own_probability(decay, rates):
    def build(x):  # a branch gives what it gets, so the sum tells what was left out
        x = layers.Add()([branch(x, "first", 1), x])
        return layers.Add()([x, branch(x, "second", 1)])

    model = reglab.regularize(model_of(build, 1), StochasticDepth(rate=0.4, decay=decay), seed=3)
    found = training(model, np.ones((8000, 1), "float32"))[:, 0]
    kept = [1 + 1 / (1 - rate) for rate in rates]  # what a branch that stays multiplies by
    expected = {}
    for left_out in itertools.product((True, False), repeat=2):
        value = np.prod([1 if out else times for times, out in zip(kept, left_out, strict=True)])
        p = np.prod([rate if out else 1 - rate for rate, out in zip(rates, left_out, strict=True)])
        expected[round(value, 5)] = expected.get(round(value, 5), 0) + p
    shares = {value: np.isclose(found, value, rtol=1e-4).mean() for value in expected}
    np.testing.assert_allclose(sum(shares.values()), 1.0)
    for value, p in expected.items():
        assert abs(shares[value] - p) < 4 * np.sqrt(p * (1 - p) / len(found))


def test_all_of_a_batch_are_left_out_together_where_that_is_asked_for():
    model = reglab.regularize(model_of(one, 1), StochasticDepth(rate=0.5, per="batch"), seed=0)
    x = np.ones((16, 1), "float32")
    seen = {tuple(np.unique(training(model, x))) for _ in range(20)}
    assert seen == {(1.0,), (3.0,)}


def test_at_evaluation_all_branches_are_there():
    model = reglab.regularize(model_of(one, 1), StochasticDepth(rate=0.9))
    np.testing.assert_array_equal(model.predict(np.ones((4, 1), "float32"), verbose=0), 2.0)


def test_a_network_without_any_is_refused():
    with pytest.raises(reglab.ReglabError, match=r"stochastic_depth acts on residual branches.*the model has none"):
        reglab.regularize(model_of(lambda x: branch(x, "b")), StochasticDepth())
