"""Trained runs of a study, brought back with the model and the data they were trained on. Keras, but no training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reglab.data import Split
from reglab.data.several import apart
from reglab.errors import ReglabError
from reglab.results import Results, RunResult
from reglab.study.records import FINISHED
from reglab.study.run import Program, SeedData
from reglab.study.spec import Assignment
from reglab.study.storage import run_folder
from reglab.study.storage.frozen import differences
from reglab.study.training import Training
from reglab.study.workbench import Workbench

__all__ = ["Replay"]

_START = "model (initial weights) is"  # how a difference of them begins
_TOLERANCE = 1e-2  # of a probability: another number of threads or another machine rounds otherwise, never by so much


class Replay:
    """The finished runs of a study folder, each as a program that predicts what the run predicted.

    Args:
        folder: the study folder.
        assignment: data, model, settings and recipes of it.

    Attributes:
        starts_otherwise: whether a training would begin here from other initial weights than the study's did.

    Raises:
        ReglabError: if the data, or the model but for its initial weights, are not those the study was trained with.
    """

    def __init__(self, folder: str | Path, assignment: Assignment) -> None:
        self.results = Results.load(folder)
        if assignment.settings.sealed:
            raise ReglabError(f"The study in {folder} is a search: its test set is sealed, and nothing is shown on it.")
        self.assignment = assignment
        self._bench = Workbench(assignment)
        found = differences(self.results.facts, self._bench.facts())
        self.starts_otherwise = any(each.startswith(_START) for each in found)
        # Versions may have moved on, and draw other initial weights: whether a network still predicts what it did is
        # looked at for each run.
        changed = [
            each for each in found if not each.startswith(("keras is", "backend is", "reglab results is", _START))
        ]
        if changed:
            raise ReglabError(
                f"The study in {folder} was trained with something else than what is here now: {'; '.join(changed)}. "
                "Give the data and the model that it was trained with."
            )

    @property
    def training(self) -> Training:
        """How the runs were trained."""
        return self._bench.training

    def runs(self, names: list[str] | None = None, *, seeds: int | None = None) -> list[RunResult]:
        """Return the finished runs, each once: of these recipes, or all; of the first so many seeds, or all."""
        found: dict[str, RunResult] = {}
        for name in names or list(self.results.runs):
            if name not in self.results.runs:
                raise ReglabError(f"The study has no recipe {name!r}; it has {', '.join(self.results.runs)}.")
            for run in list(self.results.runs[name].values())[:seeds]:
                if run.status == FINISHED:
                    found.setdefault(run.id, run)
        return list(found.values())

    def trained(self, run: RunResult) -> tuple[Program, SeedData]:
        """Return a program with the run's best weights, and what its seed fixes; good until the next call.

        Raises:
            ReglabError: if it does not predict what the run predicted.
        """
        weights = run_folder.weights(self.results.folder / "runs" / run.id)
        data = self._bench.seed_data(run.seed)
        program = self._bench.restored(self.assignment.recipes[run.name], run.seed, weights)
        kept = run_folder.predictions(self.results.folder / "runs" / run.id, "test").predicted
        some = slice(0, 256)
        assert data.test is not None  # the study is not sealed
        off = apart(program.predict(data.test[0][some]), kept[some])
        if not off < _TOLERANCE:
            raise ReglabError(
                f"{run.name}, seed {run.seed}: its stored weights predict something else than the run did (by "
                f"{off:.2g}), so they are not examined. Was the study trained by other versions? They were "
                f"{', '.join(f'{name} {version}' for name, version in self.results.versions.items())}."
            )
        return program, data

    def in_training(self, run: RunResult) -> tuple[Program, SeedData]:
        """Return the program that trained a run, at its best weights, and what its seed fixes."""
        weights = run_folder.weights(self.results.folder / "runs" / run.id)
        program = self._bench.in_training(self.assignment.recipes[run.name], run.seed, weights)
        return program, self._bench.seed_data(run.seed)

    def split(self, seed: int) -> Split:
        """Return which raw examples a seed trains on, validates on, and tests."""
        return self._bench.split(seed)

    def each(self, runs: list[RunResult]) -> Iterator[tuple[RunResult, Program, SeedData]]:
        """Yield each of these runs with its program, seed by seed, since a seed's data is prepared once."""
        for run in sorted(runs, key=lambda run: run.seed):
            program, data = self.trained(run)
            yield run, program, data
