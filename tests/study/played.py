"""A study whose trainings are played instead of trained: the real coordinator and store, and results made from names.

It needs no Keras, so it can be run hundreds of times: killed at every write, on a full disk, by two at once. As a
program, ``python played.py FOLDER`` runs it once.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import deque
from pathlib import Path

import numpy as np

import reglab
from reglab.recipe import Recipe
from reglab.study.checkpoint import Checkpoint, TrackState
from reglab.study.executors import choice
from reglab.study.executors.base import Done, Ended, Epoch, Executor, Gone, Kept, Started
from reglab.study.plan import Plan, Run
from reglab.study.records import DIVERGED, FINISHED, Predictions, Record

EPOCHS = 4
RECIPES = ["l2", "early_stopping(patience=1)", "diverges=dropout(rate=0.9)"]


def record(run: Run, *, weights: int = 50) -> Record:
    """The result of a run, made from its identity."""
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(run.id.encode()).digest()[:4], "big"))
    if run.name == "diverges":
        history = {"val_accuracy": [0.5, float("nan")]}
        return Record(**run.summary(), status=DIVERGED, history=history, error="not a number in epoch 2: loss")
    names = ("accuracy", "precision", "cross_entropy", "train_accuracy", "val_accuracy", "gap")
    metrics = {name: float(random.random()) for name in names}
    metrics |= {"epochs": float(EPOCHS), "best_epoch": 2.0, "seconds": 1.0}
    predictions = Predictions(random.random((5, 3)).astype("float32"), np.arange(5, dtype="int32") % 3)
    return Record(
        **run.summary(), status=FINISHED, metrics=metrics, history={"val_accuracy": random.random(EPOCHS).tolist()},
        validation=predictions, test=predictions, weights=[random.random(weights), random.random((2, 2))],
    )  # fmt: skip


class Player(Executor):
    """Plays trainings: of ``workers`` jobs at a time, one event of one of them a poll.

    Attributes:
        trained: the runs whose results it gave.
        ends: how trainings end badly, in turn: events that stand in for a training's results.
    """

    def __init__(self, task, *, workers=2, weights=50):
        self._task, self._weights = task, weights
        self._workers = {f"worker {i + 1}": deque() for i in range(workers)}
        self.trained: list[str] = []
        self.ends: deque[tuple[str, str]] = deque()
        self.turn = 0

    def plan(self):
        runs = {
            name: tuple(
                Run(hashlib.sha256(f"{recipe.fingerprint()} {seed}".encode()).hexdigest()[:20], name, recipe, seed)
                for seed in self._task.settings.seed_list()
            )
            for name, recipe in self._task.recipes.items()
        }
        return Plan(runs, {"keras": "1", "backend": "played 1"}, {"played": "1"}, result_bytes=8 * self._weights)

    def free(self):
        return [name for name, script in self._workers.items() if not script]

    def start(self, worker, jobs):
        self._workers[worker].extend(event for job in jobs for event in self._script(job, worker))

    def _script(self, job, worker):
        yield Started(job.number, worker)
        first = job.checkpoint.epoch if job.checkpoint else 0
        if self.ends:
            how, detail = self.ends.popleft()
            yield Gone(job.number, how, detail, worker_lost=how != "exception")
            return
        for epoch in range(first, EPOCHS):
            yield Epoch(job.number, epoch, {"val_accuracy": 0.5})
            if job.checkpoint_every and (epoch + 1) % job.checkpoint_every == 0 and epoch + 1 < EPOCHS:
                yield Kept(job.number, stand(job.ride, epoch + 1))
        for run in job.ride.runs:
            yield Ended(job.number, record(run, weights=self._weights))
        yield Done(job.number)

    def poll(self, handle, timeout):
        busy = [script for script in self._workers.values() if script]
        if busy:
            self.turn += 1
            event = busy[self.turn % len(busy)].popleft()
            if isinstance(event, Ended):
                self.trained.append(event.record.id)
            handle(event)

    def stop(self, job):
        for script in self._workers.values():
            if script and script[0].job == job:
                script.clear()

    def close(self):
        pass


def stand(ride, epoch):
    tracks = {
        run.id: TrackState({"val_accuracy": [0.5] * epoch}, 0, [np.zeros(3)], False, "", 1.0, None) for run in ride.runs
    }
    return Checkpoint(ride.recipe.fingerprint(), ride.seed, epoch, [np.arange(4.0)], tracks)


def play(folder, *, recipes=RECIPES, seeds=2, player=None, progress=None, workers=2, weights=50, **ways):
    """Run the study in a folder; return its results.json without times, and the player."""
    used = []

    def opened(task, _ways, *, threads):
        used.append((player or Player)(task, workers=workers, weights=weights))
        return used[-1]

    before, choice.opened = choice.opened, opened
    try:
        study = reglab.Study("iris", "mlp", recipes, seeds=seeds, epochs=EPOCHS, out=folder)
        study.backend = "played"
        study.run(progress, **ways)
    finally:
        choice.opened = before
    return results(folder), used[0]


def results(folder):
    """What results.json says, but for times."""
    found = json.loads((Path(folder) / "results.json").read_text())
    for entry in found["recipes"]:
        del entry["seconds"]
    return found


def unique_runs(recipes=RECIPES, seeds=2):
    """How many runs the study has."""
    return (len({Recipe.parse(r.split("=", 1)[1] if r.startswith("diverges") else r) for r in recipes}) + 1) * seeds


if __name__ == "__main__":
    play(sys.argv[1])
