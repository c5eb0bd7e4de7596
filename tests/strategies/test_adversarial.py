"""FGSM, BIM and PGD against gradients worked out by hand, on every backend."""

import keras
import numpy as np
import pytest

import reglab
from reglab.strategies import L2, Adversarial

pytestmark = pytest.mark.backend

FEATURES, HIDDEN, CLASSES, COUNT = 5, 7, 3, 12


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    shapes = [(FEATURES, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,)]
    return [rng.normal(size=shape) for shape in shapes]


@pytest.fixture
def batch():
    rng = np.random.default_rng(1)
    return rng.normal(size=(COUNT, FEATURES)).astype("float32"), rng.integers(0, CLASSES, COUNT)


def compiled(strategy, weights, *, logits=False):
    layers = keras.layers
    inputs = keras.Input((FEATURES,))
    h = layers.Dense(HIDDEN, activation="tanh")(inputs)
    model = keras.Model(inputs, layers.Dense(CLASSES, activation=None if logits else "softmax")(h))
    model.set_weights(weights)
    regularized = reglab.regularize(model, strategy, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    regularized.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=True)
    return regularized


def by_hand(weights, x, y):
    """The gradient of the sum of cross-entropies with respect to the inputs of the network above."""
    kernel, bias, head_kernel, head_bias = weights
    h = np.tanh(x @ kernel + bias)
    logits = h @ head_kernel + head_bias
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return ((p - np.eye(CLASSES)[y]) @ head_kernel.T * (1 - h**2)) @ kernel.T


def attacked(model, x, y):
    return keras.ops.convert_to_numpy(model._prepare((x, y))[0])


@pytest.mark.parametrize("logits", [False, True])
def test_the_input_gradient(weights, batch, logits):
    x, y = batch
    model = compiled(Adversarial(epsilon=0.1), weights, logits=logits)
    found = keras.ops.convert_to_numpy(model.input_gradient(keras.ops.convert_to_tensor(x), keras.ops.array(y)))
    np.testing.assert_allclose(found, by_hand(weights, x, y), atol=2e-5)


def test_fgsm(weights, batch):
    x, y = batch
    expected = x + 0.1 * np.sign(by_hand(weights, x, y))
    np.testing.assert_allclose(
        attacked(compiled(Adversarial(epsilon=0.1, share=1.0), weights), x, y), expected, atol=1e-6
    )


@pytest.mark.slow_on("jax")
def test_fgsm_replaces_the_share_and_leaves_the_rest(weights, batch):
    x, y = batch
    found = attacked(compiled(Adversarial(epsilon=0.1, share=0.25), weights), x, y)
    np.testing.assert_allclose(found[:3], (x + 0.1 * np.sign(by_hand(weights, x, y)))[:3], atol=1e-6)
    np.testing.assert_array_equal(found[3:], x[3:])


@pytest.mark.slow_on("jax")
def test_fgsm_with_l2_goes_along_the_gradient(weights, batch):
    x, y = batch
    slope = by_hand(weights, x, y)
    expected = x + 0.1 * slope / np.linalg.norm(slope, axis=1, keepdims=True)
    found = attacked(compiled(Adversarial(epsilon=0.1, norm="l2", share=1.0), weights), x, y)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("size", [0.0, 1e-25, 1e-18])
def test_where_the_loss_has_no_slope_an_example_stays_with_l2(weights, batch, size):
    """Tiny slopes have squares that some processors round to zero and others do not: the step is tiny either way."""
    x, y = batch
    flat = [*weights[:2], size * weights[2], weights[3]]
    for method in ("fgsm", "bim"):
        strategy = Adversarial(method=method, norm="l2", epsilon=0.5, share=1.0)
        np.testing.assert_allclose(attacked(compiled(strategy, flat), x, y), x, atol=1e-5)


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize("clip", ["none", (-0.8, 0.9)])
def test_bim_projects_each_step_to_the_ball_and_the_valid_range(weights, batch, clip):
    x, y = batch
    expected = x.astype("float64")
    if clip != "none":
        x = x.clip(*clip)
        expected = x.astype("float64")
    for _ in range(4):
        expected = expected + 0.04 * np.sign(by_hand(weights, expected, y))
        expected = np.clip(expected, x - 0.1, x + 0.1)
        if clip != "none":
            expected = expected.clip(*clip)
    strategy = Adversarial(method="bim", epsilon=0.1, steps=4, step_size=0.04, clip=clip, share=1.0)
    np.testing.assert_allclose(attacked(compiled(strategy, weights), x, y), expected, atol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_starts_at_random_stays_in_the_ball_and_raises_the_loss_more_than_fgsm(weights, batch, norm):
    x, y = batch

    def loss(points):
        kernel, bias, head_kernel, head_bias = weights
        logits = np.tanh(points @ kernel + bias) @ head_kernel + head_bias
        logits = logits - logits.max(axis=1, keepdims=True)
        return (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]).sum()

    model = compiled(Adversarial(method="pgd", epsilon=0.5, steps=20, norm=norm, share=1.0), weights)
    one, two = attacked(model, x, y), attacked(model, x, y)
    assert np.abs(one - two).max() > 0  # other random starts
    moved = (one - x).reshape(len(x), -1)
    size = np.abs(moved).max(axis=1) if norm == "linf" else np.linalg.norm(moved, axis=1)
    assert size.max() <= 0.5 * (1 + 1e-5)
    single = attacked(compiled(Adversarial(epsilon=0.5, norm=norm, share=1.0), weights), x, y)
    assert loss(one) >= loss(single) - 1e-3 > loss(x)


