"""The scikit-learn face: its own estimator checks, its tools, and what a fit shares with a study's run."""

import copy
import os
import pickle
import random
import subprocess
import sys

import numpy as np
import pandas
import pytest
from estimators import checks_of
from scipy.sparse import csr_matrix, issparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

import reglab
from reglab import ReglabError, RegularizedClassifier
from reglab.strategies import L2

SMALL = {"model": "mlp(units=16)", "learning_rate": 0.03, "random_state": 0, "epochs": 10}
IMAGES = {"model": "inception(filters=(4, 8, 4), pooled=true)", "learning_rate": 0.01, "random_state": 0, "epochs": 4}


def little(recipe, **settings):
    """A classifier that learns the checks' data in a few steps."""
    return RegularizedClassifier("mlp(units=16)", recipe, learning_rate=0.05, epochs=5, **settings)


@pytest.mark.parametrize(("estimator", "check"), checks_of(little("l2(kernel=1e-4)")))
@pytest.mark.slow
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.backend
@pytest.mark.parametrize(
    ("estimator", "check"), checks_of(little("ema(momentum=0.5) + dropout(rate=0.05)", validation=None))
)
def test_scikit_learns_own_checks_with_averages_and_nothing_held_out(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "check"), checks_of(little("mixup(alpha=0.2) + early_stopping(patience=20)")))
def test_scikit_learns_own_checks_with_soft_targets(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return x, np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(n_class=3, return_X_y=True)
    return x.reshape(-1, 8, 8, 1)[:300], y[:300]


# --- in scikit-learn's tools ---------------------------------------------------------------------------------------


@pytest.mark.backend
@pytest.mark.slow
def test_cross_validation(iris):
    scores = cross_val_score(RegularizedClassifier(**SMALL), *iris, cv=2)
    assert scores.shape == (2,)
    assert scores.mean() > 0.8


@pytest.mark.parametrize(
    "grid",
    [
        {"recipe": [L2(kernel=10.0), "dropout(rate=0.1)"]},
        pytest.param(
            {
                "recipe": [
                    "none",
                    "l2(kernel=1e-3) + dropout(rate=0.1)",
                    reglab.Recipe(L2(kernel=10.0)),
                ],
                "model": ["mlp(units=8)", "mlp(units=16)"],
            },
            marks=pytest.mark.slow,
        ),
    ],
    ids=["recipes", "recipes and models"],
)
@pytest.mark.slow
def test_a_grid(iris, grid):
    search = GridSearchCV(RegularizedClassifier(**SMALL), grid, cv=2).fit(*iris)
    results = search.cv_results_
    scores = dict(zip([str(p) for p in results["params"]], results["mean_test_score"], strict=True))
    assert len(scores) == np.prod([len(values) for values in grid.values()])
    assert search.best_score_ > 0.8
    far_too_strong = [score for parameters, score in scores.items() if "10.0" in parameters]
    assert len(far_too_strong) == len(scores) // len(grid["recipe"])
    assert max(far_too_strong) < search.best_score_
    assert search.score(*iris) > 0.8


def test_a_parameter_of_a_grid_that_cannot_work_is_told(iris):
    search = GridSearchCV(RegularizedClassifier(**SMALL), {"recipe": ["l3(kernel=1)"]}, cv=2, error_score="raise")
    with pytest.raises(ReglabError, match="Unknown strategy 'l3'"):
        search.fit(*iris)


@pytest.mark.slow
def test_a_grid_in_two_processes_is_the_grid_in_one(iris):
    folds = StratifiedKFold(2)
    one, two = (
        GridSearchCV(
            RegularizedClassifier(**{**SMALL, "epochs": 3}), {"recipe": ["none", "mixup"]}, cv=folds, n_jobs=jobs
        ).fit(*iris).cv_results_["mean_test_score"]
        for jobs in (1, 2)
    )  # fmt: skip
    np.testing.assert_allclose(one, two, atol=0.02)  # workers have other numbers of threads


@pytest.mark.slow
def test_a_pipeline(iris):
    pipeline = make_pipeline(StandardScaler(), RegularizedClassifier(**SMALL, preprocess="none"))
    assert pipeline.fit(*iris).score(*iris) > 0.8
    pipeline.set_params(regularizedclassifier__recipe="dropout(rate=0.2)", regularizedclassifier__epochs=2)
    assert pipeline.fit(*iris)[-1].n_iter_ == 2


def test_data_frames_and_their_columns(iris):
    frame = pandas.DataFrame(iris[0], columns=["sepal length", "sepal width", "petal length", "petal width"])
    labels = pandas.Series(iris[1], name="species")
    classifier = RegularizedClassifier(**SMALL).fit(frame, labels)
    assert list(classifier.feature_names_in_) == list(frame.columns)
    assert set(classifier.predict(frame)) == set(iris[1])
    with pytest.raises(ValueError, match="feature names should match"):
        classifier.predict(frame[frame.columns[::-1]])


@pytest.mark.backend
@pytest.mark.slow_on("jax", "torch")
@pytest.mark.slow
def test_images(digits):
    x, y = digits
    classifier = RegularizedClassifier(**IMAGES, recipe="augmentation(width_shift_range=0.1)").fit(x, y)
    assert classifier.input_shape_ == (8, 8, 1)
    assert classifier.predict_proba(x).shape == (300, 3)
    assert classifier.score(x, y) > 0.6
    with pytest.raises(ReglabError, match=r"shape \(8, 7, 1\); RegularizedClassifier was fitted on \(8, 8, 1\)"):
        classifier.predict(x[:, :, :7])


# --- several labels per example -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sets():
    """Label sets, of which some are empty; the last label no example has, the one before all have."""
    x, y = make_multilabel_classification(120, n_features=8, n_classes=3, n_labels=1, random_state=0)
    assert (y.sum(axis=1) == 0).any()
    return x, np.c_[y, np.ones(len(y), int), np.zeros(len(y), int)]


@pytest.fixture(scope="module")
def tagger(sets):
    return RegularizedClassifier(**SMALL, recipe="mixup").fit(*sets)


@pytest.mark.backend
@pytest.mark.slow
def test_label_sets_are_what_scikit_learns_perceptron_makes_of_them(sets, tagger):
    x, y = sets
    oracle = MLPClassifier((16,), learning_rate_init=0.03, max_iter=1000, random_state=0).fit(x, y)
    given, probabilities = tagger.predict(x), tagger.predict_proba(x)
    for found, expected in (
        (given, oracle.predict(x)), (probabilities, oracle.predict_proba(x)), (tagger.classes_, oracle.classes_)
    ):  # fmt: skip
        assert found.shape == expected.shape
        assert found.dtype.kind == expected.dtype.kind
    np.testing.assert_array_equal(given, probabilities >= 0.5)
    assert tagger.score(x, y) == pytest.approx((given == y).all(axis=1).mean())
    assert f1_score(y[:, :3], given[:, :3], average="micro") > 0.7
    assert (given[:, 3:] == [1, 0]).mean() > 0.95
    assert list(tagger.history_) == ["loss", "train_map", "train_log_loss", "val_map", "val_log_loss"]
    assert get_tags(tagger).classifier_tags.multi_label


@pytest.mark.slow
def test_sparse_label_sets_are_the_same_and_answered_sparse(sets, tagger):
    x, y = sets
    found = clone(tagger).fit(x, csr_matrix(y)).predict(x)
    assert issparse(found)
    np.testing.assert_array_equal(found.toarray(), tagger.predict(x))
    loaded = pickle.loads(pickle.dumps(tagger))
    np.testing.assert_array_equal(loaded.predict_proba(x), tagger.predict_proba(x))


@pytest.mark.slow
def test_a_grid_of_label_sets(sets):
    x, y = sets[0], sets[1][:, :3]
    grid = {"recipe": ["none", "l2(kernel=10.0)"]}
    scoring = {"f1": "f1_micro", "ap": "average_precision"}
    search = GridSearchCV(RegularizedClassifier(**SMALL), grid, cv=2, scoring=scoring, refit="ap").fit(x, y)
    assert search.best_params_ == {"recipe": "none"}
    assert search.cv_results_["mean_test_f1"].max() > 0.6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda y: 2 * y - 1, r"y of shape \(120, 5\) holds -1; several labels"),
        (lambda y: 0 * y, "is 0 everywhere: no example has a label"),
        (lambda y: y + np.arange(5), "several columns of classes, more than two in all"),
        (lambda y: np.eye(120, 2, dtype=int), "the 24 that are held out have no label with validation=0.2"),
    ],
)
def test_what_are_no_label_sets_is_told_before_training(sets, change, said):
    with pytest.raises(ReglabError, match=said):
        RegularizedClassifier(**SMALL).fit(sets[0], change(sets[1]))


