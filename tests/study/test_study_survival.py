"""Whatever stops a study, and wherever: going on gives the table of an uninterrupted one, and trains nothing twice.

The trainings are played (``played.py``), so that a study takes milliseconds; coordinator, store and disk are real.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import played
import pytest
import sweep
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reglab.errors import ReglabError
from reglab.study.plan import Run
from reglab.study.records import FAILED, Record
from reglab.study.storage import disk
from reglab.study.storage.store import Store
from reglab.study.storage.view import View
from reglab.tasks import SingleLabel

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted study, and what it gave."""
    folder = tmp_path_factory.mktemp("whole") / "study"
    expected, player = played.play(folder)
    assert len(player.trained) == len(set(player.trained)) == played.unique_runs()
    return folder, expected


# --- a crash at every write ------------------------------------------------------------------------------------------


def _swept(folder, what, *, seeds, every):
    done = subprocess.run(
        [sys.executable, HERE / "sweep.py", folder, what, str(seeds), str(every)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == [], done.stderr
    return found


@pytest.mark.parametrize(
    ("seeds", "every", "what"),
    [
        (1, 0, "kinds"),
        *(pytest.param(1, 0, f"{share}/2", marks=pytest.mark.slow) for share in (1, 2)),
        *(pytest.param(2, 2, f"{share}/10", marks=pytest.mark.slow) for share in range(1, 11)),
    ],
)
@pytest.mark.slow
def test_dying_at_any_write_loses_nothing_and_trains_nothing_twice(memory, seeds, every, what):
    """At one of each kind of write in the fast tier, at every one of larger studies in the slow one."""
    found = _swept(memory, what, seeds=seeds, every=every)
    assert found["states"] > 150
    assert found["deaths"] >= (30 if what == "kinds" else found["states"] // int(what.split("/")[1]))


@pytest.mark.parametrize("kills", [5, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_kills_at_random_times_in_a_loop(memory, kills):
    """A study is killed again and again until it gets through, and then the next one is."""
    found = _swept(memory, f"kills={kills}", seeds=2, every=0)
    assert found["killed"] == kills


def _can_trace():
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


def _traced(folder, call, inject=""):
    """Play a study under strace; returns how it ended and how often it made the call."""
    log = folder.with_suffix(".strace")
    command = ["strace", "-f", "-o", log, "-e", f"trace={call}", *inject.split(), sys.executable, HERE / "played.py",
               folder]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done, log.read_text().count(f" {call}(")


@pytest.mark.slow
@pytest.mark.skipif(not _can_trace(), reason="strace is not installed, or may not trace here")
@pytest.mark.parametrize("call", ["fsync", "fdatasync", "rename", "unlink", "pwrite64", "ftruncate"])
def test_a_kill_at_any_write_of_the_operating_system_loses_nothing(memory, whole, call):
    """SIGKILL at the n-th call of fsync, rename, unlink or write, those inside of SQLite among them."""
    _, expected = whole
    done, calls = _traced(memory / "counted", call)
    assert done.returncode == 0, done.stderr
    if not calls:
        pytest.skip(f"neither reglab nor this SQLite calls {call}")
    killed = 0
    for number in range(1, calls + 1, -(-calls // 12)):
        folder = memory / f"{call}-{number}"
        done, _ = _traced(folder, call, f"-e inject={call}:signal=KILL:when={number}")
        if done.returncode == 0:
            break  # strace counts for each thread: there were fewer
        assert abs(done.returncode) in (signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
        killed += 1
        before = sweep.accepted(folder)
        found, player = played.play(folder)
        assert found == expected, number
        assert not before & set(player.trained), number
    assert killed


# --- damage -----------------------------------------------------------------------------------------------------------


def _few(size: int) -> list[int]:
    return sorted({0, size // 2, size - 1})


def _many(size: int) -> list[int]:
    return sorted({0, 1, size - 100, size - 2, size - 1, *(size * i // 20 for i in range(20))} & set(range(size)))


of_lengths = pytest.mark.parametrize("lengths", [_few, pytest.param(_many, marks=pytest.mark.slow)])


@of_lengths
def test_a_file_cut_short_is_noticed_and_made_again(memory, whole, lengths):
    """Every file of a study, at several lengths: the table is always that of the whole study."""
    folder, expected = whole
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
    assert {path.name for path in files} >= {"study.sqlite", "study.yaml", "results.json", "record.json",
                                             "history.json", "predictions.npz", "weights.npz", "table.md"}  # fmt: skip
    first = {path.name: path for path in reversed(files)}  # one of each kind
    for path in first.values():
        for length in lengths((folder / path).stat().st_size):
            copy = memory / "study"
            shutil.copytree(folder, copy)
            os.truncate(copy / path, length)
            found, player = played.play(copy)
            assert found == expected, (path, length)
            newline_only = path.name == "record.json" and length == (folder / path).stat().st_size - 1
            lost = path.parts[0] == "runs" and not newline_only
            assert player.trained == ([path.parts[1]] if lost else []), (path, length)
            again, player = played.play(copy)
            assert (again, player.trained) == (expected, []), (path, length)
            shutil.rmtree(copy)


@of_lengths
def test_a_table_cut_short_in_the_middle_of_a_study_is_made_anew_from_the_runs(memory, whole, lengths):
    _, expected = whole
    folder = memory / "study"

    class Stops(played.Player):
        def poll(self, handle, timeout):
            if len(self.trained) == 4:
                raise KeyboardInterrupt
            super().poll(handle, timeout)

    with pytest.raises(KeyboardInterrupt):
        played.play(folder, player=Stops)
    done = sweep.accepted(folder)
    for length in lengths((folder / "study.sqlite").stat().st_size):
        copy = memory / "copy"
        shutil.copytree(folder, copy)
        os.truncate(copy / "study.sqlite", length)
        found, player = played.play(copy)
        assert found == expected, length
        assert not done & set(player.trained), length
        shutil.rmtree(copy)


def _ride():
    run = Run("a" * 20, "none", played.Recipe(), 0)
    return played.Plan({"none": (run,)}, {}, {}, SingleLabel(classes=("a", "b"))).missing(())[0]


def test_a_checkpoint_cut_short_or_changed_is_not_used(tmp_path):
    ride = _ride()
    with Store(tmp_path) as store:
        store.checkpoints.write(ride.key, played.stand(ride, 2))
        (folder,) = (tmp_path / "checkpoints").iterdir()
        assert store.checkpoints.read(ride.key).epoch == 2
        for path in sorted(folder.iterdir()):
            content = path.read_bytes()
            for length in range(0, len(content), 37):
                path.write_bytes(content[:length])
                assert store.checkpoints.read(ride.key) is None, (path.name, length)
            path.write_bytes(content)
        assert store.checkpoints.read(ride.key).fits(ride)
        content = bytearray((folder / "arrays.npz").read_bytes())
        content[len(content) // 2] ^= 1
        (folder / "arrays.npz").write_bytes(content)
        assert store.checkpoints.read(ride.key) is None


def test_of_two_checkpoints_of_a_training_the_later_one_is_read(tmp_path, monkeypatch):
    """A process that dies after it wrote one leaves the one before, which it was about to take away."""
    ride = _ride()
    with Store(tmp_path) as store:
        store.checkpoints.write(ride.key, played.stand(ride, 2))
        monkeypatch.setattr(disk, "remove", lambda path: None)
        store.checkpoints.write(ride.key, played.stand(ride, 10))
        assert len(list((tmp_path / "checkpoints").iterdir())) == 2
        assert store.checkpoints.read(ride.key).epoch == 10


@contextlib.contextmanager
def _small_disk(folder: Path, options: str):
    """Mount a file system in memory, where the machine lets us."""
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False).returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield lambda changed: subprocess.run(["mount", "-o", f"remount,{changed}", folder], check=True)
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_ends_the_study_in_a_sentence_and_keeps_what_is_recorded(tmp_path):
    expected, _ = played.play(tmp_path / "whole", weights=20_000)
    with _small_disk(tmp_path / "disk", "size=2m") as remount:
        study = tmp_path / "disk" / "study"
        (tmp_path / "disk" / "filler").write_bytes(bytes(1_500_000))  # room for a run or two, of eight
        with pytest.raises(ReglabError, match=r"will take about 1 MB.*Make room"):
            played.play(study, weights=20_000)

        class Optimist(played.Player):
            def plan(self):
                plan = super().plan()
                return played.Plan(plan.runs, plan.facts, plan.versions, plan.task)  # it takes no bytes, it says

        with pytest.raises(ReglabError, match=r"(No space left|disk is full).*Make room"):
            played.play(study, weights=20_000, player=Optimist)
        before = sweep.accepted(study)
        assert 0 < len(before) < played.unique_runs()
        remount("size=20m")
        found, player = played.play(study, weights=20_000)
        assert found == expected
        assert not before & set(player.trained)


def test_a_folder_that_cannot_be_written_is_told_before_training_and_can_be_looked_at(tmp_path, whole):
    folder, _ = whole
    with _small_disk(tmp_path / "disk", "size=4m") as remount:
        shutil.copytree(folder, tmp_path / "disk" / "study")
        remount("ro")
        for where in ("study", "new"):
            with pytest.raises(ReglabError, match=r"Cannot open.*[Rr]ead-only.*--out"):
                played.play(tmp_path / "disk" / where)
        with View(tmp_path / "disk" / "study") as view:
            assert view.status().complete
        remount("rw")


# --- how trainings end ------------------------------------------------------------------------------------------------


def _ending(*ends):
    class Ending(played.Player):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.ends.extend(ends)

    return Ending


def test_a_training_that_raises_is_a_record_stops_no_other_and_is_tried_again_next_time(tmp_path, whole):
    _, expected = whole
    first, _ = played.play(tmp_path, player=_ending(("exception", "Traceback ...\nValueError: no such luck")))
    status = [state for entry in first["recipes"] for state in entry["status"]]
    assert status.count("failed") == 2  # the baseline and the early stopping that rides on it
    with View(tmp_path) as view:
        assert {run["error"].splitlines()[-1] for run in view.status().failed} == {"ValueError: no such luck"}
    before = sweep.accepted(tmp_path)
    again, second = played.play(tmp_path)
    assert again == expected
    assert len(second.trained) == 2
    assert not before & set(second.trained)


def test_a_killed_training_is_tried_again_three_times_in_all(tmp_path, whole):
    _, expected = whole
    killed = ("killed", "it was killed by SIGKILL")
    found, _ = played.play(tmp_path / "twice", workers=1, player=_ending(killed, killed))
    assert found == expected
    found, _ = played.play(tmp_path / "thrice", workers=1, player=_ending(killed, killed, killed))
    status = [state for entry in found["recipes"] for state in entry["status"]]
    assert status.count("failed") == 2
    with View(tmp_path / "thrice") as view:
        failed = view.status().failed
        attempts = {run["name"]: run["attempts"] for run in view.runs() if run["seed"] == 0}
    assert all("ended 3 times" in run["error"] and "SIGKILL" in run["error"] for run in failed)
    assert attempts["none"] == 3
    assert attempts["l2(kernel=0.001)"] == 1


def test_no_disk_space_in_a_worker_ends_the_study_in_a_sentence(tmp_path, whole):
    _, expected = whole
    with pytest.raises(ReglabError, match=r"no disk space left.*none.*seed 0.*Make room"):
        played.play(tmp_path, player=_ending(("no disk space", "OSError: [Errno 28] No space left on device")))
    assert played.play(tmp_path)[0] == expected


def test_a_training_that_takes_too_long_is_given_up_and_its_late_result_refused(tmp_path):
    late = []

    class Slow(played.Player):
        def stop(self, job):
            late.extend(event for script in self._workers.values() for event in script if event.job == job)
            super().stop(job)

        def poll(self, handle, timeout):
            if not late:
                for script in self._workers.values():  # one worker began, and hangs
                    if len(script) > 2:
                        handle(script.popleft())
                        time.sleep(0.05)
                        return
            for event in late:
                handle(event)
            super().poll(handle, timeout)

    found, _ = played.play(tmp_path, player=Slow, workers=1, timeout=0.01, seeds=1)
    assert late
    status = {entry["name"]: entry["status"] for entry in found["recipes"]}
    assert ["failed"] in status.values()
    with View(tmp_path) as view:
        assert all("timed out" in run["error"] and "--timeout" in run["error"] for run in view.status().failed)
        assert {a["outcome"] for a in view._ledger.attempts()} <= {"failed", "finished", "diverged"}


@pytest.mark.slow
def test_two_at_once_on_one_folder(tmp_path, whole):
    """The second is told at once, while the first goes on undisturbed."""
    _, expected = whole
    refused = []

    class Tries(played.Player):
        def poll(self, handle, timeout):
            if len(self.trained) == 2 and not refused:
                done = subprocess.run(
                    [sys.executable, HERE / "played.py", tmp_path], capture_output=True, text=True, check=False
                )
                refused.append((done.returncode, done.stderr))
            super().poll(handle, timeout)

    found, _ = played.play(tmp_path, player=Tries)
    assert found == expected
    assert refused[0][0] != 0
    assert "Another process runs the study" in refused[0][1]


def test_looking_disturbs_nothing(tmp_path, whole):
    _, expected = whole
    seen = []

    class Watched(played.Player):
        def poll(self, handle, timeout):
            super().poll(handle, timeout)
            with View(tmp_path) as view:
                seen.append(view.status())

    found, _ = played.play(tmp_path, player=Watched)
    assert found == expected
    totals = {sum(status.counts.values()) for status in seen}
    assert totals == {played.unique_runs()}
    assert [s.counts["finished"] for s in seen] == sorted(s.counts["finished"] for s in seen)
    assert any(s.counts["running"] == 3 for s in seen)  # the baseline with its rider, and another worker's
    assert all(s.active for s in seen)
    with View(tmp_path) as view:
        assert view.status().complete
        assert not view.status().active


# --- any order of events ---------------------------------------------------------------------------------------------


class Life(RuleBasedStateMachine):
    """Processes come, work, die and come again; late and double results arrive; somebody edits the spec."""

    RUNS = tuple(Run(f"{i:020d}", f"r{i}", played.Recipe.parse(f"l2(kernel={i + 1})"), i) for i in range(4))
    SPEC = {"epochs": 3, "seeds": 4}  # noqa: RUF012  # read only

    @initialize()
    def begin(self):
        import tempfile

        self.folder = Path(tempfile.mkdtemp())
        self.store: Store | None = None
        self.leases: list[tuple[Run, int, bool]] = []  # and whether the process that took it is still alive
        self.results: dict[str, float] = {}

    def teardown(self):
        if getattr(self, "store", None):
            self.store.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @precondition(lambda self: self.store is None)
    @rule()
    def start(self):
        self.store = Store(self.folder)
        self.store.freeze(self.SPEC)
        self.store.register({"keras": "1"}, [run.summary() for run in self.RUNS])

    @precondition(lambda self: self.store is not None)
    @rule(run=st.sampled_from(RUNS))
    def take_a_lease(self, run):
        self.leases.append((run, self.store.begin([run.id], "worker 1")[run.id], True))

    @precondition(lambda self: self.store is not None and self.leases)
    @rule(data=st.data(), accuracy=st.floats(0, 1), status=st.sampled_from(["finished", "diverged", FAILED]))
    def a_result_comes(self, data, accuracy, status):
        """In time, late, or for the second time."""
        number = data.draw(st.integers(0, len(self.leases) - 1))
        run, lease, good = self.leases[number]
        metrics = {"accuracy": accuracy} if status == "finished" else {}
        taken = self.store.add(Record(**run.summary(), status=status, metrics=metrics), lease)
        assert taken == (good and run.id not in self.results)
        if taken:
            self.leases[number] = (run, lease, False)
            if status != FAILED:
                self.results[run.id] = metrics.get("accuracy", -1.0)

    @precondition(lambda self: self.store is not None and self.leases)
    @rule(data=st.data())
    def a_worker_is_given_up(self, data):
        number = data.draw(st.integers(0, len(self.leases) - 1))
        run, lease, _ = self.leases[number]
        self.store.settle([lease], "killed")
        self.leases[number] = (run, lease, False)

    @precondition(lambda self: self.store is not None)
    @rule()
    def die(self):
        """As SIGKILL does it: the lock is let go of and the database dropped, and nobody tidies up."""
        self.store._ledger._database.close()
        self.store._lock.release()
        self._gone()

    @precondition(lambda self: self.store is not None)
    @rule()
    def end_well(self):
        self.store.close()
        self._gone()

    def _gone(self):
        self.store = None
        self.leases = [(run, lease, False) for run, lease, _ in self.leases]

    @precondition(lambda self: self.store is None and (self.folder / "study.yaml").exists())
    @rule(epochs=st.integers(4, 9))
    def the_spec_is_edited(self, epochs):
        path = self.folder / "study.yaml"
        text = path.read_text()
        path.write_text(text.replace("epochs: 3", f"epochs: {epochs}"))
        with Store(self.folder) as store:
            with pytest.raises(ReglabError, match=f"epochs is {epochs} and was 3"):
                store.freeze(self.SPEC)
            with pytest.raises(ReglabError, match="seeds is"):
                store.freeze({**self.SPEC, "seeds": 5})
        path.write_text(text)

    @precondition(lambda self: self.store is None and self.results)
    @rule()
    def the_table_is_lost(self):
        (self.folder / "study.sqlite").unlink(missing_ok=True)

    @invariant()
    def nothing_is_lost_or_counted_twice(self):
        if getattr(self, "store", None) is None:
            return
        assert self.store.accepted() == set(self.results)
        for run, accuracy in self.results.items():
            assert self.store.summary(run)["metrics"].get("accuracy", -1.0) == accuracy
        rows = self.store._ledger.runs()
        assert len(rows) == len({(row["hyperparameters"], row["seed"]) for row in rows}) == len(self.RUNS)
        on_disk = {path.name for path in (self.folder / "runs").iterdir()}
        assert on_disk == set(self.results)


class LongLife(Life):
    """The same, for longer."""


Life.TestCase.settings = settings(max_examples=4, stateful_step_count=25, deadline=None)
LongLife.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
TestLongLife = pytest.mark.slow(LongLife.TestCase)


def test_the_table_can_be_read_by_plain_sqlite(whole):
    folder, _ = whole
    database = sqlite3.connect(folder / "study.sqlite")
    rows = dict(database.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall())
    journal = database.execute("PRAGMA journal_mode").fetchone()
    database.close()
    assert rows == {"finished": 6, "diverged": 2}
    assert journal == ("delete",)
