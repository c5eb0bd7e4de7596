"""What the estimators have in common: parameters, training, predictions, and how they are stored.

The training is :mod:`reglab.study.single`'s, that of a study's run. Keras is imported by the first ``fit``, so that a
grid can be set up, and handed to other processes, without it.
"""

from __future__ import annotations

import pickle
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from reglab import backends
from reglab.declare import params
from reglab.errors import ReglabError
from reglab.models import ModelSource
from reglab.recipe import Recipe, RecipeLike
from reglab.strategies.optimization.early_stopping import EarlyStopping
from reglab.study.spec import Settings
from reglab.tasks import Task

if TYPE_CHECKING:
    import keras

__all__ = ["Regularized"]

# Parameters that studies declare.
_SHARED = ("epochs", "batch_size", "validation", "optimizer", "learning_rate", "preprocess", "metric", "scale_targets")


class Regularized(BaseEstimator):
    """A Keras model trained with a recipe, as an estimator; its subclasses say of which kind and what it takes."""

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
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.recipe = recipe
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.validation = validation
        self.preprocess = preprocess
        self.metric = metric
        self.random_state = random_state
        self.verbose = verbose

    def export(self) -> keras.Model:
        """Return the trained network as plain Keras, which takes examples as ``fit`` does.

        It can be saved, and loaded where there is no reglab. What the recipe and ``preprocess`` do to inputs are
        ordinary layers before it. Its outputs are those of the model: probabilities or logits, columns in the order of
        ``classes_``; or numbers in the units of the targets.
        """
        check_is_fitted(self)
        from reglab.study.single import undisturbed, whole

        with undisturbed():
            return whole(self.model_.export_network(), self.preprocess_, self.input_shape_, self.target_scale_)

    # --- training and predicting -----------------------------------------------------------------------------------

    def _read(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None, **how: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:  # fmt: skip
        """Return what ``fit`` was given as arrays, without examples of weight 0, once parameters are checked too."""
        settings, recipe = self._settings(), Recipe.of(self.recipe)
        if settings["validation"] is None and any(isinstance(strategy, EarlyStopping) for strategy in recipe):
            raise ReglabError(
                "early_stopping watches validation, and validation=None holds nothing out. Give a share, such as "
                "validation=0.2."
            )
        examples, targets = validate_data(self, X, y, allow_nd=True, **how)
        if sample_weight is None:
            return examples, targets, None
        weights = _weights(sample_weight, len(examples))
        return examples[weights > 0], targets[weights > 0], weights[weights > 0]

    def _train(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None, task: Task) -> None:
        """Train on checked examples, and keep what came of it."""
        backends.require()
        from reglab.study.single import Single, undisturbed

        settings = {name: value for name, value in self._settings().items() if name != "metric"}
        with undisturbed():
            trained = Single(self.model, Recipe.of(self.recipe), self._seed(), **settings).train(
                X, y, task=task, weights=weights, on_epoch=self._report_epoch
            )
        self.input_shape_ = X.shape[1:]
        self.model_, self.preprocess_, self.target_scale_ = trained.model, trained.preprocess, trained.target_scale
        self.task_, self.head_ = trained.task, trained.head
        self.history_, self.best_epoch_ = trained.history, trained.best_epoch + 1
        self.n_iter_ = len(trained.history["loss"])

    def _predictions(self, X: npt.ArrayLike) -> np.ndarray:
        """Return what the task keeps of the outputs for raw examples."""
        check_is_fitted(self)
        examples = validate_data(self, X, allow_nd=True, reset=False)
        shape = examples.shape[1:]
        if shape != self.input_shape_:
            raise ReglabError(
                f"The examples have shape {shape}; {type(self).__name__} was fitted on {self.input_shape_}."
            )
        from reglab.study.single import predictions, undisturbed

        with undisturbed():
            return predictions(self.model_, self.task_, self.head_, self.preprocess_, examples, self.target_scale_)

    # --- parameters ------------------------------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        """Return the parameters that studies have too, checked by what studies declare."""
        declared, given = params(Settings), self.get_params(deep=False)
        return {
            name: None if name == "validation" and self.validation is None
            else declared[name].check(type(self).__name__, name, given[name])
            for name in _SHARED if name in given
        }  # fmt: skip

    def _seed(self) -> int:
        random = check_random_state(self.random_state)
        return int(self.random_state) if isinstance(self.random_state, Integral) else random.randint(2**31 - 1)

    def _report_epoch(self, epoch: int, values: dict[str, float]) -> None:
        if self.verbose:
            shown = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
            print(f"epoch {epoch + 1}/{self.epochs}: {shown}")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    # --- pickling, and so copying ----------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = {**super().__getstate__()}
        if "model_" in state:
            from reglab.study.single import undisturbed

            with undisturbed():
                state["model_"] = pickle.dumps(self.model_)  # Keras' own file format, as bytes
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state.get("model_"), bytes):
            backends.require()  # before Keras, which the bytes import
            from reglab.study.single import undisturbed

            with undisturbed():
                state = {**state, "model_": pickle.loads(state["model_"])}
        super().__setstate__(state)


def _weights(given: npt.ArrayLike, count: int) -> np.ndarray:
    """Return sample weights, checked."""
    weights = check_array(given, ensure_2d=False, dtype="float64", input_name="sample_weight")
    if weights.shape != (count,):
        raise ReglabError(f"sample_weight has shape {weights.shape}; expected one weight an example, ({count},).")
    if (weights < 0).any() or not weights.any():
        raise ReglabError("sample_weight holds a negative weight, or zeros only. Give weights of 0 or more.")
    return weights
