"""How long the command line takes to answer, and what it imports for it: ``python benchmarks/startup.py``."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from pairs import in_turn, machine, table

ROUNDS = 15
WAYS = {
    "python -c pass": (["-c", "pass"], None),
    "import reglab": (["-c", "import reglab"], 0.3),
    "reglab --help": (["-m", "reglab", "--help"], 0.5),
    "reglab strategies": (["-m", "reglab", "strategies"], None),
}
BACKENDS = "import sys, reglab.cli; print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules) or 'nothing')"


def main() -> None:
    """Print the table."""

    def seconds(arguments: list[str]) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        return time.perf_counter() - began

    ways: dict[str, Callable[[], float]] = {name: partial(seconds, arguments) for name, (arguments, _) in WAYS.items()}
    found = in_turn(ways, ROUNDS)
    rows = []
    for name, (_, target) in WAYS.items():
        took = found.median(name)
        said = "" if target is None else f"under {target}: {'met' if took < target else 'missed'}"
        rows.append((name, f"{took:.3f}", f"{min(found.found[name]):.3f} to {max(found.found[name]):.3f}", said))
    print(table(("command", "s", "lowest to highest", "target"), rows))
    loaded = subprocess.run([sys.executable, "-c", BACKENDS], check=True, capture_output=True, text=True).stdout.strip()
    print(f"\nOf Keras and the backends the command line imports: {loaded}.\n\n{machine()}")


if __name__ == "__main__":
    main()
