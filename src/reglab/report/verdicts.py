"""Verdicts in words: a recipe against the baseline, its difference and interval, in the unit of the metric."""

from __future__ import annotations

import math

from reglab.analysis.paired import bound_on_share
from reglab.analysis.verdict import Verdict

__all__ = ["difference", "interval", "p_text", "sentence", "size"]


def interval(verdict: Verdict) -> str:
    """Return the interval as text, ``[-0.35, +4.58]``, a bound as ``>0``, and nothing where there is none."""
    if verdict.bound:
        return verdict.bound
    if not (math.isfinite(verdict.low) and math.isfinite(verdict.high)):
        return ""
    unit, form = verdict.metric.scale, verdict.metric.form
    return f"[{unit * verdict.low:+{form}}, {unit * verdict.high:+{form}}]"


def difference(verdict: Verdict) -> str:
    """Return the mean difference and its interval as a table holds them; nothing where there is no pair."""
    if math.isnan(verdict.paired.mean):
        return ""
    metric = verdict.metric
    return f"{metric.scale * verdict.paired.mean:+{metric.form}} {interval(verdict)}".rstrip()


def size(verdict: Verdict) -> str:
    """Return the mean difference with its unit, and its interval: ``+2.10 points [-0.35, +4.58]``."""
    mean, around = verdict.metric.differs(verdict.paired.mean, f"+{verdict.metric.form}"), interval(verdict)
    return f"{mean}{around and f' {around}'}"


def sentence(verdict: Verdict, name: str) -> str:
    """Return the verdict in words."""
    return _first(verdict, name) + _collapses(verdict)


def _first(verdict: Verdict, name: str) -> str:
    d, metric, word = verdict.paired, verdict.metric, verdict.word
    if word == "unreliable" and verdict.bad:
        return f"{name} is unreliable: {verdict.bad} of {verdict.runs} runs diverged or failed."
    if word == "unreliable":
        return (
            f"{name} is unreliable: {verdict.baseline_bad} of {verdict.baseline_runs} runs of the baseline diverged or "
            "failed, so what is left to compare with is a selection."
        )
    if word == "identical":
        return f"{name} is identical to the baseline in {_all(d.n)}: its networks are the baseline's.{_share(d.n)}"
    if word == "screening":
        return f"{name}: {d.n} seeds are screening, too few for a verdict."
    if word in ("better", "worse"):
        return f"{name} is {word}: {size(verdict)}, p {p_text(verdict.p_adjusted)}."
    if word == "equivalent":
        return f"{name} makes no difference larger than {metric.differs(verdict.margin or 0, 'g')}: {size(verdict)}."
    if d.all_zero:
        same = f"its {metric.title} is the same in {_all(d.n)}"
        return f"{name} cannot be told from the baseline: {same}.{_share(d.n)}"
    return f"{name} cannot be told from the baseline: {size(verdict)}.{_needed(verdict)}"


def _needed(verdict: Verdict) -> str:
    metric = verdict.metric
    if not math.isfinite(verdict.detectable):
        return ""
    if verdict.margin is not None:
        seeds = "over 100,000" if verdict.seeds_needed is None else f"about {verdict.seeds_needed:,}"
        return f" A difference of {metric.differs(verdict.margin, 'g')} would need {seeds} seeds."
    smallest = metric.differs(verdict.detectable, metric.rough)
    return f" {verdict.paired.n} seeds at this spread detect differences from {smallest} on."


def _collapses(verdict: Verdict) -> str:
    if not verdict.collapsed:
        return ""
    seeds = ", ".join(map(str, verdict.collapsed))
    which = f"seed {seeds}" if len(verdict.collapsed) == 1 else f"seeds {seeds}"
    return f" {len(verdict.collapsed)} of its {verdict.runs} runs collapsed ({which})."


def _all(n: int) -> str:
    return "the only seed" if n == 1 else f"all {n} seeds"


def _share(n: int) -> str:
    """Say what ``n`` pairs without any difference show, exactly."""
    return (
        f" With 95 % confidence at most {100 * bound_on_share(n):.0f} % of runs differ; by how much, these do not tell."
    )


def p_text(p: float) -> str:
    """Return a p value as a sentence holds it, after "p "."""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.01 else f"{p:.3f}"
