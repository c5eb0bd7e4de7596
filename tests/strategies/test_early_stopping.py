"""Early stopping against Keras' own callback."""

import keras
import numpy as np
import pytest
from small import assert_equal, network, problem

import reglab
from reglab.strategies import EarlyStopping

pytestmark = pytest.mark.backend


@pytest.mark.slow
def test_early_stopping_stops_where_keras_callback_does_and_restores_the_best_weights():
    x, y = problem()
    validation = (np.roll(x, 1, axis=0), y)  # labels that mean nothing: validation gets worse
    source = network()
    oracle = keras.models.clone_model(source)
    oracle.set_weights(source.get_weights())
    callback = keras.callbacks.EarlyStopping("val_loss", patience=2, min_delta=1e-3, restore_best_weights=True)
    results = {}
    for name, model, callbacks in (
        ("keras", oracle, [callback]),
        ("reglab", reglab.regularize(source, EarlyStopping(monitor="val_loss", patience=2, min_delta=1e-3)), []),
    ):
        model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(
            x, y, batch_size=32, epochs=30, shuffle=False, verbose=0, validation_data=validation, callbacks=callbacks
        )
        results[name] = len(history.history["loss"]), getattr(model, "network", model).get_weights()
    assert results["keras"][0] == results["reglab"][0] < 30
    assert_equal(results["reglab"][1], results["keras"][1])


def test_early_stopping_without_validation_data_says_so():
    model = reglab.regularize(network(), EarlyStopping())
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    with pytest.raises(reglab.ReglabError, match=r"early_stopping monitors 'val_accuracy'.*no validation data"):
        model.fit(*problem(), verbose=0)
