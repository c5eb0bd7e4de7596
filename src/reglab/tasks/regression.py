"""Regression: each example has one number to predict, or several."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reglab.aliases import Loss, Tensor
from reglab.data.labels import Form
from reglab.errors import ReglabError
from reglab.lazy import dummy, ensemble, keras, linear_model, metrics, multioutput, stats
from reglab.tasks import numpy_only
from reglab.tasks.base import Pair, Task
from reglab.tasks.head import Activation, Head, with_batch
from reglab.tasks.hold_out import by_quantile, quantiles
from reglab.tasks.metric import Metric, Score

__all__ = ["Regression", "r2_scores", "rmse", "root_scores", "spearman"]


def rmse(y: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the root of the mean squared error, of several targets the mean of theirs.

    >>> rmse(np.array([0.0, 0.0]), np.array([3.0, -3.0]))
    3.0
    """
    return float(metrics.root_mean_squared_error(_numbers(y), _numbers(predictions), sample_weight=weights))


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
    return float(metrics.mean_absolute_error(_numbers(y), _numbers(predictions), sample_weight=weights))


def absolute_scores(y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Return the absolute error of each example, of several targets the mean of theirs."""
    return np.asarray(np.abs(_columns(y) - _columns(predictions)).mean(axis=1))


def medae(y: np.ndarray, predictions: np.ndarray) -> float:
    """Return the median absolute error, of several targets the mean of theirs."""
    return float(metrics.median_absolute_error(_numbers(y), _numbers(predictions)))


def r2(y: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the share of the variance that is explained; below 0 for worse than the mean, of several targets the mean.

    NaN of fewer than two examples.
    """
    return (
        float(metrics.r2_score(_numbers(y), _numbers(predictions), sample_weight=weights))
        if len(y) > 1
        else float("nan")
    )


def r2_scores(y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Return scores per example whose mean is R²: what each adds to it, to first order, the infinitesimal jackknife.

    ``R2 - (e**2 - (1 - R2) d**2) / v`` with ``e`` the error of the example, ``d`` how far its label is from the mean,
    and ``v`` the mean of ``d**2``; of several targets the mean of theirs.
    """
    true = _columns(y)
    errors, distances = np.square(true - _columns(predictions)), np.square(true - true.mean(axis=0))
    spread = np.where(distances.mean(axis=0) > 0, distances.mean(axis=0), np.nan)
    unexplained = errors.mean(axis=0) / spread
    return np.asarray((1 - unexplained - (errors - unexplained * distances) / spread).mean(axis=1))


def spearman(y: np.ndarray, predictions: np.ndarray) -> float:
    """Return the rank correlation, of several targets the mean of theirs; 0 where one side is constant."""
    found = []
    for true, given in zip(_columns(y).T, _columns(predictions).T, strict=True):
        constant = np.ptp(true) == 0 or np.ptp(given) == 0
        found.append(0.0 if constant else float(stats.spearmanr(true, given).statistic))
    return float(np.mean(found))


def _numbers(values: np.ndarray) -> np.ndarray:
    """Return numbers in float64."""
    return np.asarray(values, "float64")


def _columns(values: np.ndarray) -> np.ndarray:
    """Return numbers in float64, a column per target."""
    return _numbers(values).reshape(len(values), -1)


_ANY = float("inf")
RMSE = Metric(
    "rmse", "RMSE", rmse, better="lower", scale=1.0, unit="", apart="", form=".4g", rough=".3g", highest=_ANY,
    per_example=root_scores, weighted=rmse, meaning="root of the mean squared error",
    measured_in="in units of the target", aliases=("root_mean_squared_error",), squares=("mse", "mean_squared_error"),
)  # fmt: skip
MAE = Metric(
    "mae", "MAE", mae, better="lower", scale=1.0, unit="", apart="", form=".4g", rough=".3g", highest=_ANY,
    per_example=absolute_scores, weighted=mae, meaning="mean absolute error", measured_in="in units of the target",
    aliases=("mean_absolute_error",),
)  # fmt: skip
R2 = Metric(
    "r2", "R²", r2, scale=1.0, unit="", apart="", form=".3f", rough=".2f", lowest=-_ANY, weighted=r2,
    per_example=r2_scores, meaning="share of the variance explained", aliases=("r2_score",),
    compiled='keras.metrics.R2Score(name="r2")',
)  # fmt: skip
METRICS = (
    RMSE,
    MAE,
    R2,
    Metric("medae", "MedAE", medae, better="lower", scale=1.0, unit="", apart="", form=".4g", rough=".3g", highest=_ANY,
           meaning="median absolute error", measured_in="in units of the target"),
    Metric("spearman", "Spearman", spearman, scale=1.0, unit="", apart="", form=".3f", rough=".2f", lowest=-1.0,
           meaning="rank correlation"),
)  # fmt: skip


# Losses of Keras and what logs have of them, beside those that are a metric here or the square of one.
_OTHER_LOSSES = frozenset({
    "msle", "mape", "mean_squared_logarithmic_error", "mean_absolute_percentage_error", "huber", "log_cosh", "logcosh",
})  # fmt: skip


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
    probabilities: ClassVar[bool] = False
    attainable: ClassVar[float | None] = None
    uninformed: ClassVar[str] = "always predicting the mean"
    distance: ClassVar[str] = "squared error, as a share of the target's variance,"

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

    def loss(self, head: Head) -> keras.losses.Loss:
        return keras.losses.MeanSquaredError()

    def check_loss(self, loss: Loss, head: Head) -> None:
        of_classes = isinstance(loss, keras.losses.Loss) and "from_logits" in loss.get_config()
        if of_classes or isinstance(loss, keras.losses.KLDivergence):
            raise ReglabError(
                f"The loss {type(loss).__name__} is of probabilities of classes, and here are numbers to predict. Give "
                "mean_squared_error, mean_absolute_error, huber, or another loss of numbers; or name another task "
                "(--task)."
            )

    def costs(self, y: Tensor, outputs: Tensor, head: Head, weights: Mapping[str, float] | None = None) -> Tensor:
        """Return the squared error of each example, of several targets the mean of theirs."""
        ops = keras.ops
        errors = outputs - ops.reshape(ops.cast(y, "float32"), ops.shape(outputs))
        return ops.mean(ops.square(errors), axis=-1)

    def predictions(self, outputs: np.ndarray, head: Head) -> np.ndarray:
        """Return the numbers that are predicted: ``(N,)`` of one target, ``(N, targets)`` of several."""
        return outputs[:, 0] if head.outputs == 1 else outputs

    def in_python(self, metric: Metric) -> Score:
        own = {each.__name__: each for each in (numpy_only.rmse, numpy_only.mae, numpy_only.medae, numpy_only.r2)}
        return own.get(metric.name, metric.function)

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

    def strata(self, y: np.ndarray) -> np.ndarray:
        return quantiles(y)

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

    # --- diagnosis -------------------------------------------------------------------------------------------------

    def memorized(self, success: float, share: float) -> float:
        """Return ``1 - (1 - success) / share``: of the others no more than all can be explained."""
        return max(0.0, 1 - (1 - success) / share)

    def level_at(self, criterion: float, deviation: float) -> float | None:
        """Return ``1 - (RMSE / deviation)**2``; of other metrics nothing follows."""
        return 1 - (criterion / deviation) ** 2 if self.level == R2 and self.decides != MAE else None

    def points(self, y: np.ndarray, predictions: np.ndarray) -> Pair | None:
        """Return labels and predictions in standard deviations of each target: their distance is ``1 - R2``."""
        true, given = (
            _columns(y),
            _numbers(predictions).reshape(*predictions.shape[: predictions.ndim - y.ndim], len(y), -1),
        )
        unit = true.std(axis=0) * true.shape[1] ** 0.5
        return None if (unit == 0).any() else (true / unit, given / unit)

    @classmethod
    def of_log(cls, names: Collection[str], *, loss: str = "", outputs: int | None = None) -> Regression | None:
        """Return the task of a log that has an error of numbers and no accuracy.

        Its root mean squared error decides, or its mean absolute error where the log has nothing else.
        """
        known = {name: metric for metric in METRICS for name in (metric.name, *metric.aliases, *metric.squares)}
        if loss and loss not in known and loss not in _OTHER_LOSSES:
            return None
        found = {known[name] for name in {loss, *names} & known.keys()}
        if not found and not _OTHER_LOSSES & {loss, *names}:
            return None
        deciding = MAE if MAE in found and RMSE not in found else RMSE
        count = outputs or 1
        targets = ("target",) if count == 1 else tuple(f"target {i + 1}" for i in range(count))
        return cls(targets=targets, deciding=deciding.name)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "targets": list(self.targets), "deciding": self.deciding}
