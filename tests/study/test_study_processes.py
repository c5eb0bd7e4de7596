"""Worker processes: they give what this process gives, and how they end is told apart.

What trains in most of them is played (``played_worker.py``); what is about a backend is real.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import played
import played_worker
import psutil
import pytest
from played import results as results_of

import reglab
from reglab.errors import ReglabError
from reglab.study.executors import worker_handle as of_process
from reglab.study.progress import Progress
from reglab.study.storage.view import View

SMALL = {"seeds": 2, "epochs": 3, "train_size": 60, "batch_size": 20, "learning_rate": 0.01}
MODEL = "mlp(units=(16,))"


def _recorded(folder):
    return {path.parent.name: path.stat().st_mtime_ns for path in (Path(folder) / "runs").glob("[!.]*/record.json")}


def _study(out, recipes=("l2", "dropout", "early_stopping(patience=1)"), model=MODEL, **changes):
    return reglab.Study("digits", model, list(recipes), out=out, **{**SMALL, **changes})


def _attempts(folder):
    with View(folder) as view:
        return view._ledger.attempts()


def _failed(folder):
    """The one run that failed."""
    with View(folder) as view:
        (failed,) = view.status().failed
    return failed


def _status(results):
    return sorted(state for row in results.comparison.rows for state in row.status)


@pytest.fixture
def played_workers():
    with played_worker.employed():
        yield


# Where a training springs the trap: in its model's forward pass, or at the end of a played epoch.
TRAINED = """
    import keras

    class Trap(keras.layers.Layer):
        def call(self, x, training=None):
            if training and not hasattr(x, "numpy"):  # in the program of a step; a copy is tried in eager mode before
                spring()
            return x

    def build(input_shape, num_classes):
        inputs = keras.Input(input_shape)
        h = Trap()(keras.layers.Flatten()(inputs))
        return keras.Model(inputs, keras.layers.Dense(num_classes, "softmax")(h))
"""
PLAYED = """
    def build(moment=None, **about):
        if moment == "epoch":
            spring()
"""
ARMED = """
    import os, pathlib, signal, time

    HERE = pathlib.Path(__file__).parent

    def armed():  # and one trap less
        left = sorted(HERE.glob("trap-*"))
        if left:
            left[0].unlink()
        return bool(left)
