"""Spectral normalization against singular values by NumPy, and against Keras' own layer."""

import keras
import numpy as np
import pytest
from small import assert_equal, problem

import reglab
from reglab.backends import name as backend
from reglab.strategies import MaxNorm, SpectralNormalization
from reglab.strategies.weights.spectral_normalization import next_vector, power_step, stretch

pytestmark = pytest.mark.backend
EAGER = backend() != "jax"
array = keras.ops.convert_to_numpy


def network():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dense(3, "softmax")]
    )


def largest(kernel):
    return np.linalg.svd(np.reshape(kernel, (-1, kernel.shape[-1])), compute_uv=False)[0]


@pytest.fixture(scope="module")
def trained():
    model = reglab.regularize(network(), SpectralNormalization(norm=1.5), seed=0)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", run_eagerly=EAGER)
    model.fit(*problem(), batch_size=16, epochs=3, shuffle=False, verbose=0)
    return model


def test_a_kernel_of_any_shape_is_divided_by_its_largest_singular_value():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 5)).astype("float32")
    u = np.ones(5, "float32")
    for _ in range(100):
        u = array(power_step(keras.ops.convert_to_tensor(kernel), keras.ops.convert_to_tensor(u))[1])
    np.testing.assert_allclose(array(stretch(keras.ops.convert_to_tensor(kernel), u)), largest(kernel), rtol=1e-5)


def test_a_step_of_the_power_iteration_is_that_of_keras_layer():
    layer = keras.layers.SpectralNormalization(keras.layers.Dense(4, use_bias=False))
    x = keras.ops.convert_to_tensor(problem()[0])
    layer.build(x.shape)
    kernel, u = np.array(array(layer.layer.kernel)), np.array(array(layer.vector_u))[0]
    u = (u / np.linalg.norm(u)).astype("float32")
    layer.vector_u.assign(u[None])
    expected = array(layer(x, training=True))
    found = array(x) @ (kernel / float(stretch(keras.ops.convert_to_tensor(kernel), keras.ops.convert_to_tensor(u))))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    after = array(power_step(keras.ops.convert_to_tensor(kernel), keras.ops.convert_to_tensor(u))[1])
    np.testing.assert_allclose(after, array(layer.vector_u)[0], rtol=1e-4, atol=1e-6)


def test_the_gradient_is_that_through_the_singular_value():
    """Of ``<W, G> / sigma`` it is ``(G - <W, G> / sigma * v u') / sigma`` (Miyato et al., equation 12)."""
    from reglab.backends import adapter

    rng = np.random.default_rng(1)
    kernel, of = (rng.normal(size=(6, 4)).astype("float32") for _ in range(2))
    left, values, right = np.linalg.svd(kernel, full_matrices=False)
    u, times = keras.ops.convert_to_tensor(right[0]), keras.ops.convert_to_tensor(of)

    def function(w):
        return keras.ops.sum(w * times) / stretch(w, u)

    found = array(adapter().gradient(function, keras.ops.convert_to_tensor(kernel)))
    outer = np.outer(left[:, 0], right[0])
    expected = (of - (kernel * of).sum() / values[0] * outer) / values[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_what_is_trained_evaluated_and_exported_has_that_norm(trained):
    plain = trained.export_network()
    kernels = [np.array(array(weight)) for weight in plain.weights if len(weight.shape) == 2]
    np.testing.assert_allclose([largest(kernel) for kernel in kernels], 1.5, rtol=1e-2)
    raw = [np.array(array(weight)) for weight in trained.network.weights if len(weight.shape) == 2]
    assert abs(largest(raw[0]) - 1.5) > 0.05
    x, _ = problem()
    np.testing.assert_allclose(trained.predict(x, verbose=0), plain.predict(x, verbose=0), atol=1e-6)
    assert np.abs(trained.network.predict(x, verbose=0) - plain.predict(x, verbose=0)).max() > 1e-3


def test_the_vectors_follow_the_weights(trained):
    state = trained.state_of("spectral_normalization")
    for key, weight in (("u0", trained.network.weights[0]), ("u4", trained.network.weights[-2])):
        right = np.linalg.svd(np.array(array(weight)))[2][0]
        assert abs(right @ state[key]) > 0.99


def test_the_vectors_follow_the_weights_as_other_strategies_left_them():
    model = reglab.regularize(network(), SpectralNormalization(norm=1.5) + MaxNorm(norm=0.5), seed=0)
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", run_eagerly=EAGER)
    before = model.state_of("spectral_normalization")["u0"]
    model.train_on_batch(*problem())
    weight = np.array(array(model.network.weights[0]))
    assert np.linalg.norm(weight, axis=0).max() < 0.5001
    expected = array(next_vector(keras.ops.convert_to_tensor(weight), keras.ops.convert_to_tensor(before)))
    np.testing.assert_allclose(model.state_of("spectral_normalization")["u0"], expected, atol=1e-6)


def test_a_saved_model_predicts_the_same(trained, tmp_path):
    trained.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    x, _ = problem()
    assert_equal([again.predict(x, verbose=0)], [trained.predict(x, verbose=0)], 1e-6)


@pytest.mark.slow
def test_a_study_keeps_what_predicts_and_brings_it_back(tmp_path):
    from reglab.replay import Replay

    rng = np.random.default_rng(0)
    data = rng.normal(size=(90, 6)).astype("float32"), np.arange(90) % 3
    recipe = {"bound": "spectral_normalization(norm=1.0)"}
    study = reglab.Study(data, network, recipe, seeds=1, epochs=4, learning_rate=0.05, out=tmp_path / "s")
    results = study.run(workers=0)
    (run,) = results.runs["bound"].values()
    assert run.status == "finished", run.error
    replay = Replay(study.out, study.assignment)
    program, _ = replay.trained(run)  # which refuses what predicts otherwise
    kernels = [weight for weight in program.model.network.get_weights() if weight.ndim == 2]
    np.testing.assert_allclose([largest(kernel) for kernel in kernels], 1.0, rtol=1e-2)