# --- what a fit is -------------------------------------------------------------------------------------------------


@pytest.mark.backend
@pytest.mark.slow
def test_a_fit_is_the_run_of_a_study(iris, tmp_path):
    x, y = iris
    x, test = x.astype("float32"), np.arange(len(x)) % 5 == 0
    recipes = ["dropout(rate=0.1) + l2(kernel=0.001)", "ema(momentum=0.9)", "early_stopping(patience=1)"]
    study = reglab.Study(
        ((x[~test], y[~test]), (x[test], y[test])), "mlp(units=16)", recipes, seeds=1, first_seed=3, epochs=6,
        learning_rate=0.05, out=tmp_path / "study",
    )  # fmt: skip
    runs = study.run(workers=0).runs
    if os.environ["KERAS_BACKEND"] == "tensorflow":  # the start, and so the epoch, is another one elsewhere
        assert len(runs[reglab.Recipe.parse(recipes[-1]).to_text()][3].history["loss"]) < 6  # it does stop early
    for recipe in recipes:
        run = runs[reglab.Recipe.parse(recipe).to_text()][3]
        classifier = RegularizedClassifier("mlp(units=16)", recipe, epochs=6, learning_rate=0.05, random_state=3)
        classifier.fit(x[~test], y[~test])
        # As a rule they are equal to the last bit; on TensorFlow a busy machine was seen to round otherwise.
        for name, values in run.history.items():
            np.testing.assert_allclose(classifier.history_[name], values, rtol=1e-4, err_msg=f"{recipe}: {name}")
        assert classifier.best_epoch_ == run.metrics["best_epoch"]
        np.testing.assert_array_equal(classifier.predict(x[test]) == y[test], run.right, err_msg=recipe)


