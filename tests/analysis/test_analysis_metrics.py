"""Metrics against scikit-learn and worked values."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from reglab.analysis.metrics import accuracy, cross_entropy, macro_precision


@pytest.fixture
def predictions():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(4), size=200)
    return random.integers(0, 4, 200), probabilities


def test_metrics_are_scikit_learns(predictions):
    y, p = predictions
    assert accuracy(y, p) == pytest.approx(sk.accuracy_score(y, p.argmax(1)))
    assert cross_entropy(y, p) == pytest.approx(sk.log_loss(y, p))
    assert macro_precision(y, p) == pytest.approx(sk.precision_score(y, p.argmax(1), average="macro"))


def test_a_model_that_predicts_one_of_ten_classes_has_the_papers_precision_of_one_percent():
    y = np.repeat(np.arange(10), 7)
    p = np.zeros((70, 10))
    p[:, 3] = 1.0
    assert macro_precision(y, p) == pytest.approx(0.01)


def test_a_class_that_is_absent_and_never_predicted_counts_as_zero():
    y = np.array([0, 0, 1, 1])
    p = np.eye(3)[[0, 0, 1, 1]]
    assert macro_precision(y, p) == pytest.approx(2 / 3)


def test_cross_entropy_of_a_sure_error_is_finite():
    assert cross_entropy(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(-np.log(1e-7))
