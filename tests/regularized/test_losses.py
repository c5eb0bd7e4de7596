"""Losses as people give them: of several outputs, of their own, per position; and what metrics see."""

import keras
import numpy as np
import pytest
from small import assert_same

import reglab
from reglab.backends import name as backend
from reglab.regularized.targets import weighted

pytestmark = pytest.mark.backend
layers = keras.layers
EAGER = backend() != "jax"  # a few steps take less time as they are than compiled
X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
CLASSES = np.arange(12) % 3
NUMBERS = X[:, :1] + 1


def two_outputs(*, by_name=False, **dense):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    h = layers.Dense(5, activation="relu", **dense)(inputs)
    a, b = layers.Dense(3, activation="softmax", name="a", **dense)(h), layers.Dense(1, name="b", **dense)(h)
    return keras.Model(inputs, {"a": a, "b": b} if by_name else [a, b])


def one_output(classes=3, activation="softmax"):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(classes, activation=activation)(inputs))


def trained(model, y, *args, x=X, **kwargs):
    model.compile(keras.optimizers.SGD(0.1), *args, run_eagerly=EAGER, **kwargs)
    history = model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
    network = getattr(model, "network", model)
    return history, [np.array(weight) for weight in network.get_weights()]


NAMES = {"a": "sparse_categorical_crossentropy", "b": "mse"}
LOSSES = {
    "list": ([*NAMES.values()], [CLASSES, NUMBERS], {}),
    "dict": (
        NAMES,
        {"a": CLASSES, "b": NUMBERS},
        {"loss_weights": {"a": 1.0, "b": 0.2}, "metrics": {"a": "accuracy", "b": ["mae"]}},
    ),
}


class TestSeveralOutputs:
    @pytest.mark.parametrize("kind", LOSSES)
    def test_what_does_not_touch_the_loss_trains_as_keras_does(self, kind):
        loss, y, more = LOSSES[kind]
        build = lambda **dense: two_outputs(by_name=kind == "dict", **dense)  # noqa: E731
        assert_same(trained(reglab.regularize(build(), "none"), y, loss, **more), trained(build(), y, loss, **more))
        penalty = trained(build(kernel_regularizer=keras.regularizers.L2(0.01)), y, loss, **more)
        assert_same(trained(reglab.regularize(build(), "l2(kernel=0.01)"), y, loss, **more), penalty, within=1e-5)

    def test_dropout_weight_decay_and_averages_train(self):
        loss, y, _ = LOSSES["list"]
        recipe = "dropout + weight_decay + ema + gaussian_noise(where=hidden)"
        history, _ = trained(reglab.regularize(two_outputs(), recipe, seed=0), y, loss)
        assert np.isfinite(history["loss"]).all()

    def test_early_stopping_knows_how_metrics_of_outputs_are_called(self):
        loss, y, _ = LOSSES["dict"]
        model = reglab.regularize(two_outputs(by_name=True), "early_stopping(monitor=val_accuracy)")
        model.compile("sgd", loss, metrics={"a": "accuracy"})
        with pytest.raises(reglab.ReglabError, match=r"with metrics 'a_accuracy'.*monitor=val_loss"):
            model.fit(X, y, validation_split=0.5, verbose=0)

    def test_it_is_told_of_a_model_that_says_its_outputs_only_when_it_runs(self):
        class Net(keras.Model):
            def __init__(self):
                super().__init__()
                self.a, self.b = layers.Dense(3, activation="softmax"), layers.Dense(3, activation="softmax")

            def call(self, x):
                return self.a(x), self.b(x)

        for recipe in ("sam", "label_smoothing"):
            model = reglab.regularize(Net(), recipe)
            model.compile("sgd", "sparse_categorical_crossentropy")
            with pytest.raises(reglab.ReglabError, match="one output"):
                model.fit(X, [CLASSES, CLASSES], verbose=0)

    def test_inputs_and_outputs_by_name(self):
        def build():
            keras.utils.set_random_seed(0)
            p, q = keras.Input((4,), name="p"), keras.Input((4,), name="q")
            h = layers.Concatenate()([p, q])
            return keras.Model({"p": p, "q": q}, {"a": layers.Dense(3, activation="softmax", name="a")(h)})

        x, y, loss = {"p": X, "q": -X}, {"a": CLASSES}, {"a": "sparse_categorical_crossentropy"}
        assert_same(trained(reglab.regularize(build(), "none"), y, loss, x=x), trained(build(), y, loss, x=x))


def test_compile_takes_its_arguments_by_position():
    model = reglab.regularize(one_output(), "label_smoothing")
    model.compile("sgd", "sparse_categorical_crossentropy", None, ["accuracy"])
    assert set(model.fit(X, CLASSES, verbose=0).history) == {"loss", "accuracy"}


