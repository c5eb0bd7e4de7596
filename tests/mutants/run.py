"""Make each fault of ``mutants.py`` in a copy of the source, and see whether the tests notice.

    python tests/mutants/run.py                  # the fast tests, until one notices the fault
    python tests/mutants/run.py --scope all      # those that survive the fast tests: the slow ones too
    python tests/mutants/run.py --scope noticed  # only the test that noticed it last time: minutes in place of hours
    python tests/mutants/run.py --only paired    # faults whose module or description has this word
    python tests/mutants/run.py --new            # faults of which noticed.json says nothing yet
    python tests/mutants/run.py --write          # keep which test noticed each, in noticed.json

For each mutant the tests of ``noticed.json`` run first, then those named with it, then all others of the tier; the
first that fails ends it. It runs on the backend that ``KERAS_BACKEND`` names, TensorFlow by default. A fault that
nobody notices is printed as SURVIVED.
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
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
TIERS = {"fast": "not slow", "slow": "slow"}
SCOPES = ("noticed", "named", "fast", "all")  # each goes further than the one before
NOTICED = Path(__file__).with_name("noticed.json")
LIMIT_S = 1800  # of one run of pytest; a fault can make a test wait


@dataclass(frozen=True)
class Kill:
    """What became of a mutant: the tier and the test that noticed it, or None."""

    file: str
    what: str
    tier: str | None
    test: str | None
    seconds: float


def judged(mutant: Mutant, scope: str, noticed: Sequence[str] = ()) -> Kill:
    """Run the tests on a source with the fault in it, until one fails.

    Args:
        mutant: the fault.
        scope: how far to look, one of ``SCOPES``.
        noticed: the tests to begin with, which noticed it before.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reglab-mutant-") as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        text = mutant.applied(ROOT / "src" / "reglab")
        (source / "reglab" / mutant.file).write_text(text, encoding="utf-8")
        for tier, target in _attempts(mutant, scope, noticed):
            test = _first_failure([target], TIERS[tier], source)
            if test is not None:
                return Kill(mutant.file, mutant.what, tier, test, time.monotonic() - began)
    return Kill(mutant.file, mutant.what, None, None, time.monotonic() - began)


def _attempts(mutant: Mutant, scope: str, noticed: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield tiers and tests: the likely ones before all, the fast ones before the slow ones."""
    reach = SCOPES.index(scope)
    named = [f"tests/{name}" for name in mutant.tests] if reach >= SCOPES.index("named") else []
    for tier in TIERS:
        yield from ((tier, place) for place in noticed)
        if tier == "fast" or scope == "all":
            yield from ((tier, place) for place in named)
            if reach >= SCOPES.index("fast"):
                yield tier, "tests"


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
    if "ERROR: not found:" in done.stderr + done.stdout:
        raise SystemExit(f"Not all of these tests exist: {' '.join(targets)}")
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
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


def _as_json(noticed: dict[str, list[str]]) -> str:
    """Return what is in ``noticed.json``, in the order of ``mutants.py``, without faults that are there no more."""
    ordered = {mutant.called: noticed[mutant.called] for mutant in MUTANTS if mutant.called in noticed}
    return json.dumps(ordered, indent=1, ensure_ascii=False) + "\n"


def _package(kill: Kill) -> str:
    return kill.file.partition("/")[0]


def _share(count: int, kills: Sequence[Kill]) -> str:
    return f"{count} ({count / len(kills):.0%})"


def main() -> int:
    """Run the mutants that were asked for; the exit code says whether some survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a word in the module or the description")
    parser.add_argument("--new", action="store_true", help="only those of which noticed.json says nothing yet")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--scope", choices=SCOPES, default="fast", help="how far to look")
    parser.add_argument("--write", action="store_true", help="keep in noticed.json which test noticed each")
    options = parser.parse_args()
    noticed: dict[str, list[str]] = json.loads(NOTICED.read_text(encoding="utf-8"))
    chosen = [
        mutant for mutant in MUTANTS if options.only in mutant.called and not (options.new and mutant.called in noticed)
    ]
    known = list(dict.fromkeys(test for mutant in chosen for test in noticed.get(mutant.called, ())))
    failed = _first_failure(known, "slow or not slow", ROOT / "src") if known else None
    if failed is not None:
        raise SystemExit(f"{failed} fails without a fault.")
    kills: list[Kill] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        trials = [pool.submit(judged, mutant, options.scope, noticed.get(mutant.called, ())) for mutant in chosen]
        for trial in as_completed(trials):
            kill = trial.result()
            kills.append(kill)
            said = f"{kill.tier}: {kill.test}" if kill.test else "SURVIVED"
            print(f"{len(kills)}/{len(chosen)} {kill.file}: {kill.what}: {said} ({kill.seconds:.0f} s)", flush=True)
            if options.write and kill.test:
                noticed[f"{kill.file}: {kill.what}"] = [kill.test]
                NOTICED.write_text(_as_json(noticed), encoding="utf-8")
    print(table(kills))
    return int(any(kill.tier is None for kill in kills))


if __name__ == "__main__":
    sys.exit(main())
