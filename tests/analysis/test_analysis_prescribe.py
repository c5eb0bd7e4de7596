"""Prescriptions: remedies that fit the evidence, in order, each a recipe that reglab can run or none at all."""

import dataclasses

import numpy as np
import pytest

from reglab.analysis.diagnose import diagnose
from reglab.analysis.prescribe import MOST_RECIPES, Patient, prescribe
from reglab.analysis.probed import Probes, label_probe, learning_curve, noise_probe, weight_probe
from reglab.recipe import Recipe
from reglab.report import remedies
from reglab.strategies import CATALOGUE
from reglab.tasks import SingleLabel

FLAT = [0.5] * 20
CLASSES = {count: SingleLabel(classes=tuple(map(str, range(count)))) for count in (2, 10)}


def overfitted(**more):
    """A gap of 30 points and no turn."""
    history = {"train_accuracy": [0.5, 0.8, *[1.0] * 18], "val_accuracy": [0.5, 0.6, *[0.7] * 18]}
    return diagnose([history] * 3, CLASSES[10], **more)


def turned():
    """Validation cross-entropy turns while accuracy holds."""
    loss = [2.0, 1.2, 0.8, 0.5, *np.linspace(0.5, 1.5, 16)]
    history = {"train_accuracy": [0.9] * 20, "val_accuracy": [0.9] * 20, "val_cross_entropy": loss}
    return diagnose([history] * 3, CLASSES[10])


def underfitted(speed):
    accuracy = 0.1 + 0.6 * (1 - np.exp(-speed * np.arange(20)))
    history = {
        "train_accuracy": accuracy, "val_accuracy": accuracy, "train_cross_entropy": 2.3 * (1 - accuracy),
        "val_cross_entropy": 2.3 * (1 - accuracy),
    }  # fmt: skip
    return diagnose([history] * 3, CLASSES[10])


def names(items):
    return [item.name for item in items]


IMAGES = Patient(kind="image", epochs=20, train_size=100, classes=10)


def test_overfitting_on_few_images_is_treated_by_augmentation_first():
    items = prescribe(overfitted(), IMAGES)
    assert items[0].name == "augmentation"
    assert "10 training images a class" in remedies.reason(items[0], overfitted())
    assert "horizontal_flip" in items[0].recipe
    assert items[-1].name == "combination"


def test_transforms_that_change_labels_are_not_prescribed():
    digits = dataclasses.replace(IMAGES, label_changing=frozenset({"horizontal_flip", "vertical_flip"}))
    item = prescribe(overfitted(), digits)[0]
    assert "flip" not in item.recipe
    assert "without horizontal_flip" in remedies.action(item, overfitted())
    everything = dataclasses.replace(
        IMAGES, label_changing={"horizontal_flip", "rotation_range", "width_shift_range", "height_shift_range"}
    )
    assert "augmentation" not in names(prescribe(overfitted(), everything))


@pytest.mark.parametrize("kind", ["table", "array"])
def test_what_is_no_image_is_not_augmented(kind):
    items = prescribe(overfitted(), Patient(kind=kind))
    assert items[0].recipe == "dropout(rate=0.3)"
    assert "augmentation" not in names(items)


def test_a_turn_in_confidence_calls_for_stopping_and_smoothing_and_not_for_penalties():
    items = prescribe(turned(), IMAGES)
    assert names(items)[:2] == ["early stopping", "label smoothing"]
    assert items[0].recipe == "early_stopping(monitor=val_loss, patience=5)"
    assert not {"dropout", "L2 penalty", "augmentation"} & set(names(items))


def test_underfitting_is_never_regularized():
    for speed, first in ((2.0, "other learning rate"), (0.05, "train longer")):
        found = underfitted(speed)
        items = prescribe(found, IMAGES)
        assert found.word == "underfitting"
        assert names(items)[0] == first
        assert "less regularization" in names(items)
        assert not [item for item in items if item.recipe]
    assert "40 epochs" in remedies.action(items[0], found)