"""


@pytest.fixture(params=["played", pytest.param("trained", marks=pytest.mark.slow)])
def script(request, tmp_path):
    """Write a module with a builder whose training calls ``spring()``, and return how a study names it."""

    def write(body):
        parts = (ARMED, PLAYED if request.param == "played" else TRAINED, body)
        (tmp_path / "own.py").write_text("\n".join(textwrap.dedent(part) for part in parts))
        return f"{tmp_path / 'own.py'}:build"

    with played_worker.employed() if request.param == "played" else contextlib.nullcontext():
        yield write


@pytest.fixture(autouse=True)
def _no_worker_is_left():
    yield
    deadline = time.monotonic() + 20
    while _workers_of(os.getpid()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _workers_of(os.getpid()) == []


def _workers_of(parent):
    """The worker processes that a process has started."""
    commands = [list(command[1:]) for command in (of_process.COMMAND, played_worker.COMMAND)]
    try:
        children = psutil.Process(parent).children()
        return [
            child.pid for child in children
            if child.status() != psutil.STATUS_ZOMBIE and child.cmdline()[1:] in commands
        ]  # fmt: skip
    except psutil.NoSuchProcess:
        return []


# --- what workers give ------------------------------------------------------------------------------------------------


@pytest.mark.backend
@pytest.mark.slow
def test_a_worker_gives_what_this_process_gives(tmp_path):
    small = {"recipes": ["dropout", "early_stopping(patience=1)"], "seeds": 1}
    _study(tmp_path / "here", **small).run(workers=0)
    jobs = []

    class Watch(Progress):
        def training(self, job, names, seed, worker):
            jobs.append((worker, sorted(names)))

    _study(tmp_path / "worker", **small).run(Watch(), workers=1)
    assert results_of(tmp_path / "worker") == results_of(tmp_path / "here")
    stopping = "early_stopping(monitor=val_metric, patience=1)"
    assert sorted(jobs) == [("worker 1", ["dropout(rate=0.1)"]), ("worker 1", sorted(["none", stopping]))]
    assert {attempt["outcome"] for attempt in _attempts(tmp_path / "worker")} == {"finished"}


@pytest.mark.slow
def test_with_threads_alike_who_trains_a_run_does_not_change_a_bit_of_it(tmp_path):
    _study(tmp_path / "two", seeds=4).run(workers=2)
    _study(tmp_path / "one", seeds=4).run(workers=1)
    assert {attempt["worker"] for attempt in _attempts(tmp_path / "two")} == {"worker 1", "worker 2"}
    assert results_of(tmp_path / "two") == results_of(tmp_path / "one")


def test_two_workers_share_the_work_and_the_cores(tmp_path, played_workers, monkeypatch):
    """Each begins with something while the other one is at work."""
    said = []

    class Watch(Progress):
        def started(self, *, workers, **_):
            said.append(workers)

    def meets(moment=None, *, assignment=None, ride=None, epoch=None):
        if moment == "epoch" and epoch == 0 and ride.seed == 0:
            (folder / f"{os.getpid()}").touch()
            deadline = time.monotonic() + 60
            while len(list(folder.iterdir())) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)

    folder = tmp_path / "met"
    folder.mkdir()
    monkeypatch.setattr("reglab.study.executors.processes.cores", lambda: 6)
    _study(tmp_path / "two", model=meets, seeds=4).run(Watch(), workers=2)
    assert said == ["2 workers with 3 threads each"]
    attempts = _attempts(tmp_path / "two")
    assert {attempt["worker"] for attempt in attempts} == {"worker 1", "worker 2"}
    assert len(list(folder.iterdir())) == 2
    assert [attempt["outcome"] for attempt in attempts] == ["finished"] * 16


@pytest.mark.slow
def test_builders_data_and_strategies_of_a_script_reach_the_workers_and_it_imports_no_backend(tmp_path):
    """Of ``__main__``, arrays larger than a message, and no guard around the script's code."""
    (tmp_path / "mine.py").write_text(
        textwrap.dedent(
            """
            import dataclasses, sys, numpy as np, reglab
            from reglab.strategies import Stage, Strategy
            print("imported once")
            x = np.random.default_rng(0).normal(size=(300, 60, 80)).astype("float32")
            y = (x[:, 0, 0] > 0).astype(int)
            units = 3
            def build():
                import keras
                return keras.Sequential([keras.Input((60, 80)), keras.layers.Flatten(), keras.layers.Dense(units),
                                         keras.layers.Dense(2, "softmax")])
            @dataclasses.dataclass(frozen=True)
            class Mine(Strategy):
                name = "mine"
                formula = "2 w"
                stage = Stage.WEIGHTS
                def forward(self, weight, s, random):
                    return 2 * weight
            study = reglab.Study((x, y), build, [Mine()], seeds=1, epochs=1, out=sys.argv[1])
            results = study.run(workers=1)
            print([row.finished for row in results.comparison.rows], study.spec()["python_objects"])
            print(len({str(row.values["train_cross_entropy"]) for row in results.comparison.rows}))
            print([name for name in ("keras", "tensorflow", "jax", "torch") if name in sys.modules])
            """
        )
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "mine.py", tmp_path / "study"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["imported once", "[1, 1] ['data', 'model']", "2", "[]"]
    with pytest.raises(ReglabError, match=r"data and model.*Python objects.*script"):
        reglab.Study.resume(tmp_path / "study")


def test_a_played_study_in_workers_is_that_in_the_coordinator(tmp_path, played_workers):
    """So what these tests find of workers holds for what the tests of survival find of the coordinator."""
    reglab.Study("iris", "mlp", played.RECIPES, seeds=2, epochs=played.EPOCHS, out=tmp_path / "workers").run(workers=2)
    expected, _ = played.play(tmp_path / "here")
    assert results_of(tmp_path / "workers") == expected


# --- how trainings end ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_that_raises_in_a_worker_has_its_traceback_and_stops_no_other(tmp_path, script):
    model = script("""
        def spring():
            if armed():
                raise RuntimeError("no such luck")
    """)
    (tmp_path / "trap-1").touch()
    study = _study(tmp_path / "study", ["l2"], model)
    assert _status(study.run(workers=1)) == ["failed", "finished", "finished", "finished"]
    error = _failed(study.out)["error"]
    assert "Traceback" in error
    assert "RuntimeError" in error
    assert "no such luck" in error
    again = reglab.Study.resume(study.out).run(workers=1)
    assert _status(again) == ["finished"] * 4


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
    study = _study(tmp_path / "study", ["l2"], model, seeds=1)
    assert _status(study.run(Watch(), workers=1)) == ["finished", "finished"]
    assert len(again) == 2
    assert ("SIGKILL" in again[0]) == ("SIGKILL" in how)
    lost = [attempt for attempt in _attempts(study.out) if attempt["outcome"] == "killed"]
    assert len(lost) == 2
    assert "my last words" in lost[0]["error"]


@pytest.mark.slow
def test_a_training_that_hangs_is_given_up(tmp_path, script):
    model = script("""
        def spring():
            if armed():
                time.sleep(600)
    """)
    (tmp_path / "trap-1").touch()
    study = _study(tmp_path / "study", ["l2"], model, seeds=1)
    timeout = 30 if "keras" in (tmp_path / "own.py").read_text() else 3
    assert _status(study.run(workers=1, timeout=timeout)) == ["failed", "finished"]
    error = _failed(study.out)["error"]
    assert "timed out" in error
    assert f"{timeout} s" in error


@pytest.mark.slow
def test_a_kill_for_lack_of_memory_is_said_as_such_where_the_system_counts_them(tmp_path, script, monkeypatch):
    model = script("""
        def spring():
            if armed():
                os.kill(os.getpid(), signal.SIGKILL)
    """)
    (tmp_path / "trap-1").touch()
    counted = iter(range(100))
    monkeypatch.setattr(of_process, "_oom_kills", lambda: next(counted))  # one more each time it is asked
    study = _study(tmp_path / "study", [], model, seeds=1)
    study.run(workers=1)
    first, second = _attempts(study.out)
    assert (first["outcome"], second["outcome"]) == ("out of memory", "finished")
    assert "no memory left" in first["error"]


@pytest.mark.slow
def test_a_lack_of_memory_is_told_apart_from_other_errors(tmp_path, script):
    """In a fresh process it may go well: it is tried again, and at last said as what it is."""
    model = script("""
        def spring():
            if armed():
                raise MemoryError("cannot allocate 3 TiB")
    """)
    for number in range(3):
        (tmp_path / f"trap-{number}").touch()
    study = _study(tmp_path / "study", [], model, seeds=1)
    study.run(workers=1)
    assert [attempt["outcome"] for attempt in _attempts(study.out)] == ["out of memory", "out of memory", "failed"]
    assert _failed(study.out)["error"].startswith("out of memory: Its process ended 3 times")


def test_a_module_that_ends_its_process_is_told_before_anything_is_written(tmp_path, script):
    model = script("raise SystemExit(3)")
    with pytest.raises(ReglabError, match=r"(?s)Importing.*SystemExit"):
        _study(tmp_path / "b", [], model).run(workers=1)
    model = script("os._exit(5)")
    with pytest.raises(ReglabError, match="exit code 5"):
        _study(tmp_path / "c", [], model).run(workers=1)
    assert not any((tmp_path / name).exists() for name in "bc")


@pytest.mark.slow
def test_a_model_that_does_not_fit_is_told_as_in_this_process(tmp_path):
    def build(input_shape, num_classes):
        import keras

        return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(3)])

    with pytest.raises(ReglabError, match="10 classes"):
        _study(tmp_path / "a", [], build).run(workers=1)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("error", "told", "message"),
    [(ReglabError, ReglabError, "^10 classes$"), (ValueError, RuntimeError, r"(?s)Planning.*Traceback.*10 classes")],
    ids=["bad input", "a bug"],
)
def test_what_planning_finds_in_a_worker_is_told_before_anything_is_written(
    tmp_path, played_workers, error, told, message
):
    def build(moment=None, **about):
        if moment == "plan":
            raise error("10 classes")

    with pytest.raises(told, match=message):
        _study(tmp_path / "a", [], build).run(workers=1)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("execution", "message"),
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
def test_an_execution_that_cannot_be_is_told(tmp_path, execution, message):
    with pytest.raises(ReglabError, match=message):
        _study(tmp_path / "study").run(**execution)
    assert not (tmp_path / "study").exists()


