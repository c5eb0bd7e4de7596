"""From data to a recipe in use, as somebody goes: on a table, with every strategy that fits it."""

from __future__ import annotations

import keras
import numpy as np

import reglab
from reglab.recipe import Recipe
from reglab.results import Results
from reglab.tuning.confirm import tune
from reglab.tuning.search import Budget


def test_a_cocktail_for_a_table_is_searched_confirmed_and_used(tmp_path):
    """The search of Kadra et al. 2021 (arXiv:2106.11189) in small: which strategies, and how strong."""

    def make(**more):
        return reglab.Study("wine", "mlp(units=16)", **{"seeds": 5, "epochs": 15, "learning_rate": 0.01, **more})

    found = tune(make, Budget(trials=6), out=tmp_path / "wine", learning_rate=True, ways={"workers": 0})
    assert all(any(s.name == "learning_rate" for s in trial.recipe) for trial in found.trials)
    assert max(len(trial.recipe) for trial in found.trials) > 3, "a cocktail"
    words = {row.verdict.word for row in found.results.comparison.rows if row.verdict}
    assert words <= {"better", "worse", "cannot tell"}, "five seeds get verdicts"

    best = Results.load(tmp_path / "wine" / "confirmation").best()
    assert best.recipe == found.recipe
    model = best.regularize(keras.Sequential([keras.Input((13,)), keras.layers.Dense(8, "relu"),
                                              keras.layers.Dense(3, "softmax")]))  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    data = reglab.load("wine")
    x = ((data.x - data.x.mean(0)) / data.x.std(0)).astype("float32")
    model.fit(x, data.y, validation_data=(x, data.y), epochs=2, verbose=0)
    plain = model.export_network()
    np.testing.assert_allclose(plain.predict(x, verbose=0).sum(axis=1), 1.0, atol=1e-5)
    assert isinstance(best.recipe, Recipe)
