"""What a tf.data pipeline that tunes itself costs at its end: ``python benchmarks/pipeline.py``.

The same trainings with ``fit``, on Keras' own pipeline for a ``PyDataset`` and on the one that reglab's studies use.
What is measured is the time between the last callback and the return of ``fit``, when the pipeline is let go of.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
from pairs import in_turn, machine, table

from reglab.backends.tensorflow import feed
from reglab.data.batches import Batches
from reglab.models import inception

ROUNDS, LENGTHS = 12, (5, 20)  # epochs of about a quarter of a second


class End(keras.callbacks.Callback):
    """Knows when training was over."""

    def on_train_end(self, logs: Any = None) -> None:
        self.at = time.perf_counter()


def main() -> None:
    """Print the table."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(1000, 16, 16, 3)).astype("float32"), random.integers(0, 10, 1000)
    model = inception((16, 16, 3), 10, pooled=True)
    model.compile("adamax", "sparse_categorical_crossentropy")

    def waited(epochs: int, tuned: bool) -> float:
        batches = Batches(x, y, np.arange(1000), batch_size=50, epochs=epochs, seed=0, preprocess=lambda x: x)
        end, began = End(), time.perf_counter()
        model.fit(
            batches if tuned else feed(batches), epochs=epochs, steps_per_epoch=batches.steps, shuffle=False, verbose=0,
            callbacks=[end],
        )  # fmt: skip
        return (time.perf_counter() - end.at) / (end.at - began)

    waited(1, True)
    rows = []
    for epochs in LENGTHS:
        ways = {"Keras' own": partial(waited, epochs, True), "reglab's": partial(waited, epochs, False)}
        found = in_turn(ways, ROUNDS)
        for name, shares in found.found.items():
            hit = sum(share > 0.05 for share in shares)
            told = f"{np.mean(shares):.1%}", f"{max(shares):.0%}"
            rows.append((f"{name} pipeline, {epochs} epochs", f"{hit} of {ROUNDS}", *told))
    print(table(("`fit`", "waits for more than 5 % of the training", "mean wait", "longest"), rows))
    print("\n" + machine("keras", "tensorflow"))


if __name__ == "__main__":
    main()
