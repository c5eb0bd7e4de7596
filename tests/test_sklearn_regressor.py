"""Numbers to predict in scikit-learn: its own estimator checks, its tools, and what a fit shares with a study's run."""

from __future__ import annotations

import pickle

import numpy as np
import pandas
import pytest
from estimators import checks_of
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import reglab
from reglab import ReglabError, RegularizedRegressor

SMALL = {"model": "mlp(units=16)", "learning_rate": 0.03, "random_state": 0, "epochs": 10}


def little(recipe, **settings):
    """A regressor that learns the checks' data in a few steps."""
    return RegularizedRegressor("mlp(units=16)", recipe, learning_rate=0.05, epochs=10, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "check"), checks_of(little("l2(kernel=1e-4)")))
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.backend
@pytest.mark.parametrize(("estimator", "check"), checks_of(little("ema(momentum=0.5)", validation=None)))
def test_scikit_learns_own_checks_with_averages_and_nothing_held_out(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True)


@pytest.fixture(scope="module")
def fitted(diabetes):
    """Two targets in units that are far apart."""
    x, y = diabetes
    both = np.stack([y, -1000 * y + 5e5], axis=1)
    return RegularizedRegressor(**SMALL, recipe="l2(kernel=1e-3)").fit(x, both), x, both


def test_each_of_several_targets_is_predicted_in_its_own_units(fitted):
    regressor, x, y = fitted
    found = regressor.predict(x)
    assert found.shape == y.shape
    assert found.dtype == "float64"
    assert regressor.score(x, y) > 0.3
    assert regressor.history_["val_r2"][regressor.best_epoch_ - 1] > 0.3
    assert np.corrcoef(found[:, 0], y[:, 0])[0, 1] > 0.6
    assert np.corrcoef(found[:, 0], found[:, 1])[0, 1] < -0.6


def test_the_exported_network_predicts_what_the_regressor_does_and_so_does_a_copy(fitted):
    regressor, x, _ = fitted
    found = regressor.predict(x)
    np.testing.assert_allclose(regressor.export().predict(x, verbose=0), found, rtol=1e-4)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(regressor)).predict(x), found, rtol=1e-5)


@pytest.mark.backend
@pytest.mark.slow
def test_a_fit_is_the_run_of_a_study(diabetes, tmp_path):
    x, y = (part.astype("float32") for part in diabetes)
    test = np.arange(len(x)) % 5 == 0
    study = reglab.Study(
        ((x[~test], y[~test]), (x[test], y[test])), "mlp(units=16)", ["dropout(rate=0.1)"],
        baseline="dropout(rate=0.1)",
        seeds=1, first_seed=3, epochs=4, task="regression", metric="mae", out=tmp_path / "study",
    )  # fmt: skip
    run = study.run(workers=0).runs["dropout(rate=0.1)"][3]
    regressor = RegularizedRegressor("mlp(units=16)", "dropout(rate=0.1)", epochs=4, metric="mae", random_state=3)
    regressor.fit(x[~test], y[~test])
    for name, values in run.history.items():
        np.testing.assert_allclose(regressor.history_[name], values, rtol=1e-4, err_msg=name)
    assert regressor.best_epoch_ == run.metrics["best_epoch"]
    assert np.abs(regressor.predict(x[test]) - y[test]).mean() == pytest.approx(run.metrics["mae"], rel=1e-4)


@pytest.mark.slow
def test_it_goes_into_pipelines_grids_and_cross_validation(diabetes):
    x, y = diabetes
    pipeline = make_pipeline(StandardScaler(), RegularizedRegressor(**SMALL, preprocess="none"))
    assert cross_val_score(pipeline, x, y, cv=2).mean() > 0.3
    grid = {"recipe": ["none", "l2(kernel=1000.0)"]}
    search = GridSearchCV(RegularizedRegressor(**SMALL), grid, cv=2).fit(x, y)
    assert search.best_params_["recipe"] == "none"


@pytest.mark.slow
def test_columns_of_a_frame_and_a_target_as_a_column(diabetes):
    x, y = diabetes
    frame = pandas.DataFrame(x[:80], columns=[f"x{i}" for i in range(10)])
    regressor = RegularizedRegressor(**{**SMALL, "epochs": 2}).fit(frame, pandas.DataFrame({"y": y[:80]}))
    assert list(regressor.feature_names_in_) == list(frame.columns)
    assert regressor.predict(frame).shape == (80, 1)
    with pytest.raises(ReglabError, match=r"shape \(10, 2\); RegularizedRegressor was fitted on \(10, 1\)"):
        clone(regressor).fit(x[:80, :, None], y[:80]).predict(np.stack([x[:80]] * 2, axis=-1))


@pytest.mark.slow
def test_a_weight_is_a_repetition_and_a_weight_of_zero_leaves_out(diabetes):
    x, y = diabetes[0][:100], diabetes[1][:100]
    weights = np.random.default_rng(0).integers(0, 4, len(y))
    regressor = RegularizedRegressor(**SMALL, batch_size=len(y) * 4, validation=None)
    weighted = clone(regressor).fit(x, y, sample_weight=weights)
    repeated = clone(regressor).fit(x.repeat(weights, axis=0), y.repeat(weights))
    np.testing.assert_allclose(weighted.predict(x), repeated.predict(x), rtol=1e-4)
    for name, values in weighted.history_.items():
        np.testing.assert_allclose(values, repeated.history_[name], rtol=1e-3, err_msg=name)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"metric": "accuracy"}, "metric='accuracy' cannot decide for regression"),
        ({"scale_targets": "log"}, "scale_targets"),
        ({"recipe": "label_smoothing"}, "label_smoothing spreads labels over classes"),
        ({"recipe": "early_stopping", "validation": None}, "holds nothing out"),
    ],
)
def test_what_cannot_work_is_told(diabetes, parameters, match):
    with pytest.raises(ReglabError, match=match):
        RegularizedRegressor(**{**SMALL, **parameters}).fit(*diabetes)
