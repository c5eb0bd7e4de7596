"""What results say, in sentences: the verdict of a study, and what each figure shows. Names are made visible."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reglab.analysis.compare import Row
from reglab.analysis.robustness import epsilon_text
from reglab.experiments.references import load as load_references
from reglab.inert import visible
from reglab.recipe import spoken
from reglab.report import verdicts
from reglab.report.bands import band, histories, reliability_of
from reglab.report.sweeps import Sweep
from reglab.results import Results
from reglab.tasks import ByName, Metric

__all__ = [
    "called",
    "capital",
    "classes",
    "confusion",
    "count",
    "curves",
    "effort",
    "forest",
    "gap",
    "grouped",
    "listed",
    "references",
    "reliability",
    "robustness",
    "sensitivity",
    "unfinished",
    "verdict",
]  # fmt: skip

_FEW = 4  # names that a sentence lists


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 run``, ``3 runs``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence holds them; of many only their number."""
    if len(names) > _FEW:
        return count(len(names), "recipe")
    seen = [visible(name) for name in names]
    return seen[0] if len(seen) == 1 else f"{', '.join(seen[:-1])} and {seen[-1]}"


def _by(results: Results, *words: str) -> list[Row]:
    """Return the recipes with one of these verdicts, the best one first."""
    rows = [row for row in results.comparison.rows if row.verdict is not None and row.verdict.word in words]
    sign = results.metric.sign
    means = {row.name: sign * row.verdict.paired.mean for row in rows if row.verdict is not None}
    return sorted(rows, key=lambda row: -means[row.name] if math.isfinite(means[row.name]) else math.inf)


def _size(row: Row) -> str:
    assert row.verdict is not None
    return row.verdict.metric.differs(abs(row.verdict.paired.mean))


def _interval(row: Row) -> str:
    found = row.verdict
    assert found is not None
    if found.bound:
        size = f"The test shows that this is {'above' if found.bound == '>0' else 'below'} zero"
    else:
        metric = found.metric
        low, high = f"{metric.scale * found.low:+{metric.form}}", metric.differs(found.high, f"+{metric.form}")
        size = f"With {100 * found.confidence:.3g} % confidence it is between {low} and {high}"
    return f"{size} (p {verdicts.p_text(found.p_adjusted)}, familywise 5 %)"


def called(results: Results, name: str) -> str:
    """Return how a sentence calls a recipe, made visible."""
    return visible(spoken(name, results.baseline))


def verdict(results: Results) -> tuple[str, ...]:
    """Return what the test set says, in sentences, the most important one first."""
    baseline = called(results, results.baseline)
    others = [row for row in results.comparison.rows if row.verdict is not None]
    if not any(row.finished for row in results.comparison.rows):
        return ("No run has finished yet, so nothing can be said.",)
    if not others:
        return (f"{capital(baseline)} is the only recipe, so there is nothing to compare.",)
    found = others[0].verdict
    assert found is not None
    if found.baseline_bad:
        return (
            f"No verdict is reliable: {found.baseline_bad} of {count(found.baseline_runs, 'run')} of {baseline} "
            "diverged or failed, so what is left to compare with is a selection.",
            *_collapses(results),
        )
    if all(row.verdict is not None and row.verdict.word == "screening" for row in others):
        seeds = max(len(row.seeds) for row in others)
        return (f"{count(seeds, 'seed')} {'is' if seeds == 1 else 'are'} screening: too few for a verdict.",)
    return (*(f"{part}." for part in _parts(results, baseline)), *_collapses(results))


def _parts(results: Results, baseline: str) -> list[str]:
    """Return what the test set says of each recipe, those with the same verdict together."""
    better, worse, bad = _by(results, "better"), _by(results, "worse"), _by(results, "unreliable")

    def names(rows: Sequence[Row]) -> str:
        return listed([spoken(row.name, results.baseline) for row in rows])

    parts = []
    if better:
        best = better[0]
        parts.append(f"{names([best])} is better than {baseline}, by {_size(best)} of test {results.metric.title}")
        parts.append(_interval(best))
        if better[1:]:
            parts.append(f"{names(better[1:])} {_verb(better[1:], 'is', 'are')} better too")
    else:
        parts.append(f"No recipe is shown to be better than {baseline}")
    if worse:
        parts.append(f"{names(worse)} {_verb(worse, 'is', 'are')} worse")
    if bad:
        parts.append(f"{names(bad)} {_verb(bad, 'is', 'are')} unreliable, for runs diverged or failed")
    equal, same = _by(results, "equivalent"), _by(results, "identical")
    unknown = _by(results, "cannot tell", "screening")
    if equal:
        parts.append(f"{names(equal)} {_verb(equal, 'makes', 'make')} no difference that matters")
    if same:
        parts.append(f"{names(same)} {_verb(same, 'is', 'are')} identical to {baseline} in every seed")
    if unknown:
        parts.append(f"{names(unknown)} cannot be told from {baseline}")
    return parts


