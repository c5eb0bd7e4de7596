"""Tasks on a Ray cluster: they give what this process gives, whatever becomes of nodes, tasks and the driver.

The cluster is a real one, with every node's processes on this machine: a head that trains nothing, and nodes of one
core each. It has a folder and ports of its own, so several can stand beside each other. Trainings are played on it
(``stage/``), but for the tests that are about their results. What needs no cluster is told first.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from played import results as results_of
from stage_bench import Workbench

import reglab
from reglab.errors import ReglabError
from reglab.study.executors.base import EpochFinished, Job, JobFinished, JobStarted, RunFinished
from reglab.study.executors.ray import cluster as of_cluster
from reglab.study.executors.ray import node, tasks
from reglab.study.executors.ray import parcel as of_parcel
from reglab.study.progress import Progress
from reglab.study.spec import Assignment
from reglab.study.storage.view import View

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'reglab[ray]'")

# Processes of nodes are forked, and JAX warns of that in general; they go on with another program at once.
pytestmark = pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")

SMALL = {"seeds": 3, "epochs": 10, "train_size": 200, "batch_size": 10, "learning_rate": 0.01}
MODEL = "mlp(units=8)"
STAGE = Path(__file__).parent / "stage"


def _study(out, recipes=(), model=MODEL, **changes):
    return reglab.Study("digits", model, list(recipes), out=out, **{**SMALL, **changes})


def _assignment(study):
    return Assignment(study.dataset, study.model, study.settings, study.recipes)


def _plan(study):
    return Workbench(_assignment(study)).plan()


def _recorded(folder):
    return {path.parent.name: path.stat().st_mtime_ns for path in (Path(folder) / "runs").glob("[!.]*/record.json")}


def _wait_for(condition):
    deadline = time.monotonic() + 120
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def _status(results):
    return sorted(state for row in results.comparison.rows for state in row.status)


# --- what needs no cluster -----------------------------------------------------------------------------------------


def test_without_ray_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ReglabError, match=r"pip install 'reglab\[ray\]'"):
        _study(tmp_path / "study").run(executor="ray")
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no.such.host.invalid:6379", "silent", "nonsense", "ray://x:10001"])
def test_an_address_where_no_cluster_answers_is_told_at_once(tmp_path, monkeypatch, address):
    monkeypatch.setattr(of_cluster, "_PATIENCE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        if address == "silent":
            address = f"127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(ReglabError, match=address):
            _study(tmp_path / "study").run(executor="ray", address=address)
    assert time.monotonic() - began < 10
    assert not ray.is_initialized()


def test_a_model_in_a_file_is_packed_with_the_files_beside_it_and_found_where_it_is_unpacked(tmp_path):
    (tmp_path / "own" / "deeper").mkdir(parents=True)
    (tmp_path / "own" / "net.py").write_text("import beside\ndef build(units=3): return beside.built(units)\n")
    (tmp_path / "own" / "beside.py").write_text(
        "import keras\n"
        "def built(units):\n"
        "    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(units),"
        " keras.layers.Dense(10, 'softmax')])\n"
    )
    (tmp_path / "own" / "deeper" / "no.py").touch()
    parcel = of_parcel.packed(_assignment(_study(None, model=f"{tmp_path / 'own' / 'net.py'}:build(units=5)")))
    assert sorted(parcel.files) == ["beside.py", "net.py"]
    shutil.rmtree(tmp_path / "own")
    (tmp_path / "node").mkdir()
    bench = node._bench(parcel, tmp_path / "node")
    assert bench.builder().layers[1].units == 5
    assert Path(bench.builder.__globals__["sys"].modules["net"].__file__).parent == tmp_path / "node"


def test_too_many_files_beside_a_model_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(of_parcel, "_FILES_BYTES", 10)
    (tmp_path / "net.py").write_text("def build(): raise NotImplementedError")
    with pytest.raises(ReglabError, match="in a folder of its own"):
        of_parcel.packed(_assignment(_study(None, model=f"{tmp_path / 'net.py'}:build")))


def test_a_module_that_a_node_has_not_is_told_with_what_to_do(tmp_path, monkeypatch):
    parcel = of_parcel.packed(_assignment(_study(None, model="no_such_package.nets:build")))
    with pytest.raises(ReglabError, match=r"no_such_package.*installed on every node"):
        node._bench(parcel, tmp_path)
    (tmp_path / "here_only.py").write_text("def build(): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import here_only

    parcel = of_parcel.packed(_assignment(_study(None, model=here_only.build)))
    monkeypatch.setitem(sys.modules, "here_only", None)
    with pytest.raises(ReglabError, match=r"here_only.*Install what is missing"):
        node._bench(parcel, tmp_path)


def test_data_on_disk_is_sent_by_its_content_and_opened_read_only(tmp_path):
    file = np.memmap(tmp_path / "x", dtype="float32", mode="w+", shape=(60, 4))
    file[:] = np.random.default_rng(0).normal(size=file.shape)
    study = reglab.Study(
        (np.memmap(tmp_path / "x", dtype="float32", mode="r", shape=(60, 4)), np.arange(60) % 3), MODEL
    )
    parcel = of_parcel.packed(_assignment(study))
    assert type(parcel.x) is np.ndarray
    assert len(parcel.rest) < 10_000
    opened = of_parcel.unpacked(parcel, tmp_path)
    np.testing.assert_array_equal(opened.data.x, file)
    assert opened.data.fingerprint == study.dataset.fingerprint


def test_a_node_with_other_versions_gives_no_results():
    study = _study(None)
    jobs = [Job(number, ride) for number, ride in enumerate(_plan(study).missing(()))]
    events = list(node.train_jobs(of_parcel.packed(_assignment(study)), "task 1", jobs, {"keras": "2.0"}))
    assert [(event.job, event.how) for event in events] == [(job.number, "exception") for job in jobs]
    assert "planned with keras 2.0" in events[0].detail


def test_a_task_tells_when_each_job_begins_and_little_of_its_epochs(stage, monkeypatch):
    monkeypatch.setattr(node, "_bench", lambda parcel, folder, versions: Workbench(of_parcel.unpacked(parcel, folder)))
    study = _study(None, epochs=20)
    plan = _plan(study)
    jobs = [Job(number, ride) for number, ride in enumerate(plan.missing(())[:2])]
    events = list(node.train_jobs(of_parcel.packed(_assignment(study)), "task 1", jobs, plan.versions))
    for job in jobs:
        of_job = [event for event in events if event.job == job.number]
        assert isinstance(of_job[0], JobStarted)
        epochs = [event.epoch for event in of_job if isinstance(event, EpochFinished)]
        assert len(epochs) < 10
        assert epochs[-1] == 19
        assert [type(event) for event in of_job[-2:]] == [RunFinished, JobFinished]
    assert [event.job for event in events] == sorted(event.job for event in events)


@pytest.mark.parametrize(
    ("error", "how", "told"),
    [
        (ray.exceptions.OutOfMemoryError("Task was killed"), "out of memory", "no memory left"),
        (ray.exceptions.WorkerCrashedError(), "killed", "process died"),
        (ray.exceptions.NodeDiedError("node 1"), "killed", "node was lost"),
        (ray.exceptions.LocalRayletDiedError(), "killed", "node was lost"),
        (ray.exceptions.ObjectLostError("00", None, ""), "killed", "lost with its node"),
        (ray.exceptions.RuntimeEnvSetupError("no"), "killed", "RuntimeEnvSetupError"),
        (ray.exceptions.RayTaskError("f", "Traceback", ValueError("x")), "exception", "Traceback"),
    ],
)
def test_ends_are_told_apart(error, how, told):
    found, detail = of_cluster.how_it_ended(ray, error)
    assert found == how
    assert told in detail.splitlines()[0]
    assert "\x1b" not in detail


@pytest.mark.parametrize(
    ("nodes", "workers", "cores"),
    [
        ([(1, 0), (1, 0)], None, 1), ([(2, 0), (64, 0)], None, 2), ([(0, 0), (64, 0)], None, 4), ([(0, 0)], None, 1),
        ([(16, 0)], 8, 2), ([(3, 0), (3, 0), (3, 0)], 4, 1), ([(16, 8), (64, 0)], None, 2), ([(16, 1)], None, 4),
    ],
)  # fmt: skip
def test_a_task_gets_as_many_cores_as_leave_room_for_the_others(nodes, workers, cores):
    nodes = [of_cluster.Node(*node) for node in nodes]
    gpus = int(any(node.gpus for node in nodes))
    assert of_cluster.cores_of_a_task(nodes, workers, gpus) == cores
    assert of_cluster.cores_of_a_task(nodes, workers, gpus, wanted=128) == max(
        [1, *(node.cpus for node in nodes if node.gpus or not gpus)]
    )


# --- on a cluster --------------------------------------------------------------------------------------------------


class _Cluster:
    """A cluster whose nodes come and go."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        self._small = {"object_store_memory": 80 * 2**20}
        # A raylet that is gone refuses the connection and is given up in seconds; one that is slow has its time.
        health = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_timeout_ms": 10_000,
                  "health_check_failure_threshold": 3}  # fmt: skip
        # Ports that are free, and not those of the first cluster of a machine.
        ports = {"gcs_server_port": 0, "dashboard_agent_listen_port": 0}
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": health, **ports}
        self.cluster = Cluster(initialize_head=True, head_node_args={**head, **self._small})
        self.address = self.cluster.address

    def have(self, count):
        """Bring it to so many nodes that train."""
        while len(self.cluster.worker_nodes) < count:
            self.add()
        while len(self.cluster.worker_nodes) > count:
            self.cluster.remove_node(next(iter(self.cluster.worker_nodes)))
        return self

    def add(self):
        self.cluster.add_node(num_cpus=1, **self._small)

    def training(self):
        """Return the nodes on which a task trains."""
        import psutil

        raylets = [(node, node.all_processes["raylet"][0].process.pid) for node in self.cluster.worker_nodes]
        return [
            node for node, pid in raylets
            if any("ray::train_jobs" in child.name() for child in psutil.Process(pid).children(recursive=True))
        ]  # fmt: skip

    def kill_a_node_that_trains(self):
        self.cluster.remove_node(self.training()[0], allow_graceful=False)


