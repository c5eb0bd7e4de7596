"""What a diagnosis must not say: a gap that is luck of one validation part, a sentence that its number denies."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reglab.analysis import curves
from reglab.analysis.decompose import Change, adjusted, decompose_change
from reglab.analysis.diagnose import diagnose
from reglab.analysis.diagnosis import estimate
from reglab.analysis.history import read
from reglab.analysis.prescribe import Patient, prescribe
from reglab.recipe import Recipe
from reglab.report import remedies
from reglab.report.findings import evidence, verdict
from reglab.tasks import SingleLabel, of_values

EPOCHS = 20
CLASSES = {count: SingleLabel(classes=tuple(map(str, range(count)))) for count in (2, 3, 10)}


def said(found, name):
    return next(each.sentence for each in evidence(found) if each.name == name)


def history(random, *, train=0.9, val=0.9, shake=0.003, rise=0.0, epochs=EPOCHS, speed=8.0):
    t = np.arange(epochs)
    learned = 1 - np.exp(-speed * t / epochs)
    late = rise * 0.5 * np.clip((t - epochs / 2) / (epochs / 2), 0, None)
    return {
        "train_accuracy": 0.1 + (train - 0.1) * learned,
        "train_cross_entropy": 0.3 + 2 * (1 - learned),
        "val_accuracy": np.clip(0.1 + (val - 0.1) * learned + shake * random.normal(size=epochs), 0, 1),
        "val_cross_entropy": (0.5 + 1.8 * (1 - learned) + late) * (1 + 0.02 * random.normal(size=epochs)),
    }


def of_one_part(random, *, examples, seeds, share=0.9):
    """Runs without any gap, all on one validation part, whose accuracy is off by what so few examples give."""
    luck = random.binomial(examples, share) / examples - share
    return [history(random, val=share + luck + 0.007 * random.normal()) for _ in range(seeds)]


@pytest.mark.parametrize(
    ("examples", "seeds"),
    [(30, 3), pytest.param(30, 10, marks=pytest.mark.slow), pytest.param(100, 5, marks=pytest.mark.slow)],
)
def test_one_validation_part_for_all_runs_does_not_make_overfitting(examples, seeds):
    """More seeds made it worse: 40 % with 30 examples and three seeds, 37 % with ten."""
    random, studies = np.random.default_rng(0), 40
    said = sum(
        diagnose(of_one_part(random, examples=examples, seeds=seeds), CLASSES[10], examples=examples).word
        == "overfitting"
        for _ in range(studies)
    )
    assert said / studies <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)


def test_a_real_gap_is_still_found_on_one_part():
    random = np.random.default_rng(0)
    runs = [history(random, train=0.98, val=0.80) for _ in range(5)]
    found = diagnose(runs, CLASSES[10], examples=200)
    assert found.word == "overfitting"
    assert found.shared
    assert "allowing for the size of the one validation part" in said(found, "gap")


def test_runs_with_a_validation_part_each_show_its_luck_themselves():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, size=(5, 60))
    probabilities = random.dirichlet([1, 1, 1], size=(5, 60))
    runs = [history(random, train=0.95, val=0.88) for _ in range(5)]
    apart = diagnose(runs, validation=(labels, probabilities))
    together = diagnose(runs, validation=(labels[0], probabilities))
    assert not apart.shared
    assert together.shared
    assert together.gap.high - together.gap.low > 2 * (apart.gap.high - apart.gap.low)


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_a_flat_curve_has_lost_nothing(noise):
    random = np.random.default_rng(0)
    lost = [curves.lost(0.9 + noise * random.normal(size=60))[0] for _ in range(300)]
    assert abs(np.mean(lost)) < 4 * np.std(lost) / math.sqrt(
        300
    )  # the best of all epochs less the end: up to 1.9 points
    fallen = np.r_[np.full(30, 0.9), np.linspace(0.9, 0.8, 30)]
    assert np.mean([curves.lost(fallen + 0.005 * random.normal(size=60))[0] for _ in range(50)]) > 0.07


@pytest.mark.parametrize("seeds", [1, 5])
@pytest.mark.slow
def test_accuracy_that_shakes_has_not_fallen(seeds):
    """Cross-entropy rises and accuracy is flat: overfitting in confidence. Of accuracy it was in up to 79 %."""
    random, studies = np.random.default_rng(1), 20
    wrong = sum(
        diagnose([history(random, train=0.95, val=0.94, shake=0.03, rise=0.8, epochs=40) for _ in range(seeds)],
                 CLASSES[10]).kind == "performance"
        for _ in range(studies)
    )  # fmt: skip
    assert wrong / studies <= 0.2


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("examples", [15, 25, 50])
def test_one_example_that_flips_is_no_instability(examples, known):
    random = np.random.default_rng(2)
    run = history(random, train=0.95, val=0.94)
    right = round(0.94 * examples)
    run["val_accuracy"] = (right - (random.random(EPOCHS) < 0.5)) / examples
    found = diagnose([run], CLASSES[3], examples=examples if known else None)
    assert not found.unstable


# --- sentences and their numbers ------------------------------------------------------------------


def test_a_wide_gap_is_not_underfitting_however_little_is_learned():
    random = np.random.default_rng(0)
    found = diagnose([history(random, train=0.77, val=0.54) for _ in range(3)], CLASSES[3])
    assert found.word == "overfitting"
    assert "bigger model" not in [item.name for item in prescribe(found)]


def test_training_that_still_improves_has_not_stopped():
    random = np.random.default_rng(0)
    slow = [{**history(random, train=0.9, val=0.3, speed=1.0), "val_accuracy": np.full(EPOCHS, 0.3)} for _ in range(3)]
    slow = [{**run, "val_cross_entropy": np.full(EPOCHS, 1.5)} for run in slow]
    for run in slow:
        run["val_accuracy"] = run["train_accuracy"] - 0.02
    found = diagnose(slow, CLASSES[10])
    assert (found.word, found.kind) == ("underfitting", "unfinished")
    assert "training was still improving" in verdict(found)
    assert "stopped" not in verdict(found)
    assert prescribe(found)[0].name == "train longer"


def test_a_log_without_validation_says_nothing_of_validation():
    random = np.random.default_rng(0)
    run = {k: v for k, v in history(random, speed=1.0).items() if k.startswith("train")}
    found = diagnose([run], CLASSES[10])
    said = " ".join(
        [verdict(found), *(f.sentence for f in evidence(found)), *(remedies.reason(i, found) for i in prescribe(found))]
    )
    assert "alidation was still improving" not in said


def test_who_is_less_sure_than_right_is_not_told_to_be_less_sure():
    random = np.random.default_rng(0)
    runs = [history(random, train=0.92, val=0.91, rise=2.0, epochs=40) for _ in range(5)]
    labels = np.zeros(100, dtype=int)
    unsure = np.tile([0.6, 0.4], (5, 100, 1))
    found = diagnose(runs, CLASSES[2], validation=(labels, unsure))
    assert (found.word, found.kind) == ("overfitting", "confidence")
    assert "below accuracy" in said(found, "calibration")
    items = prescribe(found, Patient(kind="image"))
    assert not {"label smoothing", "temperature scaling", "mixup"} & {item.name for item in items}
    assert "early stopping" in [item.name for item in items]


@pytest.mark.parametrize(("steps", "recipe"), [(60, None), (150, "ema(momentum=0.9)"), (400, "ema(momentum=0.95)"),
                                               (5000, "ema"), (None, "ema")])  # fmt: skip
def test_an_average_is_prescribed_that_has_left_the_initial_weights(steps, recipe):
    random = np.random.default_rng(0)
    found = diagnose([history(random, shake=0.05, epochs=40) for _ in range(3)], CLASSES[10])
    assert found.unstable
    items = {item.name: item.recipe for item in prescribe(found, Patient(steps=steps))}
    assert items.get("averaged weights") == recipe


def test_intervals_of_shares_stay_between_0_and_100():
    runs = [{"train_accuracy": [0.5, 0.9, 0.99, x, x, x], "val_accuracy": [0.5, 0.6, 0.7, x - 0.2, x - 0.2, x - 0.2]}
            for x in (0.9, 1.0, 1.0)]  # fmt: skip
    found = diagnose(runs, CLASSES[10])
    assert found.train.high == 1.0
    assert estimate([0.02, 0.0, 0.3], within=(0.0, 1.0)).low == 0.0


CURVE = st.lists(st.floats(0.0, 1.0), min_size=6, max_size=16)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(CURVE, CURVE), min_size=1, max_size=3), st.booleans(), st.floats(0.05, 0.95),
       st.sampled_from([None, 20, 500]), st.sampled_from([None, 40, 4000]))  # fmt: skip
def test_no_sentence_contradicts_a_number(pairs, losses, sure, examples, steps):
    runs = []
    for train, val in pairs:
        size = min(len(train), len(val))
        run = {"train_accuracy": train[:size], "val_accuracy": val[:size]}
        if losses:
            run |= {
                "train_cross_entropy": [1.5 - x for x in train[:size]],
                "val_cross_entropy": [2 - x for x in val[:size]],
            }
        runs.append(run)
    p = np.tile([sure, 1 - sure], (len(runs), 50, 1))
    found = diagnose(runs, CLASSES[2], validation=(np.zeros(50, dtype=int), p), examples=examples)
    items = prescribe(found, Patient(kind="image", epochs=10, steps=steps))
    told = [run for run in found.runs if not run.diverged]
    sentence, said = verdict(found), " ".join([verdict(found), *(f.sentence for f in evidence(found))])
    if "has stopped improving" in said:
        assert all(run.train_stopped for run in told)
    if "training was still improving" in sentence:
        assert found.train_falls
    if "alidation was still improving" in said or "validation cross-entropy still falls" in said:
        assert found.falls
        assert "train longer" in [item.name for item in items] or found.word == "cannot tell"
    if found.word == "underfitting":
        assert not (found.apart and found.gap.sure and found.gap.low >= 0.10)
        assert not [item for item in items if item.recipe and item.name not in ("averaged weights", "label smoothing")]
    for item in items:
        if remedies.reason(item, found) == "confidence is above accuracy":
            assert found.overconfidence.mean > 0
        if item.name == "averaged weights":
            assert steps != 40
    if found.overconfidence.mean <= 0:
        assert not {"label smoothing", "temperature scaling"} & {item.name for item in items}
    assert not re.search(r"-\d+(\.\d+)? (points|nats)", said)  # the side is said in words
    for share in re.findall(r"(-?\d+\.\d) % \[(-?[\d.]+), (-?[\d.]+)\]", said):
        assert all(0 <= float(number) <= 100 for number in share)
    assert found.gap is None or read(runs[0]).gap is not None


LEVELS = st.lists(st.floats(-1.0, 1.0), min_size=6, max_size=16)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(LEVELS, LEVELS), min_size=1, max_size=3), st.sampled_from([None, 0.7]))
def test_no_sentence_of_numbers_to_predict_contradicts_a_number(pairs, attainable):
    runs = []
    for train, val in pairs:
        size = min(len(train), len(val))
        levels = {"train": train[:size], "val": val[:size]}
        runs.append({f"{part}_r2": values for part, values in levels.items()})
        runs[-1] |= {f"{part}_rmse": [50 * (1 - x) ** 0.5 for x in values] for part, values in levels.items()}
    found = diagnose(runs, of_values(("price",)), attainable=attainable)
    items, sentence = prescribe(found, Patient(epochs=10)), verdict(found)
    of = {each.name: each.sentence for each in evidence(found)}
    assert ("R² is" in of["gap"] and "ahead of validation's" in of["gap"].split(", at the best")[0]) == (
        found.gap.mean >= 0
    )
    assert ("above training's" in of["gap"]) == (found.cost_gap.mean >= 0)
    if rises := re.search(r"after epoch (\d+).* from ([\d.]+) to ([\d.]+)", of.get("onset", "")):
        assert int(rises[1]) == found.onset
        assert float(rises[2]) < float(rises[3])
        assert found.word == "overfitting"
    if "has stopped improving" in sentence:
        assert all(run.train_stopped for run in found.told)
    if "no gap that matters" in sentence:
        assert not found.apart
    if "no better than" in sentence:
        assert found.fit < 0.05
    if found.word == "fitting":
        assert not found.apart
        assert found.fit >= 0.75
    if found.word == "underfitting":
        assert not [item for item in items if item.recipe and item.name != "averaged weights"]
        assert attainable is not None or found.kind != "limited"
    text = " ".join([sentence, *of.values()])
    assert not re.search(r"is -\d", text), "the side is said in words"
    for mean, low, high in re.findall(r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]", text):
        assert float(low) <= float(mean) <= float(high), "a mean lies in its interval"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(CURVE, CURVE), min_size=1, max_size=3), st.integers(0, 9))
def test_the_word_is_that_of_one_epoch_less_or_it_says_that_it_is_not(pairs, cut):
    size = min(min(len(train), len(val)) for train, val in pairs) - cut
    if size <= curves.FEWEST_EPOCHS:
        return
    runs = [{"train_accuracy": train[:size], "val_accuracy": val[:size]} for train, val in pairs]
    shorter = [{key: values[:-1] for key, values in run.items()} for run in runs]
    now, before = diagnose(runs, CLASSES[2]), diagnose(shorter, CLASSES[2])
    if (now.word, now.kind) == (before.word, before.kind):
        assert now.before is None
    else:
        assert now.before == (before.word, before.kind)
        assert f"Without the last epoch this would be {before.word}" in said(now, "last epoch")


# --- bias and variance ----------------------------------------------------------------------------


def _changes(random, items, *, seeds=8):
    """Changes of recipes that do nothing: more seeds differ in how sharp they are, as runs do."""
    y, centre = random.integers(0, 3, 40), random.normal(size=(40, 3))

    def model():
        z = np.exp(0.15 * random.normal(size=(seeds, 1, 1))) * centre + 0.8 * random.normal(size=(seeds, 40, 3))
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    baseline = model()
    return [decompose_change(np.eye(3)[y], model(), baseline) for _ in range(items)]


def test_bias_and_variance_of_a_whole_prescription_are_adjusted():
    """Recipes that do nothing: six of them said something false of bias or variance in 37 % of prescriptions."""
    random, studies = np.random.default_rng(0), 60
    said = sum(any(change.shown() for change in adjusted(_changes(random, 6))) for _ in range(studies))
    assert said / studies <= 0.16  # the jackknife is a little short


def test_adjusting_keeps_what_is_missing_and_what_is_clear():
    clear = Change((-0.1, -0.11, -0.09), (0.0, -0.1, 0.1), (1e-6, 0.9), (2e-6, 0.9))
    found = adjusted([None, clear, clear])
    assert found[0] is None
    assert found[1].shown() == {"bias": -1}
    assert found[1].p_adjusted == (4e-6, 1.0)


# --- prescriptions for what has a recipe ----------------------------------------------------------


def test_remedies_can_be_added_to_the_recipe_that_was_diagnosed():
    random = np.random.default_rng(0)
    found = diagnose([history(random, train=0.98, val=0.7) for _ in range(3)], CLASSES[10])
    base = "dropout(rate=0.3) + l2(kernel=1e-3)"
    items = prescribe(found, Patient(kind="image", recipe=base))
    by_name = {item.name: item for item in items}
    assert not by_name["dropout"].recipe
    assert "has dropout already" in remedies.action(by_name["dropout"], found)
    tried = [item for item in items if item.recipe]
    assert tried
    for item in tried:
        assert {"dropout", "l2"} < {strategy.name for strategy in Recipe.parse(base) + Recipe.parse(item.recipe)}
        assert not {"dropout", "l2"} & {strategy.name for strategy in Recipe.parse(item.recipe)}