def test_several_steps_reach_two_and_a_half_times_the_radius_by_default_and_one_reaches_it():
    assert Adversarial(epsilon=0.1, steps=5).strengths()["step"] == 0.1
    for method in ("bim", "pgd"):
        assert Adversarial(method=method, epsilon=0.1, steps=5).strengths()["step"] == pytest.approx(0.05)
        assert Adversarial(method=method, epsilon=0.1, steps=5, step_size=0.03).strengths()["step"] == 0.03


@pytest.mark.slow_on("jax")
def test_pgd_without_a_random_start_is_bim(weights, batch):
    settings = {"epsilon": 0.2, "steps": 3, "share": 1.0}
    pgd = Adversarial(method="pgd", random_start=False, **settings)
    bim = Adversarial(method="bim", **settings)
    x, y = batch
    np.testing.assert_array_equal(attacked(compiled(pgd, weights), x, y), attacked(compiled(bim, weights), x, y))


def test_epsilon_in_pixels_is_converted_with_the_range_that_adapt_was_told(weights, batch):
    x, y = batch
    model = compiled(Adversarial(epsilon=8 / 255, unit="pixel", clip="data", share=1.0), weights)
    low, high = np.full(FEATURES, -4.0), np.linspace(4, 8, FEATURES)
    model.adapt(x, low=low, high=high)
    expected = (x + 8 / 255 * (high - low) * np.sign(by_hand(weights, x, y))).clip(low, high)
    np.testing.assert_allclose(attacked(model, x, y), expected, atol=1e-5)


def test_without_adapt_it_says_what_is_missing(weights, batch):
    model = compiled(Adversarial(epsilon=8 / 255, unit="pixel"), weights)
    with pytest.raises(reglab.ReglabError, match=r"adversarial has to know the training data: call model\.adapt"):
        model.fit(*batch, verbose=0)


def test_the_attack_sees_inference_mode_and_moves_nothing():
    layers = keras.layers

    def build(rate):
        inputs = keras.Input((FEATURES,))
        h = layers.BatchNormalization()(layers.Dense(HIDDEN, activation="relu")(inputs))
        h = layers.Dropout(rate)(h) if rate else h
        return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(h))

    def compiled(model):
        regularized = reglab.regularize(model, Adversarial(epsilon=0.3, share=1.0), seed=0)
        regularized.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
        return regularized

    model, without = build(0.5), build(0.0)
    without.set_weights(model.get_weights())
    regularized = compiled(model)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(8, FEATURES)).astype("float32"), rng.integers(0, CLASSES, 8)
    regularized(x)
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in regularized.variables]
    first, second = attacked(regularized, x, y), attacked(regularized, x, y)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, attacked(compiled(without), x, y), atol=1e-6)  # no dropout in the attack
    for variable, value in zip(regularized.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value, err_msg=variable.path)


@pytest.mark.slow_on("jax")
def test_penalties_do_not_take_part_in_the_attack(weights, batch):
    x, y = batch
    recipe = Adversarial(epsilon=0.1, share=1.0) + L2(kernel=1.0, activity=10.0)
    plain = attacked(compiled(Adversarial(epsilon=0.1, share=1.0), weights), x, y)
    np.testing.assert_array_equal(attacked(compiled(recipe, weights), x, y), plain)


@pytest.mark.slow_on("jax")
def test_a_sigmoid_head_is_attacked_too():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(inputs))
    kernel = np.array([[1.0], [-2.0], [0.5]])
    model.set_weights([kernel, np.zeros(1)])
    regularized = reglab.regularize(model, Adversarial(epsilon=0.1, share=1.0))
    regularized.compile("sgd", "binary_crossentropy", run_eagerly=True)
    x, y = np.zeros((2, 3), "float32"), np.array([0, 1])
    # d/dx of the cross-entropy is (p - y) * kernel.
    expected = 0.1 * np.sign((0.5 - y)[:, None] * kernel[:, 0])
    np.testing.assert_allclose(attacked(regularized, x, y), expected, atol=1e-7)
