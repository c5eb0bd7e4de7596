"""What is fast gives what the slow way gives: to the last bit, where nothing else is said."""

import keras
import numpy as np
import pytest

import reglab
from reglab import backends
from reglab.backends import plain
from reglab.study.storage import run_folder

pytestmark = pytest.mark.skipif("backends.name() != 'tensorflow'", reason="the fast ways are TensorFlow's")


def convolutions(input_shape, num_classes):
    inputs = keras.Input(input_shape)
    h = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    h = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(6, 3, activation="relu")(h))
    return keras.Model(inputs, keras.layers.Dense(num_classes, activation="softmax")(h))


def weights(recipe, folder):
    """Train a recipe in a study and return the weights of its runs."""
    settings = {"epochs": 2, "seeds": 2, "batch_size": 25, "train_size": 60, "learning_rate": 0.01}
    study = reglab.Study("digits", convolutions, {"it": recipe}, baseline="it", out=folder, **settings)
    results = study.run(workers=0)
    return [
        weight for run in results.runs["it"].values() for weight in run_folder.weights(results.folder / "runs" / run.id)
    ]


def slow_ways(monkeypatch, *ways):
    """Replace fast ways by the plain ones; returns a set of those that were called."""
    called = set()
    for way in ways:
        slow = getattr(plain, way)

        def replaced(*given, way=way, slow=slow, **named):
            called.add(way)
            return slow(*given, **named)

        monkeypatch.setattr(backends.adapter(), way, replaced)
    return called


@pytest.mark.slow
def test_a_study_on_the_fast_ways_is_that_on_the_slow_ways(tmp_path, monkeypatch):
    recipe = "augmentation(rotation_range=10) + gaussian_noise(stddev=0.1) + l2(kernel=1e-2, bias=1e-2, activity=1e-2)"
    fast = weights(recipe, tmp_path / "fast")
    called = slow_ways(monkeypatch, "feed", "sum_of_squares")
    for ours, theirs in zip(fast, weights(recipe, tmp_path / "slow"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert called == {"feed", "sum_of_squares"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "recipe", "tolerance"),
    [
        ("feed", "none", 0),
        ("feed", "augmentation(rotation_range=10) + gaussian_noise(stddev=0.1)", 0),
        ("sum_of_squares", "l2(kernel=1e-2, bias=1e-2, activity=1e-2)", 0),
        # The gradients of the L1 part and the L2 part are added to others in another order.
        ("sum_of_squares", "l1l2(kernel=1e-2, activity=1e-2)", 1e-6),
    ],
)
def test_a_study_on_one_fast_way_is_that_on_the_slow_way(way, recipe, tolerance, tmp_path, monkeypatch):
    fast = weights(recipe, tmp_path / "fast")
    called = slow_ways(monkeypatch, way)
    for ours, theirs in zip(fast, weights(recipe, tmp_path / "slow"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    assert called == {way}
