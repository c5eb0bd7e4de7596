"""Studies whose trainings are played instead of trained: the real coordinator and store, and results made from names.

They need no Keras, so they can be run hundreds of times: killed at every write, on a full disk, by two at once. A
``Player`` is an executor in the coordinator's own process, and ``python played.py FOLDER`` runs a study with it once. A
``Bench`` is what a real worker process trains with, in place of the workbench (``played_worker.py``).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections import deque
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import reglab
from reglab.models import resolve
from reglab.recipe import Recipe
from reglab.study.checkpoint import Checkpoint, TrackState
from reglab.study.executors import choice
from reglab.study.executors.base import (
    CheckpointSaved,
    EpochFinished,
    Executor,
    JobFinished,
    JobLost,
    JobStarted,
    RunFinished,
)
from reglab.study.objects import said, spoken
from reglab.study.plan import Plan, Run, as_text
from reglab.study.records import DIVERGED, FINISHED, Predictions, Record
from reglab.study.spec import task_of
from reglab.tasks import Metric
from reglab.tasks.classes import ACCURACY

EPOCHS = 4
RECIPES = ["l2", "early_stopping(patience=1)", "diverges=dropout(rate=0.9)"]
# All that a training records, so that reading a study computes none of it.
TRAINED = ("sparsity", "train_accuracy", "train_cross_entropy", "val_cross_entropy", "gap", "cross_entropy_gap")
TESTED = ("accuracy", "precision", "recall", "f1", "top_5", "cross_entropy", "brier", "ece", "overconfidence",
          "temperature", "ece_tempered", "cross_entropy_tempered")  # fmt: skip


def luck(run: Run) -> np.random.Generator:
    """Random numbers that are a run's own."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(run.id.encode()).digest()[:4], "big"))


def record(
    run: Run,
    curve: list[float],
    *,
    weights: int = 50,
    classes: int = 3,
    sealed: bool = False,
    metric: Metric = ACCURACY,
) -> Record:
    """The result of a run with this value of ``metric`` on validation in each epoch; the rest is made from its name."""
    decides = f"val_{metric.name}"
    if not all(map(math.isfinite, curve)):
        error = f"not a number in epoch {len(curve)}: loss"
        return Record(**run.summary(), status=DIVERGED, history={decides: curve}, error=error)
    random = luck(run)
    metrics = {name: float(random.random()) for name in (TRAINED if sealed else TRAINED + TESTED)}
    best = int(np.argmax(metric.sign * np.array(curve)))
    metrics |= {
        "val_accuracy": 0.5,
        decides: curve[best],
        "epochs": float(len(curve)),
        "best_epoch": best + 1.0,
        "seconds": 1.0,
    }
    labels = np.arange(5, dtype="int32") % classes
    predictions = Predictions(random.dirichlet(np.ones(classes), 5).astype("float32"), labels)
    return Record(
        **run.summary(), status=FINISHED, metrics=metrics, history={decides: curve}, validation=predictions,
        test=None if sealed else predictions, weights=[random.random(weights), random.random((2, 2))],
    )  # fmt: skip


def plan_of(assignment, *, result_bytes=0) -> Plan:
    """The plan of a study; some settings change its runs' identities, as all do that change a real run."""
    settings, data = assignment.settings, assignment.data
    same = {"data": data.fingerprint, "epochs": settings.epochs, "repetition": settings.repetition}
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    facts = {"keras": "1", "backend": f"{backend} played", "data (content)": data.fingerprint[:12]}
    bases = {seed: as_text({**same, "seed": seed}) for seed in settings.seed_list()}
    return Plan(
        {}, facts, {"played": "1"}, task_of(data, settings), result_bytes=result_bytes, bases=bases,
        trained=spoken(said(settings, {}, {}), None),
    ).of(assignment.recipes)  # fmt: skip


def curve_of(assignment, run) -> list[float]:
    """The validation accuracy of each epoch of a run."""
    if run.name == "diverges":
        return [0.5, math.nan]
    return luck(run).random(assignment.settings.epochs).tolist()


class Bench:
    """What a worker process trains with, played.

    A model that is a function hears what is going on, and can do there whatever a training can: it is called with
    ``"plan"``, and with ``"epoch"`` at the end of each epoch, beside the ``assignment``, the ``ride``, the ``epoch``.
    """

    def __init__(self, assignment):
        self.assignment = assignment
        resolve(assignment.model, input_shape=assignment.data.input_shape, num_classes=assignment.data.num_classes)
        self._model = _function_of(assignment.model)

    def plan(self):
        self._model("plan", assignment=self.assignment)
        return plan_of(self.assignment)

    def train(self, ride, *, start=None, checkpoint_every=None, until=None, on_epoch, on_checkpoint):
        epochs = self.assignment.settings.epochs
        for epoch in range(start.epoch if start else 0, until or epochs):
            self._model("epoch", assignment=self.assignment, ride=ride, epoch=epoch)
            on_epoch(epoch, {"val_accuracy": 0.5})
            if checkpoint_every and (epoch + 1) % checkpoint_every == 0 and epoch + 1 < epochs:
                on_checkpoint(stand(ride, epoch + 1))
        if until:
            on_checkpoint(stand(ride, until))
            return []
        how = {"classes": self.assignment.data.num_classes, "sealed": self.assignment.settings.sealed}
        return [record(run, curve_of(self.assignment, run), **how) for run in ride.runs]