@pytest.mark.backend
@pytest.mark.slow
def test_one_seed_one_result_and_other_seeds_other_results(iris):
    x, y = iris
    make = RegularizedClassifier("mlp(units=16)", "dropout(rate=0.2) + gaussian_noise(stddev=0.1)", epochs=3)
    first = clone(make).set_params(random_state=7).fit(x, y).predict_proba(x)
    clone(make).fit(x, y)
    np.testing.assert_array_equal(clone(make).set_params(random_state=7).fit(x, y).predict_proba(x), first)
    drawn = clone(make).set_params(random_state=np.random.RandomState(1)).fit(x, y).predict_proba(x)
    assert np.abs(drawn - first).max() > 0
    assert np.abs(clone(make).set_params(random_state=8).fit(x, y).predict_proba(x) - first).max() > 0


@pytest.mark.backend
@pytest.mark.slow
def test_nothing_global_is_left_changed(iris):
    import keras

    def draws():
        torch = sys.modules.get("torch") if keras.backend.backend() == "torch" else None
        return [
            random.random(), np.random.rand(), float(keras.random.uniform(())),
            *([float(torch.rand(()))] if torch else []),
        ]  # fmt: skip

    keras.layers.Dense(2)
    keras.utils.set_random_seed(5)
    alone = [*draws(), *draws()]
    keras.utils.set_random_seed(5)
    before = draws()
    classifier = RegularizedClassifier(**{**SMALL, "epochs": 2}, recipe="dropout(rate=0.1)").fit(*iris)
    copy.deepcopy(classifier).predict(iris[0])
    classifier.export()
    assert [*before, *draws()] == alone
    assert keras.layers.Dense(2).name == "dense_1"