def _descendants():
    import psutil

    return [process for process in psutil.Process().children(recursive=True) if process.is_running()]


def _gone(processes):
    import psutil

    psutil.wait_procs(processes, timeout=20)
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(scope="module", autouse=True)
def _own_folder():
    """What Ray keeps for a machine, the address of its cluster too, is kept in a folder of these tests."""
    top = "/tmp" if os.path.isdir("/tmp") else None  # short, for Unix sockets
    with (
        tempfile.TemporaryDirectory(prefix="ray-", dir=top, ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        os.mkdir(os.path.join(folder, "ray"))
        patch.setenv("RAY_TMPDIR", folder)
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


@pytest.fixture(scope="module")
def cluster():
    cluster = _Cluster()
    yield cluster
    processes = _descendants()
    cluster.cluster.shutdown()
    assert _gone(processes) == []


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Trainings are played on the cluster, as this folder says."""
    folder = tmp_path / "stage"
    folder.mkdir()
    (folder / "pace").write_text("0")
    paths = [str(STAGE), str(STAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("STAGE", str(folder))
    monkeypatch.setattr(tasks, "_PASSED_ON", (*tasks._PASSED_ON, "PYTHONPATH", "STAGE"))
    return folder


@pytest.fixture(autouse=True)
def _disconnected():
    yield
    ray.shutdown()


def _whole(study):
    """Return what results.json says of a played study that nothing disturbed."""
    from reglab.study.executors import in_process

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_process, "Workbench", Workbench)
        study.run(workers=0)
    return results_of(study.out)


@pytest.mark.slow
def test_a_cluster_gives_what_this_process_gives(tmp_path, cluster, monkeypatch):
    """To the last bit, with as many threads: riders, states that are kept, and structures trained side by side."""
    cluster.have(2)
    monkeypatch.setattr(tasks, "_ROUNDS", 1)  # a task for each of the two structures
    workers = set()

    class Watch(Progress):
        def training(self, job, names, seed, worker):
            workers.add(worker)

    for folder, execution in (("here", {"workers": 0}), ("ray", {"executor": "ray", "address": cluster.address})):
        study = _study(tmp_path / folder, recipes=["l2", "early_stopping(patience=1)"], seeds=2, epochs=4)
        study.run(Watch() if folder == "ray" else None, checkpoint_every=1, **execution)
    assert results_of(tmp_path / "ray") == results_of(tmp_path / "here")
    assert workers == {"task 1", "task 2"}
    with View(tmp_path / "ray") as view:
        assert {run["attempts"] for run in view.runs()} == {1}


@pytest.mark.slow
def test_a_node_that_dies_and_one_that_joins_in_mid_study_change_no_result(tmp_path, cluster, stage, monkeypatch):
    whole = _whole(_study(tmp_path / "whole"))
    (stage / "pace").write_text("0.1")
    cluster.have(1)
    monkeypatch.setattr(tasks, "_ROUNDS", 1)  # so that one task gets all, and some have not begun when it dies

    before, again = {}, []

    class Watch(Progress):
        def training(self, job, names, seed, worker):
            if job == 2:
                before.update(_recorded(tmp_path / "study"))
                cluster.kill_a_node_that_trains()
                cluster.add()

        def tried_again(self, names, seed, why):
            again.append(why)

    _study(tmp_path / "study").run(Watch(), workers=1, executor="ray", address=cluster.address)
    assert results_of(tmp_path / "study") == whole
    assert again == ["killed: its node was lost"]
    assert len(before) == 1
    assert before.items() <= _recorded(tmp_path / "study").items()
    with View(tmp_path / "study") as view:
        assert sorted(run["attempts"] for run in view.runs()) == [1, 1, 2]
    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_killed_driver_is_followed_by_one_that_finishes_the_study(tmp_path, cluster, stage):
    whole = _whole(_study(tmp_path / "whole"))
    (stage / "pace").write_text("0.1")
    cluster.have(1)
    folder = tmp_path / "study"
    script = textwrap.dedent(f"""
        import reglab
        from reglab.study.executors.ray import tasks
        tasks._PASSED_ON = {tasks._PASSED_ON!r}
        reglab.Study("digits", {MODEL!r}, out={str(folder)!r}, **{SMALL!r}).run(
            executor="ray", address={cluster.address!r})
    """)
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(lambda: _recorded(folder) or driver.poll() is not None)
    driver.kill()
    driver.wait()
    before = _recorded(folder)
    assert 1 <= len(before) < 3
    said = []

    class Watch(Progress):
        def started(self, *, workers, **_):
            said.append(workers)

    reglab.Study.resume(folder).run(Watch(), executor="ray", address=cluster.address)
    assert results_of(folder) == whole
    assert before.items() <= _recorded(folder).items()
    assert said == ["Ray cluster of 2 nodes, 1 task at a time"]


@pytest.mark.slow
def test_a_run_that_raises_and_a_task_whose_process_is_killed_stop_no_other(tmp_path, cluster, stage):
    """The model is in a file, whose folder is gone before a task could read it there."""
    cluster.have(1)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "net.py").write_text("def build(): raise NotImplementedError")
    again = []

    class Watch(Progress):
        def started(self, **_):
            shutil.rmtree(tmp_path / "own")
            (stage / "kill").touch()

        def tried_again(self, names, seed, why):
            again.append(why)
            (stage / "raise").touch()

    model = f"{tmp_path / 'own' / 'net.py'}:build"
    study = _study(tmp_path / "study", recipes=["l2"], model=model, seeds=1, epochs=2)
    results = study.run(Watch(), executor="ray", address=cluster.address)
    assert _status(results) == ["failed", "finished"]
    assert again == ["killed: its process died"]
    with View(study.out) as view:
        (failed,) = view.status().failed
    assert "RuntimeError" in failed["error"]
    assert "no such luck" in failed["error"]


@pytest.mark.slow
def test_a_job_that_is_stopped_says_no_more_and_those_behind_it_come_back(cluster, stage):
    """Where this process is connected to a cluster already, as a notebook is, that one is used and left as it is."""
    cluster.have(1)
    (stage / "pace").write_text("0.1")
    study = _study(None, epochs=10_000)
    plan, events = _plan(study), []
    ray.init(cluster.address, log_to_driver=False, logging_level="error")
    with pytest.raises(ReglabError, match=r"not 127\.0\.0\.1:1"):
        tasks.RayTasks(_assignment(study), address="127.0.0.1:1")
    with tasks.RayTasks(_assignment(study)) as trainer:
        trainer._versions = plan.versions
        assert trainer.free() == ["task 1"]
        trainer.start("task 1", [Job(number, ride) for number, ride in enumerate(plan.missing(())[:2])])
        assert trainer.free() == []
        while not events:
            trainer.poll(events.append, timeout=1)
        assert isinstance(events.pop(), JobStarted)
        trainer.stop(0)
        assert trainer.free() == ["task 1"]
        for _ in range(3):
            trainer.poll(events.append, timeout=0.5)
        assert [(event.job, event.how) for event in events] == [(1, "not reached")]
        assert cluster.training() == []
        cluster.add()
        _wait_for(lambda: len(trainer.free()) > 1)
        assert trainer.free() == ["task 1", "task 2"]
    assert ray.is_initialized()


@pytest.mark.slow
def test_a_cluster_of_our_own_refuses_what_cannot_work_and_is_gone_when_it_is_closed(tmp_path, monkeypatch):
    def build(input_shape, num_classes):
        import keras

        return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(3)])

    before, ours = {process.pid for process in _descendants()}, []
    shutdown = ray.shutdown

    def look_and_shut_down():
        ours.extend(process for process in _descendants() if process.pid not in before)
        shutdown()

    monkeypatch.setattr(ray, "shutdown", look_and_shut_down)
    with pytest.raises(ReglabError, match="10 classes"):
        _study(tmp_path / "study", model=build).run(executor="ray", address="local")
    assert not (tmp_path / "study").exists()
    assert not ray.is_initialized()
    assert ours
    assert _gone(ours) == []
