"""Which number of workers is fastest here: ``python benchmarks/workers.py [WORKERS ...]``, by default 1 2.

The same studies, whole, with each number of workers in turn, several rounds; the median of paired ratios to the first.
One is of small images (digits, the Inception of the demo), one of images as large as CIFAR-10's (made ones, a pooled
Inception).
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

ROUNDS = 3
SMALL = {"model": "inception(filters=(8, 16, 8), pooled=true)", "epochs": 60, "train_size": 200, "batch_size": 20}
LARGE = {"model": "inception(filters=(16, 32, 16), pooled=true)", "epochs": 4, "train_size": 400, "batch_size": 100}


def data_of(name: str) -> Any:
    """Return the data of a study."""
    if name == "small":
        return "digits"
    random = np.random.default_rng(0)
    return random.integers(0, 256, size=(700, 32, 32, 3), dtype="uint8"), random.integers(0, 10, size=700)


def seconds(name: str, workers: int) -> float:
    """Return how long a study of 3 recipes and 4 seeds takes, start of the workers included."""
    import reglab

    settings = {"small": SMALL, "large": LARGE}[name]
    with tempfile.TemporaryDirectory() as folder:
        study = reglab.Study(
            data_of(name), recipes=["l2", "dropout"], out=Path(folder) / "s", seeds=4, optimizer="adamax", **settings
        )
        began = time.perf_counter()
        study.run(workers=workers)
        return time.perf_counter() - began


def main() -> None:
    """Print the ratios."""
    counts = [int(text) for text in sys.argv[1:]] or [1, 2]
    for name in ("small", "large"):
        found: dict[int, list[float]] = {count: [] for count in counts}
        for number in range(ROUNDS):
            for count in counts if number % 2 == 0 else counts[::-1]:
                found[count].append(seconds(name, count))
        for count in counts:
            ratios = [a / b for a, b in zip(found[count], found[counts[0]], strict=True)]
            shown = ", ".join(f"{value:.1f}" for value in found[count])
            print(f"{name}, {count} workers: {shown} s; {statistics.median(ratios):.2f} times that of {counts[0]}")


if __name__ == "__main__":
    main()