def test_labels_per_position_with_padding_train_as_keras_does():
    def build():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((5,))
        h = layers.Embedding(9, 4, mask_zero=True)(inputs)
        return keras.Model(inputs, layers.Dense(3, activation="softmax")(h))

    x = np.random.default_rng(0).integers(1, 9, (12, 5))
    x[::2, 3:] = 0
    y, loss = x % 3, "sparse_categorical_crossentropy"
    plain = trained(build(), y, loss, x=x)
    assert_same(trained(reglab.regularize(build(), "none"), y, loss, x=x), plain)
    assert_same(trained(reglab.regularize(build(), "sam(rho=0)"), y, loss, x=x), plain)
    # What is said at padded places changes nothing, neither of the step nor of the ascent.
    other = np.where(x == 0, 2, y)
    found = [trained(reglab.regularize(build(), "sam(rho=0.5)", seed=0), labels, loss, x=x) for labels in (y, other)]
    assert_same(found[0], found[1])
    assert max(np.abs(a - b).max() for a, b in zip(found[0][1], plain[1], strict=True)) > 1e-4


class TestOwnLosses:
    def test_a_loss_by_the_name_of_kerases_is_the_users(self):
        def sparse_categorical_crossentropy(y, y_pred):
            return keras.losses.sparse_categorical_crossentropy(y, y_pred, from_logits=True)

        build = lambda: one_output(activation=None)  # noqa: E731
        plain = trained(build(), CLASSES, sparse_categorical_crossentropy)
        assert_same(trained(reglab.regularize(build(), "none"), CLASSES, sparse_categorical_crossentropy), plain)
        with pytest.raises(reglab.ReglabError, match="label_smoothing needs a cross-entropy loss of Keras'"):
            reglab.regularize(build(), "label_smoothing").compile("sgd", sparse_categorical_crossentropy)

    def test_a_class_by_the_name_of_kerases_is_the_users(self):
        class SparseCategoricalCrossentropy(keras.losses.SparseCategoricalCrossentropy):
            def call(self, y, y_pred):
                return 2 * super().call(y, y_pred)

        model = reglab.regularize(one_output(), "mixup")
        with pytest.raises(reglab.ReglabError, match="mixup needs a cross-entropy loss of Keras'"):
            model.compile("sgd", SparseCategoricalCrossentropy())

    def test_an_own_loss_gets_labels_as_keras_gives_them(self):
        def fourth(y, y_pred):
            return keras.ops.mean((y - y_pred) ** 4, axis=-1)  # fails for labels that are not float32

        labels = CLASSES[:, None]
        plain = trained(one_output(1, None), labels, fourth)
        assert_same(trained(reglab.regularize(one_output(1, None), "sam(rho=0)"), labels, fourth), plain)


