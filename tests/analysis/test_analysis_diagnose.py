"""Diagnoses of curves that were made by hand, so that the truth is known."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reglab.analysis import curves
from reglab.analysis.decompose import decompose, decompose_change
from reglab.analysis.diagnose import diagnose
from reglab.analysis.diagnosis import Word
from reglab.analysis.history import read
from reglab.report.findings import evidence, verdict
from reglab.tasks import SingleLabel

EPOCHS = 40
CLASSES = {count: SingleLabel(classes=tuple(map(str, range(count)))) for count in (3, 10, 2)}


def said(found, name):
    return next((each.sentence for each in evidence(found) if each.name == name), None)


def history(*, gap=0.0, rise=0.0, train=0.97, epochs=EPOCHS, seed=0, noise=0.0, turn=0.5, speed=6.0):
    """Return a history: training accuracy goes to ``train``, validation ends ``gap`` behind, its loss ``rise`` up."""
    random = np.random.default_rng(seed)
    t = np.arange(epochs)
    learned = 1 - np.exp(-speed * t / epochs)
    accuracy = 0.1 + (train - 0.1) * learned
    loss = 0.4 + 1.9 * (1 - learned)
    late = 0.4 * rise * np.clip(t / epochs - turn, 0, None) / (1 - turn)
    shaken = 1 + noise * random.normal(size=epochs)
    return {
        "train_accuracy": accuracy.tolist(), "train_cross_entropy": (loss - 0.1).tolist(),
        "val_accuracy": (accuracy - gap * learned).tolist(), "val_cross_entropy": ((loss + late) * shaken).tolist(),
    }  # fmt: skip


def several(n=5, **truth):
    return [history(seed=seed, noise=0.02, **truth) for seed in range(n)]


# --- the word ----------------------------------------------------------------------------------------------------


def test_a_gap_and_a_turn_are_overfitting_with_an_onset():
    found = diagnose(several(gap=0.2, rise=0.8), CLASSES[10])
    assert (found.word, found.kind) == ("overfitting", "performance")
    assert found.turned == 5
    assert 20 <= found.onset <= 26  # the rise begins at 20, while the curve is still falling
    assert found.onset_range[0] <= found.onset <= found.onset_range[1]
    assert found.gap.mean == pytest.approx(0.2, abs=0.01)
    assert found.gap.low < found.gap.mean < found.gap.high or found.gap.low == pytest.approx(found.gap.high)
    assert "since epoch" in verdict(found)


def test_a_gap_without_a_turn_is_overfitting_without_an_onset():
    found = diagnose(several(gap=0.2), CLASSES[10])
    assert (found.word, found.onset, found.turned) == ("overfitting", None, 0)
    assert "does not rise" in verdict(found)


def test_a_turn_while_accuracy_holds_is_overfitting_in_confidence():
    found = diagnose(several(gap=0.01, rise=0.8), CLASSES[10])
    assert (found.word, found.kind) == ("overfitting", "confidence")
    assert "not in accuracy" in verdict(found)


def test_a_small_gap_and_no_turn_are_fitting():
    found = diagnose(several(gap=0.02), CLASSES[10])
    assert found.word == "fitting"
    assert not [finding for finding in found.evidence if finding.state == "problem"]


@pytest.mark.parametrize(
    ("truth", "kind"),
    [({"train": 0.5, "speed": 12.0}, "limited"), ({"train": 0.5, "speed": 0.8}, "unfinished"),
     ({"train": 0.11}, "nothing learned")],
)  # fmt: skip
def test_low_training_accuracy_is_underfitting_and_why(truth, kind):
    found = diagnose(several(**truth), CLASSES[10])
    assert (found.word, found.kind) == ("underfitting", kind)


def test_underfitting_is_measured_from_chance_to_what_is_attainable():
    runs = several(train=0.75, gap=0.01)
    assert diagnose(runs, CLASSES[10]).word == "underfitting"
    assert diagnose(runs, CLASSES[10], attainable=0.8).word == "fitting"
    assert diagnose(several(train=0.95), chance=0.9).word == "underfitting"  # nine of ten examples are of one class


def test_of_a_low_training_accuracy_and_a_gap_the_larger_one_is_named():
    assert diagnose(several(train=0.6, gap=0.1), CLASSES[10]).word == "underfitting"
    assert diagnose(several(train=0.6, gap=0.45), CLASSES[10]).word == "overfitting"
    assert diagnose(several(train=0.6, gap=0.1, rise=1.0), CLASSES[10]).word == "overfitting"  # it turns


def test_few_epochs_tell_no_trend_but_a_gap():
    short = several(epochs=3, gap=0.02)
    assert diagnose(short).word == "cannot tell"
    assert verdict(diagnose(several(epochs=3, gap=0.4))).endswith("whether validation cross-entropy turns.")
    assert "3 epochs" in verdict(diagnose(short))
    assert diagnose([{"train_accuracy": [0.9, 1.0, 1.0], "val_accuracy": [0.5, 0.6, 0.6]}] * 3).word == "overfitting"


def test_one_seed_has_no_interval_and_says_so():
    found = diagnose(several(1, gap=0.2), CLASSES[10])
    assert found.word == "overfitting"
    assert math.isnan(found.gap.low)
    assert "[" not in verdict(found)
    assert found.finding("seeds").state == "unknown"
    assert "Two runs" in said(diagnose(several(2)), "seeds")
    assert diagnose(several(3)).finding("seeds") is None


def test_a_gap_of_one_seed_has_to_be_more_than_few_examples_give_by_luck():
    run = history(gap=0.1)  # validation accuracy 0.87: two standard errors are 0.12 with 30 examples, 0.04 with 300
    assert diagnose([run], CLASSES[10], examples=30).word == "fitting"
    assert diagnose([run], CLASSES[10], examples=300).word == "overfitting"
    assert diagnose([run] * 3, CLASSES[10], examples=30).word == "fitting"  # the same 30 for all of them
    assert diagnose([run] * 3, CLASSES[10], examples=30, shared=False).word == "overfitting"  # seeds show it


def test_a_gap_that_seeds_disagree_on_is_none():
    gaps = [0.4, -0.2, 0.25, -0.1, 0.1]  # mean 0.09, interval over zero
    found = diagnose([history(gap=gap) for gap in gaps], CLASSES[10])
    assert found.gap.mean >= 0.05
    assert found.gap.low < 0
    assert found.word == "fitting"


# --- what is missing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "word", "said"),
    [
        (("train_accuracy", "val_accuracy"), "overfitting", "no cross-entropy"),
        (("val_cross_entropy",), "overfitting", "since epoch"),
        (("train_accuracy",), "cannot tell", "no validation accuracy"),
        (("train_cross_entropy",), "cannot tell", "no training accuracy"),
        (("val_accuracy",), "cannot tell", "no training accuracy"),
    ],
)
def test_what_can_be_said_from_what_is_there(keys, word, said):
    runs = [{key: run[key] for key in keys} for run in several(gap=0.2, rise=0.8)]
    found = diagnose(runs, CLASSES[10])
    assert found.word == word
    assert said in verdict(found)


def test_no_history_and_no_number():
    assert verdict(diagnose([], CLASSES[10])) == "Cannot tell: there is no history."
    gone = {"train_accuracy": [0.1] * 9, "val_accuracy": [0.1] * 8 + [math.nan]}
    found = diagnose([gone, gone])
    assert "every run diverged" in verdict(found)
    mixed = diagnose([*several(4, gap=0.02), gone], CLASSES[10])
    assert mixed.word == "fitting"
    assert said(mixed, "divergence").startswith("1 of 5 runs diverged")
    assert len(mixed.gap.values) == 4


def test_a_diagnosis_is_json():
    found = diagnose(several(1, gap=0.2, rise=0.8))
    held = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert held["word"] == "overfitting"
    assert held["gap"]["low"] is None


# --- onset ----------------------------------------------------------------------------------------------------------


@given(at=st.floats(0.2, 0.7), rise=st.floats(0.6, 3.0), epochs=st.integers(30, 150), seed=st.integers(0, 10**6))
def test_the_onset_is_where_the_curve_turns(at, rise, epochs, seed):
    truth = {"rise": rise, "turn": at, "epochs": epochs, "speed": 15.0}
    clean = np.array(history(**truth)["val_cross_entropy"])
    last_low = np.flatnonzero(clean <= clean.min() + 0.1 * (clean[-1] - clean.min()))[-1] + 1
    found = read(history(**truth, noise=0.01, seed=seed)).turn
    assert found is not None
    assert abs(found.epoch - last_low) <= max(3, 0.08 * epochs)


@given(level=st.floats(1e-3, 10.0), scale=st.floats(0.1, 100.0), epochs=st.integers(1, 60))
def test_the_onset_does_not_depend_on_units_and_falling_curves_have_none(level, scale, epochs):
    curve = level * (1 + np.exp(-np.arange(epochs) / 5.0))
    assert curves.turn(curve) is None
    turned = np.concatenate([curve, curve[-1] * np.linspace(1, 3, 30)])
    assert curves.turn(turned).epoch == curves.turn(scale * turned).epoch


def test_a_single_bad_epoch_is_no_turn_and_does_not_hide_one():
    flat = [2.0, 1.2, 0.8, 0.6, *[0.5] * 16]
    for bad in (8, len(flat) - 1):
        spiked = list(flat)
        spiked[bad] = 5.0
        assert curves.turn(spiked) is None
    rising = [*flat[:10], *np.linspace(0.5, 1.5, 15)]
    rising[18] = 0.1
    assert abs(curves.turn(rising).epoch - 9) <= 3


def test_a_curve_that_rises_and_comes_back_has_not_turned_for_good():
    hump = np.concatenate([np.linspace(2, 0.5, 10), np.linspace(0.5, 1.5, 10), np.linspace(1.5, 0.5, 10)])
    assert curves.turn(hump) is None


@pytest.mark.parametrize("height", [0.1, 0.15, 0.3])
@pytest.mark.parametrize("epochs", [16, 20, 24])
def test_a_wave_that_ends_on_a_crest_has_not_turned(epochs, height):
    """The crest is more than a tenth above the lowest trough, but a curve that drifts to and fro says little by it."""
    t = np.arange(60)
    wave = 0.8 + 1.8 * np.exp(-t / 5) + height * np.cos(2 * np.pi * (t - 56) / epochs)
    assert curves.turn(wave) is None
    rising = wave + np.clip(t - 30, 0, None) * height / 3
    assert curves.turn(rising) is not None


def test_false_alarms_on_flat_noisy_curves_are_rare():
    """As benchmarks/diagnosis.py measures them, with fewer curves: single runs, noise of 5 % of each epoch."""
    random = np.random.default_rng(0)
    said = 0
    for _ in range(200):
        curve = 0.5 + 1.8 * np.exp(-np.arange(60) / 7) + 0.025 * random.normal(size=60)
        said += curves.turn(curve) is not None
    assert said <= 6  # 3 %


# --- parts of a run -------------------------------------------------------------------------------------------------


def test_what_a_run_says():
    run = read({"train_accuracy": [0.5, 0.9, 1.0, 1.0, 1.0], "val_accuracy": [0.5, 0.8, 0.7, 0.6, 0.6]})
    assert run.best_epoch == 2
    assert run.best_gap == pytest.approx(0.1)
    assert run.gap == pytest.approx(np.mean([0.3, 0.4, 0.4]))
    assert run.opened == 1  # the running median of the gaps 0, .1, .3, .4, .4 is .05, .1, .3, .4, .4 (ends: two epochs)
    assert math.isnan(run.cost_gap)
    assert math.isnan(run.shake)


def test_shaking_is_told_from_a_trend():
    t = np.arange(60)
    still, steady = np.full(60, 0.8), 0.2 + 0.01 * t
    shaken = still + 0.05 * (-1.0) ** t * np.sqrt(3 / 8)  # alternating: second differences are four times as large
    assert curves.shake(still) == pytest.approx(0, abs=1e-12)
    assert curves.shake(steady) == pytest.approx(0, abs=1e-12)
    assert curves.shake(shaken) == pytest.approx(0.05, rel=1e-6)
    random = np.random.default_rng(0)
    assert curves.shake(0.8 + 0.03 * random.normal(size=6000)) == pytest.approx(0.03, rel=0.05)
    assert math.isnan(curves.shake(still[:14]))


def test_instability_is_a_finding_of_its_own():
    random = np.random.default_rng(0)
    runs = several(gap=0.02)
    for run in runs:
        run["val_accuracy"] = (np.array(run["val_accuracy"]) + 0.04 * random.normal(size=EPOCHS)).tolist()
    found = diagnose(runs, CLASSES[10])
    assert found.unstable
    assert found.finding("stability").state == "problem"


@given(st.lists(st.floats(0, 1), max_size=12), st.lists(st.floats(0, 5), max_size=12), st.integers(0, 3))
def test_any_numbers_give_a_word_and_a_sentence(accuracies, losses, seeds):
    run = {"train_accuracy": accuracies, "val_accuracy": accuracies[::-1], "val_cross_entropy": losses}
    found = diagnose([run] * seeds, CLASSES[3])
    assert found.word in set(Word)
    assert verdict(found)
    assert (found.onset is None) == (found.onset_range is None)


# --- calibration ----------------------------------------------------------------------------------------------------


def sharpened(temperature, *, seeds=3, n=4000, classes=4):
    """Return labels drawn from probabilities, and those probabilities sharpened: the true temperature is known."""
    random = np.random.default_rng(1)
    logits = random.normal(size=(n, classes)) * 1.5
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = (random.random((n, 1)) > np.cumsum(p, axis=1)).sum(axis=1)
    q = p**temperature
    return y, np.repeat((q / q.sum(axis=1, keepdims=True))[None], seeds, axis=0)


def test_overconfidence_is_told_apart_from_error():
    sure, honest = (diagnose(several(gap=0.02), validation=sharpened(t)) for t in (2.0, 1.0))
    assert (sure.word, honest.word) == ("fitting", "fitting")
    assert sure.overconfident
    assert sure.temperature.mean == pytest.approx(2.0, rel=0.1)
    assert sure.finding("calibration").state == "problem"
    assert not honest.overconfident
    assert honest.overconfidence.mean == pytest.approx(0, abs=0.02)


# --- bias and variance ----------------------------------------------------------------------------------------------


def test_the_decomposition_against_numbers_by_hand():
    """Two seeds, one example of class 0: p = (1, 0) and (0, 1). Brier 0 and 2; mean (.5, .5), so |q - y|^2 = .5."""
    p = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    found = decompose(np.eye(2)[[0]], p)
    assert found.error == pytest.approx(1.0)
    assert found.variance == pytest.approx(1.0)  # 2 / (2 - 1) * mean of .5 and .5
    assert found.bias == pytest.approx(0.0)  # .5 - 1 / 2
    assert math.isnan(found.bias_interval[0])


def test_seeds_that_agree_have_no_variance_and_one_seed_no_decomposition():
    p = np.repeat(np.array([[[0.7, 0.3], [0.6, 0.4]]]), 3, axis=0)
    found = decompose(np.eye(2), p)
    assert found.variance == pytest.approx(0)
    assert found.bias == pytest.approx((0.18 + 0.72) / 2)
    assert decompose(np.eye(2), p[:1]) is None


@given(st.integers(2, 6), st.integers(1, 8), st.integers(2, 4), st.integers(0, 10**6))
def test_bias_and_variance_add_up_to_the_brier_score(seeds, n, classes, seed):
    random = np.random.default_rng(seed)
    p = random.dirichlet(np.ones(classes), size=(seeds, n))
    y = random.integers(classes, size=n)
    found = decompose(np.eye(classes)[y], p)
    brier = np.mean(np.sum((p - np.eye(classes)[y]) ** 2, axis=2))
    assert found.bias + found.variance == pytest.approx(brier)
    assert found.error == pytest.approx(brier)


def noisy(random, *, seeds, n=300, spread=0.1, off=0.1):
    """Return probabilities of class 1 whose bias and variance are known: ``2 off^2`` and ``2 spread^2``."""
    y = np.eye(2)[np.zeros(n, dtype=int)]
    p1 = off + spread * random.choice([-1.0, 1.0], size=(seeds, n))
    return y, np.stack([1 - p1, p1], axis=2)


def test_the_estimates_have_no_bias_at_few_seeds_and_their_intervals_hold():
    random = np.random.default_rng(0)
    found = [decompose(*noisy(random, seeds=3)) for _ in range(300)]
    assert np.mean([each.bias for each in found]) == pytest.approx(0.02, abs=5e-4)
    assert np.mean([each.variance for each in found]) == pytest.approx(0.02, abs=5e-4)
    covered = [low <= 0.02 <= high for low, high in (each.variance_interval for each in found)]
    assert np.mean(covered) > 0.9


def test_what_a_recipe_does_to_bias_and_variance():
    random = np.random.default_rng(0)
    y, p = noisy(random, seeds=6, spread=0.05)
    _, q = noisy(random, seeds=6, spread=0.2)
    change = decompose_change(y, p, q)
    assert change.shown() == {"variance": -1}
    assert change.variance[0] == pytest.approx(2 * (0.05**2 - 0.2**2), rel=0.1)
    assert decompose_change(y, q, p).shown() == {"variance": 1}
    assert decompose_change(y, p, p).shown() == {}
    assert decompose_change(y, p[:2], q[:2]) is None
