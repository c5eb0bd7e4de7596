"""What store and supervision cost: ``python benchmarks/supervision.py [worker|coordinator]``.

The times of trainings vary by more than what is looked for, so it is measured without them. All else is real: the
store with its syncs, SQLite, the pipe, the records.

``worker`` runs studies with one worker process whose trainings take no time: they tell of their epochs and give the
records that a training of this model leaves. What a run takes then is what store and supervision add to it. It is put
beside a run of 30 seconds.

``coordinator`` plays the trainings in the coordinator's own process (tests/study/played.py), for studies of growing
size: runs a second, bytes a run, and how long opening a finished study takes.
"""

from __future__ import annotations

import itertools
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROUNDS = 5
SEEDS = 20
RUN_S, RUN_EPOCHS = 30.0, 100


def build_small(input_shape, num_classes):
    """Return the Inception of the demo, in a worker whose trainings take no time."""
    from reglab.models import inception

    skip_training()
    return inception(input_shape, num_classes, filters=(8, 16, 8), pooled=True)


def build_large(input_shape, num_classes):
    """Return a network of about a million weights, in a worker whose trainings take no time."""
    from reglab.models import mlp

    skip_training()
    return mlp(input_shape, num_classes, units=(1000, 1000))


def skip_training():
    """Replace what trains by what tells the same and gives a record of the same size."""
    from reglab.study.records import FINISHED, Predictions, Record
    from reglab.study.workbench import Workbench

    def train(self, ride, *, on_epoch, **_):
        for epoch in range(self.settings.epochs):
            on_epoch(epoch, {"train_accuracy": 0.9, "val_accuracy": 0.8})
        weights = self._initial_weights(ride.seed) if not hasattr(self, "spare") else self.spare
        self.spare = weights
        keys = ("accuracy", "gap", "epochs", "seconds", "precision", "cross_entropy", "train_accuracy", "val_accuracy",
                "best_epoch", "train_cross_entropy", "val_cross_entropy")  # fmt: skip
        rows = Predictions(np.full((len(self.test), self.data.num_classes), 0.1, "float32"), self.data.y[self.test])
        history = {name: [0.5] * self.settings.epochs for name in keys[:5]}
        return [
            Record(**run.summary(), status=FINISHED, metrics=dict.fromkeys(keys, 0.5), history=history,
                   validation=rows, test=rows, weights=weights)
            for run in ride.runs
        ]  # fmt: skip

    Workbench.train = train


def seconds_a_run(build, epochs: int) -> float:
    """Return the median time from one run on disk to the next."""
    import reglab
    from reglab.study.progress import Progress

    ends: list[float] = []

    class Clock(Progress):
        def training_ended(self, job: int) -> None:
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        study = reglab.Study("digits", build, ["l2"], out=Path(folder) / "s", seeds=SEEDS, epochs=epochs)
        study.run(Clock(), workers=1)
    return statistics.median(b - a for a, b in itertools.pairwise(ends[2:]))


def worker() -> None:
    """Print what a run and an epoch cost, beside a run of 30 seconds."""
    for name, build in (("Inception of the demo", build_small), ("a million weights", build_large)):
        few, many = [], []
        for _ in range(ROUNDS):
            few.append(seconds_a_run(build, 1))
            many.append(seconds_a_run(build, RUN_EPOCHS))
        run, full = statistics.median(few), statistics.median(many)
        print(
            f"{name}: {1000 * run:.1f} ms a run of 1 epoch ({1000 * min(few):.1f} to {1000 * max(few):.1f}), "
            f"{1000 * full:.1f} ms of {RUN_EPOCHS} ({1000 * min(many):.1f} to {1000 * max(many):.1f}): "
            f"{100 * full / RUN_S:.2f} % of a run of {RUN_S:.0f} s"
        )


def coordinator() -> None:
    """Print what the coordinator's own work costs."""
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "study"))
    import played

    print(f"{'runs':>7} {'runs/s':>8} {'table B/run':>12} {'files B/run':>12} {'inodes/run':>10} {'reopen s':>9}")
    for seeds in (25, 250, 2500):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            played.play(folder, seeds=seeds)
            spent = time.perf_counter() - began
            began = time.perf_counter()
            played.play(folder, seeds=seeds)
            again = time.perf_counter() - began
            runs = len(list((Path(folder) / "runs").iterdir()))
            files = [path for path in (Path(folder) / "runs").rglob("*") if path.is_file()]
            table = (Path(folder) / "study.sqlite").stat().st_size
            size = sum(path.stat().st_size for path in files)
            print(
                f"{runs:7d} {runs / spent:8.0f} {table / runs:12.0f} {size / runs:12.0f} "
                f"{(len(files) + runs) / runs:10.1f} {again:9.2f}"
            )


if __name__ == "__main__":
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    for name in sys.argv[1:] or ("coordinator", "worker"):
        {"worker": worker, "coordinator": coordinator}[name]()
