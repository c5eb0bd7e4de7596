"""Which backend is fastest: the advice on measurements made by hand, and measuring with processes that are played."""

from __future__ import annotations

import pytest

import reglab
from reglab import backends
from reglab.analysis.speed import Speed, Speeds, Visit, advice
from reglab.errors import ReglabError
from reglab.experiments import speed
from reglab.experiments.speed import VISITS, measure
from reglab.recipe import Recipe
from reglab.study.executors.base import KILLED
from reglab.study.executors.wire import Answer, Ready, Refused
from reglab.study.executors.worker_handle import Exit
from reglab.study.spec import Assignment


def seen(backend, epochs, first_step=4.0):
    visits = tuple(Visit(step=epoch / 10, measuring=epoch / 2, epoch=epoch) for epoch in epochs)
    return Speed(backend, version="1.0", device="CPU", visits=visits, first_step=first_step, memory=10**9)


def told(*measured):
    return Speeds("iris, mlp", threads=2, steps=5, examples=40, backends=measured)


FAST = (1.00, 1.02, 1.01, 1.03, 0.99, 1.04, 0.98)
AS_FAST = (1.01, 1.00, 1.05, 0.97, 1.02, 1.03, 0.99)
SLOW = (3.0, 3.1, 2.9, 3.05, 2.95, 3.15, 2.85)


# --- advice --------------------------------------------------------------------------------------------------------


def test_the_fastest_is_named_with_its_factors():
    assert advice(told(seen("tensorflow", SLOW), seen("jax", FAST), seen("torch", [10 * e for e in FAST]))) == (
        "jax is fastest for this model on this machine: 3.0 times as fast as tensorflow and 10 times as fast as torch."
    )
    assert advice(told(seen("tensorflow", FAST), seen("jax", SLOW), seen("torch", SLOW))) == (
        "tensorflow is fastest for this model on this machine: 3.0 times as fast as jax and torch."
    )


def test_a_later_start_is_told_with_the_epochs_that_make_up_for_it():
    text = advice(told(seen("tensorflow", SLOW, first_step=3.0), seen("jax", FAST, first_step=9.0)))
    assert text.endswith("3.0 times as fast as tensorflow; its first step comes 6 s later than that of tensorflow, "
                         "which 3 epochs make up for.")  # fmt: skip
    assert "make up" not in advice(told(seen("tensorflow", SLOW, first_step=3.0), seen("jax", FAST, first_step=3.5)))


def test_what_the_spread_does_not_tell_apart_is_said_so():
    both = told(seen("tensorflow", FAST), seen("jax", AS_FAST))
    assert advice(both) == (
        "tensorflow and jax cannot be told apart for this model on this machine: what they take varies more than it "
        "differs."
    )
    assert [one.backend for one in both.leading()] == ["tensorflow", "jax"]
    third = told(seen("torch", SLOW), seen("tensorflow", FAST), seen("jax", AS_FAST))
    assert advice(third) == (
        "tensorflow and jax cannot be told apart for this model on this machine; torch takes 3.0 times as long as "
        "tensorflow."
    )


def test_one_disturbed_visit_decides_nothing():
    assert len(FAST) == VISITS
    disturbed = seen("jax", (*FAST[:-1], 99.0))
    assert disturbed.apart(seen("tensorflow", SLOW))
    assert disturbed.epoch == pytest.approx(1.02), "the median hardly moves"
    assert not seen("jax", (*FAST[:4], 9.0, 9.0, 9.0)).apart(seen("tensorflow", SLOW)), "three are too many"


def test_the_spread_is_half_the_range():
    assert seen("jax", FAST).spread == pytest.approx(0.03 / 1.01)


def test_with_one_or_no_measurement_there_is_nothing_to_choose():
    broken, missing = Speed("jax", problem="broken"), Speed("torch", installed=False, problem="not installed")
    assert "tensorflow is the only backend that could be measured" in advice(told(seen("tensorflow", FAST), broken))
    assert advice(told(broken, missing)) == "No backend could be measured."
    assert told(broken, missing).leading() == []


