"""A diagnosis as text for one screen, of any width: computed first, wrapped last."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from reglab.analysis.diagnosis import Diagnosis, Finding
from reglab.analysis.prescribe import Item
from reglab.experiments.treatment import Treated

__all__ = ["Line", "brief", "lines", "treated_lines", "whole"]

MARKS = {"problem": "!", "fine": "+", "unknown": "?", "note": "-"}
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
    diagnosis: Diagnosis,
    items: Sequence[Item],
    *,
    more: Sequence[Finding] = (),
    notes: Sequence[str] = (),
) -> list[Line]:
    """Return verdict, evidence and prescription.

    Args:
        diagnosis: what is diagnosed.
        items: the prescription.
        more: findings of probes.
        notes: what has to be said of the numbers.
    """
    found = [Line(diagnosis.sentence, look="title"), Line("")]
    evidence = sorted([*diagnosis.evidence, *more], key=lambda finding: list(MARKS).index(finding.state))
    for finding in evidence:
        look = "problem" if finding.state == "problem" else ""
        found.append(Line(f"{finding.name}: {finding.sentence}", f"{MARKS[finding.state]} ", look))
    found += [Line(note, f"{MARKS['note']} ") for note in notes]
    found += [Line(_LEGEND, look="dim"), Line(""), *_prescription(diagnosis, items)]
    return found


def _prescription(diagnosis: Diagnosis, items: Sequence[Item]) -> list[Line]:
    if not items:
        said = "Nothing to prescribe." if diagnosis.word == "fitting" else "Nothing can be prescribed from this."
        return [Line(said)]
    found = [Line("What to try, in this order:", look="title")]
    for number, item in enumerate(items, start=1):
        combined = item.name == "combination"  # its parts stand above with their numbers written out
        what = f"{item.name}, {item.action}" if combined or not item.recipe else item.recipe
        found.append(Line(f"{what}: {item.reason}. {item.reference}", f"{number}. "))
    return found


def brief(diagnosis: Diagnosis, items: Sequence[Item], *, notes: Sequence[str] = (), width: int = 100) -> str:
    """Return the verdict and the first remedy, in a few lines; notes stand in :func:`whole`."""
    found = [Line(diagnosis.sentence)]
    for name in ("seeds", "measurement"):
        finding = diagnosis.finding(name)
        if finding is not None:
            found.append(Line(finding.sentence, f"{MARKS[finding.state]} "))
    if items:
        first = items[0]
        what = first.action + (f", {first.recipe}" if first.recipe else "")
        found.append(Line(f"Try first: {what}; for {first.reason} ({first.reference})."))
    return "\n".join(line.wrapped(width) for line in found)


def whole(diagnosis: Diagnosis, items: Sequence[Item], *, notes: Sequence[str] = (), width: int = 100) -> str:
    """Return verdict, evidence and prescription as text."""
    return "\n".join(line.wrapped(width) for line in lines(diagnosis, items, notes=notes))


def treated_lines(treated: Treated) -> list[Line]:
    """Return which item of a prescription worked, and what it did to bias and variance."""
    found = [Line("What worked on this model:", look="title")]
    for tried in treated.tried:
        look = "problem" if tried.verdict.word in ("worse", "unreliable") else ""
        found.append(Line(tried.sentence(), f"{tried.mark} ", look))
    found += [Line(text, "- ") for text in treated.untried]
    found.append(Line(treated.conclusion()))
    return found
