"""``reglab backends`` as it is typed: real processes, what is printed, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from click.testing import CliRunner

from reglab.analysis.speed import Speed, Speeds, Visit
from reglab.cli import cli
from reglab.experiments import speed

TINY = ("iris", "--model", "mlp(units=4)", "--train-size", "60", "--seconds", "0.2")


@pytest.mark.slow
def test_two_backends_are_measured_and_this_process_imports_none(tmp_path):
    arguments = ["backends", *TINY, "--recipe", "dropout(rate=0.5)", "--backend", "tensorflow", "--backend", "jax"]
    code = (
        f"import sys\nfrom reglab.cli import cli\ncli.main({[*arguments, '--json']}, standalone_mode=False)\n"
        "print([name for name in ('keras', 'tensorflow', 'jax', 'torch') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
    told = json.loads(done.stdout)
    assert told["headline"].startswith("iris, mlp(units=4), dropout(rate=0.5), batch 32, adam, float32")
    assert (told["steps"], [row["backend"] for row in told["backends"]]) == (2, ["tensorflow", "jax"])
    measured = [row for row in told["backends"] if row["installed"]]
    for row in measured:
        assert (row["problem"], len(row["visits"])) == (None, speed.VISITS)
        assert row["median"]["epoch"] > 0
        assert row["first_step"] > 0
        assert row["version"]
        assert row["device"]
    assert set(told["leading"]) <= {row["backend"] for row in measured}
    assert told["advice"].endswith(".")
    assert list(tmp_path.iterdir()) == [], "nothing is written"


@pytest.mark.slow
def test_ctrl_c_ends_it_with_its_processes():
    process = subprocess.Popen(
        [sys.executable, "-m", "reglab", "backends", *TINY[:-1], "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    children = []
    # The libraries that are imported start processes too; what is meant is a worker.
    while time.monotonic() < deadline and not any("worker" in " ".join(child.cmdline()) for child in children):
        time.sleep(0.2)
        children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted; nothing was written." in err
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


# --- what is printed, on measurements made by hand -------------------------------------------------------------------


@pytest.fixture
def shown(monkeypatch):
    """Return what ``reglab backends`` prints of these measurements, and what it was asked to measure."""

    def call(*measured, arguments=TINY, columns=80, code=0):
        asked = {}

        def play(study, **more):
            asked.update(more, study=study)
            return Speeds("iris, mlp", threads=2, steps=5, examples=40, backends=measured)

        monkeypatch.setattr("reglab.cli.backends.measure", play)
        done = CliRunner().invoke(cli, ["backends", *arguments], env={"COLUMNS": str(columns)}, catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.output, asked

    return call


def seen(backend, epochs, device="CPU"):
    visits = tuple(Visit(step=epoch / 10, measuring=epoch / 2, epoch=epoch) for epoch in epochs)
    return Speed(backend, version="2.21.0", device=device, visits=visits, first_step=4.0, memory=1_234 * 10**6)


FAST = (0.0100, 0.0102, 0.0101, 0.0103, 0.0099, 0.0101, 0.0101)
SLOW = (0.30, 0.31, 0.29, 0.32, 0.28, 0.30, 0.30)
MISSING = Speed("torch", installed=False, problem="not installed: pip install 'reglab[torch]'")


@pytest.mark.parametrize("columns", [80, 120])
def test_a_row_a_backend_then_the_advice_and_how_to_follow_it(shown, columns):
    out, _ = shown(seen("tensorflow", SLOW), seen("jax", FAST), MISSING, columns=columns)
    lines = out.splitlines()
    assert lines[1].split() == ["backend", "ms/epoch", "spread", "ms/step", "measuring", "start", "MB", "device"]
    assert lines[2].split() == ["tensorflow", "2.21.0", "300", "±6.7", "%", "30.0", "150", "4.0", "s", "1,234", "CPU"]
    assert lines[3].split()[2:5] == ["10.1", "±2.0", "%"]
    assert lines[4].split() == ["torch", "missing"]
    assert "torch: not installed: pip install 'reglab[torch]'" in out
    flat = " ".join(out.split())
    assert "jax is fastest for this model on this machine: 30 times as fast as tensorflow." in flat
    assert "Choose it with KERAS_BACKEND=jax reglab compare ..., or with --backend jax." in flat
    assert "5 steps and measuring 40 examples" in flat
    assert all(len(line) <= columns for line in lines)


def test_the_name_of_a_gpu_fits_in_a_narrow_terminal(shown):
    out, _ = shown(seen("tensorflow", SLOW, "NVIDIA H100 80GB HBM3"), MISSING)
    lines = out.splitlines()
    assert lines[2].endswith("NVIDIA H100 80GB HBM3")
    assert "MB" not in lines[1]


def test_where_backends_cannot_be_told_apart_the_choice_is_free(shown):
    out, _ = shown(seen("tensorflow", FAST), seen("jax", FAST))
    assert "cannot be told apart" in out
    assert "Choose one with KERAS_BACKEND=NAME" in out


def test_without_any_measurement_the_command_fails(shown):
    out, _ = shown(Speed("jax", problem="ImportError: no libcuda"), code=1)
    assert "failed" in out
    assert "jax: ImportError: no libcuda" in out
    assert "No backend could be measured." in out


def test_the_study_is_the_demos_or_what_is_given_or_a_file(shown, tmp_path):
    _, asked = shown(MISSING, arguments=(), code=1)
    assert asked["study"].model == "inception(filters=(8, 16, 8), pooled=true)"
    assert (asked["study"].settings.batch_size, asked["seconds"], len(asked["only"])) == (20, 3.0, 3)
    _, asked = shown(MISSING, arguments=("wine", "--model", "mlp", "--batch-size", "7", "--threads", "1"), code=1)
    assert (asked["study"].source, asked["study"].settings.batch_size, asked["threads"]) == ("wine", 7, 1)
    (tmp_path / "own.yaml").write_text("data: wine\nmodel: mlp\nrecipes:\n  heavy: dropout(rate=0.8)\n")
    _, asked = shown(MISSING, arguments=(str(tmp_path / "own.yaml"), "--recipe", "heavy"), code=1)
    assert (asked["recipe"], list(asked["study"].recipes)) == ("heavy", ["none", "heavy"])


def test_data_that_is_given_twice_is_refused():
    done = CliRunner().invoke(cli, ["backends", "iris", "--data", "digits"])
    assert done.exit_code == 2
    assert "give the data once" in done.output
