"""Callbacks and weights of examples that a study is given, in every run alike."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from test_study_training import DATA, assert_same, bench, build, by_keras, run_of, study, trained

from reglab.errors import ReglabError
from reglab.study.storage.store import Store
from reglab.study.workbench import Workbench

C = keras.callbacks
FALLING = "learning_rate(rate=linear(0.1, 0.01, 3))"


class Rate(C.Callback):
    """Halves the rate when validation gets no better, and remembers what it saw."""

    def __init__(self):
        super().__init__()
        self.best, self.seen, self.table = -np.inf, [], {"rates": np.zeros(2)}

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((epoch, logs["val_accuracy"]))
        if logs["val_accuracy"] <= self.best:
            self.model.optimizer.learning_rate = float(self.model.optimizer.learning_rate) / 2
            self.table["rates"] = self.table["rates"] + 1
        self.best = max(self.best, logs["val_accuracy"])


class Stops(C.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 1


class Locked(C.Callback):
    def __init__(self):
        super().__init__()
        self.lock = iter(())

    def __deepcopy__(self, memo):
        raise TypeError("cannot be copied")


class Holding(C.Callback):
    def __init__(self):
        super().__init__()
        self.thing = object()


class Swapping(C.Callback):
    def on_train_end(self, logs=None):
        self.model.network.set_weights([weight * 0 for weight in self.model.network.get_weights()])


def train(found, ride, **options):
    kept = []
    given = {"on_epoch": lambda *a: None, "on_checkpoint": kept.append, **options}
    return found.train(ride, **given), kept


@pytest.mark.backend
@pytest.mark.slow
def test_examples_count_in_the_loss_as_in_keras():
    weights = np.random.default_rng(0).uniform(0.1, 3, len(DATA.x)).astype("float32")
    found = bench(sample_weight=weights)
    ours, epochs = trained(found)
    keras.utils.clear_session(free_memory=False)
    alone = build()
    alone.compile("adam", "sparse_categorical_crossentropy")
    assert_same(ours, by_keras(found, epochs, alone, weights=weights))


@pytest.mark.backend
@pytest.mark.slow
def test_a_training_with_callbacks_goes_on_from_a_checkpoint_to_the_last_bit_and_each_has_its_own(tmp_path):
    given = Rate()
    found = bench(callbacks=[given, C.ReduceLROnPlateau(monitor="val_loss", patience=0)], epochs=6, learning_rate=0.3)
    (ride,) = found.plan().missing(())
    whole, kept = train(found, ride, checkpoint_every=2)
    assert [each.epoch for each in kept] == [2, 4]
    assert len(kept[1].callbacks[0]["seen"]) == 4
    again, _ = train(found, ride)
    assert again[0].history == whole[0].history
    assert not given.seen, "the study's runs have copies"
    rates = {each.callbacks[0]["table"]["rates"][0] for each in kept}
    assert max(rates) > 0, "the callback did something"
    for checkpoint in kept:
        with Store(tmp_path) as store:
            store.checkpoints.write(ride.key, checkpoint)
            back = store.checkpoints.read(ride.key)
        assert back.callbacks[0]["seen"] == checkpoint.callbacks[0]["seen"]
        resumed, _ = train(bench(callbacks=[Rate(), C.ReduceLROnPlateau(monitor="val_loss", patience=0)], epochs=6,
                                 learning_rate=0.3), ride, start=back)  # fmt: skip
        assert resumed[0].history == whole[0].history
        assert all(map(np.array_equal, resumed[0].weights, whole[0].weights))


@pytest.mark.slow
def test_a_callback_that_stops_ends_the_run_of_every_recipe():
    found = bench(callbacks=[Stops], recipes=["early_stopping(patience=9)", "l2"], epochs=5)
    rides = found.plan().missing(())
    records = [record for ride in rides for record in train(found, ride, checkpoint_every=1, until=4)[0]]
    assert [record.metrics["epochs"] for record in records] == [2.0] * 3


def test_callbacks_and_weights_are_part_of_what_a_run_is():
    ones = np.ones(len(DATA.x))
    cases = [{}, {"callbacks": [Stops]}, {"callbacks": [C.EarlyStopping("val_loss", patience=1)]},
             {"callbacks": [C.EarlyStopping("val_loss", patience=2)]}, {"sample_weight": ones},
             {"sample_weight": ones * 2}]  # fmt: skip
    assert len({run_of(study(**case)) for case in cases}) == len(cases)
    assert run_of(study(callbacks=[C.EarlyStopping("val_loss")])) == run_of(
        study(callbacks=C.EarlyStopping("val_loss"))
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"callbacks": [3]}, "expected keras.callbacks.Callback"),
        ({"callbacks": [Locked()]}, "cannot be made anew for each run"),
        ({"callbacks": [C.CSVLogger("log.csv")]}, "would write every run to one path"),
        ({"callbacks": [lambda: 3]}, "made int"),
        ({"callbacks": [C.ReduceLROnPlateau()], "schedule": "cosine"}, "so does the schedule of the optimizer"),
        ({"callbacks": [C.ReduceLROnPlateau()], "recipes": [FALLING]}, "schedule of learning_rate in the recipe"),
        ({"sample_weight": np.ones(3)}, "has 3 weights; the data has 150 examples"),
        ({"sample_weight": [[1.0]]}, "one for each example"),
        ({"sample_weight": np.ones(150), "class_weight": "balanced"}, "Multiply them"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_any_training(settings, said):
    with pytest.raises(ReglabError, match=said):
        Workbench(study(**settings).assignment).plan()


@pytest.mark.parametrize(
    ("callback", "options", "said"),
    [(Holding, {"checkpoint_every": 1}, "remembers thing"), (Swapping, {}, "change when training ends")],
)
def test_what_would_not_be_seen_is_told_in_the_training(callback, options, said):
    found = bench(callbacks=[callback()])
    (ride,) = found.plan().missing(())
    with pytest.raises(ReglabError, match=said):
        train(found, ride, **options)
