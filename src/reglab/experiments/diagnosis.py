"""The diagnosis of a study's runs: what a folder holds, as :func:`reglab.analysis.diagnose.diagnose` takes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reglab.analysis.diagnose import diagnose
from reglab.analysis.diagnosis import Diagnosis
from reglab.analysis.prescribe import Patient
from reglab.analysis.probed import Probes
from reglab.data.kinds import ARRAY, TOKENS
from reglab.results import Results
from reglab.studies import Study
from reglab.study.records import DIVERGED, FINISHED
from reglab.study.storage import answers
from reglab.tasks import Task

__all__ = ["STEM", "diagnosed", "patient", "write"]

STEM = "diagnosis"  # of its files: ``diagnosis.json``, and ``diagnosis-<key>.json`` for other recipes


def diagnosed(results: Results, name: str | None = None, *, attainable: float | None = None) -> Diagnosis:
    """Return the diagnosis of one recipe of a study.

    The word comes from training and validation alone. Calibration is of validation, at the best epoch, whose weights
    are kept; bias and variance need the same examples for all seeds, and so are of the test predictions that runs kept.

    Args:
        results: of the study; it may still be running.
        name: of the recipe; by default the baseline.
        attainable: the level on training examples that a good model can have on this data; by default what the task
            says.
    """
    name = name or results.baseline
    runs = [run for run in results.runs[name].values() if run.status in (FINISHED, DIVERGED)]
    validation, test = results.predictions(name, "validation"), results.predictions(name, "test")
    return diagnose(
        [_with_end(run.history, results.task, diverged=run.status == DIVERGED) for run in runs], results.task,
        attainable=attainable,
        validation=None if validation is None else (validation.labels, validation.predicted),
        predictions=None if test is None else (test.labels, test.predicted),
        shared=results.data.get("shared_validation"),
    )  # fmt: skip


def _with_end(history: Mapping[str, list[float]], task: Task, *, diverged: bool) -> Mapping[str, list[float]]:
    """Return a history whose last epoch says that the run diverged, where it did."""
    if not diverged or not history:
        return history if history else {f"val_{task.criterion.name}": [float("nan")]}
    return {key: [*values, float("nan")] for key, values in history.items()}


def patient(results: Results, study: Study | None = None, probes: Probes | None = None) -> Patient:
    """Return what a prescription has to know beside the diagnosis.

    Without the study its data is not read: what it is stands in the folder.
    """
    epochs, size, batch = (results.spec.get(key) for key in ("epochs", "train_size", "batch_size"))
    kind, changing = results.data.get("kind", ARRAY), frozenset(results.data.get("label_changing", ()))
    if study is not None:
        kind, changing = study.dataset.kind, study.dataset.label_changing
    kind = TOKENS if "inputs" in results.facts else kind
    size = size or results.data.get("train_size")
    steps = epochs * math.ceil(size / batch) if epochs and size and batch else None
    return Patient(
        kind=kind, label_changing=changing, epochs=epochs, steps=steps,
        recipe=results.spec.get("recipes", {}).get(results.baseline, ""), train_size=size,
        classes=len(results.task.names) if results.task.form == "classes" else None, probes=probes or Probes(),
    )  # fmt: skip


def write(folder: Path, name: str, found: Mapping[str, Any]) -> Path:
    """Keep the diagnosis of a recipe, as JSON holds it, in a study folder, beside its results, and return the file.

    What probes and treatments of the recipe found before, and nobody asked for now, stays.
    """
    question = {"recipe": name}
    kept, before = dict(found), answers.find(folder, STEM, question) or {}
    if "treatment" in before:
        kept.setdefault("treatment", before["treatment"])
    if isinstance(before.get("probes"), Mapping):
        kept["probes"] = _joined(before["probes"], kept.get("probes") or {})
    return answers.keep(folder, STEM, question, kept)


def _joined(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return what probes found, where not all of them were asked again."""
    kept = {key: value for key, value in before.items() if now.get(key) is None}
    again = [key for key, value in before.items() if key != "findings" and value is not None and key not in kept]
    said = list(now.get("findings") or [])
    if not again:
        said += [finding for finding in before.get("findings") or [] if finding not in said]
    return {**now, **kept, "findings": said}
