"""What store and supervision cost: ``python benchmarks/supervision.py [paired|coordinator]``.

``paired`` trains the same small runs in turn without and with them, and takes the median of paired differences:

    bare        ``Workbench.train`` in a process of its own, nothing written
    supervised  the same through ``Study.run(workers=1)``: events over a pipe, leases, files, SQLite, live.json

Short runs are taken so that milliseconds show; what a run and an epoch cost is then put beside a run of 30 seconds.
Runs of two lengths tell the cost of an epoch from that of a run.

``coordinator`` plays trainings instead of training (tests/study/played.py), so that nothing but the coordinator's own
work is left, for studies of growing size: runs a second, bytes a run, and how long opening a finished study takes.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

MODEL = "inception(filters=(8, 16, 8), pooled=true)"
RECIPES = ("none", "l2", "dropout")
SEEDS = 4
ROUNDS = 5
LENGTHS = (5, 25)  # epochs
LONG_RUN_S = 30.0


def settings(epochs: int) -> dict[str, Any]:
    """Return the settings of the study."""
    return {"seeds": SEEDS, "epochs": epochs, "train_size": 100, "batch_size": 20, "optimizer": "adamax"}


def bare(epochs: int) -> list[float]:
    """Return how long each run takes on a warm workbench."""
    import reglab
    from reglab.study.spec import Settings, Task
    from reglab.study.workbench import Workbench

    recipes = {name: reglab.Recipe.parse(name) for name in RECIPES}
    bench = Workbench(Task(reglab.load("digits"), MODEL, Settings(**settings(epochs)), recipes))
    ends = []
    for ride in bench.plan().missing(()):
        bench.train(ride, on_epoch=lambda *a: None, on_checkpoint=lambda *a: None)
        ends.append(time.perf_counter())
    return ends


def supervised(epochs: int) -> list[float]:
    """Return when each run was on disk."""
    import reglab
    from reglab.study.progress import Progress

    ends: list[float] = []

    class Clock(Progress):
        def training_ended(self, job: int) -> None:
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        study = reglab.Study("digits", MODEL, list(RECIPES), out=folder, **settings(epochs))
        study.run(Clock(), workers=1)
    return ends


def seconds_a_run(how: str, epochs: int) -> float:
    """Return the median time from the end of one run to the next, once all is compiled, in a new process."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import supervision as s, json; "
    code += f"print(json.dumps(s.{how}({epochs})))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    ends = json.loads(printed.splitlines()[-1])
    warm = ends[len(RECIPES) - 1 :]  # the first seed compiles
    return statistics.median(b - a for a, b in itertools.pairwise(warm))


def paired() -> None:
    """Print what a run and an epoch cost, beside a run of 30 seconds."""
    costs: dict[int, list[float]] = {epochs: [] for epochs in LENGTHS}
    times: dict[int, list[float]] = {epochs: [] for epochs in LENGTHS}
    for number in range(ROUNDS):
        for epochs in LENGTHS:
            order = ("bare", "supervised") if number % 2 == 0 else ("supervised", "bare")
            found = {how: seconds_a_run(how, epochs) for how in order}
            costs[epochs].append(found["supervised"] - found["bare"])
            times[epochs].append(found["bare"])
    short, long = (statistics.median(costs[epochs]) for epochs in LENGTHS)
    for epochs in LENGTHS:
        spread = ", ".join(f"{1000 * cost:.1f}" for cost in sorted(costs[epochs]))
        print(
            f"{epochs} epochs: {1000 * statistics.median(times[epochs]):.0f} ms a run bare; supervised costs "
            f"{1000 * statistics.median(costs[epochs]):.1f} ms more (rounds: {spread})"
        )
    epoch = max(0.0, (long - short) / (LENGTHS[1] - LENGTHS[0]))
    epochs_in_long = LONG_RUN_S / (statistics.median(times[LENGTHS[1]]) / LENGTHS[1])
    whole = max(short, long) + epoch * epochs_in_long
    print(
        f"a run of {LONG_RUN_S:.0f} s has {epochs_in_long:.0f} such epochs: {1000 * whole:.0f} ms, "
        f"{100 * whole / LONG_RUN_S:.2f} % of it"
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
    for name in sys.argv[1:] or ("coordinator", "paired"):
        {"paired": paired, "coordinator": coordinator}[name]()
