"""The command line as a process of its own: imports, start-up, a signal in the middle, and the demo's command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from reglab.cli import cli

sys.path.append(str(Path(__file__).parents[1] / "study"))
import played_worker  # beside the tests of studies

BACKENDS = ("tensorflow", "jax", "torch")


def python(code, **environment):
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)


SLOW_TO_LOAD = (*BACKENDS, "keras", "scipy.stats", "sklearn", "pandas")


def test_importing_reglab_asking_for_help_and_starting_a_worker_import_nothing_that_takes_seconds():
    """In one process, from what imports least on: what is loaded afterwards tells who did it."""
    steps = (
        "import reglab",
        "reglab.Recipe.parse('l2+dropout').to_text()",
        "from reglab.cli import cli; cli.main(['--help'], standalone_mode=False)",
        "cli.main(['compare', '--help'], standalone_mode=False)",
        "cli.main(['strategies'], standalone_mode=False)",
        "cli.main(['backends', '--help'], standalone_mode=False)",
        "cli.main(['status', '--help'], standalone_mode=False)",
        "import reglab.study.executors.worker",
    )
    check = f"print('loaded:', [m for m in {SLOW_TO_LOAD} if m in sys.modules])"
    done = python("\n".join(["import sys", *(f"{step}\n{check}" for step in steps)]))
    assert done.returncode == 0, done.stderr
    loaded = [line for line in done.stdout.splitlines() if line.startswith("loaded: ")]
    assert loaded == ["loaded: []"] * len(steps)


def test_without_a_backend_the_error_names_the_three():
    hide = "import importlib.util as u\nfind = u.find_spec\n"
    hide += f"u.find_spec = lambda name, *a: None if name in {BACKENDS} else find(name, *a)\n"
    done = python(hide + "import sys; sys.argv = ['reglab', 'compare', '--data', 'iris', '--model', 'mlp']\n"
                  "from reglab.cli import main; main()", KERAS_BACKEND="")  # fmt: skip
    assert done.returncode == 2
    for name in BACKENDS:
        assert f"reglab[{name}]" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_backend_that_is_not_there_or_not_one_is_told():
    done = python("import reglab; reglab.Study('iris', 'mlp', backend='theano')")
    assert "Unknown backend 'theano'" in done.stderr


@pytest.mark.parametrize("how", ["module", "script"])
def test_version(how):
    command = (
        [sys.executable, "-m", "reglab"]
        if how == "module"
        else [os.path.join(os.path.dirname(sys.executable), "reglab")]
    )
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("reglab, version ")


GATE = """
import os, pathlib, time

HERE = pathlib.Path(__file__).parent

def wait():
    if (HERE / "gate").exists():
        (HERE / "waits").touch()
        while (HERE / "gate").exists():
            time.sleep(0.01)
"""
# A training stops at the gate: a played one in its second epoch, a real one while its step is traced; the recipes have
# programs of their own, so that of the second one is traced when the first has been trained with the first seed.
PLAYED = """
def build(moment=None, *, ride=None, epoch=0, **about):
    if moment == "epoch" and epoch == 1 and ride.names == ["dropout(rate=0.1)"]:
        wait()
"""
TRAINED = """
import keras

class Gate(keras.layers.Layer):
    def call(self, x, training=None):
        if training and any(HERE.glob("study/runs/[!.]*")):
            wait()
        return x

def build(input_shape, num_classes):
    inputs = keras.Input(input_shape)
    h = keras.layers.Dense(8, "relu")(Gate()(keras.layers.Flatten()(inputs)))
    return keras.Model(inputs, keras.layers.Dense(num_classes, "softmax")(h))
"""


def _interrupted_at_the_gate(folder, program, *ways, kind):
    """Press Ctrl-C in the middle of a training, then go on; return what was recorded meanwhile, and what was said."""
    (folder / "own.py").write_text(GATE + kind)
    (folder / "gate").touch()
    arguments = ["compare", "--data", "digits", "--model", f"{folder / 'own.py'}:build",
               "--recipe", "dropout", "--epochs", "4", "--seeds", "2", "--train-size", "100", "--out",
               str(folder / "study"), *ways]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, *program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 100
    while not (folder / "waits").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (folder / "waits").exists()
    process.send_signal(signal.SIGINT)
    if "0" in ways:  # nobody else can open the gate for a training in the process itself
        time.sleep(0.5)
        (folder / "gate").unlink()
    _, err = process.communicate(timeout=100)
    before = recorded(folder / "study")
    (folder / "gate").unlink(missing_ok=True)
    return process.returncode, err, before, said(program, *arguments)


def said(program, *arguments):
    """What ``reglab`` prints with these arguments: as a process, or here with played workers."""
    if program == ("-m", "reglab"):
        command = [sys.executable, *program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    with played_worker.employed():
        return CliRunner().invoke(cli, arguments, catch_exceptions=False).output


def recorded(folder):
    return {path.parent.name: path.stat().st_mtime_ns for path in (folder / "runs").glob("[!.]*/record.json")}


@pytest.mark.parametrize(
    ("program", "ways", "kind"),
    [
        ((played_worker.__file__,), ("--workers", "1"), PLAYED),
        pytest.param(("-m", "reglab"), ("--workers", "1"), TRAINED, marks=pytest.mark.slow),
        pytest.param(("-m", "reglab"), ("--workers", "0"), TRAINED, marks=pytest.mark.slow),
    ],
    ids=["played", "in a worker", "in this process"],
)
@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(tmp_path, program, ways, kind):
    code, err, before, out = _interrupted_at_the_gate(tmp_path, program, *ways, kind=kind)
    assert code == 130, err
    assert "Traceback" not in err
    assert "the same command goes on from there" in err
    assert 0 < len(before) < 4
    assert "4 runs" in out
    after = recorded(tmp_path / "study")
    assert {name: after[name] for name in before} == before  # not trained again
    results = json.loads((tmp_path / "study" / "results.json").read_text())
    assert [len(entry["seeds"]) for entry in results["recipes"]] == [2, 2]
    assert [entry["status"] for entry in results["recipes"]] == [["finished"] * 2] * 2


@pytest.mark.parametrize(
    "program",
    [(played_worker.__file__,), pytest.param(("-m", "reglab"), marks=pytest.mark.slow)],
    ids=["played", "trained"],
)
def test_the_demo_at_its_smallest(tmp_path, program):
    printed = said(program, "demo", "--seeds", "1", "--epochs", "1", "--out", str(tmp_path / "demo"))
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert len(results["recipes"]) == 10
    assert "horizontal_flip left out" in printed
    assert [entry["status"] for entry in results["recipes"]] == [["finished"]] * 10
    assert all(entry["accuracy"]["mean"] > 0 for entry in results["recipes"])
