"""Augmentation against Keras' ImageDataGenerator: the maps, the edges, normalization and whitening, and the draws."""

import warnings

import keras
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.src.legacy.preprocessing.image import ImageDataGenerator, apply_affine_transform
from sklearn.decomposition import PCA

import reglab
from reglab.strategies import Augmentation
from reglab.strategies.data import whitening
from reglab.strategies.data.resample import FILL_MODES, affine_matrices, affine_resample

pytestmark = pytest.mark.backend

HEIGHT, WIDTH, CHANNELS = 9, 12, 2


def images(count=6, height=HEIGHT, width=WIDTH, channels=CHANNELS):
    """Smooth images, so that a coordinate that is a little off is a value that is a little off."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:height, :width] / 4
    phases = rng.uniform(0, 6, (count, 1, 1, channels))
    return (np.sin(rows[None, ..., None] + phases) + np.cos(1.3 * cols[None, ..., None] - phases)).astype("float32")


def network(shape=(HEIGHT, WIDTH, CHANNELS)):
    inputs = keras.Input(shape)
    h = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(h))


def augmented(strategy, x, *, seed=0, adapt=None):
    model = reglab.regularize(network(x.shape[1:]), strategy, seed=seed)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    model.adapt(x, **(adapt or {}))
    return keras.ops.convert_to_numpy(model._prepare((x, np.zeros(len(x))))[0])


def tensors(x, fitted):
    """Return images and what was fitted as a model gives them to a strategy."""
    return keras.ops.convert_to_tensor(x), {name: keras.ops.convert_to_tensor(value) for name, value in fitted.items()}


def numbers(value):
    return keras.ops.convert_to_tensor(np.array([value], "float32"))


# --- one map -------------------------------------------------------------------------------------------------------


@pytest.mark.slow_on("jax")
@settings(max_examples=60)
@given(
    theta=st.floats(-180, 180),
    tx=st.floats(-5, 5),
    ty=st.floats(-5, 5),
    shear=st.floats(-40, 40),
    zx=st.floats(0.5, 1.5),
    zy=st.floats(0.5, 1.5),
    fill_mode=st.sampled_from(FILL_MODES),
)
def test_one_image_is_mapped_as_keras_maps_it(theta, tx, ty, shear, zx, zy, fill_mode):
    side = 11  # of a square: where height and width differ, Keras takes the one for the other in finding the centre
    image = images(1, side, side)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras' own import from SciPy
        expected = apply_affine_transform(
            image.copy(), theta=theta, tx=tx, ty=ty, shear=shear, zx=zx, zy=zy,
            row_axis=0, col_axis=1, channel_axis=2, fill_mode=fill_mode, cval=0.7, order=1,
        )  # fmt: skip
    # ImageDataGenerator's x is the column, which it says by swapping axes.
    matrices = affine_matrices(
        angle=numbers(np.deg2rad(theta)), shear=numbers(np.deg2rad(shear)), row_shift=numbers(ty),
        col_shift=numbers(tx), row_zoom=numbers(zy), col_zoom=numbers(zx), height=side, width=side,
    )  # fmt: skip
    found = keras.ops.convert_to_numpy(
        affine_resample(keras.ops.convert_to_tensor(image[None]), matrices, fill_mode=fill_mode, cval=0.7)
    )[0]
    differ = np.abs(found - expected).max(axis=-1) > 2e-3
    # A point within rounding of an edge may fall on either side of it, where a constant or a wrap is a jump.
    jumps = 2 if fill_mode in {"constant", "wrap"} else 0
    assert differ.sum() <= jumps * side * 0.2, (differ.sum(), fill_mode)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
def test_no_transform_gives_the_images_to_the_last_bit(fill_mode):
    x = images()
    zeros, ones = keras.ops.zeros(len(x)), keras.ops.ones(len(x))
    matrices = affine_matrices(
        angle=zeros, shear=zeros, row_shift=zeros, col_shift=zeros, row_zoom=ones, col_zoom=ones,
        height=HEIGHT, width=WIDTH,
    )  # fmt: skip
    found = keras.ops.convert_to_numpy(affine_resample(keras.ops.convert_to_tensor(x), matrices, fill_mode=fill_mode))
    np.testing.assert_array_equal(found, x)


# --- what is drawn ---------------------------------------------------------------------------------------------------


def shifts_of(x, **shift):
    """Recover by how much each of ``x``, ramps along one axis, was shifted."""
    out = augmented(Augmentation(fill_mode="nearest", **shift), x)
    axis = 2 if "width_shift_range" in shift else 1
    middle = x.shape[axis] // 2
    return np.take(out, middle, axis=axis).mean(axis=(1, 2)) - middle


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize(("argument", "axis"), [("width_shift_range", 2), ("height_shift_range", 1)])
@pytest.mark.parametrize(("value", "pixels"), [(0.1, 4.0), (3.0, 3.0)])
def test_shifts_are_uniform_in_fractions_below_one_and_pixels_from_one_on(argument, axis, value, pixels):
    shape = [1, 40, 40, 1]
    ramp = np.arange(40, dtype="float32").reshape([40 if i == axis else 1 for i in range(4)])
    x = np.broadcast_to(ramp, shape).repeat(2000, axis=0)
    drawn = shifts_of(x, **{argument: value})
    assert np.abs(drawn).max() <= pixels + 1e-3
    assert scipy.stats.kstest(drawn, scipy.stats.uniform(-pixels, 2 * pixels).cdf).pvalue > 1e-3


@pytest.mark.slow_on("jax")
@pytest.mark.parametrize(("argument", "axis"), [("horizontal_flip", 2), ("vertical_flip", 1)])
@pytest.mark.parametrize("with_rotation", [False, True])
def test_half_of_the_images_are_flipped_exactly(argument, axis, with_rotation):
    x = images(400)
    # A rotation by nothing puts the flip into the affine map.
    extra = {"rotation_range": 1e-30} if with_rotation else {}
    out = augmented(Augmentation(**{argument: True}, **extra), x)
    flipped = np.flip(x, axis=axis)
    tolerance = 1e-5 if with_rotation else 0
    same = np.abs(out - x).max(axis=(1, 2, 3)) <= tolerance
    mirrored = np.abs(out - flipped).max(axis=(1, 2, 3)) <= tolerance
    assert (same ^ mirrored).all()
    assert scipy.stats.binomtest(int(mirrored.sum()), len(x), 0.5).pvalue > 1e-3


def test_each_image_draws_its_own_and_other_ones_in_the_next_batch():
    x = np.broadcast_to(images(1), (8, HEIGHT, WIDTH, CHANNELS)).copy()
    model = reglab.regularize(network(), Augmentation(rotation_range=30), seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    one, two = (keras.ops.convert_to_numpy(model._prepare((x, np.zeros(8)))[0]) for _ in range(2))
    every = np.concatenate([one, two]).reshape(16, -1)
    assert len(np.unique(every.round(5), axis=0)) == 16


@pytest.mark.slow_on("jax")
def test_brightness_multiplies_raw_pixel_values():
    raw = np.random.default_rng(0).uniform(0, 255, (500, 4, 4, 1)).astype("float32")
    mean, deviation = 100.0, 50.0
    x = (raw - mean) / deviation
    limits = {"low": (0 - mean) / deviation, "high": (255 - mean) / deviation}
    out = augmented(Augmentation(brightness_range=(0.5, 1.5)), x, adapt=limits) * deviation + mean
    darkest = raw[:, 0, 0, 0] < 120  # what is not clipped at 255
    factors = (out / np.maximum(raw, 1e-3))[darkest, 0, 0, 0]
    assert 0.5 - 1e-3 <= factors.min() < 0.55
    assert 1.45 < factors.max() <= 1.5 + 1e-3
    assert out.max() <= 255 + 1e-3


@pytest.mark.slow_on("jax")
def test_channel_shift_stays_within_the_images_own_extremes():
    x = images(50)
    out = augmented(Augmentation(channel_shift_range=0.4), x)
    low, high = x.min(axis=(1, 2, 3), keepdims=True), x.max(axis=(1, 2, 3), keepdims=True)
    assert (out >= low - 1e-6).all()
    assert (out <= high + 1e-6).all()
    unclipped = (out > low + 1e-3) & (out < high - 1e-3)
    for image in range(len(x)):
        shift = (out - x)[image][unclipped[image]]
        np.testing.assert_allclose(shift, shift[0], atol=1e-5)
        assert abs(shift[0]) <= 0.4


# --- what is fitted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"featurewise_center": True},
        {"featurewise_std_normalization": True},
        {"featurewise_center": True, "featurewise_std_normalization": True},
        {"samplewise_center": True},
        {"samplewise_std_normalization": True},
        {"zca_whitening": True, "zca_epsilon": 1e-2},
    ],
    ids=lambda settings: "+".join(settings),
)
def test_normalization_and_whitening_are_those_of_image_data_generator(settings):
    train = 3 * np.random.default_rng(0).normal(size=(400, 5, 4, 3)).astype("float32") + [1, 2, 3]
    train = (train + 0.5 * np.roll(train, 1, axis=1)).astype("float32")  # neighbours that correlate
    other = train[:7] * 1.1
    samplewise = "samplewise" in next(iter(settings))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This ImageDataGenerator specifies")  # that scaling centres too
        oracle = ImageDataGenerator(**settings)
    if not samplewise:
        oracle.fit(train)
    # Samplewise statistics are an image's own, so the generator is given one image at a time.
    expected = np.stack([oracle.standardize(image.copy()) for image in other])

    model = reglab.regularize(network((5, 4, 3)), Augmentation(**settings))
    model.adapt(train)
    inputs = keras.Input((5, 4, 3))
    (part,) = model._held.parts
    found = part.strategy.preprocess(keras.ops.convert_to_tensor(other), model.fitted.of(0))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-3, atol=2e-3)
    # As plain layers it is the same.
    arrays = {name: keras.ops.convert_to_numpy(value) for name, value in model.fitted.of(0).items()}
    layers = keras.Model(inputs, part.strategy.as_layers(inputs, arrays))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layers(other)), expected, rtol=1e-3, atol=2e-3)


def test_whitened_data_has_no_correlations():
    train = np.random.default_rng(0).normal(size=(2000, 4, 4, 1)).astype("float32")
    train = (train + 0.5 * np.roll(train, 1, axis=1)).astype("float32")
    model = reglab.regularize(network((4, 4, 1)), Augmentation(zca_whitening=True, zca_epsilon=1e-6))
    model.adapt(train)
    (part,) = model._held.parts
    white = keras.ops.convert_to_numpy(part.strategy.preprocess(keras.ops.convert_to_tensor(train), model.fitted.of(0)))
    assert np.abs(np.cov(train.reshape(len(train), -1).T) - np.eye(16)).max() > 0.4
    np.testing.assert_allclose(np.cov(white.reshape(len(white), -1).T), np.eye(16), atol=0.02)


def corners(count=300, seed=0, value=0.0):
    """Images whose border is of one value, a pixel apart that is another once; the rest correlates."""
    x = np.random.default_rng(seed).normal(size=(count, 8, 8, 1))
    x = x + np.roll(x, 1, axis=2)
    x[:, 0], x[:, :, 0] = value, value
    x[0, 0, 0] += 0.05
    return x.astype("float32")


def whitened_by_hand(train, x, rank):
    """ZCA by a float64 singular value decomposition of the training images, ``rank`` directions of it."""
    centre = train.mean(dtype="float64")
    directions, singular, _ = np.linalg.svd((train.reshape(len(train), -1).astype("float64") - centre).T)
    directions = directions[:, :rank]
    zca = (directions * (np.sqrt(len(train)) / singular[:rank])) @ directions.T
    return ((x.reshape(len(x), -1).astype("float64") - centre) @ zca).reshape(x.shape)


@pytest.mark.parametrize(("count", "value", "rank"), [(300, 0.0, 51), (300, 3.7, 51), (30, 0.0, 30)])
def test_pixels_that_hardly_vary_are_whitened_to_rounding(count, value, rank):
    """Directions without variance get 0, also of images that vary in them; those of little variance are exact."""
    train, other = corners(count, value=value), corners(20, seed=1, value=value)
    model = reglab.regularize(network((8, 8, 1)), Augmentation(zca_whitening=True))
    model.adapt(train)
    fitted = {name: keras.ops.convert_to_numpy(value) for name, value in model.fitted.of(0).items()}
    assert np.linalg.matrix_rank(fitted["zca"], tol=1e-3) == rank
    (part,) = model._held.parts
    moved = np.roll(other, 2, axis=1)  # the border lies elsewhere, as after a random shift
    for x in (train, other, moved):
        found = keras.ops.convert_to_numpy(part.strategy.preprocess(keras.ops.convert_to_tensor(x), model.fitted.of(0)))
        np.testing.assert_allclose(found, whitened_by_hand(train, x, rank), rtol=1e-4, atol=2e-3)


def test_whitening_does_not_hang_on_the_order_of_summation():
    """Pixels in another order, alone or in a batch: the sums of the product are rounded otherwise."""
    train = corners()
    arrays = whitening.fit(train, prepare=lambda x: x, scale=False, zca_epsilon=1e-6)
    whole = keras.ops.convert_to_numpy(whitening.whiten(*tensors(train - arrays["mean"], arrays)))
    assert np.abs(whole).max() > 1
    for size in (1, 7, 32):
        pieces = [train[i : i + size] - arrays["mean"] for i in range(0, 60, size)]
        found = np.concatenate(
            [keras.ops.convert_to_numpy(whitening.whiten(*tensors(piece, arrays))) for piece in pieces]
        )
        np.testing.assert_allclose(found, whole[: len(found)], atol=1e-3)
    order = np.random.default_rng(0).permutation(64)
    shuffled = train.reshape(300, 64)[:, order].reshape(300, 8, 8, 1)
    again = whitening.fit(shuffled, prepare=lambda x: x, scale=False, zca_epsilon=1e-6)
    found = keras.ops.convert_to_numpy(whitening.whiten(*tensors(shuffled - again["mean"], again)))
    np.testing.assert_allclose(found.reshape(300, 64), whole.reshape(300, 64)[:, order], atol=1e-3)


def test_full_rank_whitening_is_scikit_learns_turned_back():
    train = np.random.default_rng(0).normal(size=(200, 4, 4, 1)).astype("float32")
    train = train + 0.5 * np.roll(train, 1, axis=1)
    train -= train.mean(axis=0)  # scikit-learn centres each pixel
    arrays = whitening.fit(train, prepare=lambda x: x, scale=False, zca_epsilon=1e-6)
    found = keras.ops.convert_to_numpy(whitening.whiten(*tensors(train - arrays["mean"], arrays)))
    pca = PCA(whiten=True).fit(train.reshape(200, 16).astype("float64"))
    expected = pca.transform(train.reshape(200, 16)) @ pca.components_ * np.sqrt(200 / 199)
    np.testing.assert_allclose(found.reshape(200, 16), expected, atol=1e-4)


@pytest.mark.parametrize("value", [0.1, 200.0, -1e4])
def test_an_image_of_one_value_is_zero_samplewise(value):
    x = np.full((4, 7, 7, 3), value, "float32")
    x[3] += np.random.default_rng(0).normal(size=(7, 7, 3)).astype("float32")
    strategy = Augmentation(samplewise_std_normalization=True)
    found = keras.ops.convert_to_numpy(strategy.preprocess(keras.ops.convert_to_tensor(x), {}))
    np.testing.assert_array_equal(found[:3], 0)
    expected = (x[3] - x[3].mean(dtype="float64")) / x[3].std(dtype="float64")
    np.testing.assert_allclose(found[3], expected, atol=1e-2)
    inputs = keras.Input((7, 7, 3))
    layers = keras.Model(inputs, strategy.as_layers(inputs, {}))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layers(x))[:3], 0)
    np.testing.assert_array_equal(strategy._samplewise_numpy(x)[:3], 0)


def test_a_channel_of_one_value_is_centred_and_not_divided():
    train = np.random.default_rng(0).normal(size=(50, 4, 4, 3)).astype("float32")
    train[..., 1] = 0.1
    arrays = whitening.fit(train, prepare=lambda x: x, scale=True, zca_epsilon=None)
    other = np.full((1, 4, 4, 3), 0.3, "float32")
    found = keras.ops.convert_to_numpy(Augmentation().preprocess(*tensors(other, arrays)))
    np.testing.assert_allclose(found[..., 1], 0.2, atol=1e-5)


def test_what_is_fitted_acts_in_evaluation_and_is_exported(tmp_path):
    train = 50 + 10 * np.random.default_rng(0).normal(size=(60, 5, 4, 3)).astype("float32")
    recipe = Augmentation(featurewise_center=True, featurewise_std_normalization=True, rotation_range=5)
    model = reglab.regularize(network((5, 4, 3)), recipe, seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(reglab.ReglabError, match=r"augmentation has to know the training data: call model\.adapt"):
        model.fit(train, np.zeros(60), verbose=0)
    model.adapt(train)
    model.fit(train, np.arange(60) % 3, verbose=0)
    expected = model.predict(train, verbose=0)
    by_hand = (train - train.mean(axis=(0, 1, 2))) / train.std(axis=(0, 1, 2))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model.network(by_hand)), expected, atol=1e-4)
    model.export_network().save(tmp_path / "plain.keras")
    plain = keras.models.load_model(tmp_path / "plain.keras", safe_mode=True)
    np.testing.assert_allclose(plain.predict(train, verbose=0), expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(10,), (None, None, 3)])
def test_what_is_no_image_of_one_size_is_refused(shape):
    inputs = keras.Input(shape)
    h = keras.layers.GlobalAveragePooling2D()(inputs) if len(shape) == 3 else inputs
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(h))
    with pytest.raises(reglab.ReglabError, match="augmentation transforms images"):
        reglab.regularize(model, Augmentation(rotation_range=10))


def test_half_a_turn_about_the_centre_is_both_flips_where_height_and_width_differ():
    x = images(1)
    zero, one = numbers(0), numbers(1)
    matrices = affine_matrices(
        angle=numbers(np.pi), shear=zero, row_shift=zero, col_shift=zero, row_zoom=one, col_zoom=one,
        height=HEIGHT, width=WIDTH,
    )  # fmt: skip
    found = keras.ops.convert_to_numpy(affine_resample(keras.ops.convert_to_tensor(x), matrices))
    np.testing.assert_allclose(found, x[:, ::-1, ::-1], atol=1e-4)
