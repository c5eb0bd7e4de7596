"""A workbench that plays trainings: epochs take the time they are told, and results are made from names and seeds.

It does what files in the folder ``$STAGE`` say: ``pace`` holds the seconds of an epoch; ``raise`` and ``kill`` end the
next training, and are gone then.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path

import numpy as np

import reglab
from reglab.study.plan import Plan, Run
from reglab.study.records import FINISHED, Predictions, Record
from reglab.study.spec import task_of

__version__ = "1"


class Workbench:
    """Plans and plays the study's runs."""

    def __init__(self, assignment):
        self.assignment = assignment
        path = str(assignment.model).partition(":")[0]
        if path.endswith(".py") and not Path(path).is_file():
            raise FileNotFoundError(path)

    def plan(self):
        seeds = self.assignment.settings.seed_list()
        runs = {
            name: tuple(Run(_digest(recipe.fingerprint(), seed)[:20], name, recipe, seed) for seed in seeds)
            for name, recipe in self.assignment.recipes.items()
        }
        versions = {"reglab": reglab.__version__, "keras": __version__, "stage_bench": __version__}
        return Plan(
            runs,
            {"keras": __version__},
            versions,
            task_of(self.assignment.data, self.assignment.settings),
            result_bytes=100,
        )

    def train(self, ride, *, on_epoch, **_):
        for epoch in range(self.assignment.settings.epochs):
            _obey()
            on_epoch(epoch, {"val_accuracy": 0.5})
        return [_record(run) for run in ride.runs]


def _obey():
    stage = Path(os.environ["STAGE"])
    time.sleep(float((stage / "pace").read_text() or 0))
    for trap in (stage / "raise", stage / "kill"):
        if trap.exists():
            trap.unlink()
            if trap.name == "raise":
                raise RuntimeError("no such luck")
            os.kill(os.getpid(), signal.SIGKILL)


def _digest(*what):
    return hashlib.sha256(" ".join(map(str, what)).encode()).hexdigest()


def _record(run):
    random = np.random.default_rng(int(_digest(run.id)[:8], 16))
    names = ("accuracy", "precision", "cross_entropy", "train_accuracy", "val_accuracy", "gap")
    metrics = {name: float(random.random()) for name in names}
    metrics |= {"epochs": 4.0, "best_epoch": 2.0, "seconds": 1.0}
    predictions = Predictions(random.dirichlet(np.ones(10), 5).astype("float32"), np.arange(5, dtype="int32"))
    return Record(
        **run.summary(), status=FINISHED, metrics=metrics, history={"val_accuracy": random.random(4).tolist()},
        validation=predictions, test=predictions, weights=[random.random(10)],
    )  # fmt: skip
