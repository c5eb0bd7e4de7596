"""Numbers to predict are diagnosed in R² and in the units of the target: hand-made logs with a known answer."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from reglab.analysis.decompose import decompose
from reglab.analysis.diagnose import diagnose
from reglab.analysis.prescribe import Patient, prescribe
from reglab.errors import ReglabError
from reglab.logs import read_log
from reglab.report import remedies
from reglab.report.diagnosis import whole
from reglab.report.findings import evidence, verdict
from reglab.tasks import of_values

TASK = of_values(("price",))
STD = 80.0
EPOCHS = 40
T = np.arange(EPOCHS)


def history(*, train=0.95, val=0.9, rise=0.0, speed=12.0, seed=0, noise=0.002, task_names=("r2", "rmse")):
    """Return R² that goes to ``train`` and ``val``, and the RMSE that goes with it; ``rise`` is of the RMSE's half."""
    random = np.random.default_rng(seed)
    learned = 1 - np.exp(-speed * T / EPOCHS)
    errors = {
        "train": np.sqrt(1 - train * learned),
        "val": np.sqrt(1 - val * learned) * (1 + rise * np.clip(T / EPOCHS - 0.5, 0, None) / 0.5),
    }
    made = {}
    for part, error in errors.items():
        shaken = error * (1 + noise * random.normal(size=EPOCHS))
        made[f"{part}_r2"], made[f"{part}_rmse"] = (1 - shaken**2).tolist(), (STD * shaken).tolist()
    return {key: values for key, values in made.items() if key.split("_")[1] in task_names}


def several(**truth):
    return [history(seed=seed, **truth) for seed in range(5)]


@pytest.mark.parametrize(
    ("truth", "word", "kind"),
    [
        ({"train": 0.98, "val": 0.6}, "overfitting", "performance"),
        ({"train": 0.95, "val": 0.93, "rise": 0.8}, "overfitting", "performance"),
        ({"train": 0.6, "val": 0.5}, "overfitting", "performance"),
        ({"train": 0.9, "val": 0.89}, "fitting", ""),
        ({"train": 0.02, "val": 0.01}, "underfitting", "nothing learned"),
        ({"train": 0.6, "val": 0.59, "speed": 0.8}, "underfitting", "unfinished"),
        ({"train": 0.6, "val": 0.59}, "cannot tell", "noise"),
    ],
)
def test_the_word(truth, word, kind):
    found = diagnose(several(**truth), TASK)
    assert (found.word, found.kind) == (word, kind)
    assert found.level.name == "r2"
    assert found.cost.name == "rmse"


def test_what_is_attainable_makes_noise_or_a_small_model_of_it():
    runs = several(train=0.6, val=0.59)
    assert diagnose(runs, TASK, attainable=0.62).word == "fitting"
    assert diagnose(runs, TASK, attainable=1.0).kind == "limited"
    found = diagnose(runs, TASK)
    assert "The rest is noise, or the model is too small" in verdict(found)
    assert [item.name for item in prescribe(found)] == ["bigger model"]


def test_the_numbers_are_shares_of_the_variance_and_units_of_the_target():
    found = diagnose(several(train=0.96, val=0.75), TASK)
    said = {each.name: each.sentence for each in evidence(found)}
    assert found.gap.mean == pytest.approx(0.21, abs=0.01)
    assert found.cost_gap.mean == pytest.approx(STD * (0.25**0.5 - 0.04**0.5), rel=0.02)
    assert "Training R² is 0.21 [" in said["gap"]
    assert said["gap"].endswith("above training's, in units of the target.")
    assert said["fit"].startswith("Training R², the share of the variance explained, ends at 0.96")


@pytest.mark.parametrize("truth", [{"train": 0.98, "val": 0.6}, {"rise": 1.0}, {"train": 0.02, "val": 0.01}, {},
                                   {"train": 0.6, "val": 0.59}, {"train": 0.6, "val": 0.5, "speed": 0.8}])  # fmt: skip
def test_no_word_of_classes_is_said(truth):
    y = np.random.default_rng(0).normal(size=60)
    given = np.stack([y + np.random.default_rng(seed).normal(0, 0.4, 60) for seed in range(5)])
    found = diagnose(several(**truth), TASK, validation=(y, given), predictions=(y, given))
    items = prescribe(found, Patient(kind="table", epochs=EPOCHS))
    said = whole(found, items).lower() + " ".join(remedies.action(item, found) for item in items)
    for word in ("accuracy", "cross-entropy", "confidence", "nats", "points", "class", "brier", "logits", "smoothing"):
        assert word not in said
    assert found.overconfidence is None
    json.dumps(found.to_dict(), allow_nan=False)


