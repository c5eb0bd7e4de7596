"""``reglab.Diagnose`` in anybody's training: it says what is true, and changes nothing."""

import numpy as np
import pytest

import reglab
from reglab import backends

backends.require()

import keras  # noqa: E402  # after a backend was chosen


def points(n=60, *, seed=0, features=20):
    """Return random inputs with random labels: a network can only learn them by heart."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, features)).astype("float32"), random.integers(0, 2, n)


def model(units=64, *, activation="softmax", outputs=2, compiled=True, eager=True):
    """A network with all that a callback could disturb; eager, since few steps cost less than compiling them."""
    keras.utils.set_random_seed(7)
    built = keras.Sequential(
        [
            keras.Input((20,)),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dropout(0.2, seed=3),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(outputs, activation=activation),
        ]
    )
    if compiled:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=activation is None)
        built.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"], run_eagerly=eager)
    return built


def fit(network, *callbacks, epochs=20, **more):
    x, y = points()
    validation = points(seed=1)
    return network.fit(
        x, y, validation_data=validation, epochs=epochs, batch_size=16, verbose=0, callbacks=list(callbacks), **more
    )


@pytest.mark.backend
@pytest.mark.slow
def test_it_changes_neither_weights_nor_history(capsys):
    plain = model(eager=False)  # which sets the global seed, by which fit shuffles
    history = fit(plain, epochs=5).history
    for watch in (reglab.Diagnose(), reglab.Diagnose(clean=points(), validation=points(seed=1))):
        watched = model(eager=False)
        assert fit(watched, watch, epochs=5).history == history
        for mine, theirs in zip(plain.get_weights(), watched.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.backend
@pytest.mark.slow
def test_labels_learned_by_heart_are_overfitting(capsys):
    clean, other = reglab.Diagnose(clean=points(), validation=points(seed=1)), reglab.Diagnose()
    fit(model(256, eager=False), clean, other, epochs=40)
    for watch in (clean, other):
        assert watch.diagnosis.word == "overfitting"
        assert watch.diagnosis.train.mean > 0.9
        assert watch.diagnosis.val.mean < 0.7
    assert clean.diagnosis.clean
    assert clean.diagnosis.train.mean > 0.95
    assert clean.diagnosis.overconfident
    assert clean.prescription[0].recipe
    assert not other.diagnosis.clean
    said, said_of_other = capsys.readouterr().out.split("Overfitting: ")[1:]
    assert "One run" in said
    assert "Try first" in said
    assert "running mean over the epoch" not in said
    assert "running mean over the epoch" in said_of_other, "without clean data it says how training was measured"


@pytest.mark.slow
def test_clean_metrics_are_those_of_evaluate():
    watch = reglab.Diagnose(clean=points(), verbose=0)
    network = model()
    fit(network, watch, epochs=3)
    x, y = points()
    loss, accuracy = network.evaluate(x, y, verbose=0)
    assert watch._logs["train_accuracy"][-1] == pytest.approx(accuracy, abs=1e-6)
    assert watch._logs["train_cross_entropy"][-1] == pytest.approx(loss, rel=1e-4)


@pytest.mark.slow
def test_logits_and_one_hot_labels(capsys):
    network = model(activation=None)
    x, y = points()
    watch = reglab.Diagnose(clean=(x, np.eye(2)[y]), verbose=2)
    fit(network, watch, epochs=6)
    loss, _ = network.evaluate(x, y, verbose=0)
    assert watch._logs["train_cross_entropy"][-1] == pytest.approx(loss, rel=1e-4)
    assert "a problem" in capsys.readouterr().out


@pytest.mark.slow
def test_a_network_that_is_built_by_fit_and_one_that_is_subclassed(capsys):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, activation="softmax")

        def call(self, x):
            return self.dense(x)

    for network in (keras.Sequential([keras.layers.Dense(2, activation="softmax")]), Own()):
        network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
        watch = reglab.Diagnose(clean=points())
        fit(network, watch, epochs=6)
        assert watch.diagnosis is not None


@pytest.mark.slow
def test_validation_now_and_then(capsys):
    watch = reglab.Diagnose()
    fit(model(), watch, epochs=12, validation_freq=2)
    assert watch.diagnosis.runs[0].epochs == 6


@pytest.mark.slow
def test_a_second_fit_of_the_same_model_goes_on(capsys):
    watch, network = reglab.Diagnose(), model()
    fit(network, watch, epochs=3)
    assert watch.diagnosis.runs[0].epochs == 3
    fit(network, watch, epochs=3)
    assert watch.diagnosis.runs[0].epochs == 6
    fit(model(), watch, epochs=3)
    assert watch.diagnosis.runs[0].epochs == 3


@pytest.mark.slow
def test_without_a_metric_it_says_what_is_missing_and_never_raises(capsys):
    network = model(compiled=False)
    network.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    watch = reglab.Diagnose()
    fit(network, watch, epochs=6)
    assert watch.diagnosis.word == "cannot tell"
    assert "metrics=['accuracy']" in capsys.readouterr().out
    watch = reglab.Diagnose()
    watch.set_model(network)
    watch.on_train_begin()
    watch.on_epoch_end(0, {"f1": 1.0})
    watch.on_train_end()
    assert "no diagnosis" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pair", "said"),
    [((np.zeros((3, 20)),), "is a pair"), ((np.zeros((3, 20)), np.zeros(2, int)), "3 examples and 2 labels"),
     ((np.zeros((0, 20)), np.zeros(0, int)), "0 examples")],
)  # fmt: skip
def test_bad_data_is_told_before_training(pair, said):
    with pytest.raises(reglab.ReglabError, match=said):
        reglab.Diagnose(clean=pair)


def test_data_of_another_shape_is_told_before_training():
    with pytest.raises(reglab.ReglabError, match=r"takes inputs of shape \(batch, 20\)"):
        fit(model(), reglab.Diagnose(clean=(np.zeros((3, 9), "float32"), np.zeros(3, int))))


@pytest.mark.parametrize("loss", ["binary_crossentropy", "regularized"])
@pytest.mark.slow
def test_a_sigmoid_and_a_regularized_model(capsys, loss):
    if loss == "regularized":
        network = reglab.regularize(model(compiled=False), "l2(kernel=1e-2) + dropout(rate=0.2)")
        network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    else:
        network = model(outputs=1, activation="sigmoid", compiled=False)
        network.compile("adam", loss, metrics=["accuracy"], run_eagerly=True)
    watch = reglab.Diagnose(clean=points(), validation=points(seed=1))
    fit(network, watch, epochs=6)
    assert watch.diagnosis.clean
    assert 0 < watch.diagnosis.runs[0].train_cost < 2  # without the penalty, which is far larger
    assert np.isfinite(watch.diagnosis.temperature.mean)


@pytest.mark.slow
def test_of_indices_it_prescribes_no_mixture():
    built = keras.Sequential([keras.Input((4,)), keras.layers.Embedding(30, 8), keras.layers.Flatten()])
    built.add(keras.layers.Dense(2, activation="softmax"))
    built.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    watch = reglab.Diagnose(verbose=0)
    x, y = np.random.default_rng(0).integers(0, 30, (80, 4)), np.arange(80) % 2
    parts = {"validation_data": (x[40:], y[40:]), "batch_size": 40, "epochs": 12, "verbose": 0}
    built.fit(x[:40], y[:40], callbacks=[watch], **parts)
    recipes = [item.recipe for item in watch.prescription]
    assert any("dropout" in recipe for recipe in recipes)  # it overfits, and is told so
    assert not any("mixup" in recipe or "input" in recipe for recipe in recipes)


@pytest.mark.backend
@pytest.mark.slow
def test_numbers_to_predict_are_measured_in_r2_and_rmse(capsys):
    x, _ = points()
    y = (3 * x[:, 0] + 40).astype("float32")
    network = model(activation=None, outputs=1, compiled=False)
    network.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    watch = reglab.Diagnose(clean=(x, y), validation=(x[:20], y[:20]))
    network.fit(x, y, epochs=6, batch_size=16, verbose=0, callbacks=[watch])
    predicted = np.asarray(network.predict(x, verbose=0))[:, 0]
    assert watch._logs["train_r2"][-1] == pytest.approx(1 - np.mean((y - predicted) ** 2) / y.var(), rel=1e-4)
    assert watch._logs["train_rmse"][-1] == pytest.approx(np.mean((y - predicted) ** 2) ** 0.5, rel=1e-4)
    assert watch.diagnosis.level.name == "r2"
    assert "accuracy" not in capsys.readouterr().out


@pytest.mark.slow
def test_several_labels_are_measured_in_map_and_log_loss(capsys):
    x, _ = points()
    y = (x[:, :4] > 0).astype("float32")
    network = model(activation="sigmoid", outputs=4, compiled=False)
    network.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", run_eagerly=True)
    watch = reglab.Diagnose(clean=(x, y), validation=(x[:20], y[:20]))
    network.fit(x, y, epochs=6, batch_size=16, verbose=0, callbacks=[watch])
    assert watch._logs["train_log_loss"][-1] == pytest.approx(network.evaluate(x, y, verbose=0), rel=1e-3)
    assert watch.diagnosis.level.name == "map"
