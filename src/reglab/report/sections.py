"""What the report says beside its figures, computed once for HTML and Markdown: tables, failures, how to run again."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from reglab.analysis.compare import Row
from reglab.report import tables, verdicts
from reglab.report.bands import by_name, pooled_confusion
from reglab.results import Results
from reglab.study.records import DIVERGED, FAILED, reason
from reglab.study.storage.frozen import as_yaml
from reglab.tasks import Metric

__all__ = [
    "Cell",
    "Failure",
    "Sheet",
    "by_class",
    "commands",
    "confused",
    "failures",
    "main_table",
    "read",
    "study_yaml",
]


@dataclass(frozen=True)
class Cell:
    """A cell of a table that can be sorted: its text, and the number it is sorted by, or else the text."""

    text: str
    value: float | None = None
    kind: str = "number"  # name, number, verdict


@dataclass(frozen=True)
class Sheet:
    """A table: columns with what they mean, and rows of cells."""

    columns: tuple[str, ...]
    meanings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    marks: tuple[str, ...] = field(default=())  # for each row what it is: baseline, recommended, or nothing


def main_table(results: Results) -> Sheet:
    """Return the table of the report: a row a recipe."""
    comparison, metric = results.comparison, results.metric
    choice = comparison.choice
    points = f", in {metric.apart}" if metric.apart else ""
    minus = "training minus validation" if metric.better == "higher" else "validation minus training"
    columns: list[tuple[str, str, Callable[[Row], Cell]]] = [
        ("recipe", "name of the recipe", lambda row: Cell(row.name, None, "name")),
        (metric.title, f"{_on_test(metric)}, mean ± standard deviation over seeds", _spread(metric)),
        (f"vs {results.baseline}", f"difference in {metric.title}{points}, paired by seed, with its interval",
         _difference),
        ("verdict", "paired t test, 5 % familywise over recipes, if differences are about symmetric", _verdict),
        ("p", "of the paired t test, adjusted by Holm", _p),
        ("train", f"clean {metric.title} on the training part at the best epoch{metric.unit and f', in {metric.unit}'}",
         _mean(f"train_{metric.name}", metric.scale, metric.rough)),
        ("gap", f"{minus} {metric.title}{points}", _mean("gap", metric.scale, metric.rough)),
        *((each.title, _on_test(each), _mean(each.name, each.scale, each.form)) for each in results.task.columns),
        ("epochs", "trained", _mean("epochs", 1, ".0f")),
        ("s/run", "seconds a run takes", _mean("seconds", 1, ".1f")),
        ("runs", "finished", _runs),
    ]  # fmt: skip
    rows = [tuple(make(row) for *_, make in columns) for row in comparison.rows]
    kept = [i for i, (name, *_) in enumerate(columns) if i < 2 or _tells(name, [row[i].text for row in rows])]
    marks = tuple(
        "baseline" if row.name == results.baseline
        else "recommended" if choice is not None and row.name == choice.recommended and not choice.screening else ""
        for row in comparison.rows
    )  # fmt: skip
    return Sheet(
        tuple(columns[i][0] for i in kept), tuple(columns[i][1] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in rows), marks,
    )  # fmt: skip


def _on_test(metric: Metric) -> str:
    """Return what a metric of the test set is, in which unit."""
    first = f"{metric.averaged}-averaged" if metric.averaged else metric.meaning
    return f"{first}{first and ', '}on the test set{metric.unit and f', in {metric.unit}'}"


def _tells(column: str, texts: list[str]) -> bool:
    """Whether a column says something: it is not empty, nor, where one expects it to be, the same in all rows."""
    expected = column in ("epochs", "runs") and len(set(texts)) == 1
    return not expected and any(text not in ("", "-") for text in texts)


def _mean(metric: str, scale: float, form: str) -> Callable[[Row], Cell]:
    def made(row: Row) -> Cell:
        value = scale * row.mean(metric)
        return Cell("-") if math.isnan(value) else Cell(format(value, form), value)

    return made


def _spread(metric: Metric) -> Callable[[Row], Cell]:
    def made(row: Row) -> Cell:
        mean = metric.scale * row.mean(metric.name)
        return Cell("-") if math.isnan(mean) else Cell(tables.spread(row, metric), mean)

    return made


def _difference(row: Row) -> Cell:
    if row.verdict is None or math.isnan(row.verdict.paired.mean):
        return Cell("")
    return Cell(verdicts.difference(row.verdict), row.verdict.metric.scale * row.verdict.paired.mean)


def _verdict(row: Row) -> Cell:
    order = ("better", "identical", "equivalent", "cannot tell", "screening", "unreliable", "worse")
    word = row.verdict.word if row.verdict else ""
    return Cell(word, float(-order.index(word)) if word else None, "verdict")


def _p(row: Row) -> Cell:
    text = tables.p_value(row.verdict)
    return Cell(text, row.verdict.p_adjusted) if text and row.verdict else Cell("")


def _runs(row: Row) -> Cell:
    finished, all_ = row.finished, len(row.seeds)
    return Cell(str(finished) if finished == all_ else f"{finished} of {all_}", float(finished))


@dataclass(frozen=True)
class Failure:
    """A run that gave no result: what is known of it."""

    name: str
    seed: int
    status: str
    reason: str
    error: str


def failures(results: Results) -> list[Failure]:
    """Return the runs that failed or diverged, in the order of the study."""
    return [
        Failure(name, seed, run.status, reason(run.error), run.error.strip())
        for name, of_name in results.runs.items()
        for seed, run in of_name.items()
        if run.status in (FAILED, DIVERGED)
    ]


def confused(results: Results, *, most: int = 8) -> Sheet | None:
    """Return which classes the baseline takes for which most often, beside the recipe that is recommended."""
    counts = pooled_confusion(results, results.baseline)
    if counts is None:
        return None
    names = _beside_each_other(results)
    shares = []
    for name in names:
        found = pooled_confusion(results, name)
        assert found is not None
        shares.append(100 * found / np.maximum(found.sum(axis=1, keepdims=True), 1))
    off = np.where(np.eye(len(counts), dtype=bool), -1.0, shares[0])
    order = [np.unravel_index(i, off.shape) for i in np.argsort(-off, axis=None, kind="stable")[:most]]
    classes = results.task.names
    rows = tuple(
        (Cell(classes[i], None, "name"), Cell(classes[j], None, "name"),
         *(Cell(f"{share[i, j]:.1f} %", float(share[i, j])) for share in shares))
        for i, j in order if off[i, j] > 0
    )  # fmt: skip
    if not rows:
        return None
    told = by_name(results, results.baseline)
    of = "examples" if told is None else told.of
    meanings = ("true class", "class it is taken for", *(f"share of the {of} of the class, {name}" for name in names))
    return Sheet(("true", "taken for", *names), meanings, rows)


def _beside_each_other(results: Results) -> list[str]:
    """Return the baseline and the recipe that is recommended, or else the one that looks best."""
    choice, names = results.comparison.choice, [results.baseline]
    if choice is not None and choice.recommended != results.baseline:
        names.append(choice.recommended)
    elif choice is not None and choice.best != results.baseline:
        names.append(choice.best)
    return names


def by_class(results: Results) -> Sheet | None:
    """Return what is told of each class or label, of the baseline and the recipe that is recommended."""
    told = {name: each for name in _beside_each_other(results) if (each := by_name(results, name)) is not None}
    if results.baseline not in told:
        return None
    first = told[results.baseline]
    columns = [first.what, first.of, *(f"{score}, {name}" for name in told for score in first.scores)]
    rows = tuple(
        (Cell(label, None, "name"), Cell(f"{first.support[i]}", float(first.support[i])),
         *(_share(values[i]) for each in told.values() for values in each.scores.values()))
        for i, label in enumerate(results.task.names)
    )  # fmt: skip
    meanings = [f"name of the {first.what}", "of it in the test set", *["on the test set, in %"] * (len(columns) - 2)]
    return Sheet(tuple(columns), tuple(meanings), rows)


def _share(value: float) -> Cell:
    return Cell("-") if math.isnan(value) else Cell(f"{100 * value:.1f}", float(value))


def commands(results: Results) -> list[tuple[str, str]]:
    """Return what to type to run the study again, to go on with it, and to make this page; each with what it does."""
    folder = shlex.quote(str(results.folder))
    spec = shlex.quote(str(results.folder / "study.yaml"))
    if results.spec.get("python_objects"):
        things = " and ".join(results.spec["python_objects"])
        again = (f"# its {things} came from Python: run the script that made it", "the study once more")
    else:
        again = (f"reglab compare {spec} --out again", "trains the same study in a new folder")
    return [
        again,
        (f"reglab resume {folder}", "trains what is missing here; what is recorded is not trained again"),
        (f"reglab report {folder}", "makes this page from the recorded runs"),
    ]


def read(results: Results) -> str:
    """Return what was read of data, a line each, or an empty text for a folder that does not say."""
    held = results.data.get("read")
    return "\n".join(map(str, held)) if isinstance(held, list) else ""


def study_yaml(results: Results) -> str:
    """Return the frozen spec, as it stands in the folder."""
    path = results.folder / "study.yaml"
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return as_yaml(results.spec).strip()
