"""Arrays of every form: taken as they are meant, with what was assumed said, or a sentence."""

import os
import re
import warnings

import numpy as np
import pytest
from scipy import sparse

from reglab import ReglabError
from reglab.data import Dataset, load
from reglab.data.dataset import TEST, TRAIN

RNG = np.random.default_rng(0)
LABELS = np.arange(12) % 3


def images(*shape, dtype="uint8"):
    pixels = RNG.integers(0, 256, (12, *shape))
    return pixels.astype(dtype) if dtype == "uint8" else (pixels / 255).astype(dtype)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (4, 9, 8)])
def test_channels_first_is_refused(shape):
    with pytest.raises(ReglabError, match=r"channels before height and width.*x\.transpose\(0, 2, 3, 1\)"):
        load((images(*shape), LABELS))
    x = images(*shape)
    assert Dataset("maps", x, LABELS, ("a", "b", "c")).input_shape == shape  # whoever means it can say it
    assert load((x.transpose(0, 2, 3, 1), LABELS)).input_shape == (*shape[1:], shape[0])


@pytest.mark.parametrize("shape", [(32, 32, 3), (3, 32, 3), (8, 8, 16), (3, 3, 16), (1, 4, 4), (28, 28, 1)])
def test_channels_last_stays_without_a_word(shape):
    data = load((images(*shape), LABELS))
    assert (data.input_shape, data.kind, data.notes) == (shape, "image", ())


def test_what_is_made_of_three_axes_is_said():
    grey = load((images(8, 7), LABELS))
    assert (grey.input_shape, grey.kind) == ((8, 7, 1), "image")
    assert grey.notes == ("Examples of 8x7 in uint8 were taken for grey images, and got an axis of one channel.",)
    steps = load((images(8, 7, dtype="float32"), LABELS))
    assert (steps.input_shape, steps.kind) == ((8, 7), "series")
    assert "taken for series: 8 steps of 7 features. If they are grey images" in steps.notes[0]


def test_images_that_are_all_alike_are_said():
    assert "All 12 images are alike" in load((np.zeros((12, 4, 4, 3), "uint8"), LABELS)).notes[0]


# --- parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (images(8, 8, 3), images(8, 8, 3, dtype="float32")),
        (images(8, 8, 3, dtype="float32"), images(8, 8, 3)),
        (images(8, 8, 3).astype("float32"), images(8, 8, 3, dtype="float32")),
        (images(64), images(64, dtype="float64")),
        (images(8, 8, 3) // 16, images(8, 8, 3, dtype="float32")),
    ],
)
def test_parts_of_other_scales_are_refused(train, test):
    with pytest.raises(ReglabError, match=r"differ in the range.*\(train: .* to .*; test: .* to .*\)\. Was one"):
        load(((train, LABELS), (test, LABELS)))


def test_tables_of_other_scales_are_said():
    x = RNG.normal(size=(12, 4))
    assert "differ in the range" in load(((1000 * x, LABELS), (x, LABELS))).notes[0]
    assert load(((x, LABELS), (2 * x + 1, LABELS))).notes == ()


def test_one_hot_labels_in_one_part_and_indices_in_the_other():
    x = RNG.normal(size=(12, 4))
    data = load(((x, np.eye(3)[LABELS]), (x, LABELS[::-1])))
    assert data.y.tolist() == [*LABELS, *LABELS[::-1]]
    assert data.class_names == ("0", "1", "2")
    assert data.notes == (
        "Labels are one-hot in one part and class indices in another; both were taken for class indices.",
    )
    with pytest.raises(ReglabError, match=r"test: the label 3 is none of the 3 columns"):
        load(((x, np.eye(3)[LABELS]), (x, LABELS + 1)))


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (np.eye(3)[LABELS], np.eye(4)[LABELS], r"one-hot labels have 3 and 4 classes"),
        (np.array(["a", "b", "c"])[LABELS], LABELS, r"labels are texts in one part and numbers in another \(train <U1"),
        (LABELS, np.where(LABELS == 2, 7, LABELS), r"other parts have the labels '7', which training has not"),
    ],
)
def test_labels_that_do_not_fit_together(train, test, message):
    x = RNG.normal(size=(12, 4))
    with pytest.raises(ReglabError, match=message):
        load(((x, train), (x, test)))


