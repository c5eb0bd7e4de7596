"""Splits, preprocessing and batches: properties that hold for any data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from reglab import ReglabError
from reglab.data import load, split, test_part
from reglab.data.dataset import TEST, TRAIN, VAL, Dataset
from reglab.data.preprocess import Preprocess
from reglab.tasks import of_classes

test_part.__test__ = False  # it is no test, though pytest would take it for one


def dataset(counts, part=None):
    y = np.repeat(np.arange(len(counts)), counts)
    x = np.arange(len(y), dtype="float32")[:, None]
    names = tuple(str(i) for i in range(len(counts)))
    return Dataset(name="made", x=x, y=y, class_names=names, part=part)


def task(data):
    return of_classes(data.y, data.class_names)


@settings(max_examples=50)
@given(
    counts=st.lists(st.integers(10, 60), min_size=2, max_size=5),
    seed=st.integers(0, 1000),
    validation=st.floats(0.15, 0.4),
)
def test_a_split_is_a_stratified_partition_that_only_its_seed_decides(counts, seed, validation):
    data = dataset(counts)
    test = test_part(data, task(data))
    parts = split(data, task(data), test=test, seed=seed, validation=validation)
    assert sorted(np.concatenate([parts.train, parts.val, parts.test])) == list(range(len(data)))
    np.testing.assert_array_equal(parts.test, test)
    again = split(data, task(data), test=test, seed=seed, validation=validation)
    np.testing.assert_array_equal(parts.val, again.val)
    for indices, share in ((test, 0.2), (parts.val, 0.8 * validation)):
        found = np.bincount(data.y[indices], minlength=len(counts))
        assert (np.abs(found - share * np.array(counts)) <= 2).all()


def test_the_test_part_does_not_depend_on_the_seed_and_validation_does():
    data = dataset([50, 50])
    test = test_part(data, task(data))
    one, two = split(data, task(data), test=test, seed=1), split(data, task(data), test=test, seed=2)
    np.testing.assert_array_equal(one.test, two.test)
    assert not np.array_equal(one.val, two.val)


def test_parts_of_the_source_are_kept():
    part = np.tile(np.array([TRAIN, TRAIN, VAL, TEST], "int8"), 20)
    data = dataset([40, 40], part=part)
    parts = split(data, task(data), test=test_part(data, task(data)), seed=0)
    for code, indices in ((TRAIN, parts.train), (VAL, parts.val), (TEST, parts.test)):
        np.testing.assert_array_equal(indices, np.flatnonzero(part == code))


def test_train_size_takes_a_stratified_part_of_the_same_validation_split():
    data = dataset([40, 80])
    test = test_part(data, task(data))
    whole, small = split(data, task(data), test=test, seed=3), split(data, task(data), test=test, seed=3, train_size=30)
    np.testing.assert_array_equal(whole.val, small.val)
    assert set(small.train) < set(whole.train)
    assert np.bincount(data.y[small.train]).tolist() == [10, 20]


def test_test_as_validation_validates_on_test():
    data = dataset([40, 80])
    test = test_part(data, task(data))
    parts = split(data, task(data), test=test, seed=3, protocol="test-as-validation")
    np.testing.assert_array_equal(parts.val, test)
    assert len(parts.train) == len(data) - len(test)


@pytest.mark.parametrize(
    ("counts", "arguments", "message"),
    [
        ([40, 40], {"train_size": 1000}, "train_size=1000 is more than the 51 examples"),
        ([40, 40], {"train_size": 1}, "train_size=1 is too few for a part of examples of 2 classes. Ask for 2"),
        ([40, 40], {"validation": 1e-9}, "cannot be split into a validation part"),
    ],
)
def test_a_split_that_cannot_be_made(counts, arguments, message):
    data = dataset(counts)
    with pytest.raises(ReglabError, match=message):
        split(data, task(data), test=test_part(data, task(data)), seed=0, **arguments)


# --- preprocessing ---------------------------------------------------------------------------------------------------


def test_standardize_is_scikit_learns_a_feature_and_a_channel():
    rng = np.random.default_rng(0)
    table = rng.normal(5, 3, (200, 4)).astype("float32")
    table[:, 2] = 7.0  # a constant feature becomes 0 and no division by nothing
    np.testing.assert_allclose(Preprocess.fit(table)(table), StandardScaler().fit_transform(table), atol=1e-5)
    images = rng.integers(0, 256, (50, 6, 5, 3), dtype="uint8")
    oracle = StandardScaler().fit_transform(images.reshape(-1, 3).astype("float64")).reshape(images.shape)
    np.testing.assert_allclose(Preprocess.fit(images)(images), oracle, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_large_values_of_little_spread_are_standardized_in_float64(dtype):
    """Seconds since 1970: float32 has them in steps of 128."""
    seconds = (1_700_000_000 + np.arange(200)[:, None]).astype(dtype)
    for fitted in (Preprocess.fit(seconds), Preprocess.from_dict(Preprocess.fit(seconds).to_dict())):
        found = fitted(seconds)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, StandardScaler().fit_transform(seconds.astype("float64")), atol=1e-6)
    scaled = Preprocess.fit(seconds, "rescale")(seconds)
    np.testing.assert_allclose(scaled.ravel(), np.linspace(0, 1, 200), atol=1e-6)


@pytest.mark.parametrize("value", [0.1, 1e6, 123456.789, -3e-7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_column_that_varies_by_rounding_alone_is_centred_and_not_divided(value, dtype):
    """Divided by its deviation, another value of the test set would be astronomical, and a last bit a feature."""
    column = np.full((1000, 1), value, dtype)
    upper = np.nextafter(column, np.array(np.inf, dtype))
    for rounded in (column, np.where(np.arange(1000)[:, None] % 3 == 0, upper, column)):
        fitted = Preprocess.fit(rounded)
        np.testing.assert_allclose(fitted(rounded), 0, atol=np.abs(value) * 1e-6)
        np.testing.assert_allclose(fitted(column + 1), 1, rtol=0.1)


def test_a_column_of_little_but_real_spread_is_standardized():
    rare = np.zeros((5000, 1), "float32")
    rare[7] = 1
    fine = (5 + 1e-4 * np.random.default_rng(0).normal(size=(5000, 1))).astype("float32")
    for column in (rare, fine):
        oracle = StandardScaler().fit_transform(column.astype("float64"))
        np.testing.assert_allclose(Preprocess.fit(column)(column), oracle, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)], ids=["forwards", "backwards"])
def test_moments_do_not_hang_on_the_order_of_summation(order):
    """Of more values than float32 can count, with a large mean."""
    x = (1e4 + np.random.default_rng(0).normal(size=(400_000, 2))).astype("float32")
    found = Preprocess.fit(x[order])
    np.testing.assert_allclose(found.mean, x.mean(axis=0, dtype="float64"), rtol=1e-7)
    np.testing.assert_allclose(found.scale, x.std(axis=0, dtype="float64"), rtol=1e-6)


def test_rescale_is_by_the_valid_range_or_else_by_the_extremes():
    images = np.array([[[[10]], [[100]]]], dtype="uint8")
    np.testing.assert_allclose(
        Preprocess.fit(images, "rescale", value_range=(0, 255))(images).ravel(), [10 / 255, 100 / 255], atol=1e-6
    )
    table = np.random.default_rng(0).normal(size=(30, 1)).astype("float32")
    np.testing.assert_allclose(Preprocess.fit(table, "rescale")(table), MinMaxScaler().fit_transform(table), atol=1e-5)


def test_none_leaves_indices_indices_and_unknown_modes_are_refused():
    words = np.array([[1, 2], [3, 4]])
    assert Preprocess.fit(words, "none")(words).dtype == words.dtype
    with pytest.raises(ReglabError, match=r"preprocess='whiten' is not possible.*standardize, rescale, none"):
        Preprocess.fit(words, "whiten")


def test_it_is_fitted_on_what_it_is_given_and_survives_json():
    rng = np.random.default_rng(0)
    train, other = rng.normal(size=(20, 3)), rng.normal(9, 9, size=(20, 3))
    fitted = Preprocess.fit(train, value_range=(-1, 1))
    again = Preprocess.from_dict(fitted.to_dict())
    np.testing.assert_array_equal(again(other), fitted(other))
    low, high = fitted.range()
    np.testing.assert_allclose(low, fitted(np.full((1, 3), -1.0))[0])
    np.testing.assert_allclose(high, fitted(np.full((1, 3), 1.0))[0])


# --- batches ---------------------------------------------------------------------------------------------------------


def batches(**changes):
    from reglab.data.batches import Batches

    arguments = {"batch_size": 4, "epochs": 3, "seed": 5, "preprocess": lambda x: x, **changes}
    x = np.arange(100.0)[:, None]
    return Batches(x, np.arange(100), np.arange(10, 21), **arguments)


def test_every_epoch_is_another_order_of_the_same_examples():
    found = batches()
    assert found.steps == 3
    assert len(found) == 9
    epochs = [np.concatenate([found[3 * e + s][1] for s in range(3)]) for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(10, 21))
    assert not np.array_equal(epochs[0], epochs[1])
    assert [len(found[i][1]) for i in range(3)] == [4, 4, 3]


def test_items_can_be_asked_for_in_any_order():
    one, two = batches(), batches()
    forwards = [one[i][1] for i in range(9)]
    backwards = [two[i][1] for i in reversed(range(9))][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(a, b)
    longer = batches(epochs=7)
    np.testing.assert_array_equal(longer[4][1], forwards[4])  # more epochs do not change the first ones


def test_a_weight_comes_with_its_example():
    assert len(batches()[0]) == 2
    weighted = batches(weights=np.arange(100.0) / 10)
    for item in range(9):
        _, labels, weights = weighted[item]
        np.testing.assert_array_equal(weights, labels / 10)


@pytest.mark.backend
def test_fit_sees_them_in_order_on_every_backend():
    import keras

    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mae")  # the weight stays 1, so a batch's loss is what is in it
    found = batches(preprocess=lambda x: x * 0)
    losses = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: losses.append(logs["loss"]))
    model.fit(found, epochs=3, steps_per_epoch=found.steps, shuffle=False, verbose=0, callbacks=[watch])
    # Keras reports the mean over the batches of an epoch so far; the inputs are 0, so each loss is a mean of labels.
    expected = []
    for epoch in range(3):
        so_far = [found[3 * epoch + step][1] for step in range(3)]
        expected += [np.concatenate(so_far[: step + 1]).mean() for step in range(3)]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_digits_can_be_split():
    data = load("digits")
    parts = split(data, task(data), test=test_part(data, task(data)), seed=0, train_size=200)
    assert len(parts.train) == 200
    assert np.bincount(data.y[parts.train]).min() >= 18
