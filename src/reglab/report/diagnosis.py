"""A diagnosis as text for one screen, of any width, and as JSON: computed first, wrapped last."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reglab.analysis.decompose import Change
from reglab.analysis.diagnosis import Diagnosis, State, Topic, Word
from reglab.analysis.plain import plain
from reglab.analysis.prescribe import Item, Remedy
from reglab.analysis.probed import Probes
from reglab.experiments.treatment import Treated, Tried
from reglab.report import findings, remedies, verdicts
from reglab.study.storage import answers

__all__ = [
    "Line", "as_dict", "brief", "conclusion", "found", "lines", "told", "treated_lines", "tried_sentence", "whole",
]  # fmt: skip

MARKS = {State.PROBLEM: "!", State.FINE: "+", State.UNKNOWN: "?", State.NOTE: "-"}
_TRIED = {
    "better": "+", "worse": "!", "unreliable": "!", "equivalent": "=", "identical": "=", "cannot tell": "?",
    "screening": "?",
}  # fmt: skip
_LEGEND = "! a problem   + in order   ? not known   - explains or limits"


@dataclass(frozen=True)
class Line:
    """One paragraph: its text, what stands before it, and its look: ``title``, ``problem``, ``dim`` or none."""

    text: str
    lead: str = ""
    look: str = ""

    def wrapped(self, width: int) -> str:
        """Return it in lines of at most ``width``, those after the first under the text of the first."""
        under = " " * len(self.lead)
        return textwrap.fill(
            self.text, max(width, 20), initial_indent=self.lead, subsequent_indent=under, break_on_hyphens=False
        )


def lines(
    diagnosis: Diagnosis, items: Sequence[Item], *, probes: Probes | None = None, notes: Sequence[str] = ()
) -> list[Line]:
    """Return verdict, evidence and prescription.

    Args:
        diagnosis: what is diagnosed.
        items: the prescription.
        probes: what was probed.
        notes: what has to be said of the numbers.
    """
    return [*found(diagnosis, probes=probes, notes=notes), Line(""), *_prescription(diagnosis, items)]


def found(diagnosis: Diagnosis, *, probes: Probes | None = None, notes: Sequence[str] = ()) -> list[Line]:
    """Return verdict and evidence."""
    said = findings.told(diagnosis, probes)
    shown = [Line(said.sentence, look="title"), Line("")]
    for finding in sorted(said.evidence, key=lambda finding: list(MARKS).index(finding.state)):
        look = "problem" if finding.state == State.PROBLEM else ""
        shown.append(Line(f"{finding.name}: {finding.sentence}", f"{MARKS[finding.state]} ", look))
    shown += [Line(note, f"{MARKS[State.NOTE]} ") for note in notes]
    return [*shown, Line(_LEGEND, look="dim")]


def told(diagnosis: Diagnosis, *, notes: Sequence[str] = (), width: int = 100) -> str:
    """Return verdict and evidence as text."""
    return "\n".join(line.wrapped(width) for line in found(diagnosis, notes=notes))


def _prescription(diagnosis: Diagnosis, items: Sequence[Item]) -> list[Line]:
    if not items:
        fitting = diagnosis.word == Word.FITTING
        return [Line("Nothing to prescribe." if fitting else "Nothing can be prescribed from this.")]
    found = [Line("What to try, in this order:", look="title")]
    for number, item in enumerate(items, start=1):
        combined = item.name == Remedy.COMBINATION  # its parts stand above with their numbers written out
        what = f"{item.name}, {remedies.action(item, diagnosis)}" if combined or not item.recipe else item.recipe
        text = f"{what}: {remedies.reason(item, diagnosis)}. {remedies.reference(item)}"
        found.append(Line(text, f"{number}. "))
    return found


def brief(diagnosis: Diagnosis, items: Sequence[Item], *, notes: Sequence[str] = (), width: int = 100) -> str:
    """Return the verdict and the first remedy, in a few lines; notes stand in :func:`whole`."""
    said = findings.told(diagnosis)
    found = [Line(said.sentence)]
    limits = (Topic.SEEDS, Topic.LAST_EPOCH, Topic.MEASUREMENT)
    found += [Line(each.sentence, f"{MARKS[each.state]} ") for each in said.evidence if each.name in limits]
    if items:
        first = items[0]
        what = remedies.action(first, diagnosis) + (f", {first.recipe}" if first.recipe else "")
        found.append(Line(f"Try first: {what}; for {remedies.reason(first, diagnosis)} ({remedies.reference(first)})."))
    return "\n".join(line.wrapped(width) for line in found)


def whole(diagnosis: Diagnosis, items: Sequence[Item], *, notes: Sequence[str] = (), width: int = 100) -> str:
    """Return verdict, evidence and prescription as text."""
    return "\n".join(line.wrapped(width) for line in lines(diagnosis, items, notes=notes))


# --- treatment -------------------------------------------------------------------------------------------------------


def treated_lines(treated: Treated, diagnosis: Diagnosis) -> list[Line]:
    """Return which item of a prescription worked, and what it did to bias and variance."""
    found = [Line("What worked on this model:", look="title")]
    for tried in treated.tried:
        look = "problem" if tried.verdict.word in ("worse", "unreliable") else ""
        found.append(Line(tried_sentence(tried, diagnosis), f"{_TRIED[tried.verdict.word]} ", look))
    found += [
        Line(f"{item.name} was not tried, for it is no recipe: {remedies.action(item, diagnosis)}.", "- ")
        for item in treated.untried
    ]
    found.append(Line(conclusion(treated)))
    return found


def tried_sentence(tried: Tried, diagnosis: Diagnosis) -> str:
    """Return what came of one item."""
    verdict, name = tried.verdict, tried.item.name
    if verdict.word == "unreliable":
        bad, runs, of = verdict.bad, verdict.runs, ""
        if not bad:
            bad, runs, of = verdict.baseline_bad, verdict.baseline_runs, " of what it is compared with"
        return f"{name}: {bad} of {runs} runs{of} diverged or failed."
    metric, cost, text = verdict.metric, diagnosis.task.criterion, f"{name}: {verdict.word}, {verdicts.size(verdict)}"
    if not math.isnan(tried.gap):
        text += f"; gap {metric.differs(tried.gap, f'+{metric.rough}')}"
        text += "" if cost == metric else f", {cost.title} {cost.scale * tried.cost:+{cost.form}}"
    return text + ("" if tried.change is None else _changes(tried.change)) + "."


def _changes(change: Change) -> str:
    numbers = f"bias² {change.bias[0]:+.3f}, variance {change.variance[0]:+.3f}"
    shown = [f"{'cut' if sign < 0 else 'raised'} {name}" for name, sign in change.shown().items()]
    return f"; it {' and '.join(shown)} ({numbers})" if shown else f"; {numbers}, neither shown"


def conclusion(treated: Treated) -> str:
    """Return which items worked, in a sentence or two."""
    better = [tried.item.name for tried in treated.tried if tried.verdict.word == "better"]
    if any(tried.verdict.word == "screening" for tried in treated.tried):
        return "Fewer than five seeds are screening: no verdict. Give --seeds 5 or more to know what works."
    if not better:
        text = "None of them is shown to help on this model"
        visible = [tried.verdict.detectable for tried in treated.tried if math.isfinite(tried.verdict.detectable)]
        if not visible:
            return f"{text}."
        seeds, metric = max(tried.verdict.paired.n for tried in treated.tried), treated.results.metric
        largest = metric.differs(max(visible), metric.rough)
        return f"{text}; {seeds} seeds would show differences from {largest} on."
    text = f"Shown to help on this model: {', '.join(better)}"
    if treated.recommended in better:
        return f"{text}. By validation, {treated.recommended} is the one to take."
    return f"{text}."


# --- JSON ------------------------------------------------------------------------------------------------------------


def as_dict(
    diagnosis: Diagnosis, items: Sequence[Item], *, probes: Probes | None = None, treated: Treated | None = None
) -> dict[str, Any]:
    """Return everything for JSON: what ``reglab diagnose --json`` prints, and ``diagnosis.json`` holds."""
    said = findings.told(diagnosis)
    found: dict[str, Any] = {
        "schema": answers.SCHEMA,
        "diagnosis": {**diagnosis.to_dict(), "sentence": said.sentence, "evidence": plain(said.evidence)},
        "prescription": [_item(item, diagnosis) for item in items],
    }
    if probes is not None:
        of_probes = [each for each in findings.evidence(diagnosis, probes) if each.name in _probed(probes)]
        found["probes"] = {**plain(probes), "findings": plain(of_probes)}
    if treated is not None:
        found["treatment"] = {
            "folder": str(treated.results.folder), "conclusion": conclusion(treated),
            "recommended": treated.recommended,
            "tried": [
                {
                    "name": tried.item.name, "recipe": tried.item.recipe, "word": tried.verdict.word,
                    "sentence": tried_sentence(tried, diagnosis), "change": plain(tried.change),
                }
                for tried in treated.tried
            ],
        }  # fmt: skip
    return found


def _probed(probes: Probes) -> set[Topic]:
    return {finding.name for finding in probes.findings()}


def _item(item: Item, diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "name": item.name, "recipe": item.recipe, "action": remedies.action(item, diagnosis),
        "reason": remedies.reason(item, diagnosis), "reference": remedies.reference(item),
    }  # fmt: skip