# --- measuring, with processes that are played -----------------------------------------------------------------------


@pytest.fixture
def stage(monkeypatch, tmp_path):
    """Play the processes of backends: what they say to what they are asked, and what became of them."""

    class Stage:
        lines: dict = {}  # noqa: RUF012
        asked: list = []  # noqa: RUF012
        ended: list = []  # noqa: RUF012

    played = Stage()
    played.lines, played.asked, played.ended = {}, [], []
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(backends, "installed", lambda: ("tensorflow", "jax"))

    class WorkerHandle:
        def __init__(self, name, inbox, *, assignment, scratch, threads, backend, alone):
            assert scratch.is_dir()
            self.name, self.inbox, self.threads = name, inbox, threads
            inbox.put((self, Ready()))

        def tell(self, ask):
            function = ask.function.partition(":")[2]
            played.asked.append((self.name, function, *ask.arguments))
            line = played.lines.get((self.name, function), played.lines.get(self.name))
            if line is None:
                line = Answer(("1.0", "CPU", 5, 40) if function == "first" else ([(0.01, 0.02), (0.03, 0.04)] * 2, 7))
            if isinstance(line, BaseException):
                raise line
            self.inbox.put((self, line))

        def end(self):
            played.ended.append(self.name)

    monkeypatch.setattr(speed, "WorkerHandle", WorkerHandle)
    yield played
    assert sorted(set(played.ended)) == sorted({name for name, *_ in played.asked}), "every process has been ended"
    assert list((tmp_path / "temporary").iterdir()) == []


def study(**more):
    return reglab.Study("iris", "mlp(units=4)", ["l2"], **{"train_size": 60, **more})


