"""Worker processes: they give what this process gives, and how they end is told apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from played import results as results_of

import reglab
from reglab.errors import ReglabError
from reglab.study.progress import Progress
from reglab.study.view import View

SMALL = {"seeds": 2, "epochs": 3, "train_size": 60, "batch_size": 20, "learning_rate": 0.01}
MODEL = "mlp(units=(16,))"


def _recorded(folder):
    return {path.parent.name: path.stat().st_mtime_ns for path in (Path(folder) / "runs").glob("[!.]*/record.json")}


def _study(out, recipes=("l2", "dropout", "early_stopping(patience=1)"), **changes):
    return reglab.Study("digits", MODEL, list(recipes), out=out, **{**SMALL, **changes})


@pytest.fixture
def script(tmp_path):
    """Write a module with a builder, and return how a study names it."""

    def write(body):
        (tmp_path / "own.py").write_text(
            textwrap.dedent(
                """
                import os, pathlib, signal, time, keras

                HERE = pathlib.Path(__file__).parent

                class Trap(keras.layers.Layer):
                    '''Springs in the forward pass of a training, as often as there are files for it.'''

                    def call(self, x, training=None):
                        if training:
                            spring()
                        return x

                def build(input_shape, num_classes):
                    inputs = keras.Input(input_shape)
                    h = Trap()(keras.layers.Flatten()(inputs))
                    return keras.Model(inputs, keras.layers.Dense(num_classes, "softmax")(h))

                def armed():
                    left = sorted(HERE.glob("trap-*"))
                    if left:
                        left[0].unlink()
                    return bool(left)

                """
            )
            + textwrap.dedent(body)
        )
        return f"{tmp_path / 'own.py'}:build"

    return write


@pytest.fixture(autouse=True)
def _no_worker_is_left():
    yield
    deadline = time.monotonic() + 20
    while _workers_of(os.getpid()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _workers_of(os.getpid()) == []


def _workers_of(parent):
    """The worker processes that a process has started."""
    try:
        children = psutil.Process(parent).children()
        return [
            child.pid for child in children
            if child.status() != psutil.STATUS_ZOMBIE and "reglab.study.executors.worker" in child.cmdline()
        ]  # fmt: skip
    except psutil.NoSuchProcess:
        return []


@pytest.mark.backend
def test_a_worker_gives_what_this_process_gives_and_compiles_a_structure_once(tmp_path):
    _study(tmp_path / "here").run(workers=0)
    jobs = []

    class Watch(Progress):
        def training(self, job, names, seed, worker):
            jobs.append((worker, names[0], seed))

    _study(tmp_path / "worker").run(Watch(), workers=1)
    assert results_of(tmp_path / "worker") == results_of(tmp_path / "here")
    assert {worker for worker, _, _ in jobs} == {"worker 1"}
    assert len(jobs) == 6
    with View(tmp_path / "worker") as view:
        assert {run["attempts"] for run in view.runs()} == {1}


def test_two_workers_share_the_work_and_the_cores_and_give_the_same_results(tmp_path):
    """With the threads of a worker alike, who trains a run does not change a bit of it."""
    workers, said = set(), []

    class Watch(Progress):
        def started(self, *, workers, **_):
            said.append(workers)

        def training(self, job, names, seed, worker):
            workers.add(worker)

    _study(tmp_path / "two", seeds=4).run(Watch(), workers=2)
    assert workers == {"worker 1", "worker 2"}
    assert said[0].startswith("2 workers with ")
    _study(tmp_path / "one", seeds=4).run(workers=1)
    assert results_of(tmp_path / "two") == results_of(tmp_path / "one")


def test_builders_data_and_strategies_of_a_script_reach_the_workers(tmp_path):
    """Functions of ``__main__``, arrays larger than a message, and no guard around the script's code."""
    (tmp_path / "mine.py").write_text(
        textwrap.dedent(
            """
            import sys, numpy as np, keras, reglab
            print("imported once")
            x = np.random.default_rng(0).normal(size=(300, 60, 80)).astype("float32")
            y = (x[:, 0, 0] > 0).astype(int)
            units = 3
            def build():
                return keras.Sequential([keras.Input((60, 80)), keras.layers.Flatten(), keras.layers.Dense(units),
                                         keras.layers.Dense(2, "softmax")])
            study = reglab.Study((x, y), build, [reglab.L2(kernel=1e-3)], seeds=1, epochs=1, out=sys.argv[1])
            results = study.run(workers=1)
            print([row.finished for row in results.comparison.rows], study.spec()["python_objects"])
            """
        )
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "mine.py", tmp_path / "study"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["imported once", "[1, 1] ['data', 'model']"]
    with pytest.raises(ReglabError, match=r"data and model.*Python objects.*script"):
        reglab.Study.resume(tmp_path / "study")


def test_the_coordinator_imports_no_backend(tmp_path):
    """It is small, it starts at once, and nothing that a backend does can end it."""
    code = (
        "import sys, reglab; from pathlib import Path\n"
        "reglab.Study('iris', 'mlp(units=4)', ['l2'], out=sys.argv[1], seeds=1, epochs=1).run()\n"
        "print([name for name in ('keras', 'tensorflow', 'jax', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "study"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_that_raises_in_a_worker_has_its_traceback_and_stops_no_other(tmp_path, script):
    model = script("""
        def spring():
            if armed():
                raise RuntimeError("no such luck")
    """)
    (tmp_path / "trap-1").touch()
    study = reglab.Study("digits", model, ["l2"], out=tmp_path / "study", **SMALL)
    results = study.run(workers=1)
    status = [state for row in results.comparison.rows for state in row.status]
    assert sorted(status) == ["failed", "finished", "finished", "finished"]
    with View(study.out) as view:
        (failed,) = view.status().failed
    assert "RuntimeError" in failed["error"]
    assert "no such luck" in failed["error"]
    again = reglab.Study.resume(study.out).run(workers=1)
    assert {state for row in again.comparison.rows for state in row.status} == {"finished"}


@pytest.mark.parametrize("how", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(3)"], ids=["SIGKILL", "exit"])
def test_a_worker_that_is_killed_is_replaced_and_its_training_done_again(tmp_path, script, how):
    model = script(f"""
        def spring():
            if armed():
                print("my last words", flush=True)
                {how}
    """)
    again = []

    class Watch(Progress):
        def tried_again(self, names, seed, why):
            again.append(why)

    (tmp_path / "trap-1").touch()
    (tmp_path / "trap-2").touch()
    study = reglab.Study("digits", model, ["l2"], out=tmp_path / "study", **{**SMALL, "seeds": 1})
    results = study.run(Watch(), workers=1)
    assert {state for row in results.comparison.rows for state in row.status} == {"finished"}
    assert len(again) == 2
    assert ("SIGKILL" in again[0]) == ("SIGKILL" in how)
    with View(study.out) as view:
        lost = [attempt for attempt in view._ledger.attempts() if attempt["outcome"] == "killed"]
    assert len(lost) == 2
    assert "my last words" in lost[0]["error"]


def test_a_training_that_hangs_is_given_up(tmp_path, script):
    model = script("""
        def spring():
            if armed():
                time.sleep(600)
    """)
    (tmp_path / "trap-1").touch()
    study = reglab.Study("digits", model, ["l2"], out=tmp_path / "study", **{**SMALL, "seeds": 1})
    results = study.run(workers=1, timeout=12)
    assert sorted(state for row in results.comparison.rows for state in row.status) == ["failed", "finished"]
    with View(study.out) as view:
        (failed,) = view.status().failed
    assert "timed out" in failed["error"]
    assert "12 s" in failed["error"]


def test_a_kill_for_lack_of_memory_is_said_as_such_where_the_system_counts_them(tmp_path, script, monkeypatch):
    from reglab.study.executors import process

    model = script("""
        def spring():
            if armed():
                os.kill(os.getpid(), signal.SIGKILL)
    """)
    (tmp_path / "trap-1").touch()
    counted = iter(range(100))
    monkeypatch.setattr(process, "_oom_kills", lambda: next(counted))  # one more each time it is asked
    study = reglab.Study("digits", model, [], out=tmp_path / "study", **{**SMALL, "seeds": 1})
    study.run(workers=1)
    with View(study.out) as view:
        first, second = view._ledger.attempts()
    assert (first["outcome"], second["outcome"]) == ("out of memory", "finished")
    assert "no memory left" in first["error"]


def test_a_lack_of_memory_is_told_apart_from_other_errors(tmp_path, script):
    """In a fresh process it may go well: it is tried again, and at last said as what it is."""
    model = script("""
        def spring():
            if armed():
                raise MemoryError("cannot allocate 3 TiB")
    """)
    for number in range(3):
        (tmp_path / f"trap-{number}").touch()
    study = reglab.Study("digits", model, [], out=tmp_path / "study", **{**SMALL, "seeds": 1})
    study.run(workers=1)
    with View(study.out) as view:
        (failed,) = view.status().failed
        outcomes = [attempt["outcome"] for attempt in view._ledger.attempts()]
    assert outcomes == ["out of memory", "out of memory", "failed"]
    assert failed["error"].startswith("out of memory: Its process ended 3 times")


def test_what_cannot_work_is_told_as_in_this_process_before_anything_is_written(tmp_path, script):
    def build(input_shape, num_classes):
        import keras

        return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(3)])

    with pytest.raises(ReglabError, match="10 classes"):
        reglab.Study("digits", build, [], out=tmp_path / "a", **SMALL).run(workers=1)
    model = script("raise SystemExit(3)")
    with pytest.raises(ReglabError, match=r"(?s)Importing.*SystemExit"):
        reglab.Study("digits", model, [], out=tmp_path / "b", **SMALL).run(workers=1)
    model = script("os._exit(5)")
    with pytest.raises(ReglabError, match="exit code 5"):
        reglab.Study("digits", model, [], out=tmp_path / "c", **SMALL).run(workers=1)
    assert not any((tmp_path / name).exists() for name in "abc")


@pytest.mark.parametrize(
    ("ways", "message"),
    [
        ({"workers": -1}, "workers=-1"),
        ({"workers": 1, "timeout": 0}, "timeout=0"),
        ({"workers": 0, "timeout": 5}, "workers=1"),
        ({"checkpoint_every": 0}, "checkpoint_every=0"),
        ({"executor": "slurm"}, "executor=slurm"),
        ({"address": "x"}, "Ray"),
        ({"executor": "ray", "workers": 0}, "ray"),
    ],
)
def test_ways_of_training_that_are_none_are_told(tmp_path, ways, message):
    with pytest.raises(ReglabError, match=message):
        _study(tmp_path / "study").run(**ways)
    assert not (tmp_path / "study").exists()


def _begin(folder, *options, seeds=3, epochs=60):
    """Start a study as a process of its own, with temporary files in a folder of its own."""
    scratch = Path(f"{folder}-tmp")
    scratch.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "reglab", "compare", "--data", "digits", "--model", MODEL, "--recipe", "l2",
               "--recipe", "dropout", "--epochs", str(epochs), "--seeds", str(seeds), "--train-size", "200",
               "--out", str(folder), *options]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )  # fmt: skip


