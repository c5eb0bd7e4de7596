"""Whether a model overfits, since when and by how much: histories of its runs in, a frozen diagnosis out.

Three questions are kept apart. Does it fit the training set? Is it much better there than on validation, and has more
training made validation worse? And is it surer of itself than it is right? ``docs/diagnosis.md`` has the definitions,
the thresholds with their reasons, and how often simulation finds them wrong.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from reglab.analysis import curves
from reglab.analysis.curves import Turn
from reglab.analysis.decompose import decompose
from reglab.analysis.diagnosis import (
    ACCURACY_FALLS,
    FIT_ENOUGH,
    GAP_ALONE,
    GAP_MATTERS,
    NOTHING_LEARNED,
    SHAKES,
    WORDS,
    Diagnosis,
    Estimate,
    Finding,
    Run,
)
from reglab.analysis.findings import evidence, verdict
from reglab.analysis.paired import paired, smallest_step
from reglab.lazy import stats
from reglab.tasks import probabilities as probabilities_of

__all__ = ["WORDS", "Diagnosis", "Estimate", "Finding", "Run", "diagnose", "onset", "read"]


def onset(history: Mapping[str, Sequence[float]]) -> Turn | None:
    """Return where the validation cross-entropy of one run turns and rises for good, or None: see :func:`curves.turn`.

    >>> onset({"val_cross_entropy": [2.0, 1.0, 0.6, 0.5, 0.5, 0.6, 0.8, 1.0, 1.2, 1.4]}).epoch
    5
    """
    return curves.turn(history.get("val_cross_entropy", ()))


def diagnose(
    histories: Sequence[Mapping[str, Sequence[float]]],
    *,
    num_classes: int | None = None,
    chance: float | None = None,
    attainable: float = 1.0,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    predictions: tuple[np.ndarray, np.ndarray] | None = None,
    examples: int | None = None,
    shared: bool | None = None,
    clean: bool = True,
) -> Diagnosis:
    """Say whether a model overfits, from the histories of its runs, one a seed.

    The verdict comes from the histories alone. Predictions add calibration and the decomposition, which explain it.

    Args:
        histories: for each run ``train_accuracy``, ``train_cross_entropy``, ``val_accuracy``, ``val_cross_entropy``,
            one number an epoch, each as far as it is there.
        num_classes: how many classes; by default what predictions tell.
        chance: accuracy of always saying the most frequent class; by default ``1 / num_classes``, or 0 if unknown.
        attainable: the training accuracy that a good model can have on this data, below 1 where labels are noisy.
        validation: labels ``(N,)`` or ``(runs, N)`` and probabilities ``(runs, N, classes)``, for calibration. By
            default ``predictions``.
        predictions: labels ``(N,)`` of the same examples for all runs, and probabilities ``(runs, N, classes)``, for
            bias and variance.
        examples: how many validation examples each run has: a gap has to be larger than what so few examples give by
            luck. By default what ``validation`` has, else unknown, and then nothing is asked.
        shared: whether these are the same examples for all runs, so that runs do not show their luck. By default yes,
            unless ``validation`` has different labels for each run.
        clean: whether training metrics were measured in inference mode, on fixed weights, without penalties. Keras' own
            were not.

    Example:
        >>> train, val = [0.5, 0.7, 0.9, 1.0, 1.0, 1.0], [0.5, 0.6, 0.7, 0.7, 0.7, 0.7]
        >>> found = diagnose([{"train_accuracy": train, "val_accuracy": val}] * 3)
        >>> found.word, round(found.gap.mean, 3)
        ('overfitting', 0.3)
    """
    runs = tuple(read(history) for history in histories)
    for pair in (validation, predictions):
        if num_classes is None and pair is not None:
            num_classes = np.asarray(pair[1]).shape[-1]
    chance = chance if chance is not None else 1 / num_classes if num_classes else 0.0
    told = [run for run in runs if not run.diverged]
    if examples is None and validation is not None:
        examples = np.asarray(validation[1]).shape[-2]
    if shared is None:
        shared = validation is None or not _differ(np.asarray(validation[0]))
    train, val = (_estimate(told, name, within=(0.0, 1.0)) for name in ("train_accuracy", "val_accuracy"))
    luck = _luck(val, examples)
    gap, best_gap = (_widened(_estimate(told, name), luck, shared=shared) for name in ("gap", "best_gap"))
    turned = [run.turn.epoch for run in told if run.turn is not None]
    has_turned = bool(turned) and 2 * len(turned) > len(told)
    fit = math.nan if train is None else (train.mean - chance) / max(attainable - chance, 1e-12)
    falls = bool(told) and 2 * sum(run.falls for run in told) > len(told)
    apart = gap is not None and gap.above(max(GAP_MATTERS, _least(gap, luck, shared=shared)))
    missing = math.nan if train is None else attainable - train.mean
    wide = gap is not None and apart and (gap.low if gap.sure else gap.mean) >= GAP_ALONE
    low = fit < FIT_ENOUGH and not has_turned and not wide and not (gap is not None and gap.mean > missing)
    rises = bool(told) and 2 * sum(run.train_falls for run in told) > len(told)
    word, kind = _word(told, gap=gap, apart=apart, fit=fit, low=low, turned=has_turned, falls=falls or rises)
    over, temperature = _calibration(validation or predictions)
    shakes = [run.shake for run in told if math.isfinite(run.shake)]
    found = Diagnosis(
        word=word, kind=kind,
        onset=statistics.median_low(turned) if has_turned else None,
        onset_range=(min(turned), max(turned)) if has_turned else None, turned=len(turned),
        apart=apart, gap=gap, best_gap=best_gap,
        cross_entropy_gap=_estimate(told, "cross_entropy_gap"),
        best_cross_entropy_gap=_estimate(told, "best_cross_entropy_gap"),
        train_accuracy=train, val_accuracy=val, fit=fit, falls=falls, train_falls=rises, shared=shared and luck > 0,
        unstable=bool(shakes) and float(np.median(shakes)) >= max(SHAKES, luck or 0.8 * _step(histories)),
        overconfidence=over, temperature=temperature,
        decomposition=None if predictions is None else decompose(*predictions),
        sentence="", evidence=(), runs=runs, clean=clean,
    )  # fmt: skip
    return dataclasses.replace(found, sentence=verdict(found), evidence=evidence(found))


def read(history: Mapping[str, Sequence[float]]) -> Run:
    """Return what one run's history says."""
    found = {key: np.asarray(list(history.get(key, ())), dtype="float64") for key in _KEYS}
    there = [values for values in found.values() if len(values)]
    epochs = min((len(curves.finite(values)) for values in there), default=0)
    diverged = any(len(curves.finite(values)) < len(values) for values in there)
    train, val, train_ce, val_ce = (values[:epochs] for values in found.values())
    best = int(val.argmax()) if len(val) else int(val_ce.argmin()) if len(val_ce) else -1
    apart, ce_apart = _minus(train, val), _minus(val_ce, train_ce)
    followed = next((curve for curve in (val_ce, 1 - val) if len(curve)), val_ce)
    learned = [curve for curve in (train_ce, 1 - train) if len(curve)]
    accuracy_lost, lost_error = curves.lost(val)
    return Run(
        epochs=epochs, diverged=diverged, turn=curves.turn(val_ce),
        accuracy_lost=accuracy_lost, lost_error=lost_error,
        train_accuracy=curves.late(train), val_accuracy=curves.late(val),
        train_cross_entropy=curves.late(train_ce), val_cross_entropy=curves.late(val_ce),
        gap=curves.late(apart), cross_entropy_gap=curves.late(ce_apart),
        best_epoch=best + 1, best_gap=_at(apart, best), best_cross_entropy_gap=_at(ce_apart, best),
        opened=_opened(apart), levelled=curves.levelled(val_ce),
        falls=curves.falls(followed), shake=curves.shake(val),
        train_falls=any(curves.falls(curve) for curve in learned),
        train_stopped=bool(learned) and all(curves.fall(curve) < curves.STILL_FALLS for curve in learned),
    )  # fmt: skip


