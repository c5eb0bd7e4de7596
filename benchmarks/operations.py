"""Where a training step spends its time on TensorFlow: ``python benchmarks/operations.py [RECIPE [LAYER]]``.

The paper's Inception, pooled, batch 100 of 32x32x3, bare or with a recipe. Prints milliseconds of thread time by
operation, those that take at least 0.1; with LAYER, only of operations whose scope has that in its name.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

from limits import of_tensorflow
from pairs import machine, table
from steps import BATCH, compiled, data

STEPS = 10


def main() -> None:
    """Print the table."""
    recipe = sys.argv[1] if len(sys.argv) > 1 else "bare"
    layer = sys.argv[2] if len(sys.argv) > 2 else ""
    model, (x, y) = compiled(None if recipe == "bare" else recipe), data(BATCH)
    for _ in range(5):
        model.train_on_batch(x, y)
    spent: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for text, seconds in of_tensorflow(
            lambda: [model.train_on_batch(x, y) for _ in range(STEPS)], Path(folder), set()
        ):
            scope, operation = text.rsplit(":", 1)
            if layer in scope:
                spent[operation] += 1000 * seconds / STEPS
    rows = [(name, f"{taken:.1f}") for name, taken in spent.most_common() if taken >= 0.1]
    print(table((recipe, "ms"), [*rows, ("all", f"{sum(spent.values()):.1f}")]))
    print("\n" + machine("keras", "tensorflow"))


if __name__ == "__main__":
    main()