def test_what_mixes_or_softens_labels_is_not_prescribed():
    found = diagnose(several(train=0.98, val=0.5, rise=0.5), TASK)
    recipes = " ".join(item.recipe for item in prescribe(found, Patient(kind="image", epochs=EPOCHS)))
    assert "dropout" in recipes
    assert "early_stopping(monitor=val_loss" in recipes
    assert "mixup" not in recipes
    assert "label_smoothing" not in recipes


def test_luck_of_one_validation_part_is_read_from_its_predictions():
    """A gap of 0.08 in R² is luck with 20 validation examples, and is none with 5,000."""
    run = history(train=0.58, val=0.5)
    words = {}
    for count in (20, 5000):
        random = np.random.default_rng(3)
        y = random.normal(size=count)
        given = 0.5 * y + 0.5 * random.normal(size=count)
        found = diagnose([run], TASK, validation=(y, given[None]), attainable=0.6)
        words[count] = found.word
    assert words == {20: "fitting", 5000: "overfitting"}


def test_the_spread_of_scores_of_r2_is_that_over_samples():
    random = np.random.default_rng(1)
    y = random.normal(0, 3, (600, 150))
    p = y + random.normal(0, 2, y.shape)
    metric = TASK.metric("r2")
    found = np.array([metric(a, b) for a, b in zip(y, p, strict=True)])
    errors = [metric.per_example(a, b).std(ddof=1) / 150**0.5 for a, b in zip(y[:100], p[:100], strict=True)]
    assert np.mean(errors) == pytest.approx(found.std(), rel=0.08)
    assert metric.per_example(y[0], p[0]).mean() == pytest.approx(found[0])


@pytest.mark.parametrize("targets", [1, 3])
def test_bias_and_variance_add_up_to_what_is_not_explained(targets):
    random = np.random.default_rng(0)
    task = of_values(tuple("abc"[:targets]))
    y = random.normal(50, 9, (400, targets))
    y = y if targets > 1 else y[:, 0]
    given = y + random.normal(0, 4, (4, *y.shape))
    parts = decompose(*task.points(y, given))
    unexplained = np.mean([1 - task.metric("r2")(y, each) for each in given])
    assert parts.error == pytest.approx(unexplained)
    assert parts.variance == pytest.approx(np.mean(16 / y.var(axis=0)), rel=0.2)


def test_the_best_epoch_is_that_of_the_metric_that_decides():
    run = history()
    run["val_mae"] = [3.0] * 10 + [1.0] + [2.0] * (EPOCHS - 11)
    found = diagnose([run], dataclasses.replace(TASK, deciding="mae"))
    assert found.runs[0].best_epoch == 11
    assert found.cost.name == "rmse"


# --- logs ------------------------------------------------------------------------------------------------------------


def test_a_log_of_squared_errors_with_the_deviation_of_the_target_is_diagnosed():
    truth = history(train=0.97, val=0.7)
    log = read_log({"mse": np.square(truth["train_rmse"]).tolist(), "val_mse": np.square(truth["val_rmse"]).tolist(),
                    "loss": [1.0] * EPOCHS}, deviation=STD)  # fmt: skip
    assert log.task.kind == "regression"
    for key, values in truth.items():
        assert log.histories[0][key] == pytest.approx(values)
    assert diagnose(log.histories, log.task, clean=log.clean).word == "overfitting"
    assert any("R² follows from RMSE" in note for note in log.notes)


def test_which_error_a_log_of_keras_has():
    assert read_log({"loss": [4.0, 1.0], "mae": [1.0, 0.5]}).histories == ({"train_mae": [1.0, 0.5]},)
    told = read_log({"loss": [4.0, 1.0], "mae": [1.0, 0.5]}, loss="mean_squared_error")
    assert told.histories == ({"train_rmse": [2.0, 1.0]},)
    assert told.notes == (
        "loss and val_loss stand for the mean squared error; they contain penalties, if there are any.",
    )
    assert read_log({"loss": [1.0], "mean_absolute_error": [1.0]}).histories == ({"train_mae": [1.0]},)
    with pytest.raises(ReglabError, match="smaller than the square of mae"):
        read_log({"loss": [0.5], "mae": [1.0]}, loss="mean_squared_error")
    named = read_log({"val_root_mean_squared_error": [2.0], "val_r2_score": [-0.5]})
    assert named.histories == ({"val_r2": [-0.5], "val_rmse": [2.0]},)


def test_without_r2_it_says_how_to_get_it_and_still_sees_a_turn():
    run = {key: values for key, values in history().items() if "rmse" in key}
    found = diagnose([run], TASK)
    assert found.word == "cannot tell"
    assert 'metrics=[keras.metrics.R2Score(name="r2")]' in verdict(found)
    turned = diagnose([{key: v for key, v in history(rise=1.0).items() if "rmse" in key}], TASK)
    assert turned.word == "overfitting"
    assert "more training makes validation RMSE worse" in verdict(turned)
