"""Models that were trained to be ill in a known way, and what is said of them."""

import numpy as np
import pytest
from made import study as made_study

import reglab
from reglab.analysis.diagnose import diagnose
from reglab.analysis.prescribe import prescribe
from reglab.data import load, split
from reglab.data import test_part as held_out
from reglab.errors import ReglabError
from reglab.experiments.diagnosis import diagnosed, patient, write
from reglab.experiments.probes import measured_part, probe_data, probed, wrong_labels
from reglab.experiments.treatment import treat, treatment
from reglab.facade import Results
from reglab.report.diagnosis import as_dict, conclusion
from reglab.report.findings import verdict
from reglab.study.storage import answers
from reglab.tasks import SingleLabel

DIGITS = SingleLabel(classes=tuple("0123456789"))


def run(study):
    return study.run(workers=0)


def study(out, **settings):
    chosen = {"seeds": 3, "epochs": 25, "train_size": 150, "learning_rate": 3e-3, **settings}
    return reglab.Study(chosen.pop("data", "digits"), chosen.pop("model", "mlp(units=(256, 256))"), out=out, **chosen)


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A large network on 150 digits: the study and its results."""
    made = study(tmp_path_factory.mktemp("big") / "study")
    return made, run(made)


@pytest.mark.backend
@pytest.mark.slow
def test_an_oversized_model_on_few_examples_overfits(big):
    _, results = big
    found = diagnosed(results)
    assert (found.word, found.kind) == ("overfitting", "performance")
    assert found.train.mean > 0.98
    assert found.gap.low > 0.02
    assert found.decomposition.variance > 0
    assert found.seeds == 3


@pytest.mark.slow
def test_a_model_too_small_underfits(tmp_path):
    found = diagnosed(run(study(tmp_path / "s", model="mlp(units=1)", train_size=600, epochs=30, seeds=2)))
    assert found.word == "underfitting"
    assert not any(item.recipe for item in prescribe(found))


@pytest.mark.slow
def test_a_training_cut_short_underfits_for_being_unfinished(tmp_path):
    found = diagnosed(run(study(tmp_path / "s", model="mlp(units=32)", epochs=8, learning_rate=3e-4, seeds=2)))
    assert (found.word, found.kind) == ("underfitting", "unfinished")
    assert prescribe(found)[0].name == "train longer"


@pytest.mark.slow
def test_a_model_that_suits_its_data_fits(tmp_path):
    found = diagnosed(run(study(tmp_path / "s", model="mlp(units=32)", train_size=None, epochs=12, learning_rate=1e-3)))
    assert found.word == "fitting", verdict(found)
    assert found.gap.mean < 0.03


@pytest.mark.slow
def test_wrong_labels_in_training_overfit_with_an_onset(tmp_path):
    """A quarter of all training labels is wrong: validation cross-entropy turns when they are learned by heart."""
    data = load("digits")
    parts = split(data, DIGITS, test=held_out(data, DIGITS), seed=0, train_size=400)
    corrupted, wrong = wrong_labels(data, DIGITS, parts, share=0.25, seed=0)
    assert wrong.sum() == 100
    found = diagnosed(run(study(tmp_path / "s", data=corrupted, train_size=None, epochs=40)))
    assert (found.word, found.kind) == ("overfitting", "performance")
    assert found.onset is not None
    assert found.turned == 3
    assert found.onset < 20
    assert prescribe(found, patient_of_images(found))[1].name == "early stopping"


def patient_of_images(found):
    from reglab.analysis.prescribe import Patient

    return Patient(kind="image", epochs=found.runs[0].epochs)


def test_one_seed_says_that_it_has_no_interval(tmp_path):
    found = diagnosed(Results.load(made_study(tmp_path / "s", seeds=1)))
    assert np.isfinite(found.gap.mean)
    assert np.isnan(found.gap.low)
    assert found.finding("seeds").state == "unknown"
    assert found.decomposition is None


def test_wrong_labels_are_wrong_in_training_alone():
    data = load("digits")
    parts = split(data, DIGITS, test=held_out(data, DIGITS), seed=1, train_size=200)
    corrupted, wrong = wrong_labels(data, DIGITS, parts, share=0.3, seed=1)
    truth = data.y[np.concatenate([parts.train, parts.val, parts.test])]
    assert wrong.sum() == 60
    assert ((corrupted.y != truth) == wrong).all()
    assert (corrupted.part[wrong] == 0).all()
    again, _ = wrong_labels(data, DIGITS, parts, share=0.3, seed=1)
    other, _ = wrong_labels(data, DIGITS, parts, share=0.3, seed=2)
    assert again.fingerprint == corrupted.fingerprint != other.fingerprint
    held = split(corrupted, DIGITS, test=held_out(corrupted, DIGITS), seed=1)
    for mine, theirs in ((held.val, parts.val), (held.test, parts.test), (held.train, parts.train)):
        np.testing.assert_array_equal(corrupted.x[mine], data.x[theirs])
    with pytest.raises(ReglabError, match="share"):
        wrong_labels(data, DIGITS, parts, share=1.0, seed=0)


@pytest.mark.slow
def test_the_measured_part_is_the_one_of_the_workbench(big):
    from reglab.study.spec import Assignment
    from reglab.study.workbench import Workbench

    made, _ = big
    bench = Workbench(Assignment(made.dataset, made.model, made.settings, made.recipes))
    for seed in (0, 2):
        parts = bench.split(seed)
        mine = measured_part(parts.train, len(parts.val), seed)
        np.testing.assert_array_equal(made.dataset.y[mine], bench.seed_data(seed).clean[1])


@pytest.mark.slow
def test_probes_of_an_oversized_model(big):
    made, results = big
    found = probed(("learning-curve", "labels", "noise", "weights"), made, results, run=run)
    assert found.learning_curve.sizes == (38, 75, 150)
    assert found.learning_curve.short_of_data  # digits go on getting better up to a thousand examples and more
    assert found.labels.memorizes
    assert found.labels.val.mean < found.labels.clean_val.mean - 0.1
    noisy = [each.mean for each in found.noise.level]
    assert noisy[0] == pytest.approx(np.mean([r.metrics["val_accuracy"] for r in results.runs["none"].values()]))
    assert noisy[-1] < noisy[0]
    assert found.weights.growth.mean > 1
    assert found.weights.sharpness.mean > 0
    # What was trained is not trained again.
    again = probe_data(made, results, run=lambda study: Results.load(study.out))
    assert again == found.learning_curve


@pytest.mark.slow
def test_a_small_model_learns_no_wrong_labels(tmp_path):
    made = study(tmp_path / "s", model="mlp(units=4)", train_size=800, epochs=15, seeds=2)
    found = probed(("labels",), made, run(made), run=run)
    assert not found.labels.memorizes


def test_a_training_set_that_cannot_be_divided_has_no_learning_curve(stage, tmp_path):
    made = study(tmp_path / "s", train_size=20, seeds=1, epochs=1)
    assert probe_data(made, run(made), run=run) is None
    assert len(stage) == 1, "nothing is trained for it"


@pytest.mark.slow
def test_a_treatment_says_what_worked_and_where_it_acted(big):
    made, results = big
    found = diagnosed(results)
    items = prescribe(found, patient(results, made))
    treated = treat(made, items, run=run)
    assert [tried.item.name for tried in treated.tried] == [item.name for item in items if item.recipe]
    assert all(tried.verdict.word == "screening" for tried in treated.tried)  # three seeds
    assert all(tried.change is not None for tried in treated.tried)
    assert "screening" in conclusion(treated)
    for mine, theirs in zip(treated.results.runs["none"].values(), results.runs["none"].values(), strict=True):
        assert mine.id == theirs.id  # the baseline was taken over, not trained again
    expected = as_dict(found, items, treated=treated)
    write(results.folder, "none", expected)
    held = answers.latest(results.folder, "diagnosis")
    assert {key: held[key] for key in expected} == expected


def test_what_is_no_recipe_is_not_tried(tmp_path):
    flat = {"train_accuracy": [0.2, 0.3, 0.3, 0.3, 0.3, 0.3], "val_accuracy": [0.2, 0.3, 0.3, 0.3, 0.3, 0.3]}
    found = diagnose([flat] * 3, DIGITS)
    assert found.word == "underfitting"
    with pytest.raises(ReglabError, match="There is no recipe to try"):
        treatment(study(tmp_path / "s"), prescribe(found))