def _function_of(model):
    if callable(model):
        return model
    place, _, name = model.rpartition(":")
    if place.endswith(".py"):
        return getattr(sys.modules[Path(place).stem], name)
    return lambda *arguments, **options: None


class Player(Executor):
    """Plays trainings: of ``workers`` jobs at a time, one event of one of them a poll.

    Attributes:
        data: what the study was given.
        trained: the runs whose results it gave.
        ends: how trainings end badly, in turn: events that stand in for a training's results.
    """

    def __init__(self, assignment, *, workers=2, weights=50):
        self._task, self._weights = assignment, weights
        self._metric = task_of(assignment.data, assignment.settings).decides
        self.data = assignment.data
        self._workers = {f"worker {i + 1}": deque() for i in range(workers)}
        self.trained: list[str] = []
        self.ends: deque[tuple[str, str]] = deque()
        self.turn = 0

    def plan(self):
        return plan_of(self._task, result_bytes=8 * self._weights)

    def curve(self, run):
        """What decides on validation in each epoch of a run, which subclasses may decide."""
        return curve_of(self._task, run)

    def result(self, run):
        """The record of a run, which subclasses may decide."""
        sealed, classes = self._task.settings.sealed, self._task.data.num_classes
        return record(run, self.curve(run), weights=self._weights, classes=classes, sealed=sealed, metric=self._metric)

    def free(self):
        return [name for name, script in self._workers.items() if not script]

    def start(self, worker, jobs):
        self._workers[worker].extend(event for job in jobs for event in self._script(job, worker))

    def _script(self, job, worker):
        yield JobStarted(job.number, worker)
        first = job.checkpoint.epoch if job.checkpoint else 0
        if self.ends:
            how, detail = self.ends.popleft()
            yield JobLost(job.number, how, detail, worker_lost=how != "exception")
            return
        last = job.until or self._task.settings.epochs
        for epoch in range(first, last):
            yield EpochFinished(job.number, epoch, {"val_accuracy": 0.5})
            if job.checkpoint_every and (epoch + 1) % job.checkpoint_every == 0 and epoch + 1 < last:
                yield CheckpointSaved(job.number, self._stand(job.ride, epoch + 1))
        if job.until:
            yield CheckpointSaved(job.number, self._stand(job.ride, last))
        else:
            for run in job.ride.runs:
                yield RunFinished(job.number, self.result(run))
        yield JobFinished(job.number)

    def _stand(self, ride, epoch):
        curves = {run.id: self.curve(run)[:epoch] for run in ride.runs}
        return stand(ride, epoch, curves, decides=f"val_{self._metric.name}")

    def poll(self, handle, timeout):
        busy = [script for script in self._workers.values() if script]
        if busy:
            self.turn += 1
            event = busy[self.turn % len(busy)].popleft()
            if isinstance(event, RunFinished):
                self.trained.append(event.record.id)
            handle(event)

    def stop(self, job):
        for script in self._workers.values():
            if script and script[0].job == job:
                script.clear()

    def close(self):
        pass


def stand(ride, epoch, curves=None, *, decides="val_accuracy"):
    tracks = {
        run.id: TrackState({decides: curves[run.id] if curves else [0.5] * epoch}, 0, [np.zeros(3)], False, "", 1.0, [])
        for run in ride.runs
    }
    return Checkpoint(ride.recipe.fingerprint(), ride.seed, epoch, [np.arange(4.0)], tracks)


@contextmanager
def stage(player=None, **how):
    """Play all studies that are run meanwhile; yields the players, one for each time that a study is opened."""
    used = []

    def opened(assignment, _execution, *, threads):
        used.append((player or Player)(assignment, **how))
        return used[-1]

    before, choice.opened = choice.opened, opened
    try:
        yield used
    finally:
        choice.opened = before


def play(folder, *, recipes=RECIPES, seeds=2, player=None, progress=None, workers=2, weights=50, **execution):
    """Run the study in a folder; return its results.json without times, and the player."""
    with stage(player, workers=workers, weights=weights) as used:
        study = reglab.Study("iris", "mlp", recipes, seeds=seeds, epochs=EPOCHS, out=folder)
        study.backend = "played"
        study.run(progress, **execution)
    return results(folder), used[0]


def results(folder):
    """What results.json says, but for times."""
    found = json.loads((Path(folder) / "results.json").read_text())
    for entry in found["recipes"]:
        entry.pop("seconds", None)
    return found


def unique_runs(recipes=RECIPES, seeds=2):
    """How many runs the study has."""
    return (len({Recipe.parse(r.split("=", 1)[1] if r.startswith("diverges") else r) for r in recipes}) + 1) * seeds


if __name__ == "__main__":
    play(sys.argv[1])
