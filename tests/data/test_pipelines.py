"""A pipeline holds what the arrays hold that it was made of."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from PIL import Image

import reglab
from reglab import ReglabError
from reglab.data import load
from reglab.data.dataset import TEST, TRAIN

tf = pytest.importorskip("tensorflow")
slices = tf.data.Dataset.from_tensor_slices
pytestmark = pytest.mark.backend

N = 24
X = np.random.default_rng(0).random((N, 6, 6, 1)).astype("float32")
Y = np.arange(N) % 3
ONE_HOT = np.eye(3)[Y]
UNEQUAL = [(X[0], 0), (X[0, :3], 1)]
ANY_HEIGHT = (tf.TensorSpec((None, 6, 1)), tf.TensorSpec((), tf.int32))


class Steps(keras.utils.PyDataset):
    """Batches of Keras' own kind."""

    def __init__(self, x=X, y=Y, num_batches=4):
        super().__init__()
        self.x, self.y, self.count = x, y, num_batches

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, i):
        assert self.count is not None, "nothing is read"
        return self.x[6 * i : 6 * i + 6], self.y[6 * i : 6 * i + 6]


def endless():
    while True:
        yield X[0], 0


def of(generate, spec=ANY_HEIGHT, **options):
    return tf.data.Dataset.from_generator(generate, output_signature=spec, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images, a folder per class."""
    root = tmp_path_factory.mktemp("animals")
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for i in range(8):
            Image.fromarray(random.integers(0, 255, (8, 8, 3), dtype="uint8")).save(root / name / f"{i}.png")
    return root


def of_folder(folder, **options):
    options = {"image_size": (8, 8), "verbose": False, **options}
    return keras.utils.image_dataset_from_directory(folder, **options)


@pytest.mark.parametrize(
    "pipeline",
    [
        slices((X, Y)),
        slices((X, Y)).batch(7).prefetch(1),
        slices((X, ONE_HOT)),
        slices((X, ONE_HOT)).batch(7),
        slices((X, Y[:, np.newaxis])).batch(7),
        slices((X, Y)).shuffle(N, seed=1, reshuffle_each_iteration=False).take(0).concatenate(slices((X, Y))),
        of(lambda: zip(X, Y, strict=True)),
        Steps(),
        Steps(y=ONE_HOT),
    ],
)
def test_a_pipeline_is_its_arrays(pipeline):
    found, arrays = load(pipeline), load((X, Y))
    assert found.fingerprint == arrays.fingerprint
    assert not found.notes


def test_numbers_and_several_inputs_keep_what_they_are():
    named = slices(({"photo": X, "age": np.arange(N)}, {"kind": Y, "size": X[:, 0, 0, 0]}))
    arrays = load(({"photo": X, "age": np.arange(N)}, {"kind": Y, "size": X[:, 0, 0, 0]}))
    assert load(named).fingerprint == load(named.batch(5)).fingerprint == arrays.fingerprint
    assert load(slices((X, X[:, 0, 0, 0])).batch(5)).form == "numbers"


def test_rows_with_as_many_columns_as_there_are_classes_are_no_batches():
    x = np.random.default_rng(0).normal(size=(N, 3)).astype("float32")
    assert load(slices((x, ONE_HOT))).fingerprint == load((x, Y)).fingerprint


def test_batches_of_a_fixed_size_are_seen_and_said():
    data = load(slices((X, Y)).batch(8, drop_remainder=True))
    assert data.fingerprint == load((X, Y)).fingerprint
    assert data.notes[0].startswith("Elements of the pipeline were taken for batches of 8")


def test_what_shuffles_is_the_same_data_each_time():
    one, two, three = (load(slices((X, Y)).shuffle(N).batch(size)) for size in (1, 5, 50))
    assert one.fingerprint == two.fingerprint == three.fingerprint
    assert "The pipeline shuffles" in one.notes[0]
    assert sorted(map(bytes, one.x)) == sorted(map(bytes, X))
    labels = {bytes(x): y for x, y in zip(X, Y, strict=True)}
    assert [labels[bytes(x)] for x in one.x] == one.y.tolist()


def test_random_transforms_are_said():
    random = tf.random.Generator.from_seed(0)  # goes on from one reading to the next, whatever seed the process has
    noisy = slices((X, Y)).map(lambda x, y: (x + random.normal(x.shape), y)).batch(5)
    assert "other examples each time it is read" in load(noisy).notes[0]


def test_pipelines_of_parts():
    data = load((slices((X[:18], Y[:18])).batch(5), Steps(X[18:], Y[18:], 1)))
    assert data.part.tolist() == [TRAIN] * 18 + [TEST] * 6
    np.testing.assert_array_equal(data.x, X)


@pytest.mark.parametrize("mode", ["int", "categorical", "binary"])
def test_image_dataset_from_directory_is_its_folder(folder, mode):
    data, images = load(of_folder(folder, label_mode=mode, shuffle=False)), load(folder)
    np.testing.assert_array_equal(data.x, images.x)
    np.testing.assert_array_equal(data.y, images.y)
    assert data.class_names == images.class_names == ("cat", "dog")
    assert not data.notes


def test_image_dataset_from_directory_in_two_parts_shuffled(folder):
    one, two = (
        load(of_folder(folder, seed=3, validation_split=0.25, subset="both", batch_size=size)) for size in (4, 5)
    )
    assert one.fingerprint == two.fingerprint
    assert one.part.tolist() == [TRAIN] * 12 + [TEST] * 4
    assert one.class_names == ("cat", "dog")


def test_a_class_without_examples_is_said(folder):
    pipeline = of_folder(folder, shuffle=False)
    pipeline.class_names = ["cat", "dog", "eel"]
    assert "No example is of eel, which class_names of the pipeline has." in load(pipeline).notes
    pipeline.class_names = ["cat"]
    with pytest.raises(ReglabError, match=r"the label 1 is none of the 1 class_names"):
        load(pipeline)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (slices((X, Y)).repeat(), r"^the pipeline has no end"),
        ((slices((X, Y)), slices((X, Y)).repeat()), r"^test: the pipeline has no end"),
        ((Steps(), Steps(num_batches=None)), r"^test: the pipeline has no end"),
        (of(endless), r"does not say how many elements it has, and no end was seen after \d+ of them.*take\(number\)"),
        (slices(X), r"an element of the pipeline is one thing"),
        (slices((X, Y, Y)), r"is \(x, y, weight\)\. Give weights of examples as sample_weight"),
        (slices({"image": X, "label": Y}), r"is a dict of image, label.*as_supervised"),
        (slices(((X, X), Y)), r"examples of the pipeline are a tuple of several\. Give a dict"),
        (slices((tf.ragged.constant([[1.0, 2], [3]]), [0, 1])), r"examples of the pipeline are RaggedTensor, and no"),
        (of(lambda: UNEQUAL), r"shapes \(3, 6, 1\), \(6, 6, 1\), and a study needs one"),
        (of(endless, (tf.TensorSpec(None), tf.TensorSpec(()))), r"does not say which shapes.*ensure_shape"),
        (slices((X, Y)).take(0), r"the pipeline has no elements"),
        ((slices((X, Y)),) * 4, r"Given were 4 pipelines"),
        ((slices((X, Y)), Y), r"examples are a tf\.data pipeline.*tf\.data\.Dataset\.zip"),
        (((X, Y), slices((X, Y))), r"Arrays are given as|a pipeline"),
    ],
)  # fmt: skip
def test_what_is_no_finite_pipeline_of_examples_with_labels_gets_a_sentence(source, message):
    with pytest.raises(ReglabError, match=message):
        load(source, memory_limit=20_000)


def test_weights_of_examples_are_refused_for_they_would_be_those_of_others():
    with pytest.raises(ReglabError, match="sample_weight says of each example, in its order"):
        reglab.Study(slices((X, Y)).shuffle(N).batch(5), "mlp", sample_weight=np.ones(N))
