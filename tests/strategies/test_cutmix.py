"""CutMix: patches as the paper's code cuts them, and targets by the area that they cover."""

import keras
import numpy as np
import pytest
import scipy.stats

import reglab
from reglab.strategies import CutMix
from reglab.strategies.data.cutmix import patches

pytestmark = pytest.mark.backend

HEIGHT, WIDTH = 9, 12


def patch(m, row, column):
    """The patch that the paper's algorithm cuts, in whole pixels."""
    side = np.sqrt(1 - m)
    high, wide = int(HEIGHT * side), int(WIDTH * side)
    top, bottom = np.clip([row - high // 2, row + high // 2], 0, HEIGHT)
    left, right = np.clip([column - wide // 2, column + wide // 2], 0, WIDTH)
    found = np.zeros((HEIGHT, WIDTH))
    found[top:bottom, left:right] = 1
    return found


def test_patches_are_those_of_the_paper():
    rng = np.random.default_rng(0)
    m, rows, columns = rng.uniform(size=200), rng.integers(0, HEIGHT, 200), rng.integers(0, WIDTH, 200)
    found = patches(*map(keras.ops.convert_to_tensor, map(np.float32, (m, rows + 0.5, columns + 0.5))),
                    height=HEIGHT, width=WIDTH)  # fmt: skip
    expected = np.stack([patch(*each) for each in zip(m, rows, columns, strict=True)])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), expected)
    assert 0.1 < expected.mean() < 0.5


def prepared(*batch):
    inputs = keras.Input((HEIGHT, WIDTH, 2))
    h = keras.layers.Flatten()(inputs)
    model = reglab.regularize(keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(h)), CutMix(), seed=1)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return [None if part is None else keras.ops.convert_to_numpy(part) for part in model._prepare(batch)]


def test_each_image_has_a_patch_of_its_neighbour_and_its_target_by_the_area():
    count = 400
    x = np.broadcast_to(np.arange(count, dtype="float32")[:, None, None, None], (count, HEIGHT, WIDTH, 2))
    y = np.arange(count) % 3
    mixed, targets, weights = prepared(x, y)
    neighbour = np.roll(x, 1, axis=0)
    covered = mixed == neighbour
    np.testing.assert_array_equal(mixed, np.where(covered, neighbour, x))
    assert weights is None
    share = covered.mean(axis=(1, 2, 3))
    one_hot = np.eye(3)[y]
    expected = (1 - share)[:, None] * one_hot + share[:, None] * np.roll(one_hot, 1, axis=0)
    np.testing.assert_allclose(targets, expected, atol=1e-6)
    rows, columns = covered[..., 0].any(axis=2).sum(axis=1), covered[..., 0].any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(covered[..., 0].sum(axis=(1, 2)), rows * columns)  # rectangles
    assert scipy.stats.kstest(rows[rows < HEIGHT] / HEIGHT, "uniform").statistic < 0.5
    assert len(set(rows)) > 4
    assert len(set(columns)) > 5


def test_sample_weights_are_mixed_as_the_losses_are():
    x = np.broadcast_to(np.arange(6, dtype="float32")[:, None, None, None], (6, HEIGHT, WIDTH, 2))
    y, w = np.arange(6) % 3, np.linspace(0.5, 2, 6).astype("float32")
    mixed, targets, weights = prepared(x, y, w)
    share = (mixed == np.roll(x, 1, axis=0)).mean(axis=(1, 2, 3))
    own, other = ((1 - share) * w)[:, None] * np.eye(3)[y], (share * np.roll(w, 1))[:, None] * np.eye(3)[np.roll(y, 1)]
    np.testing.assert_allclose(targets * weights[:, None], own + other, atol=1e-5)


def test_what_has_no_patches_is_refused():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    with pytest.raises(reglab.ReglabError, match=r"cutmix cuts patches out of images .* Use mixup"):
        reglab.regularize(model, CutMix())