@pytest.mark.backend
@pytest.mark.slow_on("jax", "torch")
def test_the_last_epoch_is_kept_where_nothing_is_held_out(iris):
    x, y = iris
    settings = {**SMALL, "validation": None, "preprocess": "none", "epochs": 4}
    classifier = RegularizedClassifier(**settings, recipe="ema(momentum=0.5)").fit(x, y)
    assert classifier.best_epoch_ == classifier.n_iter_ == 4
    assert set(classifier.history_) == {"loss", "train_accuracy", "train_cross_entropy"}
    assert classifier.score(x, y) == pytest.approx(classifier.history_["train_accuracy"][-1])
    chosen = classifier.predict_proba(x)[np.arange(len(y)), np.searchsorted(classifier.classes_, y)]
    assert -np.log(chosen).mean() == pytest.approx(classifier.history_["train_cross_entropy"][-1], rel=1e-4)


@pytest.mark.backend
@pytest.mark.parametrize("recipe", [pytest.param("none", marks=pytest.mark.slow), "l2(kernel=1e-2)"])
@pytest.mark.slow_on("jax", "torch")
@pytest.mark.slow
def test_a_weight_is_a_repetition_and_a_weight_of_zero_leaves_out(iris, recipe):
    x, y = iris
    weights = np.random.default_rng(0).integers(0, 4, len(y))
    classifier = RegularizedClassifier(**SMALL, recipe=recipe, batch_size=len(y) * 4, validation=None)
    weighted = clone(classifier).fit(x, y, sample_weight=weights)
    repeated = clone(classifier).fit(x.repeat(weights, axis=0), y.repeat(weights))
    np.testing.assert_allclose(weighted.predict_proba(x), repeated.predict_proba(x), atol=1e-5)
    for name, values in weighted.history_.items():
        np.testing.assert_allclose(values, repeated.history_[name], rtol=1e-4, err_msg=name)
    tenfold = clone(classifier).fit(x, y, sample_weight=10.0 * weights)
    np.testing.assert_allclose(weighted.predict_proba(x), tenfold.predict_proba(x), atol=1e-5)


@pytest.mark.parametrize(
    "recipe", ["mixup", *(pytest.param(r, marks=pytest.mark.slow) for r in ("sam(rho=0.05)", "label_smoothing"))]
)
def test_weights_reach_strategies(iris, recipe):
    x, y = iris
    heavy = np.where(y == "versicolor", 50.0, 1.0)
    blurred = x + np.random.default_rng(0).normal(scale=2.0, size=x.shape)
    classifier = RegularizedClassifier(**SMALL, recipe=recipe)
    often = (clone(classifier).fit(blurred, y, sample_weight=heavy).predict(blurred) == "versicolor").mean()
    seldom = (clone(classifier).fit(blurred, y).predict(blurred) == "versicolor").mean()
    assert often > seldom + 0.2


def test_the_metric_that_chooses_the_epoch_can_be_named(iris):
    x, y = iris
    classifier = RegularizedClassifier(**SMALL, metric="cross_entropy").fit(x, y)
    assert classifier.best_epoch_ == 1 + int(np.argmin(classifier.history_["val_cross_entropy"]))
    with pytest.raises(ReglabError, match="metric='auc' cannot decide for single-label"):
        RegularizedClassifier(**SMALL, metric="auc").fit(x, y)


def test_classes_too_small_to_be_held_out_train():
    random = np.random.default_rng(0)
    y = np.array(["common"] * 20 + ["rare"] + ["couple"] * 2)
    x = random.normal(size=(len(y), 3)) + 5 * (y == "rare")[:, None]
    classifier = RegularizedClassifier(**SMALL).fit(x, y)
    assert list(classifier.classes_) == ["common", "couple", "rare"]
    assert classifier.predict_proba(x).shape == (23, 3)


@pytest.mark.slow
def test_a_function_a_model_and_a_binary_head(iris):
    import keras

    x, y = iris[0][:100], iris[1][:100]

    def build(input_shape):
        return keras.Sequential([keras.Input(input_shape), keras.layers.Dense(1)])

    for model in (build, build((4,))):
        classifier = RegularizedClassifier(model, "l2(kernel=1e-3)", learning_rate=0.05, random_state=0).fit(x, y)
        probabilities = classifier.predict_proba(x)
        assert probabilities.shape == (100, 2)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
        assert classifier.score(x, y) > 0.95
        assert clone(classifier).fit(x, y).score(x, y) > 0.95


