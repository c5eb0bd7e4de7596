"""What a study folder holds, read and analysed: the way from records to a comparison, without Keras."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from reglab.analysis import paired
from reglab.analysis.compare import Comparison, compare
from reglab.analysis.jackknife import grouped_scores
from reglab.errors import ReglabError, nearest
from reglab.recipe import spoken
from reglab.study.records import FINISHED, Predictions
from reglab.study.storage import run_folder, sound
from reglab.study.storage.view import View, study_in
from reglab.tasks import Metric, Task, read_task

__all__ = ["Results", "RunResult"]


@dataclass(frozen=True, eq=False)
class RunResult:
    """One run of a study, as far as it has come.

    Attributes:
        id, name, seed: which it is.
        status: ``finished``, ``diverged``, ``failed``, or ``missing`` where it was not trained yet.
        metrics: scalars; those that its record lacks are computed from its predictions. Empty unless finished.
        history: for each epoch ``loss`` as trained on, and clean metrics on training part and validation.
        error: what went wrong, or nothing.
        scores: what each test example adds to the deciding metric, ``(N,)``, with the metric as their mean; of a metric
            that has no such scores the same of groups of examples (:mod:`reglab.analysis.jackknife`). None unless
            finished, or of too few examples.
        right: which test examples it predicted rightly, booleans ``(N,)``; None unless finished, or where that is a
            matter of degree.
        details: what the task has for sections of the report, by name, such as ``confusion``; empty unless finished.
        fingerprint: a digest of its test predictions, the same for the same network; empty unless finished.
    """

    id: str
    name: str
    seed: int
    status: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: Mapping[str, list[float]] = field(default_factory=dict, repr=False)
    error: str = ""
    scores: np.ndarray | None = field(default=None, repr=False)
    right: np.ndarray | None = field(default=None, repr=False)
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)
    fingerprint: str = ""


@dataclass(frozen=True)
class Results:
    """What came out of a study.

    Attributes:
        comparison: every recipe, with its values a seed and its differences from the baseline.
        folder: the study folder.
        notes: what has to be said with the numbers.
        headline: data, model and budget in a line.
        versions: of reglab, Keras and the backend.
        spec: the resolved spec, as in ``study.yaml``.
        facts: what results depend on beside it, each as a short text.
        runs: for each recipe's name and each seed, the run.
        data: what is known of the data: ``kind``, ``label_changing``, ``train_size``, ``shared_validation``, whether
            all runs have the same validation examples, and ``read``, what was read, in words.
    """

    comparison: Comparison
    folder: Path
    notes: tuple[str, ...]
    headline: str
    versions: Mapping[str, str]
    spec: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, Mapping[int, RunResult]] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"{type(self).__name__}({str(self.folder)!r}: {self.headline}; runs: {counts})"

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Return what the study in a folder has given so far; it may still be running. Of a search, its confirmation.

        Raises:
            ReglabError: if there is no study, or it has no plan yet.

        Example:
            >>> results = reglab.Results.load("reglab-out/demo")
            >>> results.comparison.choice.recommended
            'combination'
        """
        with View(study_in(folder)) as view:
            return cls(**_read(view))

    @property
    def baseline(self) -> str:
        return self.comparison.baseline

    @property
    def task(self) -> Task:
        """What was predicted."""
        return self.comparison.task

    @property
    def metric(self) -> Metric:
        """The metric that decides."""
        return self.task.decides

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many runs ended in which way."""
        found: dict[str, int] = {}
        for run in {run.id: run for of_name in self.runs.values() for run in of_name.values()}.values():
            found[run.status] = found.get(run.status, 0) + 1
        return found

    @property
    def complete(self) -> bool:
        return not self.counts.get("missing")

    def predictions(self, name: str, part: str = "test") -> Predictions | None:
        """Return what the finished runs of a recipe predict for ``part``, ``test`` or ``validation``.

        Returns:
            labels ``(N, ...)`` and predictions ``(runs, N, ...)`` for the test part, which all seeds share. Of
            validation, which each seed has its own of, labels are ``(runs, N, ...)``; where seeds have different
            numbers of examples, as of a split by group, both are arrays ``(runs,)`` of arrays. None if no run has
            finished.
        """
        found = [
            run_folder.predictions(self.folder / "runs" / run.id, part)
            for run in self.runs[name].values()
            if run.status == FINISHED
        ]
        if not found:
            return None
        predicted = _beside([each.predicted for each in found])
        labels = found[0].labels if part == "test" else _beside([each.labels for each in found])
        return Predictions(predicted, labels)

    def shipped(self, name: str, seed: int | None = None) -> RunResult:
        """Return the run of a recipe that one would ship: of this seed, or the one that is best on validation.

        Raises:
            ReglabError: if there is no such recipe, or no such run has finished.
        """
        if name not in self.runs:
            raise ReglabError(
                f"The study in {self.folder} has no recipe {name!r}.{nearest(name, self.runs)} It has "
                f"{', '.join(self.runs)}."
            )
        finished = [r for r in self.runs[name].values() if r.status == FINISHED and seed in (None, r.seed)]
        if not finished:
            which = "no run" if seed is None else f"no run with seed {seed}"
            raise ReglabError(f"Of {spoken(name, self.baseline)}, {which} has finished in {self.folder}.")
        metric = self.metric
        return max(finished, key=lambda run: metric.sign * run.metrics[f"val_{metric.name}"])

    def mcnemar(self, one: RunResult, other: RunResult) -> dict[str, float]:
        """Return how often each of two trained models is right where the other is not, and the exact McNemar p value.

        The keys are ``examples``, ``both``, ``only_one``, ``only_other``, ``neither`` and ``p``. It compares two models
        as they are (McNemar 1947), and says nothing of the recipes that made them.
        """
        a, b = one.right, other.right
        for run in (one, other):
            if run.status != FINISHED:
                raise ReglabError(f"{run.name}, seed {run.seed}, has not finished ({run.status}). Name another run.")
        if a is None or b is None:
            raise ReglabError(
                f"McNemar's test counts examples that are right or wrong, and predictions of {self.task.kind} are more "
                "or less so. Compare the recipes by what decides: reglab compare, with several seeds."
            )
        counts = {"both": a & b, "only_one": a & ~b, "only_other": ~a & b, "neither": ~a & ~b}
        return {
            "examples": len(a), **{key: int(np.count_nonzero(value)) for key, value in counts.items()},
            "p": paired.mcnemar(a, b),
        }  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return what stands in ``results.json``."""
        return {
            "schema": 1, "notes": list(self.notes), "study": dict(self.spec), **self.comparison.to_dict(),
            "versions": dict(self.versions),
        }  # fmt: skip