def _at(curve: np.ndarray, epoch: int) -> float:
    return float(curve[epoch]) if len(curve) else math.nan


_KEYS = ("train_accuracy", "val_accuracy", "train_cross_entropy", "val_cross_entropy")


def _minus(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a - b if len(a) == len(b) else np.empty(0)


def _opened(gap: np.ndarray) -> int | None:
    """Return the first epoch, from 1, from which the smoothed gap stays at three points or more."""
    if not len(gap):
        return None
    below = np.flatnonzero(curves.smooth(gap) < GAP_MATTERS)
    first = int(below[-1]) + 1 if len(below) else 0
    return first + 1 if first < len(gap) else None


def _estimate(runs: Sequence[Run], name: str, *, within: tuple[float, float] | None = None) -> Estimate | None:
    values = [getattr(run, name) for run in runs]
    return estimate([value for value in values if math.isfinite(value)], within=within)


def estimate(values: Sequence[float], *, within: tuple[float, float] | None = None) -> Estimate | None:
    """Return mean and 95 % t interval of numbers over seeds; None of no numbers.

    Args:
        values: one per seed. Where they are all the same, the interval is that one number: nothing more is known.
        within: where such a number can lie at all, such as 0 to 1 for an accuracy.
    """
    if not len(values):
        return None
    found = paired(values)
    low, high = found.interval(0.95) if found.std != 0 else (found.mean, found.mean)
    if within is not None and not math.isnan(low):
        low, high = max(low, within[0]), min(high, within[1])
    return Estimate(tuple(map(float, values)), found.mean, low, high)


def _luck(accuracy: Estimate | None, examples: int | None) -> float:
    """Return the standard error of one run's validation accuracy from the number of its examples; 0 if unknown.

    Binomial, with one example counted as wrong and one as right beside those seen (Agresti and Coull 1998 do so with
    two): a part that is all right by luck is not known to be.
    """
    if accuracy is None or not examples:
        return 0.0
    share = (accuracy.mean * examples + 1) / (examples + 2)
    return math.sqrt(share * (1 - share) / examples)


def _least(gap: Estimate, luck: float, *, shared: bool) -> float:
    """Return two standard errors of a mean gap, where seeds are too few to show them."""
    if gap.sure:
        return 0.0
    return 2 * luck / (1.0 if shared else math.sqrt(len(gap.values)))


def _widened(gap: Estimate | None, luck: float, *, shared: bool) -> Estimate | None:
    """Return a gap whose interval allows for the luck of one validation part that all seeds share.

    ``var(mean) = s^2 / n + luck^2``, of which only the first is estimated, with ``n - 1`` degrees of freedom; those of
    the sum by Satterthwaite.
    """
    if gap is None or not shared or luck <= 0 or len(gap.values) < 2:
        return gap

    n, seeds = len(gap.values), float(np.var(gap.values, ddof=1)) / len(gap.values)
    total = seeds + luck**2
    df = (n - 1) * (total / seeds) ** 2 if seeds > 1e-12 * total else math.inf
    half = float(stats.t.ppf(0.975, df)) * math.sqrt(total)
    return dataclasses.replace(gap, low=gap.mean - half, high=gap.mean + half)


def _differ(labels: np.ndarray) -> bool:
    """Whether each run has validation labels of its own, which only runs with a validation part of their own have."""
    return labels.ndim == 2 and len(labels) > 1 and not (labels == labels[0]).all()


def _step(histories: Sequence[Mapping[str, Sequence[float]]]) -> float:
    """Return the smallest step of validation accuracy that histories show: one example, or a few.

    One example that flips at random shakes accuracy by half of it, one that flips in every epoch by 0.82 of it.
    """
    values = [value for history in histories for value in history.get("val_accuracy", ())]
    found = np.asarray([math.nan if value is None else value for value in values], dtype="float64")
    return smallest_step(found[np.isfinite(found)])


def _word(
    runs: Sequence[Run], *, gap: Estimate | None, apart: bool, fit: float, low: bool, turned: bool, falls: bool
) -> tuple[str, str]:  # fmt: skip
    """Return the word and its kind.

    A training set that is not learned and a gap can both be there: the larger of the two is named, what training
    accuracy lacks of the attainable or what validation lacks of training (Ng 2018, Machine Learning Yearning, chapters
    20 to 23).
    """
    long_enough = bool(runs) and min(run.epochs for run in runs) >= curves.FEWEST_EPOCHS
    if low and long_enough:
        if fit < NOTHING_LEARNED:
            return "underfitting", "nothing learned"
        return "underfitting", "unfinished" if falls else "limited"
    if turned or apart:
        lost = estimate([run.accuracy_lost for run in runs if math.isfinite(run.accuracy_lost)])
        worse = lost is not None and lost.above(max(ACCURACY_FALLS, _lost_by_luck(runs)))
        return "overfitting", "accuracy" if apart or worse or lost is None else "confidence"
    return ("fitting", "") if gap is not None and long_enough and not math.isnan(fit) else ("cannot tell", "")


def _lost_by_luck(runs: Sequence[Run]) -> float:
    """Return two standard errors of the mean accuracy that runs lost, from the noise of their epochs."""
    errors = [run.lost_error for run in runs if math.isfinite(run.lost_error)]
    return 2 * float(np.sqrt(np.mean(np.square(errors)) / len(errors))) if errors else 0.0


def _calibration(pair: tuple[np.ndarray, np.ndarray] | None) -> tuple[Estimate | None, Estimate | None]:
    if pair is None:
        return None, None
    labels, probabilities = np.asarray(pair[0]), np.asarray(pair[1])
    rows = labels if labels.ndim == 2 else np.broadcast_to(labels, probabilities.shape[:2])
    over = [probabilities_of.calibration(y, p).overconfidence for y, p in zip(rows, probabilities, strict=True)]
    sharp = [probabilities_of.temperature(y, p) for y, p in zip(rows, probabilities, strict=True)]
    return estimate(over), estimate(sharp)
