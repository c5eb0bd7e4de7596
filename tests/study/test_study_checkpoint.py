"""A training that goes on from a checkpoint equals one that was never interrupted, to the last bit."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, replace

import numpy as np
import played
import pytest

import reglab
from reglab.recipe import Recipe
from reglab.study.checkpoint import Checkpoint, TrackState
from reglab.study.plan import Plan, Ride, Run
from reglab.study.spec import Assignment, Settings
from reglab.study.storage.store import Store
from reglab.tasks import SingleLabel

EPOCHS = 5
TENSORFLOW = os.environ["KERAS_BACKEND"] == "tensorflow"
DIVERGING = ["l2(kernel=1e30)"]


def _bench(recipes, **settings):
    from reglab.study.workbench import Workbench

    def build(input_shape, num_classes):
        import keras

        inputs = keras.Input(input_shape)
        h = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
        h = keras.layers.BatchNormalization()(h)
        h = keras.layers.Dropout(0.1)(keras.layers.Flatten()(h))
        return keras.Model(inputs, keras.layers.Dense(num_classes, "softmax", dtype="float32")(h))

    chosen = Settings(**{"seeds": 1, "epochs": EPOCHS, "train_size": 60, "batch_size": 25, "learning_rate": 0.02,
                         **settings})  # fmt: skip
    return Workbench(Assignment(reglab.load("digits"), build, chosen, {text: Recipe.parse(text) for text in recipes}))


def _train(bench, ride, **options):
    return bench.train(ride, on_epoch=lambda *a: None, **{"on_checkpoint": lambda c: None, **options})


def _equal(one, other):
    assert one.status == other.status
    np.testing.assert_equal(one.history, other.history)  # where it diverged, not a number is equal to itself
    assert {k: v for k, v in one.metrics.items() if k != "seconds"} == {
        k: v for k, v in other.metrics.items() if k != "seconds"
    }
    for a, b in zip(one.weights or [], other.weights or [], strict=True):
        assert np.array_equal(a, b)
    assert (one.test is None) == (other.test is None)
    assert one.test is None or np.array_equal(one.test.predicted, other.test.predicted)


RIDERS = ["none", "early_stopping(patience=2)", "early_stopping(monitor=val_loss, patience=1)", "ema(momentum=0.8)",
          "swa(start=0.2)"]  # fmt: skip
RANDOM = ["sam + dropout(rate=0.3) + augmentation(rotation_range=10) + gaussian_noise + l2(kernel=linear(0, 1e-2, 5))"]
DRAWN = ["dropout(rate=0.3) + augmentation(rotation_range=10) + gaussian_noise"]


def _slow(*given):
    return pytest.param(*given, marks=pytest.mark.slow)


@pytest.mark.backend
@pytest.mark.parametrize(
    ("recipes", "settings"),
    [
        _slow(RANDOM, {"optimizer": "adamax"}),
        (RIDERS, {"optimizer": "nadam"}) if TENSORFLOW else _slow(RIDERS, {"optimizer": "nadam"}),
        (DIVERGING, {"optimizer": "sgd", "learning_rate": 1.0}),
        _slow(["none", "early_stopping(patience=2)", "early_stopping(monitor=val_loss, patience=1)"], {}),
        _slow(["none", "ema(momentum=0.8)"], {"optimizer": "nadam"}),
        _slow(DRAWN, {"optimizer": "adamax"}) if TENSORFLOW else (DRAWN, {"optimizer": "adamax"}),
        _slow(["sam + weight_decay + label_smoothing"], {"optimizer": "sgd"}),
        _slow(["mixup + l2(kernel=linear(0, 1e-2, 5))"], {}),
        _slow(["adversarial(epsilon=0.1) + weight_noise"], {"precision": "mixed_float16"}),
        _slow(["r_drop + dropout(rate=0.3) + l2_sp + max_norm(norm=0.5)"], {}),
        _slow(["spectral_normalization(norm=3) + sam + weight_noise"], {}),
        _slow(["cutmix + asam + gradient_centralization + l2_sp(coefficient=1)"], {"optimizer": "sgd"}),
    ],
    ids=["random in two passes", "riders", "diverging", "early stopping", "average", "random", "two passes", "schedule",
         "half precision", "terms and bounds", "bound weights", "gradients"],
)  # fmt: skip
def test_going_on_equals_never_having_stopped_and_keeping_checkpoints_changes_nothing(tmp_path, recipes, settings):
    bench = _bench(recipes, **settings)
    (ride,) = bench.plan().missing(())
    kept: list[Checkpoint] = []
    whole = _train(bench, ride, checkpoint_every=2, on_checkpoint=kept.append)
    assert (whole[0].status == "diverged") == (recipes is DIVERGING)
    if recipes is not DIVERGING:
        assert [checkpoint.epoch for checkpoint in kept] == [2, 4]
    for one, other in zip(_train(bench, ride), whole, strict=True):
        _equal(one, other)
    later = _bench(recipes, **settings)  # as in another process
    for checkpoint in kept:
        with Store(tmp_path) as store:  # by way of the disk
            store.checkpoints.write(ride.key, checkpoint)
            found = store.checkpoints.read(ride.key)
        assert found.fits(ride)
        for resumed, uninterrupted in zip(_train(later, ride, start=found), whole, strict=True):
            _equal(resumed, uninterrupted)


def test_a_checkpoint_fits_the_training_it_is_of_and_runs_that_were_in_it():
    runs = [Run(text, text, Recipe.parse(text), 0) for text in ("none", "early_stopping", "l2", "ema")]
    ride = Ride(Recipe(), tuple(runs[:1]))
    of = Checkpoint(ride.recipe.fingerprint(), 0, 2, [], {"none": None, "early_stopping": None})  # type: ignore[dict-item]
    assert of.fits(ride)
    assert of.fits(Ride(Recipe(), tuple(runs[:2])))
    assert not of.fits(Ride(Recipe.parse("l2"), (runs[2],)))
    assert not of.fits(Ride(Recipe.parse("ema"), (runs[3],)))
    assert not of.fits(Ride(Recipe.parse("ema"), tuple(runs[:1])))
    assert not of.fits(Ride(Recipe(), (Run("none", "none", Recipe(), 1),)))
    assert Plan({"none": (runs[0],)}, {}, {}, SingleLabel(classes=("a", "b"))).missing(()) == [ride]


def test_a_checkpoint_taken_apart_and_put_together_is_the_same():
    best = [np.arange(3.0), np.eye(2)]
    track = TrackState({"loss": [1.0, np.nan]}, best_epoch=1, best_weights=best, done=False, diverged="", seconds=2.5,
                       observers=[{"wait": 1, "best": np.inf}, {"count": 2, "mean": np.ones(3)}])  # fmt: skip
    whole = Checkpoint("of l2", 4, 2, [np.ones((2, 3)), np.array(7)], {"a": track, "b": replace(track, done=True)})
    again = Checkpoint.of(*whole.parts())
    np.testing.assert_equal(asdict(again), asdict(whole))


@pytest.mark.parametrize("way", ["played", _slow("trained")])
def test_an_interrupted_study_goes_on_from_its_checkpoint(tmp_path, way):
    """Ctrl-C in the middle of a training: the next start begins with the epoch after the checkpoint."""
    from reglab.study.progress import Progress

    class Watch(Progress):
        def __init__(self, stop_after):
            self.stop_after, self.epochs = stop_after, []

        def epoch(self, job, epoch, metrics):
            self.epochs.append(epoch)
            if len(self.epochs) == self.stop_after:
                raise KeyboardInterrupt

    def study(folder):
        return reglab.Study("digits", "mlp(units=8)", [], out=tmp_path / folder, seeds=1, epochs=10, train_size=60)

    first, second = Watch(5), Watch(None)
    with played.stage() if way == "played" else contextlib.nullcontext():
        whole = study("whole").run(workers=0)
        with pytest.raises(KeyboardInterrupt):
            study("study").run(first, workers=0, checkpoint_every=2)
        assert len(list((tmp_path / "study" / "checkpoints").iterdir())) == 1
        resumed = study("study").run(second, workers=0)
    assert (first.epochs, second.epochs) == ([0, 1, 2, 3, 4], [4, 5, 6, 7, 8, 9])
    for metric in ("accuracy", "cross_entropy", "best_epoch", "epochs"):
        assert resumed.comparison.row("none").values[metric] == whole.comparison.row("none").values[metric]
    assert list((tmp_path / "study" / "checkpoints").iterdir()) == []
