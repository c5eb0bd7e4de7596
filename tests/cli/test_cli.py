"""The command line in one process: what it prints, what it refuses, and with which exit code."""

import json
import sys

import numpy as np
import pandas as pd
import played
import pytest
from PIL import Image

import reglab
from reglab.cli import main
from reglab.strategies import Stage
from reglab.study.executors.base import JobFinished, JobLost

TRAINING = ("compare", "paper", "demo", "resume")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run ``reglab`` with arguments in an empty folder; return exit code, output and errors.

    It trains in this process, which is faster; worker processes have tests of their own. Tests that ask for ``stage``
    look at the command alone: their trainings are played.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments):
        here = ("--workers", "0") if arguments[0] in TRAINING else ()
        monkeypatch.setattr(sys, "argv", ["reglab", *map(str, arguments), *here])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return call


SMALL = ("--epochs", 2, "--seeds", 2, "--batch-size", 16, "--train-size", 60)


def test_compare_prints_a_table_and_writes_a_study(run, tmp_path):
    code, out, err = run("compare", "--data", "digits", "--model", "mlp(units=8)", "--recipe", "l2", "--recipe",
                         "heavy=dropout(rate=0.8)", *SMALL, "--out", "study")  # fmt: skip
    assert code == 0
    assert [line.partition(":")[0] for line in err.splitlines()] == ["data", "data"]
    assert "digits, mlp(units=8), 60 training examples, 2 epochs, batch 16, adam, 2 seeds" in out
    for name in ("none", "l2(kernel=0.001)", "heavy", "written: study/results.json"):
        assert name in out
    results = json.loads((tmp_path / "study" / "results.json").read_text())
    assert [entry["name"] for entry in results["recipes"]] == ["none", "l2(kernel=0.001)", "heavy"]
    for name in ("study.yaml", "study.sqlite", "report/table.md"):
        assert (tmp_path / "study" / name).is_file()

    code, out, _ = run("compare", "study/study.yaml", "--out", "study")  # the frozen spec, run again
    assert code == 0
    assert "6 runs, of which 6 are recorded already; 0 trainings" in out


def test_compare_reads_yaml_and_options_go_before_it(run, stage, tmp_path):
    (tmp_path / "s.yaml").write_text(
        "data: wine\nmodel: mlp(units=4)\nrecipes:\n  small: l2(kernel=1e-4)\n"
        "seeds: 2\nepochs: 9\nlearning_rate: 1e-2\n"
    )
    code, out, _ = run("compare", "s.yaml", "--epochs", 1, "--out", "study")
    assert code == 0
    assert "wine, mlp(units=4), all training examples, 1 epochs, batch 32, adam 0.01, 2 seeds" in out
    assert "small" in out
    (player,) = stage
    assert len(player.trained) == 4


@pytest.mark.slow
def test_a_folder_of_images_and_a_users_module(run, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for number in range(12):
            folder = tmp_path / "photos" / name
            folder.mkdir(parents=True, exist_ok=True)
            shape = (10 + number % 2, 9, 3)
            Image.fromarray(rng.integers(0, 256, shape, dtype="uint8")).save(folder / f"{number}.png")
    (tmp_path / "my_models.py").write_text(
        "import keras\n"
        "def build(input_shape, num_classes):\n"
        "    inputs = keras.Input(input_shape)\n"
        "    h = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, activation='relu')(inputs))\n"
        "    return keras.Model(inputs, keras.layers.Dense(num_classes)(h))\n"
    )
    arguments = ("compare", "--data", "photos", "--model", "my_models.py:build", "--recipe",
                 "augmentation(rotation_range=10,horizontal_flip=true)", "--epochs", 1, "--seeds", 1)  # fmt: skip
    code, out, err = run(*arguments)
    assert code == 2
    assert "images differ in size" in err
    assert "--image-size" in err
    assert not (tmp_path / "reglab-out").exists()
    code, out, _ = run(*arguments, "--image-size", "8")
    assert code == 0
    assert "photos, my_models.py:build" in out


def test_a_table(run, stage, tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 3)), columns=["a", "b", "c"])
    frame["kind"] = np.where(frame["a"] > 0, "yes", "no")
    frame.to_csv(tmp_path / "table.csv", index=False)
    code, out, _ = run("compare", "--data", "table.csv", "--target", "kind", "--model", "mlp", "--recipe", "mixup",
                       "--epochs", 1, "--seeds", 1)  # fmt: skip
    assert code == 0
    assert "mixup(alpha=0.2)" in out
    (player,) = stage
    assert (len(player.data), player.data.class_names) == (40, ("no", "yes"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["compare"], 2, "Say which data"),
        (["compare", "--data", "digitz"], 2, "Did you mean 'digits'"),
        (["compare", "--data", "digits", "--model", "incption"], 2, "Did you mean 'inception'"),
        (["compare", "--data", "digits", "--recipe", "l2(kernel=-1)"], 2, "Expected [0, inf)"),
        (["compare", "--data", "digits", "--recipe", "l1+l1l2"], 2, "cannot be combined"),
        (["compare", "--data", "digits", "--epochs", "0"], 2, "epochs=0 is not possible"),
        (["compare", "--data", "digits", "--validation", "1.5"], 2, "validation=1.5 is not possible"),
        (["compare", "--data", "digits", "--train-size", "100000"], 2, "train_size=100000 is more than"),
        (["compare", "--data", "digits", "--model", "mlp", "--baseline", "l3"], 2, "l3"),
        (["compare", "--data", "iris", "--model", "inception"], 2, "mlp"),
        (["compare", "--data", "digits", "--optimizer", "adamm"], 2, "adamm"),
        (["compare", "--data", "digits", "--recipe", "l2", "--recipe", "l2(kernel=1e-3)"], 2, "Two recipes"),
        (["compare", "absent.yaml"], 2, "absent.yaml"),
        (["paper", "table4"], 2, "table4"),
        (["paper", "table2", "--data", "digits", "--arm", "L3"], 2, "no arm 'L3'"),
        (["strategies", "l3"], 2, "Unknown strategy 'l3'"),
        (["compare", "--data", "iris", "--model", "mlp", "--recipe", "augmentation(rotation_range=5)"], 2, "images"),
    ],
)
def test_bad_input_is_told_in_a_sentence_before_anything_is_written(run, tmp_path, arguments, code, message):
    found, _out, err = run(*arguments)
    assert found == code
    assert message in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_yaml_mistakes(run, tmp_path):
    for text, message in (
        ("data: [", "not valid YAML"),
        ("3", "does not hold a study"),
        ("daat: x", "Did you mean 'data'"),
    ):
        (tmp_path / "s.yaml").write_text(text)
        code, _, err = run("compare", "s.yaml")
        assert code == 2
        assert message in err


