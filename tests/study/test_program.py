"""A compiled program: what it takes from the data and the seed of each training, and what it predicts."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import reglab
from reglab.data.preprocess import Preprocess
from reglab.recipe import Recipe
from reglab.regularized.model import RegularizedModel
from reglab.study.plan import Ride, Run
from reglab.study.run import Program, SeedData
from reglab.study.track import Track
from reglab.tasks import Binary, Head

FEATURES = 5
ATTACKED = Recipe.parse("adversarial(epsilon=0.1, unit=pixel)")  # has to know the range of the training part


@pytest.fixture(scope="module")
def program():
    """A program of softmax regression."""
    network = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(2, activation="softmax")])
    model = reglab.regularize(network, ATTACKED, seed=7)
    task, head = Binary(classes=("no", "yes")), Head("softmax", 2)
    model.compile(keras.optimizers.SGD(0.5), task.loss(head), run_eagerly=True)
    return Program(model, task, head, (FEATURES,))


def _data(seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(40, FEATURES)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    train, held_out = np.arange(5, 25), slice(25, 40)
    preprocess = Preprocess.fit(x[train])
    return SeedData(
        seed=seed, x=x, y=y, train=train, preprocess=preprocess, clean=(preprocess(x[train]), y[train]),
        validation=(preprocess(x[held_out]), y[held_out]), test=None,
        initial_weights=[random.normal(size=(FEATURES, 2)), np.zeros(2)],
    )  # fmt: skip


def test_every_example_is_predicted_once_however_many_there_are(program):
    for count in (1, 40, 513):  # 512 go into a step, and the last one is filled up
        x = np.random.default_rng(0).normal(size=(count, FEATURES)).astype("float32")
        expected = keras.ops.convert_to_numpy(program.model.network(x))
        np.testing.assert_allclose(program.predict(x), expected, atol=1e-6)


def test_what_a_recipe_has_to_know_of_the_data_it_learns_from_the_training_part(program, monkeypatch):
    seen, data = [], _data(0)
    monkeypatch.setattr(RegularizedModel, "adapt", lambda self, x, **limits: seen.append(x))
    program.restore(ATTACKED, data, data.initial_weights)
    (x,) = seen
    np.testing.assert_array_equal(x, data.preprocess(data.x[data.train]))


def test_random_draws_begin_anew_with_the_seed_of_each_training(program):
    found = []
    for seed in (0, 1, 0):
        data = _data(seed)
        program.restore(ATTACKED, data, data.initial_weights)
        found.append(program.model.seed)
        assert found[-1] == data.stream("training")
    assert found[0] == found[2] != found[1]


def test_a_run_predicts_with_the_weights_of_its_best_epoch(program, monkeypatch):
    monkeypatch.setattr(Track, "_improves", lambda self, values: self.best_epoch < 0)  # the first one is the best
    data, after = _data(0), []
    ride = Ride(ATTACKED, (Run("a" * 20, "attacked", ATTACKED, 0),))
    (record,) = program.train(
        ride, data, epochs=3, batch_size=10,
        on_epoch=lambda epoch, values: after.append(program.predict(data.validation[0])),
    )  # fmt: skip
    np.testing.assert_array_equal(record.validation.predicted, after[0])
    assert np.abs(after[0] - after[-1]).max() > 1e-3
