"""The report as one HTML page that needs nothing else: no network, no other file.

All text of others passes Jinja2's autoescape, and ``finalize`` makes characters visible that are not. Scripts and
styles are inlined, and the content security policy names them by hash: whatever else stood in the page would not run,
and nothing can be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache, partial
from typing import Any

from plotly.offline import get_plotlyjs

from reglab.errors import ReglabError
from reglab.report import extras, figures, sections, words
from reglab.report.bands import by_name, changes, detail, histories, under_attack
from reglab.report.embed import as_json, drawn
from reglab.report.escaping import environment
from reglab.report.figures import theme
from reglab.report.figures.curves import common_reach
from reglab.report.tables import conclusion, legend
from reglab.report.units import duration
from reglab.results import Results
from reglab.study.records import FINISHED
from reglab.study.storage.view import Status

__all__ = ["page"]

_MOST_CLASSES = 30  # with more, a confusion matrix a recipe is megabytes that nobody can read
# Plotly adds the styles of its maps if no element of this id is there; the policy would refuse them, with an error.
_STYLES_OF_MAPS = re.compile(r'getElementById\("([0-9a-f]{64})"\)')


def page(results: Results, *, made: str, status: Status | None = None, refresh: float | None = None) -> str:
    """Return the page.

    Args:
        results: of a study that has finished or goes on.
        made: when, as text.
        status: how far the study is, where it goes on.
        refresh: seconds after which the page loads itself again.
    """
    onsets = extras.onsets_of(results)
    shown = _figures(results, onsets)
    boxes = [box for found in shown.values() for box in (found if isinstance(found, list) else [found])]
    style = environment().get_template("style.css").render(boxes=boxes, swatches=_swatches(results))
    script, plotly = environment().get_template("page.js").render(), _plotly()
    for inlined in (style, script, plotly):
        if re.search(r"</(script|style)|<!--", inlined, re.IGNORECASE):
            raise ReglabError("What would be inlined into the page ends its own element; another version of Plotly?")
    left = "" if status is None or status.seconds_left is None else duration(status.seconds_left)
    return environment().get_template("page.html").render(
        policy=_policy(scripts=(plotly, script), styles=(style, "")), style=style, script=script, plotly=plotly,
        unused=_STYLES_OF_MAPS.findall(plotly), dark=as_json(theme.DARK), figures=shown, metric=results.metric,
        metrics={each.name: each.title for each in results.task.watched if f"curves-{each.name}" in shown},
        onsets=onsets, made=made, status=status, left=left, refresh=refresh, **_texts(results),
    )  # fmt: skip


def _texts(results: Results) -> dict[str, Any]:
    comparison = results.comparison
    choice, measured = comparison.choice, extras.robustness_of(results.folder) or {}
    return {
        "results": results, "verdict": words.verdict(results),
        "notes": (*results.notes, *words.unfinished(results)), "conclusion": conclusion(results),
        "recommended": None if choice is None else comparison.row(choice.recommended), "choice": choice,
        "table": sections.main_table(results), "legend": legend(results),
        "confused": sections.confused(results), "by_class": sections.by_class(results),
        "told": by_name(results, results.baseline),
        "failures": sections.failures(results), "commands": sections.commands(results),
        "study_yaml": sections.study_yaml(results), "read": sections.read(results),
        "grouped": words.grouped(results), "beside": words.references(results),
        "samples": extras.samples_of(results.folder), "masks": extras.masks_of(results),
        "robustness_note": measured.get("note", ""),
        "attacks": list(under_attack(results, measured)) if measured else [],
        "calibration": words.reliability(results, [row.name for row in comparison.rows]),
        "looks": {name: i for i, name in enumerate(theme.looks(results))}, "count": words.count,
        "called": partial(words.called, results),
        "diagnosis": extras.diagnosis_of(results),
        "seeds": max((len(row.seeds) for row in comparison.rows), default=0),
    }  # fmt: skip


def _figures(results: Results, onsets: Mapping[str, float]) -> dict[str, Any]:
    """Return every figure that there is data for."""
    rows = results.comparison.rows
    finished = [row.name for row in rows if any(r.status == FINISHED for r in results.runs.get(row.name, {}).values())]
    found: dict[str, Any] = {}
    if any(row.verdict is not None and row.verdict.paired.n for row in rows):
        found["forest"] = drawn(figures.forest(results), "forest")
    for metric in (each.name for each in results.task.watched):
        curved = [name for name in finished if histories(results, name, f"val_{metric}")]
        if curved:
            reach = common_reach(results, metric)
            found[f"curves-{metric}"] = [
                drawn(figures.learning_curves(results, [name], metric=metric, reach=reach, onset=onsets),
                      f"curve-{metric}-{i}", title=name)
                for i, name in enumerate(curved)
            ]  # fmt: skip
    if any(row.values["gap"] for row in rows):
        found["gap"] = drawn(figures.gap_against_accuracy(results), "gap")
    matrices = [name for name in finished if detail(results, name, "confusion")]
    if any(changes(results, name) is not None for name in finished if name != results.baseline):
        found["classes"] = drawn(figures.per_class(results), "classes")
    if matrices and len(results.task.names) <= _MOST_CLASSES:
        found["confusion"] = [
            drawn(figures.confusion(results, name), f"confusion-{i}", title=name) for i, name in enumerate(matrices)
        ]
    calibrated = [name for name in finished if detail(results, name, "calibration")]
    if calibrated:
        found["reliability"] = [
            drawn(figures.reliability(results, [name]), f"reliability-{i}", title=name)
            for i, name in enumerate(calibrated)
        ]
    swept = [sweep for sweep in figures.sweeps(results) if any(results.comparison.row(n).finished for n in sweep.names)]
    if swept:
        found["sensitivity"] = [
            drawn(figures.sensitivity(results, sweep), f"sensitivity-{i}", title=sweep.title)
            for i, sweep in enumerate(swept)
        ]
    if extras.effort_of(results.folder):
        found["effort"] = drawn(figures.effort(results), "effort")
    measured = extras.robustness_of(results.folder)
    if measured is not None and any(under_attack(results, measured).values()):
        found["robustness"] = drawn(figures.robustness(results, measured), "robustness")
        attacked = [name for name in finished if any(name in of for of in under_attack(results, measured).values())]
        found["robustness-each"] = [
            drawn(figures.robustness(results, measured, names=[name]), f"robustness-{i}", title=name)
            for i, name in enumerate(attacked)
        ]
    return found


def _swatches(results: Results) -> list[tuple[int, str, str]]:
    """Return, for each recipe, its number and its colours on a light and on a dark page."""
    looks = theme.looks(results).values()
    return [(i, look.color, theme.DARK[look.color]) for i, look in enumerate(looks)]


def _policy(*, scripts: Iterable[str], styles: Iterable[str]) -> str:
    """Return the content security policy. Plotly makes style elements that are empty and fills them by rule."""
    return (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hashes(texts: Iterable[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


@cache
def _plotly() -> str:
    return get_plotlyjs()
