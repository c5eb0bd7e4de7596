"""What results say, in sentences: the verdict of a study, and what each figure shows. Names are made visible."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reglab.analysis.compare import Row
from reglab.inert import visible
from reglab.report.bands import band, histories, reliability_of

if TYPE_CHECKING:
    from reglab.report.figures.sensitivity import Sweep
    from reglab.results import Results

__all__ = [
    "classes", "confusion", "count", "curves", "effort", "epsilon", "forest", "gap", "listed", "reliability",
    "robustness", "sensitivity", "unfinished", "verdict",
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
    """Return the recipes with one of these verdicts, the largest difference first."""
    rows = [row for row in results.comparison.rows if row.verdict is not None and row.verdict.word in words]
    means = {row.name: row.verdict.paired.mean for row in rows if row.verdict is not None}
    return sorted(rows, key=lambda row: -means[row.name] if math.isfinite(means[row.name]) else math.inf)


def _points(row: Row) -> str:
    assert row.verdict is not None
    return f"{100 * row.verdict.paired.mean:.2f} points"


def _interval(row: Row) -> str:
    assert row.verdict is not None
    low, high = 100 * row.verdict.low, 100 * row.verdict.high
    return f"With {100 * row.verdict.confidence:.3g} % confidence it is between {low:+.2f} and {high:+.2f} points"


def verdict(results: Results) -> tuple[str, ...]:
    """Return what the test set says, in sentences, the most important one first."""
    baseline = visible(results.baseline)
    others = [row for row in results.comparison.rows if row.verdict is not None]
    if not any(row.finished for row in results.comparison.rows):
        return ("No run has finished yet, so nothing can be said.",)
    if not others:
        return (f"{baseline} is the only recipe, so there is nothing to compare.",)
    better, worse, bad = _by(results, "better"), _by(results, "worse"), _by(results, "unreliable")
    parts = []
    if better:
        best = better[0]
        parts.append(f"{visible(best.name)} is better than {baseline}, by {_points(best)} of test accuracy")
        parts.append(_interval(best))
        if better[1:]:
            more = listed([row.name for row in better[1:]])
            parts.append(f"{more} {_verb(better[1:], 'is', 'are')} better too")
    elif all(row.verdict is not None and row.verdict.word == "screening" for row in others):
        seeds = max(len(row.seeds) for row in others)
        return (f"{count(seeds, 'seed')} {'is' if seeds == 1 else 'are'} screening: too few for a verdict.",)
    else:
        parts.append(f"No recipe is shown to be better than {baseline}")
    if worse:
        parts.append(f"{listed([r.name for r in worse])} {_verb(worse, 'is', 'are')} worse")
    if bad:
        parts.append(
            f"{listed([r.name for r in bad])} {_verb(bad, 'is', 'are')} unreliable, for runs diverged or failed"
        )
    equal, unknown = _by(results, "equivalent"), _by(results, "cannot tell", "screening")
    if equal:
        parts.append(f"{listed([r.name for r in equal])} {_verb(equal, 'makes', 'make')} no difference that matters")
    if unknown:
        parts.append(f"{listed([r.name for r in unknown])} cannot be told from {baseline}")
    return tuple(f"{part}." for part in parts)


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
    told = {word: sum(row.verdict is not None and row.verdict.word == word for row in rows)
            for word in ("better", "worse", "equivalent", "cannot tell", "unreliable", "screening")}  # fmt: skip
    said = {"cannot tell": "cannot be told apart", "equivalent": "equivalent", "screening": "screened only"}
    parts = [f"{number} {said.get(word, word)}" for word, number in told.items() if number]
    return f"Of {count(len(rows), 'recipe')} against {visible(results.baseline)}: {', '.join(parts)}."


def curves(results: Results, names: Sequence[str], metric: str) -> str:
    """Say where learning curves end, mean over seeds, of the first of these recipes."""
    scale, unit, form = (100, " %", ".1f") if metric == "accuracy" else (1, " nats", ".2f")
    said = "accuracy" if metric == "accuracy" else "cross-entropy"
    name = names[0]
    val, train = (band(histories(results, name, f"{part}_{metric}")) for part in ("val", "train"))
    if not len(val.x):
        return f"{visible(name)}: no curves."
    ends = f"validation {said} ends at {scale * val.mean[-1]:{form}}{unit}"
    if len(train.x):
        ends += f", training at {scale * train.mean[-1]:{form}}{unit}"
    return f"{visible(name)}: {ends}."


def gap(results: Results) -> str:
    """Say who has the smallest and the largest gap."""
    rows = [row for row in results.comparison.rows if row.finished and not math.isnan(row.mean("gap"))]
    if not rows:
        return "No run has finished."
    low, high = min(rows, key=lambda r: r.mean("gap")), max(rows, key=lambda r: r.mean("gap"))
    text = f"The smallest gap has {visible(low.name)} ({100 * low.mean('gap'):.1f} points)"
    return text + (f", the largest {visible(high.name)} ({100 * high.mean('gap'):.1f})." if high is not low else ".")


def classes(names: Sequence[str], labels: Sequence[str], change: np.ndarray, baseline: str) -> str:
    """Say where recall rises and falls most; ``change`` is ``(recipes, classes)`` in points."""
    if not np.isfinite(change).any():
        return "No class has test examples."
    best, worst = (
        tuple(map(int, np.unravel_index(at, change.shape))) for at in (np.nanargmax(change), np.nanargmin(change))
    )
    return (
        f"Against {visible(baseline)}, recall changes most for class {visible(labels[best[1]])} with "
        f"{visible(names[best[0]])} ({change[best]:+.1f} points) and for class {visible(labels[worst[1]])} with "
        f"{visible(names[worst[0]])} ({change[worst]:+.1f})."
    )


def confusion(name: str, counts: np.ndarray, labels: Sequence[str]) -> str:
    """Say which classes are confused most; ``counts`` is ``(classes, classes)``."""
    off = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    if not off.any():
        return f"{visible(name)}: no error on the test set."
    shares = off / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    i, j = map(int, np.unravel_index(np.argmax(shares), shares.shape))
    return (
        f"{visible(name)}: most often takes {visible(labels[i])} for {visible(labels[j])}, "
        f"{100 * shares[i, j]:.1f} % of that class."
    )


def reliability(results: Results, names: Sequence[str]) -> str:
    """Say how far confidence is from accuracy, of one recipe or of the best and worst of several."""
    errors = {name: found.error for name in names if (found := reliability_of(results, name)) is not None}
    if len(errors) == 1:
        ((name, error),) = errors.items()
        over = results.comparison.row(name).mean("overconfidence")
        side = "" if math.isnan(over) else ", too sure of itself" if over > 0 else ", less sure than it is right"
        return f"{visible(name)}: confidence is {100 * error:.1f} points off accuracy{side}."
    if not errors:
        return ""
    low, high = min(errors, key=lambda n: errors[n]), max(errors, key=lambda n: errors[n])
    return (f"Confidence is closest to accuracy with {visible(low)} ({100 * errors[low]:.1f} points off), and farthest "
            f"with {visible(high)} ({100 * errors[high]:.1f}).")  # fmt: skip


def sensitivity(results: Results, sweep: Sweep) -> str:
    """Say which value is best by validation."""
    rows = [(value, results.comparison.row(name)) for value, name in zip(sweep.values, sweep.names, strict=True)]
    rows = [(value, row) for value, row in rows if not math.isnan(row.mean("val_accuracy"))]
    if not rows:
        return f"{sweep.title}: no run has finished."
    value, best = max(rows, key=lambda pair: pair[1].mean("val_accuracy"))
    return (
        f"{visible(sweep.title)}: of {len(rows)} values from {rows[0][0]:g} to {rows[-1][0]:g}, {value:g} is best by "
        f"validation, with {100 * best.mean('accuracy'):.2f} % on the test set."
    )


def epsilon(value: float, unit: str | None) -> str:
    """Return the size of a perturbation: of pixels as ``8/255``, where that is what it is."""
    levels = value * 255
    return f"{round(levels)}/255" if unit == "pixel" and abs(levels - round(levels)) < 1e-6 else f"{value:.3g}"


def effort(curves: Mapping[str, np.ndarray]) -> str:
    """Say which strategy is best with one trial and which with all."""
    first, last = (max(curves, key=lambda name: curves[name][at]) for at in (0, -1))
    most = max(len(curve) for curve in curves.values())
    ahead = f"{visible(last)} is expected to be best after {most} trials ({100 * curves[last][-1]:.1f} %)"
    if first == last:
        return f"{ahead}, and with a single one too."
    return f"{ahead}; with a single one {visible(first)} is ({100 * curves[first][0]:.1f} %)."


def robustness(
    results: Results, found: Mapping[str, Mapping[str, list[list[float]]]], measured: Mapping[str, Any]
) -> str:
    """Say who holds best at the largest perturbation of the strongest attack, which comes first."""
    attack, of_attack = next((attack, of) for attack, of in found.items() if of)
    means = {name: float(np.mean([curve[-1] for curve in of_name])) for name, of_name in of_attack.items()}
    best = max(means, key=lambda name: means[name])
    at = f"epsilon {epsilon(measured['epsilons'][-1], measured.get('unit'))} of {visible(attack.upper())}"
    if len(means) == 1:
        return f"{visible(best)}: keeps {100 * means[best]:.1f} % at {at}."
    text = f"At {at}, {visible(best)} keeps most accuracy, {100 * means[best]:.1f} %"
    if results.baseline in means and best != results.baseline:
        text += f"; {visible(results.baseline)} keeps {100 * means[results.baseline]:.1f} %"
    return f"{text}."
