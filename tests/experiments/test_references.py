"""Reference lines of tables: scikit-learn's models on the splits of the study, and nothing of other data."""

from __future__ import annotations

import numpy as np
import played
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

import reglab
from reglab import data as reading
from reglab.experiments.references import load, references
from reglab.report import words


def parts_of(study, seed):
    data, task = study.dataset, study.task
    found = reading.split(data, task, test=reading.test_part(data, task), seed=seed)
    train, test = np.sort(found.train), np.sort(found.test)
    prepared = reading.Preprocess.fit(data.x[train], "standardize")
    return prepared(data.x[train]), data.y[train], prepared(data.x[test]), data.y[test]


@pytest.fixture
def iris(tmp_path):
    study = reglab.Study("iris", "mlp(units=4)", ["l2"], seeds=2, epochs=1, out=tmp_path / "iris")
    with played.stage():
        study.run()
    return study


@pytest.mark.slow
def test_lines_are_scikit_learns_models_on_the_splits_of_the_study_and_are_kept(iris):
    asked = []
    found = references(iris, progress=lambda name, seed: asked.append((name, seed)))
    assert list(found) == ["the majority", "logistic regression", "gradient boosting"]
    for seed in (0, 1):
        x, y, new, truth = parts_of(iris, seed)
        assert found["the majority"][seed] == pytest.approx(1 / 3)
        right = LogisticRegression(max_iter=1000).fit(x, y).predict(new) == truth
        assert found["logistic regression"][seed] == pytest.approx(right.mean())
    assert len(asked) == 6
    assert references(iris, progress=lambda name, seed: asked.append((name, seed))) == load(iris.out) == found
    assert len(asked) == 6, "nothing is computed again"


@pytest.mark.slow
def test_the_report_says_them(iris):
    results = reglab.Results.load(iris.out)
    assert words.references(results) == ""
    found = references(iris)
    told = words.references(results)
    assert f"logistic regression {100 * np.mean(list(found['logistic regression'].values())):.2f} %" in told
    assert "splits of 2 seeds" in told


def test_of_numbers_they_are_the_mean_ridge_regression_and_boosting(tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 3)).astype("float32")
    y = (x @ [[1.0, 2.0], [0.0, 3.0], [1.0, 0.0]] + random.normal(size=(120, 2))).astype("float32")
    study = reglab.Study((x, y), "mlp(units=4)", ["none"], seeds=1, out=tmp_path / "s")
    study.out.mkdir()
    found = references(study)
    a, b, new, truth = parts_of(study, 0)
    errors = Ridge().fit(a, b).predict(new) - truth
    assert found["ridge regression"][0] == pytest.approx(np.sqrt(np.mean(errors**2, axis=0)).mean())
    assert found["ridge regression"][0] < found["gradient boosting"][0] < found["the mean"][0]


def test_images_and_sealed_studies_have_none(tmp_path):
    assert references(reglab.Study("digits", "mlp", ["none"], out=tmp_path / "a")) == {}
    assert references(reglab.Study("iris", "mlp", ["none"], sealed=True, out=tmp_path / "b")) == {}
    assert not list(tmp_path.rglob("references.json"))