def test_backends_take_turns_and_what_is_not_installed_is_a_row(stage):
    found = measure(study(), seconds=2.0, threads=1)
    started = [("tensorflow", "first"), ("tensorflow", "visit", 0.3), ("jax", "first"), ("jax", "visit", 0.3)]
    assert stage.asked[:4] == started
    turns = [name for name, _, seconds in stage.asked[4:] if seconds == 2.0 / VISITS]
    assert turns[:4] == ["tensorflow", "jax", "jax", "tensorflow"]
    assert len(turns) == 2 * VISITS
    one, two, missing = found.backends
    assert one.visits == (Visit(step=0.02, measuring=0.03, epoch=pytest.approx(5 * 0.02 + 0.03)),) * VISITS
    assert (two.memory, two.device, two.version) == (7, "CPU", "1.0")
    assert missing == Speed("torch", installed=False, problem="not installed: pip install 'reglab[torch]'")
    assert (found.steps, found.examples, found.threads) == (5, 40, 1)
    assert found.headline == "iris, mlp(units=4), none, batch 32, adam, float32, 1 thread"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (Refused("adversarial: not here.", True), "adversarial: not here."),
        (Refused("build failed: ValueError: Exception encountered when calling Own.call().\n\nno luck", True),
         "build failed: ValueError: no luck"),
        (Refused("Traceback (most recent call last):\n  File ...\nImportError: no libcuda", False),
         "ImportError: no libcuda"),
        (Exit(KILLED, "it was killed by SIGILL"), "it was killed by SIGILL"),
        (Exit(KILLED, "it ended with exit code 1. Its last output:\nsomething\nabort"),
         "it ended with exit code 1: abort"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("when", ["first", "visit"])
def test_a_backend_that_fails_is_a_row_with_the_reason_and_the_others_go_on(stage, line, problem, when):
    stage.lines["jax", when] = line
    fast, failed, _ = measure(study()).backends
    assert (failed.problem, failed.visits, failed.installed) == (problem, (), True)
    assert len(fast.visits) == VISITS
    assert sum(name == "jax" for name, *_ in stage.asked) == (1 if when == "first" else 2), "it is asked no more"


def test_what_every_backend_refuses_is_an_error_of_the_input(stage):
    stage.lines = dict.fromkeys(("tensorflow", "jax"), Refused("own.py has no function 'nix'.", True))
    with pytest.raises(ReglabError, match="no function 'nix'"):
        measure(study())
    stage.lines["jax"] = Refused("another one", True)
    assert [one.problem for one in measure(study()).backends[:2]] == ["own.py has no function 'nix'.", "another one"]


def test_ctrl_c_ends_every_process(stage):
    stage.lines["jax", "visit"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        measure(study())
    assert set(stage.ended) == {"tensorflow", "jax"}


@pytest.mark.parametrize(
    ("model", "more", "match"),
    [
        ("mlp", {"seconds": 0.0}, "larger than 0"),
        ("mlp", {"threads": 0}, "1 or more"),
        ("mlp", {"only": ["theano"]}, "Unknown backend 'theano'"),
        ("mlp", {"recipe": "nix"}, "nix"),
        ("nix", {}, "Unknown model 'nix'"),
        ("mlp(width=4)", {}, "no option 'width'"),
    ],
)
def test_bad_input_is_told_before_a_process_is_started(stage, model, more, match):
    with pytest.raises(ReglabError, match=match):
        measure(reglab.Study("iris", model), **more)
    assert stage.asked == []


def test_the_recipe_is_one_of_the_studys_by_name_or_any(stage):
    make = reglab.Study("iris", "mlp(units=4)", {"plain": "none", "heavy": "dropout(rate=0.8)"})
    assert ", plain, " in measure(make).headline
    assert ", heavy, " in measure(make, recipe="heavy").headline
    assert ", l2(kernel=0.01), " in measure(make, recipe="l2(kernel=1e-2)").headline


# --- in the process that is measured ---------------------------------------------------------------------------------


@pytest.fixture
def bench():
    from reglab.experiments import steps
    from reglab.study.workbench import Workbench

    made = study(batch_size=16, sealed=True, epochs=1)
    yield Workbench(
        Assignment(made.dataset, made.model, made.settings, {"both": Recipe.parse("dropout(rate=0.5)+ema")})
    )
    steps._training.cache_clear()


@pytest.mark.backend
def test_a_visit_times_steps_and_measuring_of_the_studys_own_training(bench):
    from reglab.experiments import steps

    version, device, count, examples = steps.first(bench)
    assert (version, count) == (backends.version(), 4), "60 examples, the last batch being smaller"
    assert device
    data = bench.seed_data(0)
    assert data.test is None
    assert examples == len(data.clean[1]) + len(data.validation[1])
    epochs, memory = steps.visit(bench, 0.2)
    assert all(step > 0 and measuring > 0 for step, measuring in epochs)
    assert memory is None or memory > 10**7
    assert steps.visit(bench, 1e-9)[0], "one epoch at least"
    assert steps._training(bench)._program.model.recipe == Recipe.parse("dropout(rate=0.5)+ema")


@pytest.mark.backend
def test_epochs_that_are_longer_than_a_visit_are_cut_short(bench, monkeypatch):
    from reglab.experiments import steps

    steps.first(bench)
    training = steps._training(bench)
    seen = []

    def play(clock):
        clock._measure()
        clock.epochs.append((1.0, 2.0))
        seen.append(clock.steps)

    monkeypatch.setattr(steps, "_EXAMPLES", 8)
    monkeypatch.setattr(training, "fit", play)
    monkeypatch.setattr(training._program, "predict", lambda x: seen.append(len(x)))
    training._known = (0.1, 0.01)  # seconds of a step, and of measuring, as if a visit before had found them
    assert training.visit(1.3) == [(1.0, 2.0)]
    assert seen == [len(training.measured), 2], "all examples, and as many steps as take a sixth of the visit"
    training._known = (0.1, 10.0)
    assert training.visit(1.3) == [(1.0, 2.0 * len(training.measured) / 8)], "told of all examples"
    assert seen[2:] == [8, 2]
