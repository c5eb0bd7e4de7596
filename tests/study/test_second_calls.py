"""Every verb called twice, and once more after a fault: what was there is there afterwards.

Trainings are played, so whole searches take a moment; what is called is the command line.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path

import played
import pytest
from click.testing import CliRunner

from reglab.cli import cli
from reglab.errors import ReglabError
from reglab.study.executors import choice
from reglab.study.executors.base import CheckpointSaved, JobFinished, JobStarted
from reglab.study.plan import Plan
from reglab.study.records import FINISHED, Record
from reglab.study.spec import task_of
from reglab.study.storage.store import Store


class Player(played.Player):
    """Plays sealed studies too, and trainings that stop before their end; dies at the ``fault``-th result."""

    fault: int | None = None
    error: type[BaseException] = KeyboardInterrupt
    trainings = 0

    def __init__(self, assignment, *, workers=1, weights=3):
        super().__init__(assignment, workers=workers, weights=weights)

    def plan(self):
        seeds = self._task.settings.seed_list()
        extra = {"repetition": self._task.settings.repetition, "train_size": self._task.settings.train_size}
        bases = {seed: json.dumps({"seed": seed, **extra}) for seed in seeds}
        names = dict.fromkeys(self._task.recipes, ())
        facts, task = {"keras": "1", "backend": "tensorflow 1"}, task_of(self._task.data, self._task.settings)
        plan = Plan(names, facts, {"tensorflow": "1"}, task, bases=bases)
        return plan.of(self._task.recipes)

    def _script(self, job, worker):
        if job.until is not None:
            yield JobStarted(job.number, worker)
            stood = played.stand(job.ride, job.until)
            history = {key: values[: job.until] for key, values in _history().items()}
            tracks = {run: replace(track, history=history) for run, track in stood.tracks.items()}
            yield CheckpointSaved(job.number, replace(stood, tracks=tracks))
            yield JobFinished(job.number)
            return
        for event in super()._script(job, worker):
            if hasattr(event, "record"):
                Player.trainings += 1
                if Player.trainings == Player.fault:
                    raise Player.error("a fault")
                event = type(event)(event.job, self._recorded(event.record))
            yield event

    def _recorded(self, record):
        sealed = self._task.settings.sealed
        metrics = {**record.metrics, "train_cross_entropy": 0.1, "val_cross_entropy": 0.2}
        if sealed:
            metrics.pop("accuracy", None)
        return Record(
            id=record.id, name=record.name, recipe=record.recipe, hyperparameters=record.hyperparameters,
            seed=record.seed, status=FINISHED, metrics=metrics, history=_history(), validation=record.validation,
            test=None if sealed else record.test, weights=record.weights,
        )  # fmt: skip

    def start(self, worker, jobs):
        self._workers[worker] = _Lazy(event for job in jobs for event in self._script(job, worker))

    def free(self):
        return [name for name, script in self._workers.items() if not script]


class _Lazy:
    """Events that are made when they are asked for, so that a fault comes in its turn."""

    def __init__(self, events):
        self._events = events
        self._waiting = deque()

    def __bool__(self):
        if not self._waiting:
            self._waiting.extend(itertools.islice(self._events, 1))
        return bool(self._waiting)

    def popleft(self):
        return self._waiting.popleft()


def _history():
    """A network that overfits from its third epoch on, so that something is prescribed."""
    falling = [1.0, 0.6, 0.3, 0.15, 0.08, 0.05, 0.03, 0.02, 0.015, 0.01]
    return {
        "loss": falling, "train_accuracy": [0.6, 0.8, 0.95, *[1.0] * 7], "train_cross_entropy": falling,
        "val_accuracy": [0.6, 0.7, 0.72, 0.71, 0.7, 0.7, 0.69, 0.68, 0.68, 0.67],
        "val_cross_entropy": [1.0, 0.8, 0.75, 0.9, 1.1, 1.3, 1.5, 1.7, 1.9, 2.1],
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _plays(monkeypatch, tmp_path):
    monkeypatch.setattr(choice, "opened", lambda assignment, execution, *, threads: Player(assignment))
    monkeypatch.setattr(Player, "fault", None)
    monkeypatch.setattr(Player, "error", KeyboardInterrupt)
    monkeypatch.setattr(Player, "trainings", 0)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # no power is cut here, and disks are slow
    monkeypatch.chdir(tmp_path)


SMALL = ("--data", "iris", "--model", "mlp(units=4)", "--epochs", str(played.EPOCHS), "--workers", "1")
VERBS = {
    "compare": ("compare", *SMALL, "--seeds", "2", "--recipe", "l2"),
    "tune-each": ("compare", *SMALL, "--seeds", "2", "--recipe", "l2", "--recipe", "dropout", "--tune-each", "3"),
    "tune": ("tune", *SMALL, "--seeds", "2", "--strategy", "l2", "--strategy", "dropout", "--trials", "6"),
    "tune in minutes": ("tune", *SMALL, "--seeds", "2", "--strategy", "dropout", "--minutes", "0.001"),
    "race": ("race", *SMALL, "--seeds", "2", "--strategy", "l2", "--values", "2", "--search-seeds", "2",
             "--epoch-budget", "500"),
    "sweep": ("sweep", *SMALL, "--seeds", "2", "--strategy", "l2", "--values", "1e-3,1e-2"),
    "ablate": ("ablate", "l2 + dropout", *SMALL, "--seeds", "2"),
    "calibrate": ("calibrate", *SMALL, "--seeds", "2", "--repetitions", "2"),
    "diagnose": ("diagnose", *SMALL, "--seeds", "2", "--treat"),
    "demo": ("demo", "--seeds", "1", "--epochs", str(played.EPOCHS), "--workers", "1"),
}  # fmt: skip


def slow_but(*fast):
    """All verbs as parameters; those that are not named are slow tests."""
    return [verb if verb in fast else pytest.param(verb, marks=pytest.mark.slow) for verb in VERBS]


def call(*arguments):
    return CliRunner().invoke(cli, [str(each) for each in arguments], env={"COLUMNS": "200"})


def succeed(*arguments):
    done = call(*arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done


_GROWS = ("value", "state", "epochs")  # of a trial, as more of its seeds are known


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def assert_nothing_lost(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """Every file is there; those of runs as they were, and JSON has at least the entries it had."""
    gone = {name for name in before if name not in after}
    # Where a training stood goes when its result is there.
    assert {name for name in gone if "/checkpoints/" not in f"/{name}"} == set()
    for name in before.keys() & after.keys():
        if "/runs/" in f"/{name}" or name.endswith("study.yaml"):
            assert after[name] == before[name], name
        elif name.endswith(".json") and "live" not in name:
            _assert_at_least(json.loads(before[name]), json.loads(after[name]), name)


def _assert_at_least(before, now, where):
    if isinstance(before, dict):
        for key, value in before.items():
            if key not in ("asked", "minutes", "seconds", *_GROWS):
                assert key in now, (where, key)
                _assert_at_least(value, now[key], f"{where}/{key}")
    elif isinstance(before, list):
        assert len(now) >= len(before), where
        for i, value in enumerate(before):
            _assert_at_least(value, now[i], f"{where}/{i}")
    else:
        assert now == before, where


@pytest.mark.parametrize("verb", slow_but("compare", "sweep", "tune"))
def test_a_second_call_trains_nothing_and_loses_nothing(verb, tmp_path):
    if verb.startswith(("tune", "race")):
        pytest.importorskip("optuna")
    first = succeed(*VERBS[verb])
    trained, before = Player.trainings, tree(tmp_path)
    assert trained
    again = succeed(*VERBS[verb])
    assert Player.trainings == trained
    assert_nothing_lost(before, tree(tmp_path))
    if "To use: " in first.output:
        assert again.output[again.output.index("To use: ") :] == first.output[first.output.index("To use: ") :]


@pytest.mark.parametrize(("fault", "error"), [(1, RuntimeError), (3, KeyboardInterrupt)])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.slow
def test_a_fault_in_between_loses_nothing_and_the_same_call_ends_as_without_it(
    verb, fault, error, tmp_path, monkeypatch
):
    monkeypatch.setattr(Player, "error", error)
    monkeypatch.setattr(Player, "fault", fault)
    call(*VERBS[verb])
    assert Player.trainings == fault
    before = tree(tmp_path)
    monkeypatch.setattr(Player, "fault", None)
    succeed(*VERBS[verb])
    trained = Player.trainings - 1  # the one that was cut short
    assert_nothing_lost(before, tree(tmp_path))
    ended = tree(tmp_path)

    monkeypatch.setattr(Player, "trainings", 0)
    (tmp_path / "whole").mkdir()
    monkeypatch.chdir(tmp_path / "whole")
    succeed(*VERBS[verb])
    if verb != "tune in minutes":  # how many trials that are is up to the clock
        assert Player.trainings == trained
        assert {name for name in tree(tmp_path / "whole") if "/runs/" in name} == {n for n in ended if "/runs/" in n}
    for name in ("search.json", "race.json"):
        for path in (tmp_path / "whole").rglob(name):
            if verb != "tune in minutes":
                _assert_at_least(
                    json.loads(path.read_text()), json.loads(ended[str(path.relative_to(tmp_path / "whole"))]), name
                )


@pytest.mark.parametrize("verb", ["tune", "tune in minutes", "tune-each"])
@pytest.mark.slow
def test_a_search_without_optuna_leaves_what_was_there(verb, tmp_path, monkeypatch):
    succeed(*VERBS[verb])
    before = tree(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna", None)
    failed = call(*VERBS[verb])
    assert isinstance(failed.exception, ReglabError)
    assert "Optuna is not installed" in str(failed.exception)
    assert tree(tmp_path) == before


def test_a_search_by_minutes_keeps_its_trials_and_its_confirmation(tmp_path):
    """What was spent is not asked for again, and what was found is what is used."""
    tune = VERBS["tune in minutes"]
    first = succeed(*tune)
    (held,) = (json.loads(path.read_text()) for path in tmp_path.rglob("search.json"))
    assert held["trials"]
    succeed(*tune)
    (again,) = (json.loads(path.read_text()) for path in tmp_path.rglob("search.json"))
    assert again == held
    assert "To use: " in first.output
    (path,) = tmp_path.rglob("search.json")
    path.write_text(json.dumps({**held, "minutes": 99.0}))  # a confirmation of which the search used up its time
    done = succeed(*tune)
    assert "To use: " in done.output
    assert json.loads(path.read_text())["trials"] == held["trials"]


@pytest.mark.slow
def test_a_search_that_is_given_more_goes_on_from_what_it_has_and_is_confirmed_beside_the_first(tmp_path):
    tune = VERBS["tune"]
    succeed(*tune)
    before = tree(tmp_path)
    succeed(*tune[:-1], "12")
    assert_nothing_lost({k: v for k, v in before.items() if "search/" not in k}, tree(tmp_path))
    (held,) = (json.loads(path.read_text()) for path in tmp_path.rglob("search.json"))
    (old,) = (json.loads(value) for key, value in before.items() if key.endswith("search.json"))
    assert len(held["trials"]) >= 12
    assert held["trials"][: len(old["trials"])] == old["trials"]
    succeed(*tune)  # and the smaller budget is spent already
    (again,) = (json.loads(path.read_text()) for path in tmp_path.rglob("search.json"))
    assert again["trials"] == held["trials"]


def test_a_budget_that_allows_no_trial_is_refused_before_anything_is_written(tmp_path):
    done = call("tune", *SMALL, "--strategy", "l2", "--epoch-budget", "3")
    assert isinstance(done.exception, ReglabError)
    assert "epoch_budget=3 allows no trial: one takes up to 8 epochs (4 with each of 2 seeds)" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_damaged_record_of_a_search_is_set_aside(tmp_path):
    succeed(*VERBS["tune"])
    (path,) = tmp_path.rglob("search.json")
    path.write_text('{"search": ' + json.dumps(json.loads(path.read_text())["search"]) + ', "trials": [{}]}')
    trained = Player.trainings
    succeed(*VERBS["tune"])
    assert Player.trainings == trained, "the runs are there"
    assert path.with_name("search.json.damaged-1").exists()
    assert len(json.loads(path.read_text())["trials"]) == 6


@pytest.mark.slow
def test_another_race_in_the_same_folder_is_kept_beside_the_first(tmp_path):
    race = VERBS["race"]
    succeed(*race)
    before = tree(tmp_path)
    succeed(*race, "--strategy", "dropout")
    after = tree(tmp_path)
    assert_nothing_lost(before, after)
    assert len([name for name in after if "/race-" in name and name.endswith(".json")]) == 1


def test_fewer_repetitions_do_not_replace_more(tmp_path):
    calibrate = VERBS["calibrate"][:-1]
    succeed(*calibrate, "3")
    before = tree(tmp_path)
    succeed(*calibrate, "2")
    assert_nothing_lost(before, tree(tmp_path))


# --- diagnoses --------------------------------------------------------------------------------------------------------


def diagnosed(tmp_path):
    succeed("compare", *SMALL, "--seeds", "2", "--recipe", "l2", "--recipe", "a=mixup", "--out", "s")


@pytest.mark.slow
def test_each_recipe_of_a_folder_is_treated_and_keeps_its_treatment(tmp_path):
    diagnosed(tmp_path)
    first = succeed("diagnose", "s", "--treat")
    before = tree(tmp_path)
    succeed("diagnose", "s", "--recipe", "a", "--treat")
    after = tree(tmp_path)
    assert_nothing_lost(before, after)
    held = [json.loads(after[name]) for name in after if name.startswith("s/diagnosis")]
    assert {one["recipe"] for one in held} == {"none", "a"}
    assert len({one["treatment"]["folder"] for one in held}) == 2

    # Asked again without --treat, the treatment is still there, and still said.
    trained = Player.trainings
    again = succeed("diagnose", "s")
    assert Player.trainings == trained
    said = first.output[first.output.index("What worked") :]
    assert said in again.output
    assert_nothing_lost(after, tree(tmp_path))


@pytest.mark.slow
def test_reuse_is_handed_on_by_a_diagnosis_of_a_yaml_file(tmp_path):
    diagnosed(tmp_path)
    trained = Player.trainings
    succeed("diagnose", "s/study.yaml", "--reuse", "s", "--out", "other", "--workers", "1")
    assert Player.trainings == trained


# --- folders of several studies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["tune", "race", "tune-each"])
@pytest.mark.slow
def test_the_folder_of_a_search_is_looked_at_by_its_confirmation(verb, tmp_path):
    succeed(*VERBS[verb])
    (confirmation,) = tmp_path.rglob("confirmation")
    root = confirmation.parent.relative_to(tmp_path)
    for command in ("status", "runs", "report"):
        done = succeed(command, root)
        assert f"note: {root} holds several studies or a search; this is the one in" in done.stderr
        assert "confirmation" in done.stderr


def test_a_folder_of_several_studies_names_them(tmp_path):
    succeed(*VERBS["calibrate"], "--out", "noise")
    done = call("status", "noise")
    assert "no study in noise itself; it holds those in repetition-0, repetition-1" in str(done.exception)


@pytest.mark.parametrize("verb", ["tune", "race", "tune-each", "calibrate", "compare"])
def test_what_is_said_after_ctrl_c_is_so(verb, tmp_path, monkeypatch):
    monkeypatch.setattr(Player, "fault", 2)
    with pytest.raises(BaseException, match="Interrupted") as raised:
        cli.main([*VERBS[verb], "--out", "x"], standalone_mode=False)
    folder = "x-tuned" if verb == "tune-each" else "x"
    said = str(raised.value)
    assert said.startswith(f"Interrupted. What had finished is kept in {folder}; the same command goes on from there")
    assert ("reglab resume" in said) == (verb == "compare")
    monkeypatch.setattr(Player, "fault", None)
    if verb == "compare":
        succeed("resume", "x")
    elif verb != "calibrate":
        done = call("resume", folder)
        assert "Give the command that began the search once more" in str(done.exception), done.output


def test_ctrl_c_before_anything_is_written_says_so(tmp_path, monkeypatch):
    def pressed(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(choice, "opened", pressed)
    for verb in ("compare", "tune", "calibrate"):
        with pytest.raises(BaseException, match="Interrupted before anything was written"):
            cli.main([*VERBS[verb], "--out", "x"], standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("status", "--watch"), ("status", "--watch", "--json"), ("report", "--watch"),
                                       ("log", "--watch", "--to", "tensorboard")])  # fmt: skip
@pytest.mark.slow
def test_ctrl_c_is_how_one_stops_watching(arguments, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    import time

    succeed(*VERBS["compare"], "--out", "s")

    def pressed(seconds):
        raise KeyboardInterrupt

    with Store("s") as store:
        store.write_live({"at": time.time(), "pid": 1, "host": "here", "epochs": 4, "running": []})
        monkeypatch.setattr(time, "sleep", pressed)
        if arguments[0] == "report":
            from reglab.report import write

            monkeypatch.setattr(write.watch, "__kwdefaults__", {**write.watch.__kwdefaults__, "sleep": pressed})
        done = call(arguments[0], "s", *arguments[1:])
    assert done.exit_code == 0, (done.output, done.exception)
    assert "Interrupted" not in done.output
    assert "in tensorboard" not in done.output