def _collapses(results: Results) -> tuple[str, ...]:
    """Name the recipes of which a run ended far below the others: means say little of them."""
    rows = [row for row in results.comparison.rows if row.collapsed]
    return tuple(
        f"{len(row.collapsed)} of {count(row.finished, 'run')} of {called(results, row.name)} collapsed "
        f"({'seed' if len(row.collapsed) == 1 else 'seeds'} {', '.join(map(str, row.collapsed))})."
        for row in rows[:_FEW]
    ) + ((f"So did runs of {count(len(rows) - _FEW, 'more recipe')}.",) if len(rows) > _FEW else ())


def capital(text: str) -> str:
    """Return a text with a capital first letter, where it is one of ours."""
    return f"T{text[1:]}" if text.startswith("the baseline (") else text


def unfinished(results: Results) -> tuple[str, ...]:
    """Return what has to be said of a study of which runs are missing; nothing where it is complete."""
    if results.complete:
        return ()
    missing = results.counts["missing"]
    return (
        f"{count(missing, 'run')} {'is' if missing == 1 else 'are'} still to come, so this is how it stands and no "
        "verdict: who looks again and again until a difference shows finds differences that are not there.",
    )


def _verb(rows: Sequence[Row], one: str, more: str) -> str:
    return one if len(rows) == 1 else more


def forest(results: Results) -> str:
    """Say what the forest plot shows."""
    rows = [row for row in results.comparison.rows if row.verdict is not None]
    told = {
        word: sum(row.verdict is not None and row.verdict.word == word for row in rows)
        for word in ("better", "worse", "equivalent", "identical", "cannot tell", "unreliable", "screening")
    }
    said = {"cannot tell": "cannot be told apart", "equivalent": "equivalent", "screening": "screened only"}
    parts = [f"{number} {said.get(word, word)}" for word, number in told.items() if number]
    return f"Of {count(len(rows), 'recipe')} against {called(results, results.baseline)}: {', '.join(parts)}."


def curves(results: Results, names: Sequence[str], metric: str) -> str:
    """Say where learning curves end, mean over seeds, of the first of these recipes."""
    of, name = results.task.metric(metric), names[0]
    val, train = (band(histories(results, name, f"{part}_{metric}")) for part in ("val", "train"))
    if not len(val.x):
        return f"{capital(called(results, name))}: no curves."
    ends = f"validation {of.title} ends at {of.shown(val.mean[-1], of.rough)}"
    if len(train.x):
        ends += f", training at {of.shown(train.mean[-1], of.rough)}"
    return f"{capital(called(results, name))}: {ends}."


def gap(results: Results) -> str:
    """Say who has the smallest and the largest gap."""
    rows = [row for row in results.comparison.rows if row.finished and not math.isnan(row.mean("gap"))]
    if not rows:
        return "No run has finished."
    low, high = min(rows, key=lambda r: r.mean("gap")), max(rows, key=lambda r: r.mean("gap"))
    metric = results.metric
    text = f"The gap is smallest with {called(results, low.name)} ({metric.differs(low.mean('gap'), metric.rough)})"
    if high is low:
        return f"{text}."
    largest = f"{metric.scale * high.mean('gap'):{metric.rough}}"
    return f"{text}, and largest with {called(results, high.name)} ({largest})."


def classes(names: Sequence[str], labels: Sequence[str], change: np.ndarray, baseline: str, told: ByName) -> str:
    """Say where recall, or what a task has in its place, rises and falls most; ``change`` is in points."""
    if not np.isfinite(change).any():
        return f"No {told.what} has test examples."
    best, worst = (
        tuple(map(int, np.unravel_index(at, change.shape))) for at in (np.nanargmax(change), np.nanargmin(change))
    )
    return (
        f"Against {visible(spoken(baseline, baseline))}, {told.compared} changes most for {told.what} "
        f"{visible(labels[best[1]])} with {visible(names[best[0]])} ({change[best]:+.1f} points) and for {told.what} "
        f"{visible(labels[worst[1]])} with {visible(names[worst[0]])} ({change[worst]:+.1f})."
    )


def confusion(name: str, counts: np.ndarray, labels: Sequence[str], of: str = "examples") -> str:
    """Say which classes are confused most; ``counts`` is ``(classes, classes)``, ``of`` what is counted."""
    off = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    if not off.any():
        return f"{visible(name)}: no error on the test set."
    shares = off / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    i, j = map(int, np.unravel_index(np.argmax(shares), shares.shape))
    return (
        f"{visible(name)}: most often takes {visible(labels[i])} for {visible(labels[j])}, "
        f"{100 * shares[i, j]:.1f} % of its {of}."
    )