def test_one_line_an_epoch_if_asked_for(iris, capsys):
    RegularizedClassifier(**{**SMALL, "epochs": 2}, verbose=1).fit(*iris)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch 1/2: train_accuracy 0.")
    assert "val_accuracy" in second


# --- kept, copied, exported ----------------------------------------------------------------------------------------

_FRESH = """
import pickle, sys
import numpy as np
with open(sys.argv[1], "rb") as file:
    classifier, x = pickle.load(file)
np.save(sys.argv[2], classifier.predict_proba(x))
print(*classifier.predict(x[:2]), classifier.recipe, classifier.model_.recipe.to_text(), sep=";")
"""


def _in_a_fresh_process(classifier, x, folder, backend):
    (folder / "fitted.pickle").write_bytes(pickle.dumps((classifier, x)))
    command = [sys.executable, "-c", _FRESH, str(folder / "fitted.pickle"), str(folder / "p.npy")]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return np.load(folder / "p.npy"), done.stdout.strip()


@pytest.mark.backend
@pytest.mark.slow_on("jax", "torch")
@pytest.mark.slow
def test_a_pickle_predicts_the_same_in_a_fresh_process(iris, tmp_path):
    import keras

    x, y = iris
    recipe = "dropout(rate=0.1) + l2(kernel=0.001)"
    classifier = RegularizedClassifier(**{**SMALL, "epochs": 3}, recipe=recipe).fit(x, y)
    there, said = _in_a_fresh_process(classifier, x, tmp_path, keras.backend.backend())
    np.testing.assert_allclose(there, classifier.predict_proba(x), rtol=1e-6)
    assert said == ";".join([*classifier.predict(x[:2]), recipe, recipe])


@pytest.mark.slow
def test_a_pickle_predicts_the_same_on_another_backend(digits, tmp_path):
    x, y = digits
    classifier = RegularizedClassifier(**IMAGES, recipe="augmentation(zca_whitening=true)").fit(x, y)
    there, _ = _in_a_fresh_process(classifier, x, tmp_path, "jax")
    np.testing.assert_allclose(there, classifier.predict_proba(x), atol=1e-4)


@pytest.mark.backend
@pytest.mark.slow
def test_a_copy_is_a_classifier_of_its_own(iris):
    x, y = iris
    classifier = RegularizedClassifier(**{**SMALL, "epochs": 3}, recipe="ema(momentum=0.9)").fit(x, y)
    before = classifier.predict_proba(x)
    twin = copy.deepcopy(classifier)
    np.testing.assert_array_equal(twin.predict_proba(x), before)
    twin.set_params(random_state=1).fit(x, y)
    np.testing.assert_array_equal(classifier.predict_proba(x), before)
    assert not hasattr(clone(classifier), "model_")


@pytest.mark.backend
@pytest.mark.parametrize(
    "preprocess", ["standardize", *(pytest.param(p, marks=pytest.mark.slow) for p in ("rescale", "none"))]
)
@pytest.mark.slow
def test_the_export_takes_what_fit_took(iris, preprocess, tmp_path):
    import keras

    classifier = RegularizedClassifier(**{**SMALL, "preprocess": preprocess, "epochs": 3}, recipe="dropout(rate=0.1)")
    classifier.fit(*iris)
    classifier.export().save(tmp_path / "plain.keras")
    plain = keras.saving.load_model(tmp_path / "plain.keras", safe_mode=True)
    outputs = plain.predict(iris[0].astype("float32"), verbose=0)
    np.testing.assert_allclose(outputs, classifier.predict_proba(iris[0]), atol=1e-5)


@pytest.mark.parametrize("scale", [1e-9, 1e25])
@pytest.mark.slow
def test_the_export_of_values_that_are_tiny_or_huge(iris, scale, tmp_path):
    import keras

    x = (iris[0] * scale).astype("float32")
    classifier = RegularizedClassifier(**{**SMALL, "epochs": 3}).fit(x, iris[1])
    classifier.export().save(tmp_path / "plain.keras")
    plain = keras.saving.load_model(tmp_path / "plain.keras", safe_mode=True)
    expected = classifier.predict_proba(x)
    assert expected.std(axis=0).max() > 0.05
    np.testing.assert_allclose(plain.predict(x, verbose=0), expected, atol=1e-4)