def test_strategies_lists_them_all_and_says_everything_about_one(run):
    code, out, _ = run("strategies")
    assert code == 0
    for name in reglab.strategies.CATALOGUE:
        assert name in out
    for name in reglab.strategies.CATALOGUE:
        code, out, _ = run("strategies", name)
        assert code == 0
        assert "paper: " in out
    code, out, _ = run("strategies", "l1")
    assert "not with l1l2" in out


def test_strategies_as_json_holds_formula_ranges_units_and_conflicts(run):
    code, out, _ = run("strategies", "--json")
    cards = {card["name"]: card for card in json.loads(out)}
    assert code == 0
    assert set(cards) == set(reglab.strategies.CATALOGUE)
    rate = cards["dropout"]["hyperparameters"][0]
    assert (rate["name"], rate["default"], rate["range"], rate["strength"]) == ("rate", "0.1", "[0, 1)", True)
    assert set(cards["l1"]["conflicts"]) == set(cards["l2"]["conflicts"]) == {"l1l2"}
    assert set(cards["l1l2"]["conflicts"]) == {"l1", "l2"}
    assert cards["dropout"]["conflicts"] == {}
    for card in cards.values():
        assert card["formula"]
        assert card["paper"]
        assert card["stage"].upper() in Stage.__members__


def test_the_papers_table_beside_ours(run, stage):
    code, out, _ = run("paper", "table2", "--data", "digits", "--model", "inception(filters=(2,2,2),modules=1)",
                       "--arm", "L2", "--arm", "combination", "--epochs", 1, "--seeds", 1, "--train-size", 50,
                       "--batch-size", 25, "--out", "study")  # fmt: skip
    assert code == 0
    assert "80.05" in out  # the paper's accuracy with L2
    assert "What the paper does not say" in out
    assert "combination: horizontal_flip left out" in out.replace("\n", " ")


