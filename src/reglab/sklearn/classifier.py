"""A Keras classifier, as an estimator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, issparse
from sklearn.base import ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets, is_multilabel
from sklearn.utils.validation import column_or_1d

from reglab.errors import ReglabError
from reglab.sklearn.base import Regularized
from reglab.tasks import of_classes, of_sets

__all__ = ["RegularizedClassifier"]


class RegularizedClassifier(ClassifierMixin, Regularized):
    """A Keras classifier trained with a regularization recipe, for scikit-learn.

    It goes wherever scikit-learn takes a classifier: ``cross_val_score``, ``GridSearchCV``, ``Pipeline``. One ``fit``
    is the training of one run of a study: the same split, start, batch order and random streams for the same seed,
    metrics measured each epoch in inference mode and without penalties, and the weights of the epoch that is best on
    validation. Parameters are only stored, and checked by ``fit``.

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
            ids), or masks steps by their values (``keras.layers.Masking``), is given them as they are.
        metric: the metric of validation that chooses the best epoch, by its name in studies, such as
            ``"cross_entropy"``; by default accuracy, or balanced accuracy where the largest class has more than twice
            its equal share of the examples or four fifths of them, and mAP of several labels per example.
        random_state: a whole number for the same result each time, a ``numpy.random.RandomState``, or None. The number
            means what a study's seed means.
        verbose: 1 prints a line an epoch.

    Attributes:
        classes_: the labels, sorted; of several labels per example the numbers of their columns.
        multilabel_: whether each example has any number of several labels.
        n_features_in_: features of an example (the first axis of one that has several).
        feature_names_in_: names of the columns, if ``fit`` was given a data frame.
        input_shape_: the shape of one example.
        model_: the trained :class:`reglab.regularized.model.RegularizedModel`.
        history_: for each epoch ``loss`` (as trained on), and ``train_accuracy``, ``train_cross_entropy``, and with a
            validation share ``val_accuracy`` and ``val_cross_entropy``, all measured in inference mode. Of several
            labels ``map`` and ``log_loss`` are in place of accuracy and cross-entropy.
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

    def fit(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> RegularizedClassifier:
        """Train, and return the classifier itself.

        Args:
            X: numbers ``(N, features)``, images ``(N, height, width, channels)``, or examples of any other shape that
                the model takes.
            y: labels ``(N,)`` of any kind, two classes or more; or ``(N, labels)`` of 0 and 1, dense or sparse, where
                each example has any number of several labels.
            sample_weight: how much each example counts, in the loss, in the standardization and in the choice of the
                best epoch. Examples of weight 0 are left out. Only proportions matter.

        Raises:
            ReglabError: before training, for parameters, a recipe or a model that cannot work, for a single class, and
                where no example has a label; in training, if it diverges. It is a ValueError, as are scikit-learn's own
                for data that is not numbers.
        """
        X, y, weights = self._read(X, y, sample_weight, multi_output=True)
        self._sparse = issparse(y)
        y = csr_matrix(y).toarray() if self._sparse else y
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        check_classification_targets(y)
        self.multilabel_ = bool(is_multilabel(y))
        return self._fit_sets(X, y, weights) if self.multilabel_ else self._fit_classes(X, y, weights)

    def _fit_sets(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> RegularizedClassifier:
        """Train on ``(N, labels)`` of 0 and 1."""
        others = np.setdiff1d(y, (0, 1))
        if len(others):
            raise ReglabError(
                f"y of shape {y.shape} holds {others[0]}; several labels per example are columns of 0 and 1. Give 1 "
                "where an example has a label, else 0."
            )
        if not y.any():
            raise ReglabError(f"y of shape {y.shape} is 0 everywhere: no example has a label. Give some that have one.")
        self._train(X, y.astype("int32"), weights, of_sets(tuple(map(str, range(y.shape[1]))), metric=self.metric))
        self.classes_ = np.arange(y.shape[1])
        return self

    def _fit_classes(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> RegularizedClassifier:
        """Train on ``(N,)`` labels of any kind."""
        if y.ndim > 1:
            raise ReglabError(
                f"y of shape {y.shape} has several columns of classes, more than two in all. Give columns of 0 and 1 "
                "where each example has any number of several labels; or a classifier per column, by "
                "sklearn.multioutput.MultiOutputClassifier."
            )
        classes, indices = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ReglabError(
                f"y has one class, {str(classes[0])!r}. A classifier needs examples of two classes or more."
            )
        task = of_classes(indices, tuple(map(str, classes)), metric=self.metric)
        self._train(X, indices.astype("int32"), weights, task)
        self.classes_ = classes
        return self

    def predict_proba(self, X: npt.ArrayLike) -> np.ndarray:
        """Return class probabilities ``(N, classes)``, float32, in the order of ``classes_``.

        Of several labels per example, the probability of each by itself.
        """
        return self._predictions(X)

    def predict(self, X: npt.ArrayLike) -> np.ndarray | csr_matrix:
        """Return the most probable label of each example.

        Where ``y`` had several labels per example: ``(N, labels)``, 1 where the probability is a half or more, else 0;
        sparse if ``y`` was.
        """
        found = self.predict_proba(X)
        if not self.multilabel_:
            return self.classes_[found.argmax(axis=1)]
        given = self.task_.chosen(found).astype("int64")
        return csr_matrix(given) if self._sparse else given

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
