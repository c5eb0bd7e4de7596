"""What ingredients of a combination contribute: tables, and what follows."""

from __future__ import annotations

import math

from reglab.analysis.verdict import ENOUGH_SEEDS, Verdict
from reglab.experiments.ablation import Ablation
from reglab.report import tables, verdicts
from reglab.report.tables import Table

__all__ = ["ingredient_table", "interaction_table", "legend", "sentences"]

_SIGNS = {"keep": 1, "drop": -1}
_SAID = {
    "keep": "Keep {}: without it the combination is worse.",
    "drop": "Drop {}: without it the combination is no worse, as far as the margin goes, or better.",
    "cannot tell": "Of {} it cannot be told whether the combination needs it.",
}


def ingredient_table(found: Ablation) -> Table:
    """Return a row for each ingredient, and one for the whole."""
    parts = found.contribution
    rows = [
        (i.name, _change(i.left_out), i.left_out.word, _change(i.alone), i.alone.word, f"{i.seconds:+.1f}", i.advice)
        for i in parts.ingredients
    ]
    rows.append(("all together", "", "", _change(parts.whole), parts.whole.word, "", ""))
    columns = ("ingredient", "left out", "verdict", "alone", "verdict", "s/run", "advice")
    return Table(columns, tuple(rows), (*(_SIGNS.get(i.advice, 0) for i in parts.ingredients), 0))


def interaction_table(found: Ablation) -> Table:
    """Return a row for each pair."""
    rows = tuple(
        (f"{one} and {other}", _change(verdict), "" if math.isnan(verdict.p_adjusted) else f"{verdict.p_adjusted:.3f}")
        for (one, other), verdict in found.contribution.interactions.items()
    )  # fmt: skip
    return Table(("pair", "interaction", "p (Holm)"), rows, (0,) * len(rows))


def sentences(found: Ablation) -> list[str]:
    """Return which ingredients to keep and to drop."""
    by_advice = {advice: [i.name for i in found.contribution.ingredients if i.advice == advice] for advice in _SAID}
    said = [_SAID[advice].format(", ".join(names)) for advice, names in by_advice.items() if names]
    if len(by_advice["drop"]) > 1:  # they may do the same work
        said.append("Drop one at a time, and look again: each can be spared while the others are there.")
    return said


def legend(found: Ablation) -> str:
    """Return what the columns mean."""
    metric = found.results.metric
    needed, help_each_other = ("below", "above") if metric.better == "higher" else ("above", "below")
    of = tables.capitalized(f"{metric.apart or 'differences'} of test {metric.title}")
    text = (
        f"{of}, paired by seed. left out: the combination without it minus the whole, so {needed} zero it is needed. "
        "alone: it alone minus nothing. s/run: what it adds to the time of a run. interaction: both, minus each alone, "
        f"plus nothing; {help_each_other} zero two help each other, {needed} they do the same work. All "
        f"{found.contribution.questions} questions are one family: intervals and p values are adjusted for it (5 %, if "
        "differences are about symmetric); >0 or <0 is the sign that the test shows where no interval goes with it."
    )
    seeds = max(len(row.seeds) for row in found.results.comparison.rows)
    return text if seeds >= ENOUGH_SEEDS else f"{text} {seeds} seeds are screening, so there are no verdicts."


def _change(verdict: Verdict) -> str:
    return verdicts.difference(verdict) or "-"
