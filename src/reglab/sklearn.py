"""The scikit-learn face: a Keras classifier trained with a recipe, as an estimator.

The training is :mod:`reglab.study.single`'s, that of a study's run. Keras is imported by the first ``fit``, so that a
grid can be set up, and handed to other processes, without it.
"""

from __future__ import annotations

import pickle
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from reglab import backends
from reglab.declare import params
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.strategies.optimization.early_stopping import EarlyStopping
from reglab.study.spec import Settings
from reglab.tasks import of_classes

if TYPE_CHECKING:
    import keras

__all__ = ["RegularizedClassifier"]

_SHARED = ("epochs", "batch_size", "validation", "optimizer", "learning_rate", "preprocess")  # declared by studies


class RegularizedClassifier(ClassifierMixin, BaseEstimator):
    """A Keras classifier trained with a regularization recipe, for scikit-learn.

    It goes wherever scikit-learn takes a classifier: ``cross_val_score``, ``GridSearchCV``, ``Pipeline``. One ``fit``
    is the training of one run of a study: the same split, start, batch order and random streams for the same seed,
    metrics measured each epoch in inference mode and without penalties, and the weights of the epoch with the best
    validation accuracy. Parameters are only stored, and checked by ``fit``.

    Args:
        model: a built-in model by name, with options if need be (``"mlp(units=64)"``, ``"inception(pooled=true)"``);
            ``"package.module:function"`` or ``"path/to/file.py:function"``; a function of
            ``(input_shape, num_classes)``, of one of them by that name, or without arguments, that returns a
            ``keras.Model``; or a ``keras.Model``, from whose weights every fit starts.
        recipe: a :class:`reglab.Recipe`, a strategy, or text such as ``"l2(kernel=1e-3)+dropout(rate=0.1)"``. A recipe
            is one value to a grid: ``{"recipe": ["l2(kernel=1e-3)", "l2(kernel=1e-2)"]}``.
        epochs: how long, at most if the recipe stops early.
        batch_size: examples a training step.
        optimizer: a Keras optimizer by name.
        learning_rate: by default the optimizer's own.
        validation: share of what ``fit`` is given that does not train and chooses the best epoch. None trains on all of
            it and keeps the last epoch; a recipe with early stopping needs a share.
        preprocess: ``"standardize"``, to mean 0 and standard deviation 1 of the training part, a feature of tables or a
            channel of images; ``"rescale"``, to [0, 1]; ``"none"``. A model that looks its inputs up as indices (token
            ids) is given them as they are.
        random_state: a whole number for the same result each time, a ``numpy.random.RandomState``, or None. The number
            means what a study's seed means.
        verbose: 1 prints a line an epoch.

    Attributes:
        classes_: the labels, sorted.
        n_features_in_: features of an example (the first axis of one that has several).
        feature_names_in_: names of the columns, if ``fit`` was given a data frame.
        input_shape_: the shape of one example.
        model_: the trained :class:`reglab.regularized.model.RegularizedModel`.
        history_: for each epoch ``loss`` (as trained on), and ``train_accuracy``, ``train_cross_entropy``, and with a
            validation share ``val_accuracy`` and ``val_cross_entropy``, all measured in inference mode.
        best_epoch_: the epoch, counted from 1, whose weights are kept.
        n_iter_: how many epochs were trained.
        preprocess_, task_, head_: what is done to inputs before the network, what it predicts, and what it ends in.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.model_selection import cross_val_score
        >>> x, y = load_iris(return_X_y=True)
        >>> classifier = RegularizedClassifier("mlp(units=16)", "l2(kernel=1e-3)", random_state=0)
        >>> cross_val_score(classifier, x, y, cv=2).shape
        (2,)
    """

    def __init__(
        self,
        model: Any = "mlp",
        recipe: Any = "none",
        *,
        epochs: int = 30,
        batch_size: int = 32,
        optimizer: str = "adam",
        learning_rate: float | None = None,
        validation: float | None = 0.2,
        preprocess: str = "standardize",
        random_state: Any = None,
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
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> RegularizedClassifier:
        """Train, and return the classifier itself.

        Args:
            X: numbers ``(N, features)``, images ``(N, height, width, channels)``, or examples of any other shape that
                the model takes.
            y: labels ``(N,)`` of any kind, two classes or more.
            sample_weight: how much each example counts, in the loss, in the standardization and in the choice of the
                best epoch. Examples of weight 0 are left out. Only proportions matter.

        Raises:
            ReglabError: before training, for parameters, a recipe or a model that cannot work, and for a single class;
                in training, if it diverges. It is a ValueError, as are scikit-learn's own for data that is not numbers.
        """
        settings, recipe = self._settings(), Recipe.of(self.recipe)
        if settings["validation"] is None and any(isinstance(strategy, EarlyStopping) for strategy in recipe):
            raise ReglabError(
                "early_stopping watches validation, and validation=None holds nothing out. Give a share, such as "
                "validation=0.2."
            )
        X, y = validate_data(self, X, y, allow_nd=True)
        check_classification_targets(y)
        weights = None
        if sample_weight is not None:
            weights = _weights(sample_weight, len(X))
            X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
        classes, indices = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ReglabError(
                f"y has one class, {str(classes[0])!r}. A classifier needs examples of two classes or more."
            )
        backends.require()
        from reglab.study.single import Single, undisturbed

        task, indices = of_classes(indices, tuple(map(str, classes)), metric="accuracy"), indices.astype("int32")
        seed = self._seed()
        with undisturbed():
            trained = Single(self.model, recipe, seed, **settings).train(
                X, indices, task=task, weights=weights, on_epoch=self._report_epoch
            )
        self.classes_ = classes
        self.input_shape_ = X.shape[1:]
        self.model_, self.preprocess_ = trained.model, trained.preprocess
        self.task_, self.head_ = trained.task, trained.head
        self.history_, self.best_epoch_ = trained.history, trained.best_epoch + 1
        self.n_iter_ = len(trained.history["loss"])
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return class probabilities ``(N, classes)``, float32, in the order of ``classes_``."""
        check_is_fitted(self)
        X = validate_data(self, X, allow_nd=True, reset=False)
        if X.shape[1:] != self.input_shape_:
            raise ReglabError(
                f"The examples have shape {X.shape[1:]}; the classifier was fitted on {self.input_shape_}."
            )
        from reglab.study.single import predictions, undisturbed

        with undisturbed():
            return predictions(self.model_, self.task_, self.head_, self.preprocess_, X)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable label of each example."""
        chosen = self.predict_proba(X).argmax(axis=1)
        return self.classes_[chosen]

    def export(self) -> keras.Model:
        """Return the trained network as plain Keras, which takes examples as ``fit`` does.

        It can be saved, and loaded where there is no reglab. What the recipe and ``preprocess`` do to inputs are
        ordinary layers before it; its outputs are those of the model, probabilities or logits, columns in the order of
        ``classes_``.
        """
        check_is_fitted(self)
        from reglab.study.single import undisturbed, with_preprocessing

        with undisturbed():
            return with_preprocessing(self.model_.export_network(), self.preprocess_, self.input_shape_)

    def _settings(self) -> dict[str, Any]:
        """Return the parameters that studies have too, checked by what studies declare."""
        declared = params(Settings)
        return {
            name: None if name == "validation" and self.validation is None
            else declared[name].check("RegularizedClassifier", name, getattr(self, name))
            for name in _SHARED
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


def _weights(given: Any, count: int) -> np.ndarray:
    """Return sample weights, checked."""
    weights = check_array(given, ensure_2d=False, dtype="float64", input_name="sample_weight")
    if weights.shape != (count,):
        raise ReglabError(f"sample_weight has shape {weights.shape}; expected one weight an example, ({count},).")
    if (weights < 0).any() or not weights.any():
        raise ReglabError("sample_weight holds a negative weight, or zeros only. Give weights of 0 or more.")
    return weights