class TestSmoothing:
    @staticmethod
    def prepared(model, loss, y):
        regularized = reglab.regularize(model, "label_smoothing(smoothing=0.2)")
        regularized.compile("sgd", loss)
        return keras.ops.convert_to_numpy(regularized._prepare((np.zeros((len(y), 4), "float32"), np.asarray(y)))[1])

    def test_each_of_several_labels_is_smoothed_towards_a_half(self):
        targets = self.prepared(one_output(5, "sigmoid"), "binary_crossentropy", [[0, 1, 0, 0, 1]])
        np.testing.assert_allclose(targets, [[0.1, 0.9, 0.1, 0.1, 0.9]], atol=1e-6)

    def test_a_distribution_over_classes_is_smoothed_towards_all_of_them(self):
        targets = self.prepared(one_output(5), "sparse_categorical_crossentropy", [1])
        np.testing.assert_allclose(targets, [[0.04, 0.84, 0.04, 0.04, 0.04]], atol=1e-6)

    def test_several_labels_train_as_with_keras_smoothing(self):
        y = (X > 0).astype("float32")
        loss = keras.losses.BinaryCrossentropy(label_smoothing=0.2)
        plain = trained(one_output(4, "sigmoid"), y, loss)
        model = reglab.regularize(one_output(4, "sigmoid"), "label_smoothing(smoothing=0.2)")
        assert_same(trained(model, y, "binary_crossentropy"), plain, within=1e-5)

    @pytest.mark.parametrize("loss", ["CategoricalCrossentropy", "BinaryCrossentropy", "CategoricalFocalCrossentropy"])
    def test_a_loss_that_smooths_is_not_smoothed_twice(self, loss):
        smoothing = getattr(keras.losses, loss)(label_smoothing=0.1)
        with pytest.raises(reglab.ReglabError, match=r"label_smoothing=0\.1\) smooths labels already"):
            reglab.regularize(one_output(), "label_smoothing").compile("sgd", smoothing)

    @pytest.mark.parametrize("kind", ["one-hot", "soft", "several", "sparse"])
    def test_metrics_see_the_labels_as_they_are(self, kind):
        """The weights do not move, so that the metrics of training are those of plain Keras."""
        one_hot = np.eye(3, dtype="float32")[CLASSES]
        y = {"one-hot": one_hot, "soft": 0.7 * one_hot + 0.1, "several": (X[:, :3] > 0) * 0.9, "sparse": CLASSES}[kind]
        activation = "sigmoid" if kind == "several" else "softmax"
        loss = {"several": "binary_crossentropy", "sparse": "sparse_categorical_crossentropy"}.get(
            kind, "categorical_crossentropy"
        )
        found = []
        for wrap in (lambda model: model, lambda model: reglab.regularize(model, "label_smoothing(smoothing=0.3)")):
            model = wrap(one_output(3, activation))
            metrics = ["accuracy", "sparse_categorical_crossentropy"]
            if kind != "sparse":
                metrics = [keras.metrics.AUC(name="auc"), keras.metrics.Recall(name="recall"), "mae"]
                metrics.append(keras.metrics.F1Score(average="macro", name="f1"))
            model.compile(keras.optimizers.SGD(0.0), loss, metrics=metrics, run_eagerly=EAGER)
            history = model.fit(X, y, batch_size=4, shuffle=False, verbose=0, validation_data=(X, y)).history
            found.append({name: values for name, values in history.items() if not name.endswith("loss")})
        assert found[0].keys() == found[1].keys()
        for name, values in found[0].items():
            np.testing.assert_allclose(found[1][name], values, rtol=1e-6, err_msg=name)

    @pytest.mark.parametrize("recipe", ["mixup", "label_smoothing"])
    @pytest.mark.parametrize("labels", [CLASSES + 1, CLASSES - 1], ids=["from 1", "from -1"])
    def test_a_label_that_is_no_class_is_told(self, recipe, labels):
        model = reglab.regularize(one_output(), recipe)
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=EAGER)
        with pytest.raises(reglab.ReglabError, match=r"for the labels 0 to 2; 4 of 12 are others, such as (3|-1)"):
            model.fit(X, labels, verbose=0)
        assert np.isnan(float(model.train_on_batch(X, labels)))  # where nobody looks it does not pass for training

    def test_it_is_told_whatever_the_recipe_and_where_a_label_has_a_place(self):
        network = keras.Sequential([keras.Input((4, 2)), layers.Dense(3, activation="softmax")])
        x, y = np.ones((5, 4, 2), "float32"), np.arange(20).reshape(5, 4) % 3
        model = reglab.regularize(network, "none")
        model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=EAGER)
        with pytest.raises(reglab.ReglabError, match=r"for the labels 0 to 2; 6 of 20 are others, such as 3"):
            model.fit(x, y + 1, verbose=0)
        model.fit(x, y, verbose=0)
        loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=3)
        model.compile("sgd", loss, run_eagerly=EAGER)
        model.fit(x, y + 1, verbose=0)  # 3 is declared to be none
        with pytest.raises(reglab.ReglabError, match=r"7 of 20 are others, such as -1"):
            model.fit(x, y - 1, verbose=0)

    def test_binary_labels_of_minus_one_are_told(self):
        model = reglab.regularize(one_output(1, "sigmoid"), "none")
        model.compile("sgd", "binary_crossentropy", run_eagerly=EAGER)
        with pytest.raises(reglab.ReglabError, match=r"labels from 0 to 1; 6 of 12 are others, such as -1"):
            model.fit(X, np.arange(12) % 2 * 2 - 1, verbose=0)
        model.fit(X, np.linspace(0, 1, 12), verbose=0)

    def test_metrics_see_the_heavier_label_of_a_mixture(self):
        model = reglab.regularize(one_output(), "mixup(alpha=1)", seed=0)
        model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
        y = np.eye(3, dtype="float32")[CLASSES]
        _, mixed, _ = model._prepare((X, y))
        given, seen = (keras.ops.convert_to_numpy(each) for each in model._held.labels)
        np.testing.assert_array_equal(given, keras.ops.convert_to_numpy(mixed))
        np.testing.assert_array_equal(seen, np.eye(3)[given.argmax(axis=1)])
        assert not np.array_equal(given, seen)


def pixels():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2, 3, 2))
    return keras.Model(inputs, layers.Conv2D(3, 1, activation="softmax")(inputs))


def test_indices_of_pixels_train_as_distributions_do():
    """On PyTorch, Keras' loss of indices has no gradient there."""
    x = np.random.default_rng(0).normal(size=(8, 2, 3, 2)).astype("float32")
    y = np.random.default_rng(1).integers(3, size=(8, 2, 3))
    expected = trained(reglab.regularize(pixels(), "sam"), np.eye(3)[y], "categorical_crossentropy", x=x)
    assert_same(trained(reglab.regularize(pixels(), "sam"), y, "sparse_categorical_crossentropy", x=x), expected)


@pytest.mark.parametrize("shape", [(12,), (12, 1)])
def test_weights_of_examples_may_have_an_axis_more(shape):
    w = np.linspace(0.1, 3, 12).astype("float32")
    found = weighted(keras.ops.convert_to_tensor(np.ones(12, "float32")), w.reshape(shape))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), w)


def test_sam_trains_with_weights_of_either_shape():
    w = np.linspace(0.1, 3, 12).astype("float32")
    found = []
    for weights in (w, w[:, None]):
        model = reglab.regularize(one_output(), "sam(rho=0.5)")
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", run_eagerly=EAGER)
        model.train_on_batch(X, CLASSES, sample_weight=weights)
        found.append(model.network.get_weights()[0])
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)
