"""What a model's outputs are is found out before training, and a model that does not fit the data is refused."""

from __future__ import annotations

import numpy as np
import pytest

from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.models import check_output, inception, mlp, resnet
from reglab.tasks import Head, SingleLabel

pytestmark = pytest.mark.backend


KINDS = {
    "softmax": ("softmax", 0),
    "logits": ("linear", 0),
    "sigmoid": ("sigmoid", 1),
    "binary_logits": ("linear", 1),
}


def task(classes):
    return SingleLabel(classes=tuple(map(str, range(classes))))


def head(kind, classes):
    activation, outputs = KINDS[kind]
    return Head(activation, outputs or classes)


def sequential(*layers, shape=(4,)):
    return keras.Sequential([keras.Input(shape), *layers])


def subclassed(*layers):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = list(layers)

        def call(self, x):
            for part in self.parts:
                x = part(x)
            return x

    return Own()


def dense(units, activation=None, **options):
    return keras.layers.Dense(units, activation=activation, **options)


def softmax(x):
    return keras.ops.softmax(x)


@pytest.mark.parametrize("build", [sequential, subclassed])
@pytest.mark.parametrize(
    ("classes", "ending", "kind"),
    [
        (3, lambda: [dense(3, "softmax")], "softmax"),
        (3, lambda: [dense(3), keras.layers.Softmax()], "softmax"),
        (3, lambda: [dense(3), keras.layers.Activation("softmax")], "softmax"),
        (3, lambda: [dense(3, softmax)], "softmax"),
        (3, lambda: [dense(3, "softmax"), keras.layers.Dropout(0.5)], "softmax"),
        (3, lambda: [sequential(dense(3, "softmax"))], "softmax"),
        (3, lambda: [dense(3)], "logits"),
        (3, lambda: [dense(3, "relu")], "logits"),
        (3, lambda: [dense(3, "softmax"), dense(3)], "logits"),
        (3, lambda: [dense(3, kernel_initializer="zeros")], "logits"),
        (2, lambda: [dense(2, "softmax")], "softmax"),
        (2, lambda: [dense(2)], "logits"),
        (2, lambda: [dense(1, "sigmoid")], "sigmoid"),
        (2, lambda: [dense(1), keras.layers.Activation("sigmoid")], "sigmoid"),
        (2, lambda: [dense(1)], "binary_logits"),
        (2, lambda: [dense(1, kernel_initializer="zeros")], "binary_logits"),
    ],
)
def test_the_head_is_found_from_the_last_layer_or_the_outputs(build, classes, ending, kind):
    assert check_output(build(*ending()), task=task(classes), input_shape=(4,)) == head(kind, classes)


def test_the_layer_that_gives_the_output_need_not_be_the_last_of_the_list():
    inputs = keras.Input((4,))
    logits = dense(3)(inputs)
    outputs = keras.layers.Add()([dense(3, "softmax")(inputs), logits])
    assert check_output(keras.Model(inputs, outputs), task=task(3), input_shape=(4,)).activation == "linear"
    assert check_output(keras.Model(inputs, logits), task=task(3), input_shape=(4,)).activation == "linear"


def test_a_trained_model_of_certain_binary_logits_is_no_sigmoid():
    model = subclassed(dense(1))
    model(np.zeros((1, 4), "float32"))
    model.set_weights([np.full((4, 1), 0.05, "float32"), np.full(1, 0.5, "float32")])
    assert check_output(model, task=task(2), input_shape=(4,)).activation == "linear"


def test_a_model_of_whole_numbers_is_only_tried_on_zeros():
    model = subclassed(keras.layers.Embedding(10, 2), keras.layers.Flatten(), dense(3, "softmax"))
    assert check_output(model, task=task(3), input_shape=(4,)).activation == "softmax"


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_probabilities_are_recognized(policy):
    keras.config.set_dtype_policy(policy)
    assert check_output(subclassed(dense(10, "softmax")), task=task(10), input_shape=(4,)).activation == "softmax"


