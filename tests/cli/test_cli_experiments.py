"""``reglab robustness``, ``plan``, ``calibrate`` and ``report`` as they are typed, on a small study of images."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import reglab
from reglab.analysis.diagnose import diagnose
from reglab.cli import cli
from reglab.data.splits import drawn
from reglab.errors import ReglabError
from reglab.facade import Results

RECIPES = {"none": "none", "flipped | <b>": "augmentation(horizontal_flip=true)", "stopped": "early_stopping"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("experiments") / "study"
    reglab.Study("digits", "mlp(units=8)", RECIPES, seeds=2, epochs=2, train_size=60, out=out).run(workers=0)
    return out


def run(*arguments, **environment):
    done = CliRunner().invoke(
        cli, list(map(str, arguments)), catch_exceptions=False, env={"COLUMNS": "120", **environment}
    )
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.slow
def test_robustness_shows_a_row_a_recipe_and_attack(folder):
    done = run("robustness", folder, "--epsilon", 8 / 255, "--examples", 40)
    assert "8/255" in done.output
    assert "40 examples" in done.output
    assert done.output.count("FGSM") == done.output.count("PGD ") + 1 == 4, "three recipes, and the legend"
    told = json.loads(run("robustness", folder, "--epsilon", 8 / 255, "--examples", 40, "--json").stdout)
    results = Results.load(folder)
    assert told["metric"] == results.metric.name
    for name in RECIPES:
        fgsm, pgd = (told["values"][name][attack] for attack in ("fgsm", "pgd"))
        assert len(fgsm) == 2
        assert [row[0] for row in fgsm] == [row[0] for row in pgd]
        rows = drawn(results.predictions(name).labels, 40, seed=0)
        clean = [run.right[rows].mean() for run in results.runs[name].values()]
        assert [row[0] for row in fgsm] == pytest.approx(clean)


@pytest.mark.slow
def test_robustness_refuses_a_recipe_that_is_not_there(folder):
    with pytest.raises(ReglabError, match="no recipe 'nix'"):
        CliRunner().invoke(cli, ["robustness", str(folder), "--recipe", "nix"], catch_exceptions=False)


@pytest.mark.slow
def test_the_report_shows_what_the_augmentation_does_and_who_resists(folder):
    run("robustness", folder, "--epsilon", 8 / 255, "--examples", 40)
    done = run("report", folder)
    assert done.stdout.splitlines()[0].endswith("index.html")
    page = (folder / "report" / "index.html").read_text()
    assert (folder / "report" / "samples.npz").exists()
    assert "augmentation(horizontal_flip=true)" in page.lower()
    assert "flipped | &lt;b&gt;" in page
    assert "Robustness" in page


def test_a_report_without_samples_reads_no_data(folder, tmp_path):
    import shutil

    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "report" / "samples.npz").unlink(missing_ok=True)
    run("report", copy, "--no-samples")
    assert not (copy / "report" / "samples.npz").exists()
    assert (copy / "report" / "index.html").exists()


@pytest.mark.slow
def test_a_plan_says_what_seeds_show_and_what_they_cost(tmp_path):
    arguments = ["plan", "--data", "digits", "--model", "mlp(units=8)", "--recipe", "l2", "--recipe", "early_stopping",
                 "--train-size", 60, "--epochs", 3, "--seeds", 10, "--margin", 1, "--workers", 0, "--out",
                 tmp_path / "planned"]  # fmt: skip
    done = run(*arguments, "--spread", 1.5)
    assert "30 runs: 2 recipes beside the baseline, 10 seeds." in done.output
    assert "10 (planned)" in done.output
    assert "A difference of 1 point needs" in done.output
    told = json.loads(run(*arguments, "--spread", 1.5, "--no-measure", "--json").stdout)
    by_seeds = {row["seeds"]: row for row in told["by_seeds"]}
    assert by_seeds[told["seeds_needed"]]["detectable"] <= 0.01
    assert told["cost"] is None
    assert "Nothing is known of the spread" in run(*arguments, "--no-measure").output
    assert not (tmp_path / "planned").exists()


def test_calibrating_gives_a_plan_its_spread(stage, tmp_path):
    study = ["--data", "iris", "--model", "mlp(units=4)", "--epochs", 2, "--workers", 0]
    done = run("calibrate", *study, "--seeds", 5, "--repetitions", 2, "--out", tmp_path / "noise")
    assert "It is noise: the recipe is the same." in done.output
    assert "A/A studies" in done.output
    spread = json.loads((tmp_path / "noise" / "calibration.json").read_text())["noise"]["pair"]
    told = json.loads(run("plan", *study, "--recipe", "l2", "--from", tmp_path / "noise", "--no-measure", "--json",
                          "--out", tmp_path / "s").stdout)  # fmt: skip
    assert told["spread"]["value"] == spread


def test_a_calibration_takes_the_baseline_of_a_study_file(stage, tmp_path):
    (tmp_path / "study.yaml").write_text(
        "data: iris\nmodel: mlp(units=4)\nrecipes: {mild: l2, strong: dropout}\nbaseline: mild\nseeds: 2\nepochs: 1\n"
    )
    done = run("calibrate", tmp_path / "study.yaml", "--repetitions", 2, "--workers", 0, "--out", tmp_path / "noise")
    assert "l2(kernel=0.001) against itself, 2 times" in done.output
    assert "2 seeds are too few for verdicts" in done.output


def test_neither_word_nor_prescription_of_a_diagnosis_reads_the_test_set(folder):
    from reglab.analysis.prescribe import Patient, prescribe
    from reglab.experiments.diagnosis import diagnosed

    results = Results.load(folder)
    found = diagnosed(results)
    test = results.predictions("none")
    wrong = diagnose(
        [run.history for run in results.runs["none"].values()],
        results.task,
        validation=(lambda v: (v.labels, v.predicted))(results.predictions("none", "validation")),
        predictions=((test.labels + 1) % 10, test.predicted),
    )
    assert wrong.decomposition != found.decomposition
    assert wrong.word == found.word
    assert prescribe(wrong, Patient()) == prescribe(found, Patient())