# --- a coordinator of its own -----------------------------------------------------------------------------------------

GATE = """
    import os, pathlib, time

    HERE = pathlib.Path(__file__).parent

    def build(moment=None, *, ride=None, epoch=0, **about):
        # It waits in the second epoch of all but the first seed until there is no gate.
        if moment == "epoch" and epoch == 1 and ride.seed and (HERE / "gate").exists():
            (HERE / f"waits-{os.getpid()}").touch()
            while (HERE / "gate").exists():
                time.sleep(0.01)
"""


def _begin(folder, *options, command=("-m", "reglab"), model=MODEL, seeds=3, epochs=60):
    """Start a study as a process of its own, with temporary files in a folder of its own."""
    scratch = Path(f"{folder}-tmp")
    scratch.mkdir(exist_ok=True)
    options = ("compare", "--data", "digits", "--model", model, "--recipe", "l2", "--recipe", "dropout", "--epochs",
               str(epochs), "--seeds", str(seeds), "--train-size", "200", "--out", str(folder), *options)  # fmt: skip
    return subprocess.Popen(
        [sys.executable, *command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )  # fmt: skip


def _wait_until(condition, process):
    deadline = time.monotonic() + 100
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition(), process.communicate(timeout=30)[1] if process.poll() is not None else "it takes too long"


def _is_gone(pids):
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def _resumed_here(folder):
    reglab.Study.resume(folder).run(workers=1)


def _resumed_by_command(folder):
    subprocess.run([sys.executable, "-m", "reglab", "resume", str(folder)], check=True, stdout=subprocess.DEVNULL)


def _kill_and_finish(process, folder, victim, *, resume, go_on=lambda: None):
    """Kill a study's coordinator or one of its workers, and let it come to its end."""
    workers = _workers_of(process.pid)
    assert workers
    before = _recorded(folder)
    assert 2 <= len(before) < 9
    if victim == "worker":
        os.kill(workers[0], signal.SIGKILL)
        go_on()
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        assert [attempt["outcome"] for attempt in _attempts(folder)].count("killed") == 1
    else:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        assert _is_gone(workers)  # they notice, end, and tidy up
        assert list(Path(f"{folder}-tmp").glob("reglab-*")) == []
        before = _recorded(folder)
        go_on()
        resume(folder)
    after = _recorded(folder)
    assert len(after) == 9
    assert {run: after[run] for run in before} == before  # not trained again


@pytest.mark.parametrize("victim", [pytest.param("coordinator", marks=pytest.mark.slow), "worker"])
@pytest.mark.slow
def test_a_study_killed_in_the_middle_of_a_training_is_finished_with_the_same_table(tmp_path, played_workers, victim):
    """Both workers are at their second training of three when the signal comes."""
    (tmp_path / "own.py").write_text(textwrap.dedent(GATE))
    (tmp_path / "gate").touch()
    model, command = f"{tmp_path / 'own.py'}:build", (played_worker.__file__,)
    process = _begin(tmp_path / "study", "--workers", "2", model=model, epochs=4, command=command)
    _wait_until(lambda: len(list(tmp_path.glob("waits-*"))) == 2, process)
    _kill_and_finish(process, tmp_path / "study", victim, resume=_resumed_here, go_on=(tmp_path / "gate").unlink)
    settings = {"seeds": 3, "epochs": 4, "train_size": 200}
    reglab.Study("digits", model, ["l2", "dropout"], out=tmp_path / "whole", **settings).run(workers=1)
    assert results_of(tmp_path / "study") == results_of(tmp_path / "whole")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What the study gives that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole") / "study"
    _, err = _begin(folder).communicate(timeout=300)
    assert all(line.startswith("data: ") for line in err.splitlines()), err
    return results_of(folder)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["coordinator", "worker"])
def test_a_study_killed_for_real_is_finished_by_resume_with_the_same_table(tmp_path, whole, victim):
    folder = tmp_path / "study"
    process = _begin(folder)
    _wait_until(lambda: len(_recorded(folder)) >= 2, process)
    _kill_and_finish(process, folder, victim, resume=_resumed_by_command)
    assert results_of(folder) == whole


@pytest.mark.slow
def test_a_study_killed_at_random_times_again_and_again(tmp_path, whole):
    """Coordinator or worker: as long as it is resumed, it comes to the same end."""
    random = np.random.default_rng(0)
    folder = tmp_path / "study"
    killed = 0
    for number in range(6):
        process = _begin(folder)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=random.uniform(4, 12))
        victims = _workers_of(process.pid) if number % 2 else [process.pid]
        kept = _recorded(folder)
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        process.communicate(timeout=200)
        after = _recorded(folder)
        assert {run: after[run] for run in kept} == kept
    assert killed >= 3
    last = _begin(folder)
    _, err = last.communicate(timeout=200)
    assert last.returncode == 0, err
    assert results_of(folder) == whole
