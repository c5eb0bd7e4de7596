"""What the runs of a diagnosis show, finding by finding, and which of it is a problem."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reglab.analysis import curves
from reglab.analysis import diagnosis as limits
from reglab.analysis.diagnosis import Finding, Kind, State, Topic, Word

if TYPE_CHECKING:
    from reglab.analysis.diagnosis import Diagnosis

__all__ = ["findings"]

_ORDER = tuple(State)


def findings(found: Diagnosis) -> tuple[Finding, ...]:
    """Return all that the runs show, problems first."""
    states = {topic: state for topic, judge in _JUDGES.items() if (state := judge(found)) is not None}
    listed = [Finding(topic, state) for topic, state in states.items()]
    return tuple(sorted(listed, key=lambda finding: _ORDER.index(finding.state)))


def _fit(found: Diagnosis) -> State | None:
    if found.train is None:
        return None
    if found.kind == Kind.NOISE:
        return State.UNKNOWN
    return State.PROBLEM if found.word == Word.UNDERFITTING else State.FINE


def _gap(found: Diagnosis) -> State | None:
    if found.gap is None:
        return None if found.cost_gap is None else State.NOTE
    return State.PROBLEM if found.apart else State.FINE


def _onset(found: Diagnosis) -> State | None:
    epochs = [run.epochs for run in found.told if math.isfinite(run.val_cost)]
    if not epochs:
        return None
    if min(epochs) < curves.FEWEST_EPOCHS:
        return State.UNKNOWN
    return State.FINE if found.onset is None else State.PROBLEM


def _progress(found: Diagnosis) -> State | None:
    unfinished = found.kind == Kind.UNFINISHED
    if found.onset is not None or not (found.falls or (found.train_falls and unfinished)):
        return None
    return State.PROBLEM if unfinished else State.NOTE


def _calibration(found: Diagnosis) -> State | None:
    if found.overconfidence is None or found.temperature is None:
        return None
    if found.overconfident:
        return State.PROBLEM
    # Too little confidence is no problem of fit: a temperature mends it.
    return State.FINE if abs(found.overconfidence.mean) < limits.OVERCONFIDENT else State.NOTE


def _stability(found: Diagnosis) -> State | None:
    if not any(math.isfinite(run.shake) for run in found.runs):
        return None
    return State.PROBLEM if found.unstable else State.FINE


def _variance(found: Diagnosis) -> State | None:
    return None if found.decomposition is None else State.NOTE


def _divergence(found: Diagnosis) -> State | None:
    return State.PROBLEM if len(found.told) < len(found.runs) else None


def _last_epoch(found: Diagnosis) -> State | None:
    return None if found.before is None else State.UNKNOWN


def _seeds(found: Diagnosis) -> State | None:
    return State.UNKNOWN if 0 < found.seeds < limits.INTERVAL_SEEDS else None


def _measurement(found: Diagnosis) -> State | None:
    return None if found.clean else State.NOTE


_JUDGES = {
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
