"""A diagnosis in words: the verdict in a sentence, and each finding with the numbers that it rests on.

What is measured is called as the task calls it, in its units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from reglab.analysis import curves
from reglab.analysis import diagnosis as limits
from reglab.analysis.diagnosis import Diagnosis, Finding, Kind, State, Topic, Word
from reglab.analysis.probed import LabelProbe, LearningCurve, NoiseProbe, Probes, WeightProbe
from reglab.report.amounts import bounds, count, difference, middle, side, value
from reglab.tasks import Metric, Task

__all__ = ["Said", "Told", "evidence", "sentence", "told", "verdict"]


@dataclass(frozen=True)
class Said:
    """A finding in words."""

    name: Topic
    state: State
    sentence: str


@dataclass(frozen=True)
class Told:
    """A diagnosis in words."""

    sentence: str
    evidence: tuple[Said, ...]


def told(found: Diagnosis, probes: Probes | None = None) -> Told:
    """Return verdict and findings in words, problems first."""
    return Told(verdict(found), evidence(found, probes))


def evidence(found: Diagnosis, probes: Probes | None = None) -> tuple[Said, ...]:
    """Return all findings in words, those of probes too, problems first."""
    probes = probes or Probes()
    findings = sorted([*found.evidence, *probes.findings()], key=lambda finding: list(State).index(finding.state))
    return tuple(Said(each.name, each.state, sentence(found, each, probes)) for each in findings)


def sentence(found: Diagnosis, finding: Finding, probes: Probes | None = None) -> str:
    """Return a finding in words."""
    if finding.name in _OF_RUNS:
        return _OF_RUNS[finding.name](found)
    assert probes is not None
    return _of_probe(found.task, finding.name, probes)


# --- the verdict -----------------------------------------------------------------------------------------------------


def verdict(found: Diagnosis) -> str:
    """Return the verdict in a sentence or two."""
    return _VERDICTS[found.word](found)


def _overfitting(found: Diagnosis) -> str:
    level, since = found.level.title, _since(found)
    if found.kind == Kind.CONFIDENCE:
        return f"Overfitting in confidence, not in {level}: {since}, while {level} stays where it is."
    if found.gap is not None and found.apart:
        ahead = f"training {level} is {difference(found.level, found.gap)} ahead of validation"
        return f"Overfitting: {ahead}; {since}."
    return f"Overfitting: {since}."


def _since(found: Diagnosis) -> str:
    cost = found.cost.title
    if found.onset is not None:
        return f"since epoch {found.onset} more training makes validation {cost} worse"
    level = [run.levelled for run in found.runs if run.levelled is not None]
    if level and found.falls:
        return f"validation {cost} still falls"
    if level:
        return f"validation {cost} has gained next to nothing since epoch {middle(level):g}, and does not rise"
    if any(math.isfinite(run.val_cost) for run in found.runs):
        return f"these are too few epochs to see whether validation {cost} turns"
    opened = [run.opened for run in found.runs if run.opened is not None]
    when = f"the gap opened at epoch {middle(opened):g}" if opened else "since when is not known"
    return f"{when}, as the history has no {cost} on validation"


def _underfitting(found: Diagnosis) -> str:
    assert found.train is not None
    level = f"training {found.level.title} ends at {value(found.level, found.train)}"
    if found.kind == Kind.UNFINISHED:
        part = "training" if found.train_falls else "validation"
        return f"Underfitting, because training ended too early: {level}, and {part} was still improving."
    if found.kind == Kind.NOTHING_LEARNED:
        return (
            f"Underfitting: {level}, no better than {found.task.uninformed}. Look at learning rate, inputs and labels "
            "first."
        )
    return (
        f"Underfitting: {level} and {_no_more(found)}. The model is too small or held back too much, or the labels "
        "cannot be told from these inputs."
    )


def _no_more(found: Diagnosis) -> str:
    return "has stopped improving" if all(run.train_stopped for run in found.told) else "does not improve steadily"


def _fitting(found: Diagnosis) -> str:
    assert found.gap is not None
    text = (
        f"Fitting: the training set is learned, and validation is {side(found.level, found.gap, ('behind', 'ahead'))}"
    )
    return text + (", still improving when training ended." if found.falls else ".")


def _cannot_tell(found: Diagnosis) -> str:
    level = found.level.title
    if not found.runs:
        return "Cannot tell: there is no history."
    if not found.told:
        return "Cannot tell: every run diverged. Lower the learning rate, or look for values that are not numbers."
    if found.kind == Kind.NOISE and found.train is not None:
        return (
            f"Cannot tell: training {level} ends at {value(found.level, found.train)} and {_no_more(found)}, with no "
            "gap that matters. The rest is noise, or the model is too small: a larger one shows which. Say what is "
            "attainable, if you know it (--attainable)."
        )
    epochs = min(run.epochs for run in found.told)
    if epochs < curves.FEWEST_EPOCHS:
        return (
            f"Cannot tell: {count(epochs, 'epoch')} of history, and {curves.FEWEST_EPOCHS} are needed to see a trend."
        )
    if math.isnan(found.fit):
        return f"Cannot tell: the history has no training {level}. {_how(found.level)}"
    return f"Cannot tell: the history has no validation {level}. Fit with validation_data=(x_val, y_val)."


def _how(metric: Metric) -> str:
    """Return how a training measures a metric."""
    if not metric.compiled:
        return "Give reglab.Diagnose(clean=(x, y), validation=(x_val, y_val))."
    return f"Compile with metrics=[{metric.compiled}]."


_VERDICTS = {
    Word.OVERFITTING: _overfitting,
    Word.UNDERFITTING: _underfitting,
    Word.FITTING: _fitting,
    Word.CANNOT_TELL: _cannot_tell,
}


# --- findings of runs ------------------------------------------------------------------------------------------------


def _fit(found: Diagnosis) -> str:
    assert found.train is not None
    level = found.level
    what = f"{level.title}, the {level.meaning}," if level.meaning else level.title
    text = f"Training {what} ends at {value(level, found.train)}"
    if found.word == Word.UNDERFITTING:
        whole = "what is attainable" if found.attainable is not None else level.shown(level.highest, "g")
        return f"{text}, {100 * found.fit:.0f} % of the way from {found.task.uninformed} to {whole}."
    if found.kind == Kind.NOISE:
        return f"{text}; how much is attainable is not known."
    return f"{text}."


def _gap(found: Diagnosis) -> str:
    said = []
    if found.gap is not None:
        words = ("ahead", "behind")
        best = "" if found.best_gap is None else f", at the best epoch {side(found.level, found.best_gap, words)}"
        allowed = ", allowing for the size of the one validation part" if found.shared and found.gap.sure else ""
        level = found.level.title
        size = side(found.level, found.gap, ("ahead of", "behind"))
        said.append(f"training {level} is {size} validation's{best}{allowed}")
    if found.cost_gap is not None:
        size = side(found.cost, found.cost_gap, ("above", "below"), found.cost.form)
        unit = f", {found.cost.measured_in}" if found.cost.measured_in else ""
        said.append(f"validation {found.cost.title} is {size} training's{unit}")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def _onset(found: Diagnosis) -> str:
    runs, cost = [run for run in found.told if math.isfinite(run.val_cost)], found.cost
    if min(run.epochs for run in runs) < curves.FEWEST_EPOCHS:
        return f"Too few epochs to see whether validation {cost.title} turns."
    of = f"{found.turned} of {count(len(runs), 'run')}"
    if found.onset is None or found.onset_range is None:
        return f"Validation {cost.title} rises for good in {of}."
    first, last = found.onset_range
    between = "" if first == last else f" (runs: {first} to {last})"
    turns = [run.turn for run in runs if run.turn is not None]
    low, high = (cost.scale * middle(each) for each in ([t.lowest for t in turns], [t.final for t in turns]))
    return (
        f"Validation {cost.title} rises for good after epoch {found.onset}{between}, from {low:{cost.form}} to "
        f"{high:{cost.form}}, in {of}{_held(found)}."
    )


def _held(found: Diagnosis) -> str:
    """Return whether the level falls as well; where it follows from the cost, it does without being said."""
    if found.val is None or not found.task.probabilities:
        return ""
    lost = middle(run.lost for run in found.told)
    falls = found.kind == Kind.PERFORMANCE and lost >= limits.LEVEL_FALLS
    return f"; {found.level.title} {'falls too' if falls else 'is not shown to fall'}"


def _progress(found: Diagnosis) -> str:
    part = "Validation" if found.falls else f"Training {found.level.title}"
    return f"{part} was still improving when training ended: train longer."


def _calibration(found: Diagnosis) -> str:
    assert found.overconfidence is not None
    assert found.temperature is not None
    success = found.task.success
    size = side(success, found.overconfidence, ("above", "below"))
    return f"Confidence is {size} {success.title}, the best temperature {found.temperature.mean:.2f}."


def _stability(found: Diagnosis) -> str:
    size = found.level.differs(middle(run.shake for run in found.runs), found.level.rough)
    level = found.level.title
    if found.unstable:
        return f"Late in training validation {level} jumps by {size} an epoch: which one is last is luck."
    return f"Late in training validation {level} moves by {size} an epoch."


def _variance(found: Diagnosis) -> str:
    parts = found.decomposition
    assert parts is not None
    bias = f"bias² {parts.bias:.3f}{bounds(*parts.bias_interval)}"
    variance = f"variance {parts.variance:.3f}{bounds(*parts.variance_interval)}"
    share = f"{100 * parts.share:.0f} % is variance over seeds"
    return f"Of a {found.task.distance} of {parts.error:.3f}, {share}: {bias}, {variance}."


def _divergence(found: Diagnosis) -> str:
    bad = len(found.runs) - len(found.told)
    return f"{bad} of {count(len(found.runs), 'run')} diverged and are part of no other number here."


def _last_epoch(found: Diagnosis) -> str:
    assert found.before is not None
    word, kind = found.before
    return (
        f"Without the last epoch this would be {word}{f' ({kind})' if kind else ''}: train some epochs more before "
        "relying on it."
    )


def _seeds(found: Diagnosis) -> str:
    if found.seeds == 1:
        return "One run: no interval can be given, and another seed may say something else."
    return "Two runs: their intervals are too wide to say anything. Give three seeds or more."


def _measurement(found: Diagnosis) -> str:
    gap = found.gap is not None or found.cost_gap is not None
    return (
        "Training metrics are Keras' running mean over the epoch: with dropout and augmentation on, while the weights "
        f"move; loss contains penalties.{' A gap found so is rather too small.' if gap else ''}"
    )


_OF_RUNS = {
    Topic.FIT: _fit,
    Topic.GAP: _gap,
    Topic.ONSET: _onset,
    Topic.PROGRESS: _progress,
    Topic.CALIBRATION: _calibration,
    Topic.STABILITY: _stability,
    Topic.BIAS_AND_VARIANCE: _variance,
    Topic.DIVERGENCE: _divergence,
    Topic.LAST_EPOCH: _last_epoch,
    Topic.SEEDS: _seeds,
    Topic.MEASUREMENT: _measurement,
}


# --- findings of probes ----------------------------------------------------------------------------------------------


def _of_probe(task: Task, topic: Topic, probes: Probes) -> str:
    if topic == Topic.LEARNING_CURVE and probes.learning_curve is not None:
        return _learning_curve(task, probes.learning_curve)
    if topic == Topic.WRONG_LABELS and probes.labels is not None:
        return _labels(task, probes.labels)
    if topic == Topic.INPUT_NOISE and probes.noise is not None:
        return _noise(task, probes.noise)
    assert probes.weights is not None
    return _weights(task, probes.weights)


def _learning_curve(task: Task, probe: LearningCurve) -> str:
    level = task.level
    low, high = (level.scale * each.mean for each in (probe.val[0], probe.val[-1]))
    named = "" if level.unit else f" {level.title}"
    text = (
        f"From {probe.sizes[0]:,} to {probe.sizes[-1]:,} training examples validation{named} goes from "
        f"{low:{level.rough}} to {high:{level.rough}}{level.unit and ' '}{level.unit}; the last doubling brought "
        f"{difference(level, probe.doubling)}"
    )
    return f"{text}: {'it is short of data' if probe.short_of_data else 'more data would bring little'}."


def _labels(task: Task, probe: LabelProbe) -> str:
    success = task.success
    ends, best, without = (
        success.shown(each.mean, success.rough) for each in (probe.val, probe.best_val, probe.clean_val)
    )
    memorized = f"{100 * probe.memorized.mean:.1f} %{bounds(probe.memorized.low, probe.memorized.high, 100.0, '.1f')}"
    named, of = ("", "the wrong ones") if success.unit else (f" {success.title}", "their variance")
    text = (
        f"With {100 * probe.share:.0f} % of the training labels wrong it learns {memorized} of {of} at least, and "
        f"validation{named} ends at {ends} (best epoch {best}, without wrong labels {without})"
    )
    return f"{text}: {'it memorizes' if probe.memorizes else 'it does not memorize them'}."


def _noise(task: Task, probe: NoiseProbe) -> str:
    level = task.level
    curve = ", ".join(
        f"{level.scale * each.mean:{level.rough}} at {stddev:g}"
        for stddev, each in zip(probe.stddevs, probe.level, strict=True)
    )
    unit = f" in {level.unit}" if level.unit else ""
    return (
        f"Noise of {probe.at:g} standard deviations on inputs costs {difference(level, probe.lost)} (validation "
        f"{level.title}{unit}: {curve})."
    )


def _weights(task: Task, probe: WeightProbe) -> str:
    cost = task.criterion
    price = cost.differs(probe.sharpness.mean, ".3g")
    named = "" if cost.apart else f" of {cost.title}"
    return (
        f"Kernels are {probe.growth.mean:.2f} times as large as before training; moved at random by "
        f"{100 * probe.radius:g} % of their norm they cost {price}{named} on training examples. This explains and "
        "ranks nothing."
    )