@pytest.mark.parametrize(
    ("build", "options"),
    [(inception, {"filters": (1, 1, 1), "modules": 1}), (mlp, {"units": 4}), (resnet, {"depth": 8, "width": 2})],
)
def test_built_in_models_end_in_softmax(build, options):
    model = build((8, 8, 1), 10, **options)
    assert check_output(model, task=task(10), input_shape=(8, 8, 1)) == Head("softmax", 10)


def test_a_network_of_any_image_size_fits_every_size():
    pooled = sequential(keras.layers.GlobalAveragePooling2D(), dense(3), shape=(None, None, 1))
    assert check_output(pooled, task=task(3), input_shape=(6, 5, 1)).activation == "linear"


def test_looking_at_the_output_changes_no_weight_and_no_random_state():
    model = sequential(dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), dense(3, softmax))
    before = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    check_output(model, task=task(3), input_shape=(4,))
    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(new))


@pytest.mark.parametrize(
    ("build", "classes", "said"),
    [
        (
            lambda: sequential(dense(10)),
            3,
            r"\(batch, 10\); the data has 3 classes, so expected is \(batch, 3\)\. Give",
        ),
        (lambda: sequential(dense(3)), 2, r"\(batch, 3\).*\(batch, 2\) or \(batch, 1\)"),
        (lambda: sequential(dense(1)), 3, r"\(batch, 1\); the data has 3"),
        (lambda: sequential(keras.layers.Reshape((2, 2))), 2, r"\(batch, 2, 2\)"),
        (lambda: sequential(dense(3, "sigmoid")), 3, "3 sigmoids.*softmax, or without"),
        (lambda: sequential(dense(3), shape=(5,)), 3, r"takes inputs of shape \(batch, 5\); the data has \(batch, 4\)"),
        (lambda: sequential(keras.layers.Flatten(), dense(3), shape=(2, 2)), 3, r"\(batch, 2, 2\); the data has"),
        (lambda: subclassed(keras.layers.Conv2D(3, 3)), 3, r"cannot take inputs of shape \(batch, 4\): ValueError"),
        (lambda: subclassed(lambda x: {"a": x}), 4, "returns dict; one tensor of predictions"),
    ],
)
def test_a_model_that_does_not_fit_says_what_it_gives_and_what_is_expected(build, classes, said):
    with pytest.raises(ReglabError, match=f"(?s){said}"):
        check_output(build(), task=task(classes), input_shape=(4,))


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")  # which is the mistake that is tested
def test_a_softmax_over_one_output_is_refused():
    with pytest.raises(ReglabError, match="always 1"):
        check_output(sequential(dense(1, "softmax")), task=task(2), input_shape=(4,))


def test_several_inputs_or_outputs_are_refused_by_their_number():
    a, b = keras.Input((4,)), keras.Input((4,))
    with pytest.raises(ReglabError, match=r"has 2 inputs .*Give x as a dict of arrays by these names"):
        check_output(keras.Model([a, b], dense(3)(keras.layers.Add()([a, b]))), task=task(3), input_shape=(4,))
    with pytest.raises(ReglabError, match="2 outputs"):
        check_output(keras.Model(a, [dense(3)(a), dense(3)(a)]), task=task(3), input_shape=(4,))


@pytest.mark.parametrize(
    ("kind", "outputs", "probabilities"),
    [
        ("softmax", [[0.25, 0.75]], [[0.25, 0.75]]),
        ("logits", [[0.0, np.log(3)]], [[0.25, 0.75]]),
        ("sigmoid", [[0.75]], [[0.25, 0.75]]),
        ("binary_logits", [[np.log(3)]], [[0.25, 0.75]]),
    ],
)
def test_every_head_gives_the_same_probabilities_and_the_same_loss(kind, outputs, probabilities):
    outputs = np.array(outputs, "float32")
    of, ending = task(2), head(kind, 2)
    np.testing.assert_allclose(of.predictions(outputs, ending), probabilities, rtol=1e-6)
    target = np.array([1]) if outputs.shape[1] > 1 else np.array([[1]])
    assert float(of.loss(ending)(target, outputs)) == pytest.approx(-np.log(0.75), rel=1e-5)
