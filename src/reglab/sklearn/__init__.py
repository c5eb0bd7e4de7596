"""The scikit-learn face: Keras models trained with a recipe, as estimators."""

from __future__ import annotations

from reglab.sklearn.classifier import RegularizedClassifier
from reglab.sklearn.regressor import RegularizedRegressor

__all__ = ["RegularizedClassifier", "RegularizedRegressor"]