def test_nothing_learned_sends_to_the_data_first():
    found = diagnose([{"train_accuracy": [0.1] * 10, "val_accuracy": [0.1] * 10}], CLASSES[10])
    assert names(prescribe(found))[0] == "look at the data"


def test_a_fitting_model_gets_nothing_and_an_unclear_one_too():
    fitting = diagnose([{"train_accuracy": [0.97] * 20, "val_accuracy": [0.96] * 20}] * 3, CLASSES[10])
    assert fitting.word == "fitting"
    assert prescribe(fitting, IMAGES) == ()
    assert prescribe(diagnose([], CLASSES[10]), IMAGES) == ()


def test_overconfidence_is_treated_whatever_the_word():
    y = np.arange(400) % 2
    given = np.where(np.arange(400) % 10 == 0, 1 - y, y)  # right nine times of ten
    p = np.tile(np.where(np.eye(2)[given] == 1, 0.98, 0.02), (3, 1, 1))
    history = {"train_accuracy": [0.91] * 20, "val_accuracy": [0.9] * 20}
    items = prescribe(diagnose([history] * 3, validation=(y, p)), Patient())
    assert names(items)[:2] == ["label smoothing", "temperature scaling"]
    assert items[1].recipe == ""


def test_instability_calls_for_averages_or_a_lower_rate():
    shaken = [0.9, 0.8] * 15
    found = diagnose([{"train_accuracy": [0.9] * 30, "val_accuracy": shaken}] * 3, CLASSES[2])
    assert {"averaged weights", "lower learning rate"} <= set(names(prescribe(found)))


def test_probes_reorder_the_prescription():
    short = learning_curve(
        {50: {0: 0.6, 1: 0.62}, 100: {0: 0.7, 1: 0.71}}, {50: {0: 1.0, 1: 1.0}, 100: {0: 1.0, 1: 1.0}}
    )
    assert short.short_of_data
    labels = label_probe(0.3, memorized=[0.9, 1.0], val=[0.5, 0.5], best_val=[0.7, 0.7], clean_val=[0.7, 0.7])
    noise = noise_probe([0.0, 0.1], [[0.9, 0.9, 0.9], [0.7, 0.72, 0.71]])
    probes = Probes(short, labels, noise, weight_probe([1.5, 1.6], [0.1, 0.1], radius=0.05))
    items = prescribe(overfitted(), dataclasses.replace(IMAGES, probes=probes))
    assert names(items)[0] == "more data"
    assert {"early stopping", "input noise", "label smoothing"} <= set(names(items))
    assert [finding.state for finding in probes.findings()] == ["problem", "problem", "problem", "note"]


def test_probes_that_find_nothing():
    flat = learning_curve({50: {0: 0.7, 1: 0.71}, 200: {0: 0.702, 1: 0.711}}, {50: {0: 1.0}, 200: {0: 1.0}})
    assert flat.doubling.mean == pytest.approx(0.00075)  # a quadrupling is two doublings
    labels = label_probe(0.3, memorized=[0.0, 0.1], val=[0.7, 0.7], best_val=[0.7, 0.7], clean_val=[0.7, 0.7])
    noise = noise_probe([0.0, 0.1], [[0.9, 0.9], [0.9, 0.89]])
    assert [finding.state for finding in Probes(flat, labels, noise).findings()] == ["fine"] * 3
    assert learning_curve({50: {0: 0.7}}, {50: {0: 1.0}}) is None


@pytest.mark.parametrize("kind", ["image", "table", "array"])
@pytest.mark.parametrize("make", [overfitted, turned])
def test_every_recipe_can_be_run_and_every_item_says_why_and_where_from(make, kind):
    found = make()
    items = prescribe(found, Patient(kind=kind))
    assert sum(bool(item.recipe) for item in items) <= MOST_RECIPES + 1  # and the combination
    assert len(set(names(items))) == len(items)
    for item in items:
        assert remedies.reason(item, found), item
        assert remedies.action(item, found), item
        assert any(character.isdigit() for character in remedies.reference(item)), item  # a year
        if item.recipe:
            recipe = Recipe.parse(item.recipe)
            assert all(strategy.name in CATALOGUE for strategy in recipe)
