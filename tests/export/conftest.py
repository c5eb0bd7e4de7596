"""A process in which reglab cannot be imported, where what was exported is run: one process for all tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SERVER = """
import contextlib, io, json, sys, traceback
sys.modules["reglab"] = None  # importing it fails
answers = sys.stdout
for line in sys.stdin:
    code, sys.argv[1:] = json.loads(line)
    said, error = io.StringIO(), None
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session(free_memory=False)
        sys.modules["keras"].config.set_dtype_policy("float32")
    with contextlib.redirect_stdout(said):
        try:
            exec(code, {"__name__": "code"})
        except BaseException:
            error = traceback.format_exc()
    print(json.dumps([said.getvalue(), error]), file=answers, flush=True)
"""


@pytest.fixture(scope="session")
def without_reglab():
    """Return a function that runs code in that process and returns what it printed."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], env=dict(os.environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def run(code, *arguments):
            process.stdin.write(json.dumps([code, [*map(str, arguments)]]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer, f"The process ended with code {process.wait()}."
            said, error = json.loads(answer)
            assert error is None, error
            return said

        yield run
        process.stdin.close()


@pytest.fixture(scope="session")
def check_format():
    """Return a function that holds exported scripts to what formatter and linter say of reglab's own code."""

    def check_format(folders):
        ruff = Path(sys.executable).with_name("ruff")
        if not ruff.exists():  # `make lint` installs it
            return
        for command in (
            ["format", "--check", "--diff"],
            ["check", "--select", "E,F,W,I,B,D1", "--ignore", "B905,D102,D105,D107"],
        ):
            result = subprocess.run(
                [ruff, *command, "--isolated", "--line-length", "120", *folders.values()],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert result.returncode == 0, result.stdout + result.stderr

    return check_format