def reliability(results: Results, names: Sequence[str]) -> str:
    """Say how far confidence is from accuracy, of one recipe or of the best and worst of several."""
    found = {name: each for name in names if (each := reliability_of(results, name)) is not None}
    errors = {name: each.error for name, each in found.items()}
    if len(errors) == 1:
        ((name, error),) = errors.items()
        over = float(np.sum(found[name].share * (found[name].confidence - found[name].accuracy)))
        side = ", too sure of itself" if over > 0 else ", less sure than it is right"
        return f"{capital(called(results, name))}: confidence is {100 * error:.1f} points off accuracy{side}."
    if not errors:
        return ""
    low, high = min(errors, key=lambda n: errors[n]), max(errors, key=lambda n: errors[n])
    return (
        f"Confidence is closest to accuracy with {called(results, low)} ({100 * errors[low]:.1f} points off), and "
        f"farthest with {called(results, high)} ({100 * errors[high]:.1f})."
    )


def sensitivity(results: Results, sweep: Sweep) -> str:
    """Say which value is best by validation."""
    rows = [(value, results.comparison.row(name)) for value, name in zip(sweep.values, sweep.names, strict=True)]
    metric = results.metric
    decides = f"val_{metric.name}"
    rows = [(value, row) for value, row in rows if not math.isnan(row.mean(decides))]
    if not rows:
        return f"{sweep.title}: no run has finished."
    value, best = max(rows, key=lambda pair: metric.sign * pair[1].mean(decides))
    return (
        f"{visible(sweep.title)}: of {len(rows)} values from {rows[0][0]:g} to {rows[-1][0]:g}, {value:g} is best by "
        f"validation, with {metric.shown(best.mean(metric.name))} on the test set."
    )


def references(results: Results) -> str:
    """Say what guessing and scikit-learn's standard models have on the same splits; nothing where that is not known."""
    metric, lines = results.metric, load_references(results.folder)
    if not lines:
        return ""
    seeds = max(map(len, lines.values()))
    told = ", ".join(f"{name} {metric.shown(float(np.mean(list(of.values()))))}" for name, of in lines.items() if of)
    return (
        f"For reference, {metric.title} on the test set: {told} (scikit-learn's, as they come, mean over the same "
        f"splits of {count(seeds, 'seed')})."
    )


def grouped(results: Results) -> str:
    """Say what stands for test examples where the deciding metric is no mean over them; else nothing."""
    groups = max((row.crossed.groups for row in results.comparison.rows if row.crossed is not None), default=0)
    if not groups:
        return ""
    title = results.metric.title
    return f" ({title} is no mean over examples: {groups} groups of them, left out by turns, stand for them)"


def effort(curves: Mapping[str, np.ndarray], metric: Metric) -> str:
    """Say which strategy is best with one trial and which with all."""
    first, last = (max(curves, key=lambda name: metric.sign * curves[name][at]) for at in (0, -1))
    most = max(len(curve) for curve in curves.values())
    ahead = (
        f"{capital(visible(spoken(last)))} is expected to be best after {most} trials "
        f"({metric.shown(curves[last][-1], metric.rough)})"
    )
    if first == last:
        return f"{ahead}, and with a single one too."
    return f"{ahead}; with a single one {visible(spoken(first))} is ({metric.shown(curves[first][0], metric.rough)})."


def robustness(
    results: Results, found: Mapping[str, Mapping[str, list[list[float]]]], measured: Mapping[str, Any]
) -> str:
    """Say who holds best at the largest perturbation of the strongest attack, which comes first."""
    attack, of_attack = next((attack, of) for attack, of in found.items() if of)
    means = {name: float(np.mean([curve[-1] for curve in of_name])) for name, of_name in of_attack.items()}
    metric = results.task.metric(measured["metric"])
    best = max(means, key=lambda name: metric.sign * means[name])
    at = f"epsilon {epsilon_text(measured['epsilons'][-1], measured.get('unit'))} of {visible(attack.upper())}"
    if len(means) == 1:
        return f"{capital(called(results, best))} has {metric.title} {metric.shown(means[best], metric.rough)} at {at}."
    first = "lowest" if metric.better == "lower" else "highest"
    text = f"At {at}, {called(results, best)} has the {first} {metric.title}, {metric.shown(means[best], metric.rough)}"
    if results.baseline in means and best != results.baseline:
        text += f"; {called(results, results.baseline)} has {metric.shown(means[results.baseline], metric.rough)}"
    return f"{text}."
