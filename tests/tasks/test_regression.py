"""Regression: metrics are scikit-learn's, and numbers to predict go through a study and its report."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

import reglab
from reglab.data import load
from reglab.errors import ReglabError
from reglab.tasks import Head, Regression, of_values
from reglab.tasks.hold_out import by_quantile


def pair(targets, *, seed=0, count=80):
    random = np.random.default_rng(seed)
    y = random.normal(100, 20, (count, targets))
    return y, y + random.normal(0, 8, y.shape)


@pytest.mark.parametrize("targets", [1, 3])
def test_metrics_are_scikit_learns_and_scipys(targets):
    y, p = pair(targets)
    found = Regression(targets=tuple("abc"[:targets])).scores(y, p)
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(y, p))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(y, p))
    assert found["medae"] == pytest.approx(sk.median_absolute_error(y, p))
    assert found["r2"] == pytest.approx(sk.r2_score(y, p))
    expected = [stats.spearmanr(y[:, i], p[:, i]).statistic for i in range(targets)]
    assert found["spearman"] == pytest.approx(np.mean(expected))


def test_a_worked_example():
    y, p = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0])
    found = of_values(("a",)).scores(y, p)
    assert found["rmse"] == pytest.approx(3**0.5)
    assert found["mae"] == pytest.approx(1.0)
    assert found["medae"] == 0
    assert found["r2"] == pytest.approx(1 - 9 / 2)
    assert found["spearman"] == pytest.approx(1.0)


def test_a_constant_prediction_ranks_nothing():
    y, _ = pair(1)
    assert of_values(("a",)).metric("spearman")(y, np.full_like(y, 5.0)) == 0


def test_the_spread_of_scores_of_the_rmse_is_that_over_samples():
    """Over samples of examples the RMSE varies by the standard error of its scores."""
    random = np.random.default_rng(1)
    metric = of_values(("a",)).decides
    samples = random.normal(0, 3, (2000, 100))
    found = np.array([metric(np.zeros(100), errors) for errors in samples])
    errors = [metric.per_example(np.zeros(100), sample).std(ddof=1) / 10 for sample in samples[:300]]
    assert np.mean(errors) == pytest.approx(found.std(), rel=0.05)


def test_lower_is_better_and_a_gap_is_validation_minus_training():
    task = of_values(("a",))
    assert task.decides.better == "lower"
    assert task.gaps({"train_rmse": 1.0, "val_rmse": 3.0, "train_r2": 0.9, "val_r2": 0.5}) == {"gap": 2.0}


@settings(max_examples=40)
@given(st.integers(3, 200), st.floats(0.1, 0.6), st.integers(0, 99))
def test_what_is_held_out_is_from_all_over_the_range(count, share, seed):
    y = np.random.default_rng(seed).exponential(size=count)
    kept, held = by_quantile(y, share, seed=seed)
    assert sorted([*kept, *held]) == list(range(count))
    assert len(held)
    if len(held) >= 20:
        low = np.sort(y)[: count // 2]
        assert abs(np.isin(y[held], low).mean() - 0.5) <= 0.1


def test_outputs_are_checked():
    task = of_values(("a", "b"))
    task.check_shape((2,))
    with pytest.raises(ReglabError, match=r"\(batch, 3\); the data has 2 numbers .* expected is \(batch, 2\)"):
        task.check_shape((3,))
    with pytest.raises(ReglabError, match="softmax, whose outputs sum to 1"):
        task.check_head(Head("softmax", 2))
    assert task.predictions(np.ones((5, 2)), Head("linear", 2)).shape == (5, 2)
    assert of_values(("a",)).predictions(np.ones((5, 1)), Head("linear", 1)).shape == (5,)


# --- data ------------------------------------------------------------------------------------------------------------


def test_numbers_with_fractions_are_to_be_predicted_and_whole_ones_if_that_is_said(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40.0)
    found = load((x, y + 0.5))
    assert (found.targets, found.class_names, found.y.dtype) == (("target",), (), "float32")
    assert "to predict: target 0.5 to 39.5" in found.facts[0]
    with pytest.raises(ReglabError, match=r"appears once.*task='regression'"):
        load((x, y))
    assert load((x, y), form="numbers").targets == ("target",)
    assert load((x, np.stack([y, y], axis=1)), form="numbers").targets == ("target 1", "target 2")
    with pytest.raises(ReglabError, match=r"not classes.*task='regression'"):
        load((x, y + 0.5), form="classes")
    with pytest.raises(ReglabError, match="'a' is no number"):
        load((x, ["a", "b"] * 20), form="numbers")
    with pytest.raises(ReglabError, match="the labels are classes"):
        load("iris", form="numbers")
    table = tmp_path / "houses.csv"
    table.write_text("rooms,price\n" + "\n".join(f"{i % 7},{100 + 3.5 * i}" for i in range(40)))
    assert load(table, target="price").targets == ("price",)


def test_labels_that_are_all_the_same_or_missing_are_refused():
    x = np.random.default_rng(0).normal(size=(40, 3))
    with pytest.raises(ReglabError, match=r"is 1.5 in all examples"):
        load((x, np.full(40, 1.5)))
    gone = np.arange(40) + 0.5
    gone[3] = np.nan
    with pytest.raises(ReglabError, match="row 3 is nan"):
        load((x, gone), form="numbers")


# --- a study ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regression") / "study"
    recipes = {"none": "none", "strong": "l2(kernel=10.0)", "mixup": "mixup(alpha=0.2)"}
    study = reglab.Study(
        "diabetes", "mlp(units=16)", recipes, seeds=5, epochs=8, learning_rate=0.01, margin=1.0, out=folder
    )
    return study.run(workers=0)


@pytest.mark.slow
def test_rmse_decides_and_lower_is_better(results):
    comparison = results.comparison
    assert results.metric.name == "rmse"
    assert "regression by RMSE" in results.headline
    strong = comparison.row("strong")
    assert strong.mean("rmse") > comparison.row("none").mean("rmse") + 5
    assert strong.verdict.word == "worse"
    assert strong.verdict.paired.mean > 0
    assert comparison.choice.best != "strong"
    for run in results.runs["none"].values():
        best = int(run.metrics["best_epoch"]) - 1
        assert run.history["val_rmse"][best] == min(run.history["val_rmse"])
        assert run.metrics["gap"] == pytest.approx(run.metrics["val_rmse"] - run.metrics["train_rmse"])
        assert run.metrics["rmse"] < 77, "better than the mean"


@pytest.mark.slow
def test_predictions_are_in_the_units_of_the_target(results):
    test = results.predictions("none")
    data = load("diabetes")
    assert test.predicted.shape == (5, len(test.labels))
    assert set(test.labels) <= set(data.y)
    assert 25 < test.predicted.mean() < 346
    run = results.runs["none"][0]
    assert run.metrics["rmse"] == pytest.approx(sk.root_mean_squared_error(test.labels, test.predicted[0]), rel=1e-5)
    assert run.scores.mean() == pytest.approx(run.metrics["rmse"])
    assert run.right is None
    assert not run.details


@pytest.mark.slow
def test_the_table_and_the_report_speak_of_rmse_and_not_of_accuracy(results):
    text = str(results)
    assert "RMSE" in text.splitlines()[2 + len(results.notes)]
    assert "difference in RMSE" in text
    assert "validation minus train" in text
    written = {path.suffix: path.read_text("utf-8") for path in results.report()}
    for name in (".md", ".tex"):
        assert "RMSE" in written[name]
    for word in ("accuracy", "cross-entropy", "classes", "softmax"):
        assert word not in written[".md"].lower(), word
        assert word not in text.lower(), word
    held = json.loads((results.folder / "results.json").read_text())
    assert held["task"] == {"kind": "regression", "targets": ["progression"], "deciding": "rmse"}


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (
            lambda results: reglab.Study("diabetes", "mlp", ["label_smoothing"], seeds=1).run(workers=0),
            "label_smoothing spreads labels over classes; the loss .* is of numbers to predict",
        ),
        (lambda results: reglab.Study("diabetes", "mlp", metric="accuracy").run(workers=0), "Give one of rmse, mae"),
    ],
)
@pytest.mark.slow
def test_what_does_not_know_regression_says_so(results, verb, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReglabError, match=said):
        verb(results)