@pytest.mark.parametrize("preprocess", ["standardize", "rescale"])
@pytest.mark.slow
def test_seconds_since_1970_are_a_feature_like_another(preprocess):
    seconds = 1_700_000_000.0 + np.arange(300)[:, None] % 100
    y = (seconds[:, 0] % 100 >= 50).astype(int)
    classifier = RegularizedClassifier(**{**SMALL, "epochs": 60, "preprocess": preprocess}).fit(seconds, y)
    assert classifier.score(seconds, y) > 0.95
    with pytest.raises(ReglabError, match="Subtract 17000000"):
        classifier.export()


@pytest.mark.slow
def test_the_export_of_images_whitened_by_the_recipe(digits):
    x, y = digits
    classifier = RegularizedClassifier(**{**IMAGES, "epochs": 1}, recipe="augmentation(zca_whitening=true)").fit(x, y)
    outputs = classifier.export().predict(x.astype("float32"), verbose=0)
    np.testing.assert_allclose(outputs, classifier.predict_proba(x), atol=1e-4)


# --- what cannot work ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"recipe": "l3(kernel=1)"}, "Unknown strategy 'l3'"),
        ({"recipe": 3}, "3 is not a recipe"),
        ({"model": "inception"}, "inception takes images"),
        ({"model": lambda input_shape, num_classes, width: None}, "requires"),
        ({"epochs": 0}, "RegularizedClassifier: epochs=0 is not possible"),
        ({"validation": 1.0}, "validation=1"),
        ({"optimizer": "adamm"}, "Did you mean 'adam'"),
        ({"preprocess": "whiten"}, "preprocess"),
        ({"recipe": "early_stopping", "validation": None}, "Give a share, such as validation=0.2"),
        ({"recipe": "augmentation(width_shift_range=0.1)"}, "augmentation"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_parameters_that_cannot_work_are_told_before_training(iris, wrong, said):
    classifier = RegularizedClassifier(**{**SMALL, **wrong})
    with pytest.raises(ReglabError, match=said):
        classifier.fit(*iris)
    assert not hasattr(classifier, "model_")


def test_data_that_cannot_be_learned_from_is_told(iris):
    x, y = iris
    classifier = RegularizedClassifier(**SMALL)
    with pytest.raises(ReglabError, match="one class, 'setosa'"):
        classifier.fit(x, np.full(len(x), "setosa"))
    with pytest.raises(ReglabError, match="one class, 'setosa'"):
        classifier.fit(x, y, sample_weight=(y == "setosa").astype(float))
    with pytest.raises(ValueError, match="contains NaN"):
        classifier.fit(np.where(x > 5, np.nan, x), y)
    with pytest.raises(ValueError, match="Unknown label type"):
        classifier.fit(x, x[:, 0])
    with pytest.raises(ReglabError, match=r"none can be held out with validation=0.2"):
        classifier.fit(x[[0, 1, 60, 61]], y[[0, 1, 60, 61]])
    for weights, said in ((np.ones(3), r"shape \(3,\)"), (-np.ones(150), "negative"), (np.zeros(150), "zeros only")):
        with pytest.raises(ReglabError, match=said):
            classifier.fit(x, y, sample_weight=weights)


def test_a_training_that_diverges_is_told(iris):
    classifier = RegularizedClassifier(**{**SMALL, "learning_rate": 1e30, "optimizer": "sgd"})
    with pytest.raises(ReglabError, match="diverged: not a number in epoch 1"):
        classifier.fit(*iris)


@pytest.mark.slow
def test_keras_is_imported_by_the_first_fit_only():
    script = (
        "import sys, reglab\nassert not {'keras', 'sklearn'} & set(sys.modules)\n"
        "classifier = reglab.RegularizedClassifier('mlp', 'l2')\nassert 'keras' not in sys.modules\nprint(classifier)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "RegularizedClassifier(recipe='l2')"
