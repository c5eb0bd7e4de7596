"""Metrics against scikit-learn, published formulas and worked values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from reglab.tasks import SingleLabel
from reglab.tasks import probabilities as m


def scores(y, p, **more):
    return SingleLabel(classes=tuple(map(str, range(p.shape[1])))).scores(y, p, **more)


@pytest.fixture
def predictions():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(4), size=200)
    return random.integers(0, 4, 200), probabilities


def test_metrics_are_scikit_learns(predictions):
    y, p = predictions
    found, predicted = scores(y, p), p.argmax(1)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y, predicted))
    assert found["cross_entropy"] == pytest.approx(sk.log_loss(y, p))
    assert found["precision"] == pytest.approx(sk.precision_score(y, predicted, average="macro"))
    assert found["recall"] == pytest.approx(sk.balanced_accuracy_score(y, predicted))
    assert found["f1"] == pytest.approx(sk.f1_score(y, predicted, average="macro"))
    assert m.top_k(y, p, 2) == pytest.approx(sk.top_k_accuracy_score(y, p, k=2))
    np.testing.assert_array_equal(m.confusion(y, p), sk.confusion_matrix(y, predicted))


def test_the_brier_score_of_two_classes_is_twice_scikit_learns():
    random = np.random.default_rng(1)
    positive, y = random.random(100), random.integers(0, 2, 100)
    p = np.stack([1 - positive, positive], axis=1)
    assert m.brier(y, p) == pytest.approx(2 * sk.brier_score_loss(y, positive, pos_label=1))


def test_the_brier_score_of_a_worked_example():
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    assert m.brier(np.array([0, 1]), p) == pytest.approx(((0.09 + 0.04 + 0.01) + (0.01 + 0.81 + 0.64)) / 2)


def test_a_model_that_predicts_one_of_ten_classes_has_the_papers_precision_of_one_percent():
    y = np.repeat(np.arange(10), 7)
    p = np.zeros((70, 10))
    p[:, 3] = 1.0
    assert m.macro_precision(y, p) == pytest.approx(0.01)


def test_a_class_that_is_absent_and_never_predicted_counts_as_zero():
    y = np.array([0, 0, 1, 1])
    p = np.eye(3)[[0, 0, 1, 1]]
    assert m.macro_precision(y, p) == pytest.approx(2 / 3)


def test_cross_entropy_of_a_sure_error_is_finite():
    assert m.cross_entropy(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(-np.log(1e-7))


def test_the_calibration_error_of_a_worked_example():
    # Bin (0.6, 0.667]: two examples of 0.65, one right. Bin (0.867, 0.933]: two of 0.9, both right.
    p = np.array([[0.65, 0.35], [0.65, 0.35], [0.9, 0.1], [0.9, 0.1]])
    curve = m.calibration(np.array([0, 1, 0, 0]), p)
    np.testing.assert_allclose(curve.confidence, [0.65, 0.9])
    np.testing.assert_allclose(curve.accuracy, [0.5, 1.0])
    assert curve.error == pytest.approx(0.5 * 0.15 + 0.5 * 0.1)
    assert curve.overconfidence == pytest.approx(0.5 * 0.15 - 0.5 * 0.1)


def test_confidence_on_the_edge_of_a_bin_belongs_to_the_lower_one():
    p = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert m.expected_calibration_error(np.array([0, 1]), p) == pytest.approx(0.5)


@pytest.mark.parametrize(("bins", "edge"), [(3, 2 / 3), (5, 0.6), (15, 0.6)])
def test_the_last_bit_of_a_confidence_on_an_edge_moves_no_calibration_error(bins, edge):
    y = np.arange(60) % 2
    above = np.tile(np.array([edge, (1 - edge) / 2, (1 - edge) / 2], "float32"), (60, 1))
    mixed = above.copy()
    mixed[::4, 0] = np.nextafter(mixed[::4, 0], np.float32(0))
    assert len(m.calibration(y, mixed, bins=bins).share) == 1
    assert m.expected_calibration_error(y, mixed, bins=bins) == pytest.approx(
        m.expected_calibration_error(y, above, bins=bins), abs=1e-6
    )


def test_the_temperature_of_sure_predictions_does_not_hang_on_last_bits():
    y = np.arange(40) % 4
    right = np.eye(4, dtype="float32")[y]
    nearly = np.clip(right, 1e-7, 1 - 1e-7).astype("float32")
    assert m.temperature(y, right) == pytest.approx(0.05, rel=1e-2)
    assert m.temperature(y, nearly) == pytest.approx(0.05, rel=1e-2)
    wrong = np.roll(right, 1, axis=1)
    assert m.temperature(y, wrong) == pytest.approx(20.0, rel=1e-2)
    assert np.isfinite(list(scores(y, right, validation=(y, wrong)).values())).all()


def test_an_oracle_that_says_its_own_chances_is_calibrated():
    random = np.random.default_rng(2)
    p = random.dirichlet(np.ones(3), size=40_000)
    y = (random.random((40_000, 1)) > p.cumsum(axis=1)).sum(axis=1)
    assert m.expected_calibration_error(y, p) < 0.015
    assert m.temperature(y, p) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("true", [0.5, 2.0, 5.0])
def test_temperature_finds_what_logits_were_multiplied_by(true):
    random = np.random.default_rng(3)
    p = random.dirichlet(np.ones(4), size=20_000)
    y = (random.random((20_000, 1)) > p.cumsum(axis=1)).sum(axis=1)
    sharpened = m.tempered(p, 1 / true)
    assert m.temperature(y, sharpened) == pytest.approx(true, rel=0.05)
    assert m.expected_calibration_error(y, m.tempered(sharpened, true)) < 0.02


def test_tempering_changes_no_decision_and_keeps_probabilities(predictions):
    _, p = predictions
    scaled = m.tempered(p, 3.0)
    np.testing.assert_array_equal(scaled.argmax(1), p.argmax(1))
    np.testing.assert_allclose(scaled.sum(1), 1.0)
    np.testing.assert_allclose(m.tempered(p, 1.0), p, atol=1e-6)


def test_tempered_scores_are_those_of_the_tempered_probabilities(predictions):
    y, p = predictions
    found = scores(y[:100], p[:100], validation=(y[100:], p[100:]))
    t = m.temperature(y[100:], p[100:])
    assert found["temperature"] == t
    assert found["cross_entropy_tempered"] == pytest.approx(sk.log_loss(y[:100], m.tempered(p[:100], t)))


def test_top_five_of_five_classes_is_everything():
    assert m.top_k(np.array([0, 1]), np.full((2, 5), 0.2)) == 1.0


@given(st.integers(2, 8), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_scores_stay_in_their_ranges(classes, count, seed):
    random = np.random.default_rng(seed)
    p, y = random.dirichlet(np.ones(classes), size=count), random.integers(0, classes, count)
    found = scores(y, p, validation=(y, p))
    shares = ("accuracy", "precision", "recall", "f1", "top_5", "ece", "ece_tempered")
    assert all(-1e-12 <= found[key] <= 1 + 1e-12 for key in shares)
    assert 0 <= found["brier"] <= 2
    assert abs(found["overconfidence"]) <= found["ece"] + 1e-12
    assert found["cross_entropy_tempered"] <= found["cross_entropy"] + 1e-6, "fitted on the same examples"


def test_errors_of_neighbouring_bins_do_not_cancel():
    confidence = np.repeat([0.85, 0.95], 20)
    right = np.array([True] * 20 + [True] * 16 + [False] * 4)
    probabilities = np.stack([1 - confidence, confidence], axis=1)
    found = m.expected_calibration_error(right.astype(int), probabilities, bins=10)
    assert found == pytest.approx(0.15)  # of both bins together it would be 0
