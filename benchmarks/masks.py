"""Whether dropout trains alike with cheap bits and with TensorFlow's own: ``python benchmarks/masks.py [SEEDS]``.

The masks are others, so no two runs are equal. The dropout arm of ``reglab demo`` is trained with both, from the same
starts on the same splits and batches, and the differences are put beside those that only another draw makes.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np
from pairs import machine, table
from scipy import stats

import reglab
from reglab.backends import cheap_bits, plain, tensorflow
from reglab.cli.demo import DEMO


def accuracies(seeds: int, dropped: Any, repetition: int = 0) -> np.ndarray:
    """Return test accuracies of the dropout arm in %, by seed."""
    tensorflow.dropped = dropped
    with tempfile.TemporaryDirectory() as folder:
        settings = {**DEMO, "seeds": seeds, "repetition": repetition}
        study = reglab.Study(
            recipes={"dropout": "dropout(rate=0.1)"}, baseline="dropout", out=Path(folder) / "s", **settings
        )
        runs = study.run(workers=0).runs["dropout"].values()
    return np.array([100 * run.metrics["accuracy"] for run in runs])


def main() -> None:
    """Print the table."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    ours, theirs = accuracies(seeds, cheap_bits.dropped), accuracies(seeds, plain.dropped)
    again = accuracies(seeds, plain.dropped, repetition=1)
    rows = []
    for name, difference in (
        ("reglab's bits - TensorFlow's", ours - theirs),
        ("TensorFlow's, other batches and draws - TensorFlow's", again - theirs),
    ):
        low, high = stats.t.interval(0.95, seeds - 1, difference.mean(), stats.sem(difference))
        rows.append((name, f"{difference.mean():+.2f}", f"{low:+.2f} to {high:+.2f}", f"{difference.std(ddof=1):.2f}"))
    print(table((f"points of accuracy, {seeds} seeds", "mean", "95 % interval", "spread a seed"), rows))
    means = ", ".join(f"{found.mean():.2f} %" for found in (ours, theirs, again))
    print(f"\nMean accuracies: {means}.\n\n{machine('keras', 'tensorflow')}")


if __name__ == "__main__":
    main()