@pytest.mark.parametrize(
    "labels", [LABELS + 1, LABELS - 1, np.eye(3)[LABELS], LABELS + 0.5, np.array(list("abc"))[LABELS]]
)
def test_a_data_set_takes_only_indices_of_its_classes(labels):
    with pytest.raises(ReglabError, match=r"is no class\. There are 3 class names|are class indices \(N,\)"):
        Dataset("made", RNG.normal(size=(12, 4)), labels, ("a", "b", "c"))


def test_a_label_of_minus_one_is_said():
    labels = LABELS - 1
    data = load((RNG.normal(size=(12, 4)), labels))
    assert data.class_names == ("-1", "0", "1")
    assert data.notes[0].startswith("The label -1 counts as a class.")
    assert load((RNG.normal(size=(12, 4)), np.where(labels, 1, -1))).notes == ()  # as some write two classes


# --- what is no array ----------------------------------------------------------------------------------------------


def test_a_mapping_is_read_as_an_npz_file():
    x = RNG.normal(size=(12, 4)).astype("float32")
    assert load({"x": x, "y": LABELS}).fingerprint == load((x, LABELS)).fingerprint
    parts = load({"x_train": x, "y_train": LABELS, "x_test": x, "y_test": LABELS})
    assert parts.part.tolist() == [TRAIN] * 12 + [TEST] * 12
    with pytest.raises(ReglabError, match=r"the mapping holds images, labels\. Expected are x and y"):
        load({"images": x, "labels": LABELS})


class Pipeline:
    """Stands for one of TensorFlow's, which takes seconds to be imported."""

    element_spec = ()

    def as_numpy_iterator(self):
        raise AssertionError("nothing is read")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            (sparse.csr_matrix((12, 2**27)), LABELS),
            r"sparse matrix of 12 x 134,217,728, which is 12\.9 GB.*TruncatedSVD",
        ),
        ((Pipeline(), LABELS), r"examples are a tf\.data pipeline, Pipeline.*tf\.data\.Dataset\.zip"),
        (((np.eye(12), LABELS), (Pipeline(), LABELS)), r"test: examples are a tf\.data pipeline"),
        (((x for x in "ab"), LABELS), r"examples are generator, which is no array"),
        ((np.array(["a film", "b"] * 6), LABELS), r"examples are texts \(dtype <U6\).*TextVectorization"),
        ((np.array([["1", "2"]] * 12), LABELS), r"examples are texts.*astype\('float32'\)"),
        ((np.array([["a", "b"]] * 12, dtype=object), LABELS), r"examples are texts"),
        ((np.array([["2020-01-01"]] * 12, "datetime64[D]"), LABELS), r"examples are dates or times"),
        ((), "Arrays are given as"),
        ((5, LABELS), r"examples are int, which is no array"),
        ((np.float64(5), LABELS), r"examples are a single float64"),
        ((np.eye(12), np.int64(1)), r"labels are a single int64"),
        ((np.ma.masked_equal(np.eye(12), 0), LABELS), r"examples are masked in places"),
    ],
)
def test_what_is_no_array_of_numbers_gets_a_sentence(source, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ReglabError, match=message):
            load(source)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, sparse.coo_array])
def test_a_sparse_matrix_is_its_dense_table(kind):
    x = np.random.default_rng(0).integers(0, 3, (12, 5))
    sets = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0]] * 4)
    data = load((kind(x), LABELS))
    assert data.fingerprint == load((x, LABELS)).fingerprint
    assert data.kind == "table"
    assert re.search(r"examples are a sparse matrix of 12 x 5, 0\.\d+ of it not 0, and were made dense", data.notes[0])
    of_sets = load((x, kind(sets)))
    assert of_sets.fingerprint == load((x, sets)).fingerprint
    assert "labels are a sparse matrix" in of_sets.notes[0]
    named = {"words": kind(x), "age": np.arange(12)}
    assert load((named, LABELS)).fingerprint == load(({**named, "words": x}, LABELS)).fingerprint
    parts = load(((kind(x[:8]), LABELS[:8]), (kind(x[8:]), LABELS[8:])))
    np.testing.assert_array_equal(parts.x, x)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path):
    for name in ("a.npz", "a.zip", "a.csv"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(ReglabError, match=r"is a pipe or a device|is no file"):
            load(tmp_path / name, target="y")


def test_one_array_in_a_file_has_no_labels(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(3))
    with pytest.raises(ReglabError, match=r"One array has no labels: save x and y with numpy\.savez"):
        load(tmp_path / "x.npy")
