"""``reglab diagnose`` in one process: what it prints for folders, logs and options, and what it refuses."""

import json
import re
import subprocess
import sys

import made
import numpy as np
import played
import pytest

from reglab.cli import main
from reglab.facade import Results

GOOD = "epoch,accuracy,loss,val_accuracy,val_loss\n"


def log(epochs=20, *, behind=0.25):
    """Return a CSV log of a training whose validation lies behind, as CSVLogger writes it."""
    rows = []
    for epoch in range(epochs):
        learned = 1 - 0.8**epoch
        rows.append(f"{epoch},{0.1 + 0.88 * learned},{2.3 - 2 * learned},{0.1 + (0.88 - behind) * learned},"
                    f"{2.3 - 1.5 * learned}")  # fmt: skip
    return GOOD + "\n".join(rows) + "\n"


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run ``reglab diagnose`` in an empty folder; return exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["reglab", "diagnose", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return call


def write(path, text):
    path.write_text(text)
    return path.name


def test_a_csv_log_is_diagnosed_with_what_can_be_said_from_it(run, tmp_path):
    code, out, err = run(write(tmp_path / "log.csv", log()), "--classes", 10)
    assert (code, err) == (0, "")
    assert "Overfitting: training accuracy is 2" in out
    assert "What to try, in this order:" in out
    assert "running mean over the epoch" in out
    assert "loss and val_loss stand for the cross-entropy" in out
    assert "One run" in out
    assert not (tmp_path / "reglab-out").exists()
    assert "augmentation(" not in out
    assert "1. augmentation" in run("log.csv", "--kind", "image")[1]


def test_a_json_log_for_machines(run, tmp_path):
    history = {"accuracy": [0.2, 0.3, 0.3, 0.3, 0.3, 0.3], "val_accuracy": [0.2, 0.3, 0.3, 0.3, 0.3, 0.3]}
    code, out, err = run(write(tmp_path / "log.json", json.dumps([history] * 3)), "--json", "--classes", 5)
    assert (code, err) == (0, "")
    held = json.loads(out)
    assert held["diagnosis"]["word"] == "underfitting"
    assert held["diagnosis"]["seeds"] == 3
    assert {item["recipe"] for item in held["prescription"]} == {""}


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_it_reads_on_narrow_and_wide_terminals(run, tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = run(write(tmp_path / "log.csv", log()))
    assert max(map(len, out.splitlines())) <= columns
    assert len(out.splitlines()) <= (45 if columns == 60 else 34)
    assert re.search(r"^! gap: ", out, re.MULTILINE)
    assert re.search(r"^1\. dropout\(rate=0\.3\)", out, re.MULTILINE)


TRAINED = ("--data", "digits", "--model", "mlp(units=64)", "--train-size", 80, "--epochs", 20, "--seeds", 2,
           "--learning-rate", 0.003, "--workers", 0)  # fmt: skip


def test_a_log_of_squared_errors_is_diagnosed_with_the_deviation_of_the_target(run, tmp_path):
    rows = [f"{i},{100 * 0.7**i + 4},{100 * 0.7**i + 40},{9 * 0.8**i + 1}" for i in range(20)]
    name = write(tmp_path / "log.csv", "epoch,loss,val_loss,mae\n" + "\n".join(rows))
    code, out, err = run(name, "--target-std", 10)
    assert (code, err) == (0, "")
    assert "Overfitting: training R² is 0.36 ahead of validation" in out
    assert "stand for the mean squared error" in out
    assert "accuracy" not in out
    code, out, _ = run(name, "--json")
    assert (code, json.loads(out)["diagnosis"]["cost"]) == (0, "mae")


@pytest.mark.slow
def test_numbers_to_predict_are_diagnosed_probed_and_treated(run, tmp_path):
    everything = ("--probe", "learning-curve", "--probe", "labels", "--probe", "noise", "--probe", "weights", "--treat")
    code, out, _ = run("--data", "diabetes", "--model", "mlp(units=(64, 64))", "--train-size", 100, "--epochs",
                       60, "--learning-rate", 0.01, "--seeds", 2, "--workers", 0, "--out", "study",
                       *everything)  # fmt: skip
    assert code == 0
    assert "Overfitting: training R² is" in out
    for said in ("learning curve: From 25 to 100 training examples validation R² goes", "of their variance at least",
                 "of RMSE on training examples", "What worked on this model:", "in units of the target"):  # fmt: skip
        assert said in " ".join(out.split())
    for word in ("accuracy", "cross-entropy", "confidence", "points", "mixup"):
        assert word not in out[out.index("Overfitting: ") :]
    code, again, _ = run("study", *everything, "--workers", 0)
    assert again[again.index("Overfitting: ") :] == out[out.index("Overfitting: ") :]


@pytest.mark.slow
def test_options_train_the_baseline_and_its_folder_is_diagnosed_the_same(run, tmp_path):
    code, out, _ = run(*TRAINED, "--out", "study")
    assert code == 0
    assert "Overfitting: " in out
    assert "1. augmentation(rotation_range=10" in out
    assert "horizontal_flip" not in out
    held = json.loads((tmp_path / "study" / "diagnosis.json").read_text())
    assert held["diagnosis"]["word"] == "overfitting"

    code, again, err = run("study")
    assert (code, err) == (0, "")
    page = again.index("Overfitting: ")
    assert again[page:] == out[out.index("Overfitting: ") :]

    code, probed, _ = run("study", "--probe", "noise", "--probe", "weights")
    assert code == 0
    assert "input noise: " in probed
    assert "weights: " in probed

    # What is said does not hang on the folder being ours to write in, and runs that are gone are told.
    (tmp_path / "study" / "diagnosis.json").unlink()
    (tmp_path / "study" / "diagnosis.json").mkdir()
    code, out, err = run("study")
    assert (code, "Overfitting: " in out) == (0, True)
    assert "not kept in study" in err

    code, out, err = run("study", "--recipe", "l2")
    assert code == 2
    assert "has no recipe 'l2'; it has none" in err


class Overfits(played.Player):
    """Trainings with the histories and predictions of models that overfit."""

    def result(self, run):
        classes, epochs = self.data.num_classes, self._task.settings.epochs
        labels = np.arange(120, dtype="int32") % classes
        return made.trained(run.summary(), labels, classes, epochs=epochs, gain=0.0, share=1.0)


def test_a_recipe_is_diagnosed_instead_of_the_baseline(run):
    with played.stage(Overfits):
        code, out, _ = run(*TRAINED, "--recipe", "l2(kernel=1e-3)", "--json", "--out", "study")
    assert code == 0
    held = json.loads(out)
    assert (held["diagnosis"]["seeds"], held["diagnosis"]["word"]) == (2, "overfitting")
    assert {row.recipe for row in Results.load("study").comparison.rows} == {"l2(kernel=0.001)"}


@pytest.mark.slow
def test_probes_and_treatment_lie_in_the_folder(run, tmp_path):
    everything = ("--probe", "learning-curve", "--probe", "labels", "--probe", "noise", "--probe", "weights", "--treat")
    code, out, _ = run(*TRAINED, "--out", "study", *everything)
    assert code == 0
    for said in ("learning curve: ", "wrong labels: ", "input noise: ", "weights: ", "What worked on this model:"):
        assert said in out
    folders = {path.name for path in (tmp_path / "study").iterdir()}
    assert {"probe-learning-curve", "probe-labels", "treatment"} <= folders
    code, again, _ = run("study", *everything, "--workers", 0)
    assert code == 0
    assert again[again.index("Overfitting: ") :] == out[out.index("Overfitting: ") :]
    assert re.findall(r"; (\d+) trainings", again) == ["0"] * len(re.findall(r" trainings", again))


def test_a_study_as_yaml(run, stage, tmp_path):
    text = "data: wine\nmodel: mlp(units=4)\nrecipes: {heavy: dropout(rate=0.5)}\nseeds: 1\nepochs: 2\n"
    code, out, _ = run(write(tmp_path / "s.yaml", text), "--workers", 0, "--json")
    assert code == 0
    assert json.loads(out)["diagnosis"]["word"] == "cannot tell"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say what to diagnose"),
        (("--model", "mlp"), "Say what to diagnose"),
        (("gone.csv",), "does not exist"),
        (("log.csv", "--treat", "--epochs", 3), "--epochs, --treat: a log holds no model and no data"),
        (("log.csv", "--probe", "noise"), "--probe: a log holds no model"),
        (("bad.csv",), "has no metric that is known"),
        (("--data", "digits", "--model", "mlp", "--probe", "sharpness"), "is not one of"),
        (("--data", "digits", "--model", "mlp", "--recipe", "dropuot"), "dropout"),
        (("--data", "digits", "--model", "mlp", "--attainable", 0), "is not in the range"),
        (("empty",), "There is no study in empty"),
        (("empty", "--epochs", 3), "--epochs: the study in empty is what it is"),
        (("empty", "--out", "other"), "--out: what is diagnosed of a study is kept in its own folder, empty"),
    ],
)
def test_bad_input_is_told_before_anything_is_trained(run, tmp_path, arguments, said):
    (tmp_path / "log.csv").write_text(log())
    (tmp_path / "bad.csv").write_text("epoch,f1\n0,1\n")
    (tmp_path / "empty").mkdir()
    code, out, err = run(*arguments)
    assert code == 2
    assert said in " ".join(err.split())
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "reglab-out").exists()


@pytest.mark.slow
def test_a_log_is_diagnosed_without_keras(tmp_path):
    (tmp_path / "log.csv").write_text(log())
    code = "import sys\nfrom reglab.cli import cli\ncli.main(['diagnose', 'log.csv'], standalone_mode=False)\n"
    code += "print('loaded:', [m for m in ('keras', 'tensorflow', 'jax', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"
