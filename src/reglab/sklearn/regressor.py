"""A Keras model that predicts numbers, as an estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin

from reglab.errors import ReglabError
from reglab.models import ModelSource
from reglab.recipe import RecipeLike
from reglab.sklearn.base import Regularized
from reglab.tasks import of_values

__all__ = ["RegularizedRegressor"]


class RegularizedRegressor(RegressorMixin, Regularized):
    """A Keras model that predicts numbers, one per example or several, trained with a recipe, for scikit-learn.

    It goes wherever scikit-learn takes a regressor. As with :class:`RegularizedClassifier` one ``fit`` is the training
    of one run of a study. The model has one output per target, without activation, and is trained with the mean squared
    error.

    Args:
        model: as for :class:`RegularizedClassifier`; a function of ``(input_shape, num_classes)`` is given the number
            of targets as the second one.
        recipe: a :class:`reglab.Recipe`, a strategy, or text such as ``"l2(kernel=1e-3)+dropout(rate=0.1)"``.
        epochs: how long, at most if the recipe stops early.
        batch_size: examples a training step.
        optimizer: a Keras optimizer by name.
        learning_rate: by default the optimizer's own.
        validation: share of what ``fit`` is given that does not train and chooses the best epoch, from all over the
            range of the targets. None trains on all of it and keeps the last epoch.
        preprocess: what is done to inputs: ``"standardize"``, ``"rescale"`` or ``"none"``.
        metric: the metric of validation that chooses the best epoch: ``"rmse"`` (by default), ``"mae"``, ``"r2"``,
            ``"medae"`` or ``"spearman"``.
        scale_targets: ``"standardize"`` trains on targets of mean 0 and standard deviation 1 of the training part, and
            predicts in their own units; ``"none"`` trains on them as they are. By default the former for reglab's own
            networks, the latter for yours.
        random_state: a whole number for the same result each time, a ``numpy.random.RandomState``, or None. The number
            means what a study's seed means.
        verbose: 1 prints a line an epoch.

    Attributes:
        n_features_in_, feature_names_in_, input_shape_: what ``fit`` was given.
        model_: the trained :class:`reglab.regularized.model.RegularizedModel`.
        history_: for each epoch ``loss`` (as trained on), and ``train_rmse``, ``train_r2``, and with a validation share
            ``val_rmse`` and ``val_r2``, all measured in inference mode and in the units of the targets.
        best_epoch_: the epoch, counted from 1, whose weights are kept.
        n_iter_: how many epochs were trained.
        target_scale_: mean and standard deviation that targets were standardized by, or None.
        preprocess_, task_, head_: what is done to inputs before the network, what it predicts, and what it ends in.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> x, y = load_diabetes(return_X_y=True)
        >>> regressor = RegularizedRegressor("mlp(units=16)", "l2(kernel=1e-3)", epochs=60, random_state=0)
        >>> bool(regressor.fit(x[:300], y[:300]).score(x[300:], y[300:]) > 0.3)
        True
    """

    def __init__(
        self,
        model: ModelSource = "mlp",
        recipe: RecipeLike = "none",
        *,
        epochs: int = 30,
        batch_size: int = 32,
        optimizer: str = "adam",
        learning_rate: float | None = None,
        validation: float | None = 0.2,
        preprocess: str = "standardize",
        metric: str | None = None,
        scale_targets: str | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            model, recipe, epochs=epochs, batch_size=batch_size, optimizer=optimizer, learning_rate=learning_rate,
            validation=validation, preprocess=preprocess, metric=metric, random_state=random_state, verbose=verbose,
        )  # fmt: skip
        self.scale_targets = scale_targets

    def fit(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> RegularizedRegressor:
        """Train, and return the regressor itself.

        Args:
            X: numbers ``(N, features)``, images ``(N, height, width, channels)``, or examples of any other shape that
                the model takes.
            y: numbers ``(N,)``, or ``(N, targets)`` for several.
            sample_weight: how much each example counts, in the loss, in the standardizations and in the choice of the
                best epoch. Examples of weight 0 are left out. Only proportions matter.

        Raises:
            ReglabError: before training, for parameters, a recipe or a model that cannot work; in training, if it
                diverges. It is a ValueError, as are scikit-learn's own for data that is not numbers.
        """
        X, y, weights = self._read(X, y, sample_weight, multi_output=True, y_numeric=True)
        if len(X) < 2:
            raise ReglabError("fit was given one sample, which cannot both train and choose an epoch. Give more.")
        names = ("target",) if y.ndim == 1 or y.shape[1] == 1 else tuple(f"target {i}" for i in range(y.shape[1]))
        self._column = y.ndim == 2 and y.shape[1] == 1  # a column is answered by a column, as scikit-learn does
        values = y.reshape(-1) if len(names) == 1 else y
        self._train(X, values.astype("float32"), weights, of_values(names, metric=self.metric))
        return self

    def predict(self, X: npt.ArrayLike) -> np.ndarray:
        """Return the numbers of each example, float64, shaped as ``y`` was."""
        found = self._predictions(X).astype("float64")
        return found[:, None] if self._column else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
