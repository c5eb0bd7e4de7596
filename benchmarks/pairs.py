"""Measuring ways of doing the same in turn, and saying it as a Markdown table. Used by the benchmarks of this folder.

Timings here are noisy: a machine that is slow for a while is slow for whatever runs then. So the ways take turns, in
changing order, and what is told is the median of the ratios within rounds.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["InTurn", "in_fresh_process", "in_turn", "machine", "peak_memory_mb", "table"]


@dataclass(frozen=True)
class InTurn:
    """What each way took in each round."""

    found: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Return the median over rounds."""
        return statistics.median(self.found[name])

    def ratio(self, name: str, to: str) -> float:
        """Return the median over rounds of ``name`` divided by ``to``."""
        return statistics.median(self._ratios(name, to))

    def spread(self, name: str, to: str) -> str:
        """Return the lowest and the highest of the ratios, as text."""
        ratios = self._ratios(name, to)
        return f"{min(ratios):.2f} to {max(ratios):.2f}"

    def _ratios(self, name: str, to: str) -> list[float]:
        return [a / b for a, b in zip(self.found[name], self.found[to], strict=True)]


def in_turn(ways: Mapping[str, Callable[[], float]], rounds: int) -> InTurn:
    """Call every way once a round, forwards and backwards by turns; each returns what it took."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways) if number % 2 == 0 else list(ways)[::-1]:
            found[name].append(ways[name]())
            print(f"  round {number + 1}, {name}: {found[name][-1]:.3f}", file=sys.stderr)
    return InTurn(found)


def in_fresh_process(script: str, *arguments: str, backend: str = "tensorflow") -> Any:
    """Run ``python script arguments`` and return what its last line of output says as JSON."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run([sys.executable, script, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{script} {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def peak_memory_mb() -> float:
    """Return the most memory this process has had so far, in MB (Linux)."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table: the first column is text, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(*packages: str) -> str:
    """Return what was measured on: processor, cores, Python, versions of packages that can be imported."""
    try:
        with open("/proc/cpuinfo") as lines:
            processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    held = importlib.metadata.packages_distributions()  # TensorFlow, for one, comes under several names
    versions = [f"{name} {importlib.metadata.version(held[name][0])}" for name in packages]
    return ", ".join([f"{processor}, {os.cpu_count()} cores", f"Python {platform.python_version()}", *versions])
