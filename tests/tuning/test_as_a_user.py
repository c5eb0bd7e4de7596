"""From data to a recipe in use, as somebody goes: on a table, with every strategy that fits it."""

from __future__ import annotations

import numpy as np
import pytest

import reglab
from reglab.facade import Results
from reglab.recipe import Recipe
from reglab.tuning.budget import Budget
from reglab.tuning.confirm import every_strategy, tune

pytestmark = pytest.mark.slow


def test_a_cocktail_for_a_table_is_searched_confirmed_and_used(tmp_path):
    """The search of Kadra et al. 2021 (arXiv:2106.11189) in small: which strategies, and how strong."""
    import keras

    def make(**more):
        return reglab.Study("wine", "mlp(units=16)", **{"seeds": 5, "epochs": 15, "learning_rate": 0.01, **more})

    found = tune(make, Budget(trials=6), out=tmp_path / "wine", learning_rate=True, execution={"workers": 0})
    assert len(found.trials) == 6
    used = {strategy.name for trial in found.trials for strategy in trial.recipe}
    assert used <= {*every_strategy(reglab.load("wine")), "learning_rate"}
    assert all(any(s.name == "learning_rate" for s in trial.recipe) for trial in found.trials)
    assert max(len(trial.recipe) for trial in found.trials) > 3, "a cocktail"
    complete = [trial for trial in found.trials if trial.state == "complete"]
    assert complete[0].value > 0.85, "wine is easy: the best of six learns it"
    assert list(found.names.values()) == complete[: len(found.names)]
    verdicts = [row.verdict for row in found.results.comparison.rows if row.verdict]
    assert len(verdicts) == len(found.names) == 3
    assert all(verdict.word != "screening" for verdict in verdicts), "five seeds get verdicts"
    candidates = found.results.comparison.choice.candidates
    assert found.recipe in [Recipe(), *(found.names[name].recipe for name in candidates if name in found.names)]

    best = Results.load(tmp_path / "wine" / "confirmation").best()
    assert best.recipe == found.recipe
    layers = [keras.Input((13,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax")]
    model = best.regularize(keras.Sequential(layers))
    assert model.recipe == found.recipe
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    data = reglab.load("wine")
    x = ((data.x - data.x.mean(0)) / data.x.std(0)).astype("float32")
    model.fit(x, data.y, validation_data=(x, data.y), epochs=60, verbose=0)
    plain = model.export_network()
    acting = [type(layer) for layer in plain.layers if not isinstance(layer, keras.layers.InputLayer)]
    assert acting == [keras.layers.Dense, keras.layers.Dense], "nothing of reglab is left in it"
    assert np.mean(plain.predict(x, verbose=0).argmax(axis=1) == data.y) > 0.8, "what it has learned goes with it"
