"""Callbacks, saving and what people call before fit, on a regularized model."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

import reglab
from reglab.backends import name as backend

pytestmark = pytest.mark.backend
layers, callbacks = keras.layers, keras.callbacks
EAGER = backend() != "jax"  # a few steps take less time as they are than compiled
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 4)).astype("float32"), np.arange(24) % 3
VALIDATION = RNG.normal(size=(12, 4)).astype("float32"), np.arange(12) % 3


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), layers.Dense(5, "relu"), layers.Dense(3, "softmax")])


def compiled(recipe, optimizer=None, metrics=("accuracy",)):
    model = reglab.regularize(network(), recipe, seed=0)
    optimizer = optimizer or keras.optimizers.SGD(0.1)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=list(metrics), run_eagerly=EAGER)
    return model


def fit(model, epochs=2, **kwargs):
    return model.fit(X, Y, batch_size=12, epochs=epochs, shuffle=False, verbose=0, **kwargs)


def weights(model):
    return [np.array(weight) for weight in getattr(model, "network", model).get_weights()]


class TestLearningRate:
    @pytest.mark.parametrize("kind", ["plateau", "scheduler"])
    def test_callbacks_go_on_from_the_rate_of_the_recipe(self, kind):
        def made():
            if kind == "plateau":
                return callbacks.ReduceLROnPlateau(monitor="loss", patience=0, min_delta=100, factor=0.5)
            return callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)

        model = compiled("learning_rate(rate=0.3)", keras.optimizers.SGD(0.7))
        fit(model, epochs=3, callbacks=[made()])
        plain = network()
        plain.compile(keras.optimizers.SGD(0.3), "sparse_categorical_crossentropy", run_eagerly=EAGER)
        fit(plain, epochs=3, callbacks=[made()])
        np.testing.assert_allclose(float(model.optimizer.learning_rate), float(plain.optimizer.learning_rate))
        assert float(plain.optimizer.learning_rate) < 0.2
        for ours, theirs in zip(weights(model), weights(plain), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)

    def test_two_that_set_it_each_epoch_are_refused(self):
        model = compiled("learning_rate(rate=linear(0.1, 0.01, 3))")
        with pytest.raises(reglab.ReglabError, match="LearningRateScheduler sets the learning rate, and so does"):
            fit(model, callbacks=[callbacks.LearningRateScheduler(lambda epoch, rate: rate)])


def test_compiling_again_keeps_what_set_recipe_said():
    """Strengths that live in the optimizer are made anew by each compile."""
    found = []
    for again in (False, True):
        model = compiled("weight_decay(decay=0.5) + learning_rate(rate=0.1)")
        model.set_recipe("weight_decay(decay=0.01) + learning_rate(rate=0.05)")
        if again:
            model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=EAGER)
        fit(model, epochs=1)
        found.append(weights(model))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


class TestAveragesAndTheBestEpoch:
    RECIPE = "ema(momentum=0.9) + early_stopping(monitor=val_loss, patience=1)"

    @staticmethod
    def of_keras(epochs):
        """The same in plain Keras, where it takes two callbacks in this order."""
        plain = network()
        optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
        plain.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=EAGER)
        both = [
            callbacks.SwapEMAWeights(swap_on_epoch=True),
            callbacks.EarlyStopping(monitor="val_loss", patience=1, restore_best_weights=True),
        ]
        return plain, fit(plain, epochs, validation_data=VALIDATION, callbacks=both).history

    def test_the_averages_are_what_is_validated_and_restored(self):
        model = compiled(self.RECIPE, metrics=())
        history = fit(model, epochs=3, validation_data=VALIDATION).history
        plain, expected = self.of_keras(3)
        for name in ("loss", "val_loss"):
            np.testing.assert_allclose(history[name], expected[name], rtol=1e-5, err_msg=name)
        for ours, theirs in zip(weights(model), weights(plain), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
        without = compiled("early_stopping(monitor=val_loss, patience=1)", metrics=())
        fit(without, epochs=3, validation_data=VALIDATION)
        assert np.abs(weights(without)[0] - weights(model)[0]).max() > 1e-3

    @pytest.mark.slow
    def test_so_it_is_where_one_of_them_is_the_users(self):
        expected = weights(self.of_keras(2)[0])
        stopping = callbacks.EarlyStopping(monitor="val_loss", patience=1, restore_best_weights=True)
        by_recipe = compiled("ema(momentum=0.9)", metrics=())
        fit(by_recipe, validation_data=VALIDATION, callbacks=[stopping])
        by_optimizer = compiled(
            "early_stopping(monitor=val_loss, patience=1)",
            keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9),
            metrics=(),
        )
        fit(by_optimizer, validation_data=VALIDATION)
        for found in (weights(by_recipe), weights(by_optimizer)):
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-6)

    def test_averages_are_kept_where_the_training_loss_decides(self):
        def stopping():
            return callbacks.EarlyStopping(monitor="loss", restore_best_weights=True)

        model = compiled("ema(momentum=0.9)", metrics=())
        fit(model, callbacks=[stopping()])
        plain = network()
        plain.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9), "sparse_categorical_crossentropy")
        fit(plain)  # the loss falls, so the last epoch is the best one; Keras leaves its averages
        for ours, theirs in zip(weights(model), weights(plain), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)

    def test_another_callback_that_swaps_is_refused(self):
        with pytest.raises(reglab.ReglabError, match="SwapEMAWeights is not needed"):
            fit(compiled(self.RECIPE), validation_data=VALIDATION, callbacks=[callbacks.SwapEMAWeights()])


class TestWhatEarlyStoppingMonitors:
    @pytest.mark.parametrize(
        ("metrics", "named"), [((), "no metrics"), (("mae", keras.metrics.AUC(name="auc")), "metrics 'mae', 'auc'")]
    )
    def test_a_metric_that_is_not_there_is_told_before_training(self, metrics, named):
        with pytest.raises(
            reglab.ReglabError, match=f"monitors 'val_accuracy', and the model is compiled with {named}"
        ):
            fit(compiled("early_stopping(monitor=val_accuracy)", metrics=metrics), validation_data=VALIDATION)

    @pytest.mark.parametrize("metrics", [["accuracy"], [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]])
    def test_one_that_is_there_is_found(self, metrics):
        model = compiled("early_stopping(monitor=val_accuracy)", metrics=metrics)
        assert "val_accuracy" in fit(model, epochs=1, validation_data=VALIDATION).history

    @pytest.mark.parametrize(
        ("metrics", "named"),
        [
            ((), "val_loss"),
            (["accuracy", keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy")], "val_accuracy"),
            ([keras.metrics.SparseCategoricalCrossentropy(name="off"), "accuracy"], "val_accuracy"),
        ],
        ids=["no metrics", "the first one", "the first one that is known"],
    )
    @pytest.mark.slow
    def test_by_default_it_is_the_first_metric_of_the_model_whose_direction_is_known(self, metrics, named):
        model = compiled("early_stopping(patience=0)", metrics=metrics)
        found = fit(model, epochs=8, validation_data=VALIDATION).history[named]
        better = np.greater if named == "val_accuracy" else np.less
        improves = [i for i in range(1, len(found)) if not better(found[i], max(found[:i], key=lambda v: (
            v if named == "val_accuracy" else -v)))]  # fmt: skip
        assert len(found) == (improves[0] + 1 if improves else 8), "it ends with the first epoch that is no better"


class TestXLA:
    """What the device makes Keras choose is chosen again where a strategy cannot run under XLA."""

    @pytest.fixture(autouse=True)
    def _gpu(self, monkeypatch):
        if backend() != "tensorflow":
            pytest.skip("only TensorFlow asks for its devices")
        import tensorflow as tf
        from tensorflow.python.eager.context import PhysicalDevice

        devices = [PhysicalDevice("CPU:0", "CPU"), PhysicalDevice("GPU:0", "GPU")]
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: devices)

    @staticmethod
    def jit(recipe, **kwargs):
        model = reglab.regularize(network(), recipe)
        model.compile("sgd", "sparse_categorical_crossentropy", **kwargs)
        return model.jit_compile

    def test_it_is_left_out_for_mixup_alone(self):
        assert self.jit("l2 + dropout")
        assert not self.jit("l2 + mixup")
        assert not self.jit("mixup", jit_compile="auto")

    def test_it_is_refused_where_it_was_asked_for(self):
        with pytest.raises(reglab.ReglabError, match=r"mixup: .*jit_compile=False"):
            self.jit("mixup", jit_compile=True)


class TestFiles:
    @pytest.mark.parametrize("name", ["x.h5", "x", "x.hdf5"])
    def test_a_name_that_a_regularized_model_has_no_file_for(self, tmp_path, name):
        with pytest.raises(reglab.ReglabError, match=r"saved as a \.keras file.*export_network"):
            compiled("l2").save(tmp_path / name)

    def test_a_checkpoint_of_that_name_is_told_before_training(self, tmp_path):
        model = compiled("l2")
        before = weights(model)
        with pytest.raises(reglab.ReglabError, match=r"ModelCheckpoint\('.*x\.h5'\): a regularized model"):
            fit(model, callbacks=[callbacks.ModelCheckpoint(tmp_path / "x.h5")])
        np.testing.assert_array_equal(weights(model)[0], before[0])

    def test_checkpoints_of_either_kind_are_written_and_read(self, tmp_path):
        model = compiled("l2 + dropout + learning_rate(rate=0.01)")
        kept = [callbacks.ModelCheckpoint(tmp_path / "x.keras")]
        kept += [callbacks.ModelCheckpoint(tmp_path / "x.weights.h5", save_weights_only=True)]
        fit(model, epochs=1, callbacks=kept)
        other = compiled("l2 + dropout + learning_rate(rate=0.01)")
        other.load_weights(tmp_path / "x.weights.h5")
        for again in (other, keras.models.load_model(tmp_path / "x.keras")):
            np.testing.assert_array_equal(weights(again)[0], weights(model)[0])

    def test_training_goes_on_from_a_backup(self, tmp_path):
        class Stop(callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 1:
                    raise KeyboardInterrupt

        whole, interrupted, again = (compiled("l2 + weight_decay", metrics=()) for _ in range(3))
        fit(whole)
        with pytest.raises(KeyboardInterrupt):
            fit(interrupted, callbacks=[callbacks.BackupAndRestore(tmp_path), Stop()])
        found = fit(again, callbacks=[callbacks.BackupAndRestore(tmp_path)])
        assert len(found.history["loss"]) == 1
        for one, other in zip(weights(again), weights(whole), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)

    def test_fit_without_compile_is_told_as_keras_does(self):
        with pytest.raises(ValueError, match="compile"):
            reglab.regularize(network(), "mixup + ema").fit(X, Y)

    def test_what_is_asked_before_fit(self, tmp_path):
        model = reglab.regularize(network(), "l2")
        assert model.count_params() >= model.network.count_params() == network().count_params()
        assert model.output_shape == (None, 3)
        model.save_weights(tmp_path / "w.weights.h5")
        model.load_weights(tmp_path / "w.weights.h5")
        lines = []
        model.summary(print_fn=lines.append)
        assert any("network" in line or "sequential" in line for line in lines)


_OWN = """
    from dataclasses import dataclass
    from typing import ClassVar
    import keras
    from reglab.strategies import Stage, Strategy, register

    @register
    @dataclass(frozen=True)
    class Own(Strategy):
        name: ClassVar[str] = "own"
        formula: ClassVar[str] = "0"
        paper: ClassVar[str] = "none"
        stage: ClassVar[Stage] = Stage.LOSS

        def penalty(self, weight, place, s):
            return 0.0 * keras.ops.sum(weight)
"""


def run(folder, script):
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    (folder / "own.py").write_text(textwrap.dedent(_OWN))
    save = """
        import keras, own, reglab
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
        for recipe in ("l2+dropout(where=input)", "own"):
            reglab.regularize(model, recipe).save(f"{recipe[:2]}.keras")
    """
    done = run(folder, save)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
class TestLoadingInAnotherProcess:
    """``import keras, reglab`` is all that a file of a regularized model needs, beside strategies of one's own."""

    def test_a_recipe_of_reglabs(self, saved):
        done = run(saved, "import keras, reglab; print(keras.models.load_model('l2.keras').recipe)")
        assert "l2(kernel=0.001)" in done.stdout, done.stderr

    def test_a_strategy_of_ones_own_once_it_is_imported(self, saved):
        done = run(saved, "import keras, own; print(keras.models.load_model('ow.keras').recipe)")
        assert done.stdout.strip() == "own", done.stderr

    def test_one_that_is_not_imported_is_told(self, saved):
        done = run(saved, "import keras, reglab; keras.models.load_model('ow.keras')")
        assert "ReglabError: Unknown strategy 'own'" in done.stderr
        assert "once its module is imported" in done.stderr
