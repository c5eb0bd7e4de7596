"""A diagnosis in words: the verdict in a sentence, and each finding with the numbers that it rests on."""

from __future__ import annotations

import math
from statistics import median

from reglab.analysis import curves
from reglab.analysis import diagnosis as limits
from reglab.analysis.diagnosis import Diagnosis, Estimate, Finding

__all__ = ["evidence", "points", "verdict"]

_ORDER = {"problem": 0, "unknown": 1, "fine": 2, "note": 3}


def verdict(found: Diagnosis) -> str:
    """Return the verdict in a sentence or two."""
    return {
        "overfitting": _overfitting, "underfitting": _underfitting, "fitting": _fitting, "cannot tell": _cannot_tell,
    }[found.word](found)  # fmt: skip


def _overfitting(found: Diagnosis) -> str:
    since = _since(found)
    if found.kind == "confidence":
        return f"Overfitting in confidence, not in accuracy: {since}, while accuracy stays where it is."
    if found.gap is not None and found.apart:
        ahead = f"training accuracy is {points(found.gap)} ahead of validation"
        return f"Overfitting: {ahead}; {since}."
    return f"Overfitting: {since}."


def _since(found: Diagnosis) -> str:
    if found.onset is not None:
        return f"since epoch {found.onset} more training makes validation cross-entropy worse"
    level = [run.levelled for run in found.runs if run.levelled is not None]
    if level and found.falls:
        return "validation cross-entropy still falls"
    if level:
        return f"validation cross-entropy has gained next to nothing since epoch {_median(level):g}, and does not rise"
    if any(math.isfinite(run.val_cross_entropy) for run in found.runs):
        return "these are too few epochs to see whether validation cross-entropy turns"
    opened = [run.opened for run in found.runs if run.opened is not None]
    when = f"the gap opened at epoch {_median(opened):g}" if opened else "since when is not known"
    return f"{when}, as the history has no cross-entropy on validation"


def _underfitting(found: Diagnosis) -> str:
    level = (
        f"training accuracy ends at {percent(found.train_accuracy)}"
        if found.train_accuracy is not None
        else f"training cross-entropy ends at {_median([run.train_cross_entropy for run in found.runs]):.3f}"
    )
    if found.kind == "unfinished":
        part = "training" if found.train_falls else "validation"
        return f"Underfitting, because training ended too early: {level}, and {part} was still improving."
    if found.kind == "nothing learned":
        return f"Underfitting: {level}, which is chance. Look at learning rate, inputs and labels first."
    told = [run for run in found.runs if not run.diverged]
    stopped = "has stopped improving" if all(run.train_stopped for run in told) else "does not improve steadily"
    return (
        f"Underfitting: {level} and {stopped}. The model is too small or held back too much, or the labels "
        "cannot be told from these inputs."
    )


def _fitting(found: Diagnosis) -> str:
    assert found.gap is not None
    text = f"Fitting: the training set is learned, and validation is {_apart(found.gap, 'behind', 'ahead')}"
    return text + (", still improving when training ended." if found.falls else ".")


def _cannot_tell(found: Diagnosis) -> str:
    told = [run for run in found.runs if not run.diverged]
    if not found.runs:
        return "Cannot tell: there is no history."
    if not told:
        return "Cannot tell: every run diverged. Lower the learning rate, or look for values that are not numbers."
    epochs = min(run.epochs for run in told)
    if epochs < curves.FEWEST_EPOCHS:
        return (
            f"Cannot tell: {_count(epochs, 'epoch')} of history, and {curves.FEWEST_EPOCHS} are needed to see a trend."
        )
    if math.isnan(found.fit):
        return "Cannot tell: the history has no training accuracy. Compile with metrics=['accuracy']."
    return "Cannot tell: the history has no validation accuracy. Fit with validation_data=(x_val, y_val)."


def evidence(found: Diagnosis) -> tuple[Finding, ...]:
    """Return all that the runs show, problems first."""
    makers = (_fit, _gap, _onset, _progress, _calibration, _stability, _variance, _divergence, _seeds, _measurement)
    findings = [finding for make in makers for finding in make(found)]
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.state]))


def _fit(found: Diagnosis) -> list[Finding]:
    if found.train_accuracy is None:
        return []
    text = f"Training accuracy ends at {percent(found.train_accuracy)}"
    if found.word != "underfitting":
        return [Finding("fit", "fine", f"{text}.")]
    far = f"{100 * found.fit:.0f} % of the way from chance to what is attainable"
    return [Finding("fit", "problem", f"{text}, {far}.")]


def _gap(found: Diagnosis) -> list[Finding]:
    said = []
    if found.gap is not None:
        best = "" if found.best_gap is None else f", at the best epoch {_apart(found.best_gap, 'ahead', 'behind')}"
        allowed = ", allowing for the size of the one validation part" if found.shared and found.gap.sure else ""
        said.append(f"Training accuracy is {_apart(found.gap, 'ahead', 'behind')} of validation's{best}{allowed}")
    if found.cross_entropy_gap is not None:
        nats = found.cross_entropy_gap
        size = _number(nats, 1.0 if nats.mean >= 0 else -1.0, ".3f")
        said.append(f"validation cross-entropy is {size} nats {'above' if nats.mean >= 0 else 'below'} training's")
        if len(said) == 1:
            said[0] = f"V{said[0][1:]}"
    if not said:
        return []
    state = "problem" if found.apart else "fine"
    return [Finding("gap", "note" if found.gap is None else state, f"{'; '.join(said)}.")]


