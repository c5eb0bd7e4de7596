"""Whether a model overfits, since when and by how much: histories of its runs in, a frozen diagnosis out.

Three questions are kept apart. Does it fit the training set? Is it much better there than on validation, and has more
training made validation worse? And is it surer of itself than it is right? What is measured, and in which unit, is
asked of the task. ``docs/diagnosis.md`` has the definitions, the thresholds with their reasons, and how often
simulation finds them wrong.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reglab.analysis import curves
from reglab.analysis.decompose import decompose
from reglab.analysis.diagnosis import (
    FIT_ENOUGH,
    GAP_ALONE,
    GAP_MATTERS,
    LEVEL_FALLS,
    NOTHING_LEARNED,
    SHAKES,
    Diagnosis,
    Estimate,
    Kind,
    Run,
    Word,
    estimate,
)
from reglab.analysis.findings import findings
from reglab.analysis.history import History, cost_of, read, task_of
from reglab.analysis.paired import smallest_step
from reglab.lazy import stats
from reglab.tasks import Metric, Task

__all__ = ["diagnose"]

Pair = tuple[np.ndarray, np.ndarray]


def diagnose(
    histories: Sequence[History],
    task: Task | None = None,
    *,
    chance: float | None = None,
    attainable: float | None = None,
    validation: Pair | None = None,
    predictions: Pair | None = None,
    examples: int | None = None,
    shared: bool | None = None,
    clean: bool = True,
) -> Diagnosis:
    """Say whether a model overfits, from the histories of its runs, one per seed.

    The verdict comes from the histories alone. Predictions add calibration and the decomposition, which explain it.

    Args:
        histories: for each run ``train_`` and ``val_`` of what the task goes by (its level and its criterion), such as
            ``val_accuracy`` and ``val_cross_entropy``, ``val_r2`` and ``val_rmse``: one number per epoch, each as far
            as it is there.
        task: what is predicted; by default what names of metrics tell.
        chance: level of predictions that ignore the inputs; by default that on the validation labels, or what the task
            gives without labels.
        attainable: the level that a good model can have on the training examples, below 1 where labels are noisy. By
            default what the task says, which for numbers to predict is that nobody knows.
        validation: labels ``(N, ...)`` or ``(runs, N, ...)`` and predictions ``(runs, N, ...)``, for calibration;
            arrays ``(runs,)`` of arrays where runs have different numbers of examples. By default ``predictions``.
        predictions: labels ``(N, ...)`` of the same examples for all runs, and predictions ``(runs, N, ...)``, for bias
            and variance.
        examples: how many validation examples each run has: a gap has to be larger than what so few examples give by
            luck. By default what ``validation`` has, else unknown, and then nothing is asked.
        shared: whether these are the same examples for all runs, so that runs do not show their luck. By default yes,
            unless ``validation`` has different labels for each run.
        clean: whether training metrics were measured in inference mode, on fixed weights, without penalties. Keras' own
            were not.

    Example:
        >>> train, val = [0.5, 0.7, 0.9, 1.0, 1.0, 1.0], [0.5, 0.6, 0.7, 0.7, 0.7, 0.7]
        >>> found = diagnose([{"train_accuracy": train, "val_accuracy": val}] * 3)
        >>> str(found.word), round(found.gap.mean, 3)
        ('overfitting', 0.3)
    """
    task = task_of(histories, task)
    pairs = _pairs(validation)
    if chance is None:
        chance = task.chance(np.concatenate([y for y, _ in pairs])) if pairs else task.chance()
    case = _Case(
        task=task,
        cost=cost_of(histories, task),
        chance=chance,
        attainable=task.attainable if attainable is None else attainable,
        examples=min(len(y) for y, _ in pairs) if examples is None and pairs else examples,
        shared=_shared(validation) if shared is None else shared,
        error=_error(task.level, pairs),
    )
    found = case.diagnosed(histories, clean=clean)
    over = [each for y, p in pairs or _pairs(predictions) if (each := task.overconfidence(y, p)) is not None]
    points = None if predictions is None else task.points(np.asarray(predictions[0]), np.asarray(predictions[1]))
    found = dataclasses.replace(
        found,
        overconfidence=estimate([each[0] for each in over]),
        temperature=estimate([each[1] for each in over]),
        decomposition=None if points is None else decompose(*points),
        before=case.before(histories, found),
    )
    return dataclasses.replace(found, evidence=findings(found))


@dataclass(frozen=True)
class _Case:
    """What verdicts go by beside the histories.

    ``error`` is the standard error of the level on one validation part, from predictions; 0 if unknown.
    """

    task: Task
    cost: Metric
    chance: float
    attainable: float | None
    examples: int | None
    shared: bool
    error: float

    def diagnosed(self, histories: Sequence[History], *, clean: bool = True) -> Diagnosis:
        """Return what histories say."""
        level = self.task.level
        runs = tuple(read(history, self.task, self.cost) for history in histories)
        told = [run for run in runs if not run.diverged]
        train, val = (_estimate(told, name, within=(level.lowest, level.highest)) for name in ("train", "val"))
        luck = self._luck(val)
        gap, best_gap = (_widened(_estimate(told, name), luck, shared=self.shared) for name in ("gap", "best_gap"))
        turned = [run.turn.epoch for run in told if run.turn is not None]
        has_turned = _most(run.turn is not None for run in told)
        apart = gap is not None and gap.above(max(GAP_MATTERS, _least(gap, luck, shared=self.shared)))
        falls, rises = _most(run.falls for run in told), _most(run.train_falls for run in told)
        whole = level.highest if self.attainable is None else self.attainable
        fit = math.nan if train is None else (train.mean - self.chance) / max(whole - self.chance, 1e-12)
        low = fit < FIT_ENOUGH and not has_turned and self._lacks_more(train, gap, apart=apart)
        word, kind = self._word(told, gap=gap, apart=apart, fit=fit, low=low, turned=has_turned, falls=falls or rises)
        shakes = [run.shake for run in told if math.isfinite(run.shake)]
        jumps = max(SHAKES, luck or 0.8 * _step(histories, level))
        return Diagnosis(
            task=self.task, cost=self.cost, word=word, kind=kind,
            onset=statistics.median_low(turned) if has_turned else None,
            onset_range=(min(turned), max(turned)) if has_turned else None, turned=len(turned),
            apart=apart, gap=gap, best_gap=best_gap,
            cost_gap=_estimate(told, "cost_gap"), best_cost_gap=_estimate(told, "best_cost_gap"),
            train=train, val=val, fit=fit, attainable=self.attainable, falls=falls, train_falls=rises,
            unstable=bool(shakes) and float(np.median(shakes)) >= jumps, shared=self.shared and luck > 0,
            overconfidence=None, temperature=None, decomposition=None, runs=runs, clean=clean,
        )  # fmt: skip

    def before(self, histories: Sequence[History], found: Diagnosis) -> tuple[Word, Kind] | None:
        """Return what would be said without the last epoch, where that is something else; None of too few."""
        if not found.told or min(run.epochs for run in found.told) <= curves.FEWEST_EPOCHS:
            return None
        shorter = self.diagnosed([{key: list(values)[:-1] for key, values in each.items()} for each in histories])
        said = (shorter.word, shorter.kind)
        return None if said == (found.word, found.kind) else said

    def _lacks_more(self, train: Estimate | None, gap: Estimate | None, *, apart: bool) -> bool:
        """Whether training examples lack more of what is attainable than validation lacks of them.

        A gap that is surely ten points or more is none of underfitting; nor is any that matters, where it is not known
        what is attainable.
        """
        if gap is None or train is None:
            return True
        if apart and (self.attainable is None or (gap.low if gap.sure else gap.mean) >= GAP_ALONE):
            return False
        return self.attainable is None or not gap.mean > self.attainable - train.mean

    def _luck(self, level: Estimate | None) -> float:
        """Return the standard error of one run's level on validation from the number of its examples; 0 if unknown.

        Of a share of examples it is binomial, with one example counted as wrong and one as right beside those seen
        (Agresti and Coull 1998 do so with two): a part that is all right by luck is not known to be.
        """
        if level is None or not self.examples:
            return 0.0
        if not (self.task.level.counts and self.task.level == self.task.success):
            return self.error
        share = (level.mean * self.examples + 1) / (self.examples + 2)
        return math.sqrt(share * (1 - share) / self.examples)

    def _word(
        self, runs: Sequence[Run], *, gap: Estimate | None, apart: bool, fit: float, low: bool, turned: bool,
        falls: bool,
    ) -> tuple[Word, Kind]:  # fmt: skip
        """Return the word and its kind.

        A training set that is not learned and a gap can both be there: the larger of the two is named, what the level
        on training examples lacks of the attainable or what validation lacks of training (Ng 2018, Machine Learning
        Yearning, chapters 20 to 23). Where it is not known what is attainable, what is lacking can be noise.
        """
        long_enough = bool(runs) and min(run.epochs for run in runs) >= curves.FEWEST_EPOCHS
        if low and long_enough:
            if fit < NOTHING_LEARNED:
                return Word.UNDERFITTING, Kind.NOTHING_LEARNED
            if falls:
                return Word.UNDERFITTING, Kind.UNFINISHED
            if self.attainable is not None:
                return Word.UNDERFITTING, Kind.LIMITED
            return Word.CANNOT_TELL, Kind.NOISE
        if turned or apart:
            lost = estimate([run.lost for run in runs if math.isfinite(run.lost)])
            worse = lost is not None and lost.above(max(LEVEL_FALLS, _lost_by_luck(runs)))
            sure = self.task.probabilities and not (apart or worse or lost is None)
            return Word.OVERFITTING, Kind.CONFIDENCE if sure else Kind.PERFORMANCE
        known = gap is not None and long_enough and not math.isnan(fit)
        return (Word.FITTING if known else Word.CANNOT_TELL), Kind.NONE


def _most(flags: Iterable[bool]) -> bool:
    """Whether more than half are true."""
    found = list(flags)
    return 2 * sum(found) > len(found)


def _estimate(runs: Sequence[Run], name: str, *, within: tuple[float, float] | None = None) -> Estimate | None:
    values = [getattr(run, name) for run in runs]
    return estimate([value for value in values if math.isfinite(value)], within=within)


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


def _pairs(pair: Pair | None) -> list[Pair]:
    """Return labels and predictions of each run."""
    if pair is None:
        return []
    labels, predicted = np.asarray(pair[0]), np.asarray(pair[1])
    each = labels if _own_labels(labels, predicted) else [labels] * len(predicted)
    return list(zip(each, predicted, strict=True))


def _own_labels(labels: np.ndarray, predicted: np.ndarray) -> bool:
    """Whether labels are given run by run."""
    return labels.dtype == object or (labels.ndim > 1 and labels.shape[:2] == predicted.shape[:2])


def _shared(validation: Pair | None) -> bool:
    """Whether runs have the same validation examples: where labels differ, each has a validation part of its own."""
    if validation is None:
        return True
    labels = np.asarray(validation[0])
    if labels.dtype == object:  # of different numbers of examples
        return False
    return not _own_labels(labels, np.asarray(validation[1])) or bool((labels == labels[:1]).all())


def _error(level: Metric, pairs: Sequence[Pair]) -> float:
    """Return the standard error of the level on one validation part from its scores per example; 0 if unknown."""
    if level.per_example is None or not pairs:
        return 0.0
    scores = [level.per_example(y, p) for y, p in pairs]
    found = float(np.mean([each.std() / math.sqrt(len(each)) for each in scores]))
    return found if math.isfinite(found) else 0.0


def _step(histories: Sequence[History], level: Metric) -> float:
    """Return the smallest step of the level on validation that histories show: one example, or a few.

    One example that flips at random shakes accuracy by half of it, one that flips in every epoch by 0.82 of it. What
    does not come in steps has none.
    """
    if not level.counts:
        return 0.0
    values = [value for history in histories for value in history.get(f"val_{level.name}", ())]
    found = np.asarray([math.nan if value is None else value for value in values], dtype="float64")
    return smallest_step(found[np.isfinite(found)])


def _lost_by_luck(runs: Sequence[Run]) -> float:
    """Return two standard errors of the mean level that runs lost, from the noise of their epochs."""
    errors = [run.lost_error for run in runs if math.isfinite(run.lost_error)]
    return 2 * float(np.sqrt(np.mean(np.square(errors)) / len(errors))) if errors else 0.0
