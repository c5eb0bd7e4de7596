"""The command line as a process of its own: imports, start-up, a signal in the middle, and the demo's command."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

BACKENDS = ("tensorflow", "jax", "torch")


def python(code, **environment):
    env = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize(
    "code",
    [
        "import reglab",
        "import reglab; reglab.Recipe.parse('l2+dropout').to_text()",
        "from reglab.cli import cli; cli.main(['--help'], standalone_mode=False)",
        "from reglab.cli import cli; cli.main(['compare', '--help'], standalone_mode=False)",
        "from reglab.cli import cli; cli.main(['strategies'], standalone_mode=False)",
        "from reglab.cli import cli; cli.main(['backends', '--help'], standalone_mode=False)",
    ],
)
def test_neither_importing_reglab_nor_asking_for_help_imports_a_backend(code):
    check = f"import sys\n{code}\nprint('loaded:', [m for m in {(*BACKENDS, 'keras')} if m in sys.modules])"
    done = python(check)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"


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


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(tmp_path):
    command = [sys.executable, "-m", "reglab", "compare", "--data", "digits", "--model", "mlp(units=8)",
               "--recipe", "l2", "--epochs", "40", "--seeds", "6", "--train-size", "400",
               "--out", str(tmp_path / "study")]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    runs = tmp_path / "study" / "runs"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        runs.is_dir() and any(not f.name.startswith(".") for f in runs.iterdir())
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    finished = [f.name for f in runs.iterdir() if not f.name.startswith(".")]
    assert finished
    assert process.returncode in (130, 0), err  # 0 if it was done before the signal came
    assert "Traceback" not in err
    assert process.returncode == 0 or "the same command goes on from there" in err
    before = {name: (runs / name / "record.json").stat().st_mtime_ns for name in finished}
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "12 runs" in done.stdout
    for name, stamp in before.items():
        assert (runs / name / "record.json").stat().st_mtime_ns == stamp  # not trained again
    results = json.loads((tmp_path / "study" / "results.json").read_text())
    assert [len(entry["seeds"]) for entry in results["recipes"]] == [6, 6]


def test_the_demo_at_its_smallest(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "reglab", "demo", "--seeds", "1", "--epochs", "1", "--out", str(tmp_path / "demo")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert len(results["recipes"]) == 10
    assert "horizontal_flip left out" in done.stdout
    assert all(entry["accuracy"]["mean"] > 0 for entry in results["recipes"])
