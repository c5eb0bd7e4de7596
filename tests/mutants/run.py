"""Make each fault of ``mutants.py`` in a copy of the source, and see whether the tests notice.

    python tests/mutants/run.py                  # the fast tests; those that survive them, the slow ones too
    python tests/mutants/run.py --only paired    # faults whose module or description has this word
    python tests/mutants/run.py --scope named    # only the tests named with a fault: faster, and may miss kills
    python tests/mutants/run.py --scope all      # every slow test too, and not only those named
    python tests/mutants/run.py --json kills.json

The tests named by a mutant run first, then all others of the tier; the first that fails ends it. It runs on the backend
that ``KERAS_BACKEND`` names, TensorFlow by default. A fault that nobody notices is printed as SURVIVED.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
TIERS = {"fast": "not slow", "slow": "slow"}
# After the tests named with a fault: which tiers are run whole, in each scope.
WHOLE_TIERS = {"named": (), "fast": ("fast",), "all": ("fast", "slow")}
LIMIT_S = 1800  # of one run of pytest; a fault can make a test wait


@dataclass(frozen=True)
class Kill:
    """What became of a mutant: the tier and the test that noticed it, or None."""

    file: str
    what: str
    tier: str | None
    test: str | None
    seconds: float


def judged(mutant: Mutant, scope: str) -> Kill:
    """Run the tests on a source with the fault in it, until one fails."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reglab-mutant-") as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        text = mutant.applied(ROOT / "src" / "reglab")
        (source / "reglab" / mutant.file).write_text(text, encoding="utf-8")
        for tier, targets in _attempts(mutant, scope):
            test = _first_failure(targets, TIERS[tier], source)
            if test is not None:
                return Kill(mutant.file, mutant.what, tier, test, time.monotonic() - began)
    return Kill(mutant.file, mutant.what, None, None, time.monotonic() - began)


def _attempts(mutant: Mutant, scope: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield tiers and tests: the likely ones before all, the fast ones before the slow ones."""
    likely = [f"tests/{name}" for name in mutant.tests]
    for tier in TIERS:
        for place in likely:
            yield tier, [place]
        if tier in WHOLE_TIERS[scope]:
            yield tier, ["tests"]


def _first_failure(targets: Sequence[str], markers: str, source: Path) -> str | None:
    """Return the first test that fails, or None if all pass; a run that hangs or breaks off counts as a failure."""
    command = [
        sys.executable, "-m", "pytest", "-x", "-q", "-m", markers, "-p", "no:cacheprovider", "--no-header",
        "--deselect", "tests/mutants", *targets,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1", "CI": "true"}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"{targets[0]} (did not end)"
    if done.returncode in (0, 5):  # 5: no test of this tier there
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return found.group(1) if found else f"{targets[0]} (pytest ended with {done.returncode})"


def table(kills: Sequence[Kill]) -> str:
    """Return how many mutants of each package were noticed by which tier, as Markdown."""
    lines = ["| package | mutants | fast tier | all tiers |", "|---|---:|---:|---:|"]
    packages = list(dict.fromkeys(_package(kill) for kill in kills))
    for package in [*packages, "all"]:
        of_package = [kill for kill in kills if package in (_package(kill), "all")]
        fast = sum(kill.tier == "fast" for kill in of_package)
        any_tier = sum(kill.tier is not None for kill in of_package)
        lines.append(f"| {package} | {len(of_package)} | {_share(fast, of_package)} | {_share(any_tier, of_package)} |")
    return "\n".join(lines)


def _package(kill: Kill) -> str:
    return kill.file.partition("/")[0]


def _share(count: int, kills: Sequence[Kill]) -> str:
    return f"{count} ({count / len(kills):.0%})"


def main() -> int:
    """Run the mutants that were asked for; the exit code says whether some survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a word in the module or the description")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument(
        "--scope", choices=WHOLE_TIERS, default="fast",
        help="what runs on the survivors of the named tests: nothing, all fast tests (default), or all tests",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="where to write what became of each")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.only in f"{mutant.file} {mutant.what}"]
    kills: list[Kill] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for kill in pool.map(lambda mutant: judged(mutant, options.scope), chosen):
            kills.append(kill)
            said = f"{kill.tier}: {kill.test}" if kill.tier else "SURVIVED"
            print(f"{len(kills)}/{len(chosen)} {kill.file}: {kill.what}: {said} ({kill.seconds:.0f} s)", flush=True)
            if options.json:
                options.json.write_text(json.dumps([asdict(each) for each in kills], indent=1), encoding="utf-8")
    print(table(kills))
    return int(any(kill.tier is None for kill in kills))


if __name__ == "__main__":
    sys.exit(main())
