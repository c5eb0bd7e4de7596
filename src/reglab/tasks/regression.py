"""Regression: each example has one number to predict, or several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reglab.data.labels import Form
from reglab.errors import ReglabError
from reglab.lazy import dummy, ensemble, keras, linear_model, metrics, multioutput, stats
from reglab.tasks import numpy_only
from reglab.tasks.base import Activation, Head, Metric, Task, with_batch
from reglab.tasks.hold_out import by_quantile

__all__ = ["Regression", "rmse", "root_scores", "spearman"]


def rmse(y: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the root of the mean squared error, of several targets the mean of theirs.

    >>> rmse(np.array([0.0, 0.0]), np.array([3.0, -3.0]))
    3.0
    """
    return float(metrics.root_mean_squared_error(_float(y), _float(predictions), sample_weight=weights))


def root_scores(y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Return scores per example whose mean is the RMSE: what each adds to it, to first order.

    ``rmse + (e**2 - rmse**2) / (2 rmse)`` with ``e`` the error of the example, the infinitesimal jackknife; of several
    targets the mean of theirs.
    """
    squares = np.square(_columns(y) - _columns(predictions))
    roots = np.sqrt(squares.mean(axis=0))
    return np.asarray((roots + (squares - roots**2) / np.where(roots > 0, 2 * roots, 1.0)).mean(axis=1))


def mae(y: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean absolute error, of several targets the mean of theirs."""
    return float(metrics.mean_absolute_error(_float(y), _float(predictions), sample_weight=weights))


def absolute_scores(y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Return the absolute error of each example, of several targets the mean of theirs."""
    return np.asarray(np.abs(_columns(y) - _columns(predictions)).mean(axis=1))


def medae(y: np.ndarray, predictions: np.ndarray) -> float:
    """Return the median absolute error, of several targets the mean of theirs."""
    return float(metrics.median_absolute_error(_float(y), _float(predictions)))


def r2(y: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the share of the variance that is explained; below 0 for worse than the mean, of several targets the mean.

    NaN of fewer than two examples.
    """
    return (
        float(metrics.r2_score(_float(y), _float(predictions), sample_weight=weights)) if len(y) > 1 else float("nan")
    )


def spearman(y: np.ndarray, predictions: np.ndarray) -> float:
    """Return the rank correlation, of several targets the mean of theirs; 0 where one side is constant."""
    found = []
    for true, given in zip(_columns(y).T, _columns(predictions).T, strict=True):
        constant = np.ptp(true) == 0 or np.ptp(given) == 0
        found.append(0.0 if constant else float(stats.spearmanr(true, given).statistic))
    return float(np.mean(found))


def _float(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, "float64")


def _columns(values: np.ndarray) -> np.ndarray:
    return _float(values).reshape(len(values), -1)


_ANY = float("inf")
RMSE = Metric(
    "rmse", "RMSE", rmse, better="lower", scale=1.0, unit="", apart="", form=".4g", rough=".3g", highest=_ANY,
    per_example=root_scores, weighted=rmse, meaning="root of the mean squared error",
)  # fmt: skip
MAE = Metric(
    "mae", "MAE", mae, better="lower", scale=1.0, unit="", apart="", form=".4g", rough=".3g", highest=_ANY,
    per_example=absolute_scores, weighted=mae, meaning="mean absolute error",
)  # fmt: skip
R2 = Metric(
    "r2", "R²", r2, scale=1.0, unit="", apart="", form=".3f", rough=".2f", lowest=-_ANY, weighted=r2,
    meaning="share of the variance explained",
)  # fmt: skip
METRICS = (
    RMSE,
    MAE,
    R2,
    Metric("medae", "MedAE", medae, better="lower", scale=1.0, unit="", apart="", form=".4g", rough=".3g", highest=_ANY,
           meaning="median absolute error"),
    Metric("spearman", "Spearman", spearman, scale=1.0, unit="", apart="", form=".3f", rough=".2f", lowest=-1.0,
           meaning="rank correlation"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Regression(Task):
    """Each example has one number to predict, or several; RMSE decides unless another metric is named.

    A model has one output per target, without activation, and is trained with the mean squared error. What is kept are
    the numbers it predicts. Metrics of several targets are the means of theirs, as scikit-learn's are.

    Attributes:
        targets: what is predicted.

    Example:
        >>> Regression(targets=("price",)).decides.shown(1234.5678)
        '1235'
    """

    kind: ClassVar[str] = "regression"
    form: ClassVar[Form] = "numbers"
    ending: ClassVar[Activation] = "linear"
    column: ClassVar[tuple[str, str]] = ("target", "targets")
    kept: ClassVar[str] = "number"
    unknown_to: ClassVar[frozenset[str]] = frozenset({"diagnosis"})

    deciding: str = "rmse"
    targets: tuple[str, ...]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return METRICS

    @property
    def success(self) -> Metric:
        return R2

    @property
    def criterion(self) -> Metric:
        return RMSE

    @property
    def columns(self) -> tuple[Metric, ...]:
        return tuple(metric for metric in (R2, MAE, RMSE) if metric != self.decides)

    # --- models ----------------------------------------------------------------------------------------------------

    def loss(self, head: Head) -> Any:
        return keras.losses.MeanSquaredError()

    def costs(self, y: Any, outputs: Any, head: Head) -> Any:
        """Return the squared error of each example, of several targets the mean of theirs."""
        ops = keras.ops
        errors = outputs - ops.reshape(ops.cast(y, "float32"), ops.shape(outputs))
        return ops.mean(ops.square(errors), axis=-1)

    def predictions(self, outputs: np.ndarray, head: Head) -> np.ndarray:
        """Return the numbers that are predicted: ``(N,)`` of one target, ``(N, targets)`` of several."""
        return outputs[:, 0] if head.outputs == 1 else outputs

    def in_numpy(self, metric: Metric) -> tuple[Callable[..., Any], ...]:
        own = {each.__name__: each for each in (numpy_only.rmse, numpy_only.mae, numpy_only.medae, numpy_only.r2)}
        return (numpy_only.errors, own[metric.name]) if metric.name in own else ()

    def check_shape(self, shape: tuple[int | None, ...]) -> None:
        count = len(self.targets)
        if shape != (count,):
            what = "number" if count == 1 else "numbers"
            raise ReglabError(
                f"The model's output has shape {with_batch(shape)}; the data has {count} {what} to predict per "
                f"example, so expected is (batch, {count}). Give the last layer as many units, without activation."
            )

    def check_head(self, head: Head) -> None:
        if head.activation == "softmax":
            raise ReglabError(
                "The model ends in a softmax, whose outputs sum to 1; here they are numbers to predict. End it without "
                "activation, or name another task (--task)."
            )

    def misfit(self, y: np.ndarray, predictions: np.ndarray) -> str:
        shape = (len(self.targets),)[: len(self.targets) > 1]
        if y.dtype.kind == "f" and y.shape[1:] == shape == predictions.shape[1:]:
            return ""
        return f"predictions {predictions.shape} and labels {y.dtype} {y.shape} are not of {len(self.targets)} targets"

    @property
    def names(self) -> tuple[str, ...]:
        return self.targets

    @property
    def numbers(self) -> int:
        return 2 * len(self.targets)

    # --- data ------------------------------------------------------------------------------------------------------

    def hold_out(self, y: np.ndarray, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions that stay and those that are held out, both from all over the first target's range."""
        return by_quantile(y, size, seed=seed)

    def hold_out_of_few(self, y: np.ndarray, share: float, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return by_quantile(y, share, seed=seed) if len(y) > 1 else (np.arange(len(y)), np.arange(0))

    def fewest(self, y: np.ndarray) -> int:
        return 1

    def counted(self, y: np.ndarray) -> str:
        return ""

    def references(self) -> dict[str, Callable[[int], Any]]:
        def boosting(seed: int) -> Any:
            one = ensemble.HistGradientBoostingRegressor(random_state=seed)
            return one if len(self.targets) == 1 else multioutput.MultiOutputRegressor(one)

        return {
            "the mean": lambda seed: dummy.DummyRegressor(),
            "ridge regression": lambda seed: linear_model.Ridge(),
            "gradient boosting": boosting,
        }

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "targets": list(self.targets), "deciding": self.deciding}