def _read(view: View) -> dict[str, Any]:
    """Return the fields of what a study has given so far."""
    spec, about = view.spec, view.about
    if spec is None or about is None:
        raise ReglabError(
            f"The study in {view.folder} has no plan yet, so there is nothing to show. If it is not about to begin, "
            f"go on with it: reglab resume {view.folder}"
        )
    rows, task = {row["id"]: row for row in view.runs()}, read_task(about["task"])
    short = [run for run, row in rows.items() if not sound.has_metrics(row, task)]
    if short:
        raise ReglabError(
            f"In the table of the study in {view.folder} metrics of {len(short)} runs are missing ({short[0]}). reglab "
            f"resume {view.folder} enters them again from the folders of the runs."
        )
    runs = {
        name: {int(seed): _run(view, task, name, int(seed), rows.get(run)) for seed, run in of_name.items()}
        for name, of_name in about["runs"].items()
    }
    margin = spec.get("margin")
    comparison = compare(
        {name: {seed: (run.status, run.metrics) for seed, run in of_name.items()} for name, of_name in runs.items()},
        recipes=spec["recipes"], baseline=spec["baseline"], task=task,
        margin=None if margin is None else margin / task.decides.scale,
        scores={
            name: {seed: run.scores for seed, run in of_name.items() if run.scores is not None}
            for name, of_name in runs.items()
        },
        sizes=about["sizes"], identical=_identical(runs, spec["baseline"]),
    )  # fmt: skip
    return {
        "comparison": comparison, "folder": view.folder, "notes": tuple(about["notes"]), "headline": about["headline"],
        "versions": about["versions"], "spec": spec, "facts": view.facts,
        "runs": runs, "data": about.get("data", {}),
    }  # fmt: skip


def _identical(runs: Mapping[str, Mapping[int, RunResult]], baseline: str) -> set[str]:
    """Return the recipes whose network is the baseline's in every seed, as of early stopping that never stopped.

    They predict the same for every test example, to the last bit.
    """
    found = set()
    for name, of_name in runs.items():
        pairs = [(run, runs[baseline][seed]) for seed, run in of_name.items() if seed in runs[baseline]]
        pairs = [(one, other) for one, other in pairs if FINISHED in (one.status, other.status)]
        if name != baseline and pairs and all(a.fingerprint and a.fingerprint == b.fingerprint for a, b in pairs):
            found.add(name)
    return found


def _run(view: View, task: Task, name: str, seed: int, row: Mapping[str, Any] | None) -> RunResult:
    if row is None or row["status"] == "planned":
        return RunResult("" if row is None else row["id"], name, seed, "missing")
    record = view.record(row["id"])
    metrics = {key: value for key, value in record.metrics.items() if value is not None}
    if record.status != FINISHED or record.test is None:  # the test set may be sealed
        return RunResult(record.id, name, seed, record.status, metrics, record.history, record.error)
    y, p = record.test.labels, record.test.predicted
    if problem := task.misfit(y, p):
        raise run_folder.damage(view.folder / "runs" / record.id / "predictions.npz", problem)
    scores = task.decides.per_example
    return RunResult(
        record.id,
        name,
        seed,
        record.status,
        metrics,
        record.history,
        scores=grouped_scores(task.decides, y, p) if scores is None else scores(y, p),
        right=task.right(y, p),
        details=task.details(y, p),
        fingerprint=hashlib.sha256(np.ascontiguousarray(p).tobytes()).hexdigest(),
    )


def _beside(of_runs: list[np.ndarray]) -> np.ndarray:
    """Return arrays of several runs as one, run by run: of different lengths an array that holds them."""
    if len({len(each) for each in of_runs}) == 1:
        return np.stack(of_runs)
    found = np.empty(len(of_runs), object)
    found[:] = of_runs
    return found
