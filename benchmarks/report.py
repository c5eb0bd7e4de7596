"""What a report of a large study takes: ``python benchmarks/report.py [FOLDER]``.

20 recipes x 10 seeds x 200 epochs, with predictions of 10,000 test examples in 10 classes, made instead of trained
(tests/report/made.py). Timed is what ``reglab report`` does: loading the folder, and computing and writing all files.
With FOLDER, the report of that study is timed instead.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "report"))

RECIPES, SEEDS, EPOCHS, EXAMPLES = 20, 10, 200, 10_000


def main() -> None:
    """Make the study, unless one is given, and time its report."""
    if sys.argv[1:]:
        tell(Path(sys.argv[1]))
        return
    import made

    with tempfile.TemporaryDirectory() as folder:
        recipes, effects = made.many(RECIPES)
        start = time.perf_counter()
        made.study(Path(folder) / "study", recipes, seeds=SEEDS, epochs=EPOCHS, examples=EXAMPLES, effects=effects,
                   classes=[f"class {i}" for i in range(10)])  # fmt: skip
        print(f"made {RECIPES} recipes x {SEEDS} seeds x {EPOCHS} epochs in {time.perf_counter() - start:.1f} s")
        tell(Path(folder) / "study")


def tell(folder: Path) -> None:
    """Print what loading a study and writing its report take."""
    start = time.perf_counter()
    from reglab.facade import Results

    results = Results.load(folder)
    loaded = time.perf_counter()
    paths = results.report(folder / "report")
    end = time.perf_counter()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores")
    print(f"loading {loaded - start:.1f} s, report {end - loaded:.1f} s, together {end - start:.1f} s")
    for path in paths:
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
