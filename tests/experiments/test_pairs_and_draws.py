"""Pairs by seed, examples by class, samples of unequal counts, names that do not meet: the seams of two features."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import click
import numpy as np
import pytest

from reglab.analysis import robustness
from reglab.analysis.prescribe import Item, Reason, Remedy
from reglab.analysis.robustness import epsilon_text, resists_fgsm_only
from reglab.cli.sweep import _read
from reglab.data.splits import drawn
from reglab.errors import ReglabError
from reglab.experiments.samples import FILE, Sample, _keep, load
from reglab.experiments.treatment import _named, treatment
from reglab.facade import Results, Study
from reglab.report.extras import samples_of
from reglab.studies import _longer
from reglab.study.progress import Progress
from reglab.study.spec import Settings
from reglab.tasks.classes import ACCURACY
from reglab.tuning.each import tune_each

curves = functools.partial(robustness.curves, metric=ACCURACY)

sys.path.append(str(Path(__file__).parents[1] / "study"))  # for played.py

# --- robustness -----------------------------------------------------------------------------------


def _attacked(fgsm, pgd):
    return {"fgsm": [0.9, fgsm], "pgd": [0.9, pgd]}


def test_robustness_is_paired_by_seed_and_not_by_position():
    """Seed 0 of the baseline failed. What each seed has won over its own baseline decides."""
    base = {1: _attacked(0.10, 0.05), 2: _attacked(0.50, 0.45), 3: _attacked(0.30, 0.25)}
    masked = {seed: _attacked(of["fgsm"][1] + 0.3, of["pgd"][1] + 0.01 * seed) for seed, of in base.items()}
    whole = resists_fgsm_only(curves(masked), curves(base))
    assert whole == 1
    more = {0: _attacked(0.9, 0.9), **masked}
    assert resists_fgsm_only(curves(more), curves(base)) == whole
    other = {seed + 10: of for seed, of in masked.items()}
    assert resists_fgsm_only(curves(other), curves(base)) is None


def test_intervals_of_robustness_are_shares_and_never_points():
    found = curves({0: _attacked(0.0, 0.02), 1: _attacked(0.0, 0.0), 2: _attacked(0.0, 0.3)}, examples=100)
    assert (found["pgd"].low >= 0).all()
    assert found["fgsm"].high[1] > 0.01


def test_an_epsilon_is_written_in_one_way():
    assert [epsilon_text(x, "pixel") for x in (0, 1 / 255, 8 / 255, 0.1)] == ["0", "1/255", "8/255", "25.5/255"]
    assert [epsilon_text(x, "input") for x in (0, 0.05, 0.1)] == ["0", "0.05", "0.1"]


# --- examples by class ----------------------------------------------------------------------------


def test_a_few_examples_are_of_every_class_though_the_data_lie_sorted():
    labels = np.repeat([0, 1, 2], [500, 300, 200])
    for count in (10, 20, 100):
        found = drawn(labels, count, seed=0)
        assert np.bincount(labels[found], minlength=3).tolist() == [count // 2, 3 * count // 10, count // 5]
    assert len(set(drawn(labels, 1000, seed=0))) == 1000
    assert (drawn(labels, 20, seed=0) == drawn(labels, 20, seed=0)).all()
    assert (drawn(labels, 20, seed=0) != drawn(labels, 20, seed=1)).any()


# --- samples --------------------------------------------------------------------------------------


def _sample(name, count):
    images, names = np.zeros((count, 4, 4, 1), "uint8"), ("cat",) * count
    return Sample(name, "augmentation()", names, images, images + 1, names, names, 0, images)


def test_samples_of_different_counts_are_kept_and_shown(tmp_path):
    _keep(tmp_path, [_sample("a", 8), _sample("b", 6), _sample("c", 1)])
    assert [len(each.before) for each in load(tmp_path)] == [8, 6, 1]
    assert [len(each.pairs) for each in samples_of(tmp_path)] == [8, 6, 1]


def test_samples_that_are_not_whole_are_none(tmp_path):
    bad = Sample(**{**vars(_sample("a", 4)), "labels": ("cat",)})
    _keep(tmp_path, [bad])
    assert load(tmp_path) == []
    assert samples_of(tmp_path) is None
    (tmp_path / FILE).write_bytes(b"PK")
    assert load(tmp_path) == []


# --- sweep ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [("2/255,8/255", [2 / 255, 8 / 255]), ("(1e-4,1e-3),(1e-3,1e-2)", [(1e-4, 1e-3), (1e-3, 1e-2)]),
     ("1e-1, 1e-2,", [0.1, 0.01]), ("true,false", [True, False]), ("1,2", [1, 2]), ("val_loss", ["val_loss"])],
)  # fmt: skip
def test_values_of_a_sweep_are_written_as_in_recipes(text, values):
    assert _read(text) == values


def test_ranges_of_a_sweep_may_have_fractions():
    assert _read("1/255:4/255:3") == pytest.approx([1 / 255, 2 / 255, 4 / 255], rel=1e-3)
    for bad in ("", "1:2", "a=1", "1e-3,,", "(", "1:b:3"):
        with pytest.raises(click.UsageError, match="--values"):
            _read(bad)


# --- refused before anything is trained -----------------------------------------------------------


def test_a_sealed_study_cannot_choose_by_the_test_set():
    with pytest.raises(ReglabError, match="must not read it"):
        Settings(sealed=True, protocol="test-as-validation")


def _nothing_is_made(**changes):
    raise AssertionError("nothing may be made")


def test_a_fixed_recipe_never_takes_the_place_of_a_tuned_one(tmp_path):
    with pytest.raises(ReglabError, match="dropout: a fixed recipe is called like what is tuned"):
        tune_each(_nothing_is_made, ("dropout",), 2, out=tmp_path, beside={"dropout": "dropout(rate=0.5)"})
    with pytest.raises(ReglabError, match="baseline 'l2' is not among"):
        tune_each(_nothing_is_made, ("dropout",), 2, out=tmp_path, baseline="l2")
    assert not list(tmp_path.iterdir())


# --- treatment ------------------------------------------------------------------------------------

ITEMS = (
    Item(Remedy.DROPOUT, "dropout(rate=0.3)", Reason.GAP), Item(Remedy.L2, "l2(kernel=1e-3)", Reason.GAP),
    Item(Remedy.LONGER, "", Reason.VALIDATION_IMPROVES),
)  # fmt: skip


@pytest.mark.parametrize("baseline", ["weight_noise(stddev=0.1)", "none"])
def test_a_treatment_is_added_to_the_recipe_that_is_diagnosed(tmp_path, baseline):
    study = Study("iris", "mlp", {"dropout": baseline}, baseline="dropout", out=tmp_path)
    tried = treatment(study, ITEMS)
    assert tried.baseline == "dropout"
    texts = {name: recipe.to_text() for name, recipe in tried.recipes.items()}
    assert list(texts) == ["dropout", "with dropout", "with L2 penalty"]
    assert texts["dropout"] == baseline
    for name, part in (("with dropout", "dropout(rate=0.3)"), ("with L2 penalty", "l2(kernel=0.001)")):
        assert part in texts[name]
        assert baseline == "none" or baseline in texts[name]


def test_a_treatment_is_never_called_like_what_is_treated():
    assert _named(ITEMS[0], "with dropout") != "with dropout"


# --- extending ------------------------------------------------------------------------------------


def test_more_seeds_of_a_study_that_was_read_are_known_for_what_they_are():
    short = {"data": "iris", "seeds": 5, "epochs": 3, "recipes": {"none": "none", "l2": "l2(kernel=1.0)"}}
    assert _longer({**short, "seeds": 10, "margin": 1.0}, short)
    assert not _longer(short, short)
    assert not _longer({**short, "seeds": 10, "epochs": 4}, short)
    assert not _longer({**short, "seeds": 10, "recipes": {"none": "none", "l1": "l1"}}, short)
    assert not _longer({**short, "seeds": 3}, short)


def test_an_extended_study_says_so_in_its_folder_and_goes_on_saying_it(tmp_path):
    from played import stage

    options = {"model": "mlp", "recipes": ["l2(kernel=1e-3)"], "epochs": 4}
    first = Study("iris", seeds=1, out=tmp_path / "first", **options)
    longer = Study("iris", seeds=2, out=tmp_path / "longer", reuse=[first.out], **options)
    said = Noting()
    with stage():
        assert first.run().notes == ()
        results = longer.run(said)
        (first.out / "results.json").unlink()
        again = longer.run()
    for notes in (said.notes, results.notes, again.notes, Results.load(longer.out).to_dict()["notes"]):
        assert [note for note in notes if note.startswith("EXPLORATORY: the results of 1 seed had been read")]


def test_two_equal_studies_give_the_same_results_to_the_last_byte(tmp_path):
    from played import stage

    with stage():
        for name in ("one", "other"):
            Study("iris", "mlp", ["l2(kernel=1e-3)"], seeds=2, epochs=4, out=tmp_path / name).run()
    assert (tmp_path / "one" / "results.json").read_bytes() == (tmp_path / "other" / "results.json").read_bytes()


class Noting(Progress):
    """Keeps what is noted."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)