def test_the_optimistic_protocol_prints_its_banner(run, stage, tmp_path):
    code, out, _ = run("compare", "--data", "iris", "--model", "mlp(units=4)", "--protocol", "test-as-validation",
                       "--epochs", 1, "--seeds", 1, "--out", "study")  # fmt: skip
    assert code == 0
    assert "PROTOCOL test-as-validation" in out.replace("\n", " ")
    assert "PROTOCOL test-as-validation" in (tmp_path / "study" / "report" / "table.md").read_text()
    assert "test-as-validation" in (tmp_path / "study" / "results.json").read_text()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_tables_fit_the_terminal(run, stage, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, _ = run("compare", "--data", "iris", "--model", "mlp(units=4)", "--recipe",
                    "l2(kernel=1e-3)+dropout(rate=0.3)+label_smoothing", "--epochs", 1, "--seeds", 2)  # fmt: skip
    assert max(map(len, out.splitlines())) <= width


def test_an_interrupted_study_says_that_what_finished_is_kept(run, monkeypatch):
    from reglab import studies

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(studies, "coordinate", interrupted)
    code, _, err = run("compare", "--data", "iris", "--model", "mlp", "--epochs", 1, "--seeds", 1)
    assert code == 130
    assert "the same command goes on from there" in err


class Stopped(played.Player):
    """Every training of L2 fails, and Ctrl-C comes when the third training is over."""

    over = 0

    def start(self, worker, jobs):
        failing = any(strategy.name == "l2" for strategy in jobs[0].ride.recipe)
        if failing:
            self.ends.append(("exception", "Traceback (most recent call last):\n  ...\nRuntimeError: no such luck"))
        super().start(worker, jobs)

    def poll(self, handle, timeout):
        def counted(event):
            handle(event)
            self.over += isinstance(event, JobFinished | JobLost)

        super().poll(counted, timeout)
        if self.over == 3:
            raise KeyboardInterrupt


@pytest.fixture
def stopped(run):
    """A study of six runs that was stopped after the third training, of which one failed."""
    with played.stage(Stopped, workers=1):
        code, _, _ = run("compare", "--data", "iris", "--model", "mlp(units=4)", "--recipe", "l2", "--recipe",
                         "dropout", "--epochs", 2, "--seeds", 2, "--out", "study")  # fmt: skip
    assert code == 130
    with played.stage():
        yield


def test_status_says_what_is_done_what_failed_and_what_to_do(run, stopped):
    code, out, _ = run("status", "study")
    assert code == 0
    assert "6 runs: 2 finished, 3 planned, 1 failed" in out
    assert "nobody runs it now" in out
    assert "reglab resume study" in out
    assert "failed l2(kernel=0.001), seed 0: RuntimeError: no such luck" in out
    found = json.loads(run("status", "study", "--json")[1])
    assert found["counts"] == {"finished": 2, "diverged": 0, "failed": 1, "running": 0, "planned": 3}
    assert (found["active"], found["complete"], found["epochs"]) == (False, False, 2)
    assert found["failed"][0]["error"].startswith("Traceback")
    code, out, _ = run("status", "study", "--watch")  # nobody runs it, so there is nothing to wait for
    assert code == 0


def test_resume_finishes_a_study_and_runs_lists_it(run, stopped):
    code, out, _ = run("resume", "study")
    assert code == 0
    assert "6 runs, of which 2 are recorded already; 4 trainings" in out
    assert "iris, mlp(units=4)" in out
    code, out, _ = run("status", "study")
    assert "6 runs: 6 finished" in out
    assert "complete" in out
    listed = json.loads(run("runs", "study", "--json")[1])
    assert [entry["status"] for entry in listed] == ["finished"] * 6
    assert {(entry["name"], entry["attempts"]) for entry in listed if entry["seed"] == 0} == {
        ("none", 1), ("l2(kernel=0.001)", 2), ("dropout(rate=0.1)", 1)
    }  # fmt: skip
    assert run("runs", "study", "--failed")[1].strip() == "No run failed or diverged."
    whole = run("resume", "study")[1]
    assert "0 trainings" in whole


def test_runs_says_why_runs_failed(run, stopped):
    code, out, _ = run("runs", "study", "--failed")
    assert code == 0
    assert "failed l2(kernel=0.001), seed 0 (1 attempt" in out
    assert "no such luck" in out
    assert "\x1b" not in out
    code, out, _ = run("runs", "study")
    assert out.split("\n")[0].split() == [
        "recipe",
        "status",
        "seed",
        "accuracy",
        "gap",
        "epochs",
        "s/run",
        "tries",
        "run",
    ]


@pytest.mark.parametrize("width", [50, 80, 160])
def test_status_and_runs_fit_the_terminal(run, stopped, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for command in (["status", "study"], ["runs", "study"], ["runs", "study", "--failed"]):
        assert max(map(len, run(*command)[1].splitlines())) <= width


def test_status_and_resume_of_no_study_say_so(run, tmp_path):
    (tmp_path / "empty").mkdir()
    for command in (["status", "empty"], ["runs", "empty"], ["resume", "empty"]):
        code, _, err = run(*command)
        assert code == 2
        assert "There is no study in empty" in err
    assert list((tmp_path / "empty").iterdir()) == []
    assert run("status", "absent")[0] == 2


def test_a_study_whose_data_moved_is_resumed_with_data_and_refused_if_they_changed(run, stopped, tmp_path):
    frame = pd.DataFrame({"a": np.arange(40.0), "kind": ["x", "y"] * 20})
    frame.to_csv(tmp_path / "t.csv", index=False)
    command = (
        "--data",
        "t.csv",
        "--target",
        "kind",
        "--model",
        "mlp(units=4)",
        "--epochs",
        1,
        "--seeds",
        1,
        "--out",
        "s",
    )
    assert run("compare", *command)[0] == 0
    (tmp_path / "t.csv").rename(tmp_path / "u.csv")
    code, _, err = run("resume", "s")
    assert code == 2
    assert "t.csv" in err
    assert run("resume", "s", "--data", "u.csv")[0] == 0
    frame.assign(a=frame["a"] + 1).to_csv(tmp_path / "t.csv", index=False)
    code, _, err = run("resume", "s")
    assert code == 2
    assert "data (content) is" in err


def test_durations_are_for_people():
    from reglab.cli.status import duration

    assert [duration(s) for s in (0.4, 42, 150, 7200, 12000, 190000)] == [
        "0 s", "42 s", "2 min", "2 h 0 min", "3 h 20 min", "2 d 4 h"
    ]  # fmt: skip