def _onset(found: Diagnosis) -> list[Finding]:
    told = [run for run in found.runs if not run.diverged and math.isfinite(run.val_cross_entropy)]
    if not told:
        return []
    if min(run.epochs for run in told) < curves.FEWEST_EPOCHS:
        return [Finding("onset", "unknown", "Too few epochs to see whether validation cross-entropy turns.")]
    of = f"{found.turned} of {_count(len(told), 'run')}"
    if found.onset is None or found.onset_range is None:
        return [Finding("onset", "fine", f"Validation cross-entropy rises for good in {of}.")]
    first, last = found.onset_range
    between = "" if first == last else f" (runs: {first} to {last})"
    turns = [run.turn for run in told if run.turn is not None]
    low, high = _median([turn.lowest for turn in turns]), _median([turn.final for turn in turns])
    lost = _median([run.accuracy_lost for run in told])
    falls = found.kind == "accuracy" and lost >= limits.ACCURACY_FALLS
    held = "" if found.val_accuracy is None else f"; accuracy {'falls too' if falls else 'is not shown to fall'}"
    text = (
        f"Validation cross-entropy rises for good after epoch {found.onset}{between}, from {low:.3f} to {high:.3f}, "
        f"in {of}{held}."
    )
    return [Finding("onset", "problem", text)]


def _progress(found: Diagnosis) -> list[Finding]:
    if found.onset is not None or not (found.falls or (found.train_falls and found.kind == "unfinished")):
        return []
    state = "problem" if found.kind == "unfinished" else "note"
    part = "Validation" if found.falls else "Training accuracy"
    return [Finding("progress", state, f"{part} was still improving when training ended: train longer.")]


def _calibration(found: Diagnosis) -> list[Finding]:
    over, temperature = found.overconfidence, found.temperature
    if over is None or temperature is None:
        return []
    sure = abs(over.mean) < limits.OVERCONFIDENT  # too little confidence is no problem of fit: a temperature mends it
    state = "problem" if found.overconfident else "fine" if sure else "note"
    side = "above" if over.mean >= 0 else "below"
    size = _number(over, 100.0 if over.mean >= 0 else -100.0, ".1f")
    text = f"Confidence is {size} points {side} accuracy, the best temperature {temperature.mean:.2f}."
    return [Finding("calibration", state, text)]


def _stability(found: Diagnosis) -> list[Finding]:
    shakes = [run.shake for run in found.runs if math.isfinite(run.shake)]
    if not shakes:
        return []
    size = f"{100 * _median(shakes):.1f} points"
    if found.unstable:
        text = f"Late in training validation accuracy jumps by {size} an epoch: which one is last is luck."
        return [Finding("stability", "problem", text)]
    return [Finding("stability", "fine", f"Late in training validation accuracy moves by {size} an epoch.")]


def _variance(found: Diagnosis) -> list[Finding]:
    parts = found.decomposition
    if parts is None:
        return []
    bias = f"bias² {parts.bias:.3f}{_bounds(parts.bias_interval)}"
    variance = f"variance {parts.variance:.3f}{_bounds(parts.variance_interval)}"
    share = f"{100 * parts.share:.0f} % is variance over seeds"
    text = f"Of a Brier score of {parts.brier:.3f}, {share}: {bias}, {variance}."
    return [Finding("bias and variance", "note", text)]


def _divergence(found: Diagnosis) -> list[Finding]:
    bad = sum(run.diverged for run in found.runs)
    if not bad:
        return []
    text = f"{bad} of {_count(len(found.runs), 'run')} diverged and stand in no other number here."
    return [Finding("divergence", "problem", text)]


def _seeds(found: Diagnosis) -> list[Finding]:
    if found.seeds >= limits.INTERVAL_SEEDS or not found.seeds:
        return []
    if found.seeds == 1:
        text = "One run: no interval can be given, and another seed may say something else."
    else:
        text = "Two runs: their intervals are too wide to say anything. Give three seeds or more."
    return [Finding("seeds", "unknown", text)]


def _measurement(found: Diagnosis) -> list[Finding]:
    if found.clean:
        return []
    gap = found.gap is not None or found.cross_entropy_gap is not None
    text = (
        "Training metrics are Keras' running mean over the epoch: with dropout and augmentation on, while the weights "
        f"move; loss contains penalties.{' A gap found so is rather too small.' if gap else ''}"
    )
    return [Finding("measurement", "note", text)]


def _apart(gap: Estimate, ahead: str, behind: str) -> str:
    """Return a difference in accuracy with the side that its sign says, so that its number is never negative."""
    sign = 1.0 if gap.mean >= 0 else -1.0
    return f"{_number(gap, 100.0 * sign, '.1f', ' points')} {ahead if gap.mean >= 0 else behind}"


def points(estimate: Estimate) -> str:
    """Return a difference in accuracy: ``10.0 points [8.2, 11.8]``."""
    return f"{100 * estimate.mean:.1f} points{_bounds((estimate.low, estimate.high), 100.0, '.1f')}"


def percent(estimate: Estimate) -> str:
    """Return an accuracy: ``90.3 % [89.1, 91.5]``."""
    return f"{100 * estimate.mean:.1f} %{_bounds((estimate.low, estimate.high), 100.0, '.1f')}"


def _number(estimate: Estimate, unit: float, form: str, what: str = "") -> str:
    ends = sorted((unit * estimate.low, unit * estimate.high))
    return f"{unit * estimate.mean:{form}}{what}{_bounds((ends[0], ends[1]), 1.0, form)}"


def _bounds(bounds: tuple[float, float], unit: float = 1.0, form: str = ".3f") -> str:
    low, high = bounds
    # Equal numbers have no spread that could be told, and a point is no interval.
    return "" if not math.isfinite(high - low) or high == low else f" [{unit * low:{form}}, {unit * high:{form}}]"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _median(values: list) -> float:
    found = [value for value in values if math.isfinite(value)]
    return float(median(found)) if found else math.nan