def _wait_until(condition, process):
    deadline = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What the study gives that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole") / "study"
    _, err = _begin(folder).communicate(timeout=300)
    assert err == ""
    return results_of(folder)


@pytest.mark.parametrize("victim", ["coordinator", "worker"])
def test_a_study_killed_for_real_is_finished_by_resume_with_the_same_table(tmp_path, whole, victim):
    folder = tmp_path / "study"
    process = _begin(folder)
    _wait_until(lambda: len(_recorded(folder)) >= 2, process)
    workers = _workers_of(process.pid)
    assert workers
    if victim == "worker":
        os.kill(workers[0], signal.SIGKILL)
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    else:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        deadline = time.monotonic() + 20
        while any(os.path.exists(f"/proc/{pid}") for pid in workers) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)  # they notice, end, and tidy up
        assert list(Path(f"{folder}-tmp").glob("reglab-*")) == []
        before = _recorded(folder)
        assert len(before) < 9
        subprocess.run([sys.executable, "-m", "reglab", "resume", str(folder)], check=True, stdout=subprocess.DEVNULL)
        after = _recorded(folder)
        assert {run: after[run] for run in before} == before  # not trained again
    assert results_of(folder) == whole


@pytest.mark.slow
def test_a_study_killed_at_random_times_again_and_again(tmp_path):
    """Coordinator or worker, ten times: as long as it is resumed, it comes to the same end."""
    random = np.random.default_rng(0)
    _begin(tmp_path / "whole", seeds=4).communicate(timeout=300)
    folder = tmp_path / "study"
    for number in range(10):
        process = _begin(folder, seeds=4)
        time.sleep(random.uniform(3, 12))
        victims = _workers_of(process.pid) if number % 2 else [process.pid]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        before = _recorded(folder) if folder.exists() else {}
        if process.pid in victims:
            process.communicate(timeout=60)
        else:
            process.communicate(timeout=300)
        after = _recorded(folder)
        assert {run: after[run] for run in before} == before
    last = _begin(folder, seeds=4)
    last.communicate(timeout=300)
    assert last.returncode == 0
    assert results_of(folder) == results_of(tmp_path / "whole")
