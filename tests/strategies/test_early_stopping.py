"""Early stopping against Keras' own callback."""

import keras
import numpy as np
import pytest
from small import assert_equal, network, problem

import reglab
from reglab.strategies import EarlyStopping
from reglab.tasks import Regression

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
    with pytest.raises(reglab.ReglabError, match=r"early_stopping monitors 'val_metric'.*no validation data"):
        model.fit(*problem(), verbose=0)


@pytest.mark.parametrize("monitor", ["loss", "val_colour"])
def test_what_it_monitors_has_to_be_of_validation_and_of_a_known_direction(monitor):
    with pytest.raises(reglab.ReglabError, match=f"monitor='{monitor}' is nothing of validation that is known"):
        EarlyStopping(monitor=monitor)


def test_in_a_study_it_follows_what_decides_the_loss_or_a_metric_that_is_watched():
    task = Regression(targets=("a",), deciding="mae")
    found = {name: EarlyStopping(monitor=name).watched(task).name for name in ("val_metric", "val_loss", "val_r2")}
    assert found == {"val_metric": "mae", "val_loss": "rmse", "val_r2": "r2"}
    with pytest.raises(reglab.ReglabError, match=r"'val_medae'; after each epoch val_metric, val_loss, val_mae.*known"):
        EarlyStopping(monitor="val_medae").watched(task)


def test_a_study_refuses_what_is_not_watched_before_anything_is_trained(tmp_path):
    study = reglab.Study("iris", "mlp(units=4)", ["early_stopping(monitor=val_rmse)"], seeds=1, out=tmp_path / "s")
    with pytest.raises(reglab.ReglabError, match="early_stopping monitors 'val_rmse'"):
        study.run(workers=0)
    assert not (tmp_path / "s").exists()
