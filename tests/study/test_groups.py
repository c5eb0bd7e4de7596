"""A study whose split is by group: in worker processes, resumed, exported, and otherwise the study that it was."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import reglab
from reglab.cli import cli
from reglab.export.write import export
from reglab.replay import Replay

SETTINGS = {"target": "state", "seeds": 2, "epochs": 2, "batch_size": 16}


def written(path, groups):
    random = np.random.default_rng(0)
    rows = [
        f"{random.normal():.3f},{random.normal():.3f},p{group:02d},{'ill' if random.random() < 0.4 else 'well'}"
        for group in groups
    ]
    path.write_text("\n".join(["pulse,weight,patient,state", *rows]))
    return path


@pytest.fixture(scope="module")
def visits(tmp_path_factory):
    random = np.random.default_rng(1)
    return written(
        tmp_path_factory.mktemp("visits") / "visits.csv", np.repeat(np.arange(20), random.integers(3, 9, 20))
    )


def study(data, out=None, **changes):
    return reglab.Study(data, "mlp(units=4)", ["l2(kernel=1e-3)"], out=out, **{**SETTINGS, **changes})


def test_that_the_split_is_by_group_is_said_and_frozen(visits, tmp_path):
    made = study(visits, tmp_path / "out", group="patient")
    assert made.headline.endswith(", split by patient")
    assert made.notes()[0].startswith("The split is by group: each of the 20 groups of patient lies in one part")
    assert made.spec()["group"] == "patient"
    assert not any("group" in note for note in study(visits, tmp_path / "out", drop_columns="patient").notes())


def test_groups_as_an_array_are_those_of_the_column(visits):
    table = study(visits, group="patient").dataset
    made = study((table.x, table.y), target=None, groups=table.groups)
    np.testing.assert_array_equal(made._first_split().val, study(visits, group="patient")._first_split().val)
    assert made.spec()["python_objects"] == ["data", "groups"]
    assert made.headline.endswith(", split by group")
    assert made.with_(out=None, epochs=3).dataset is made.dataset
    assert made.with_(out=None, groups=np.roll(table.groups, 1)).dataset is not made.dataset
    assert made.with_(out=None, groups=None).dataset.groups is None
    assert made.with_(out=None, data=(table.x[:40], table.y[:40])).dataset.groups is None


@pytest.mark.slow
def test_groups_are_a_fact_of_a_run_where_they_are_given(visits):
    from reglab.study.workbench import Workbench

    with_groups, without = (
        Workbench(study(visits, **how).assignment).facts()
        for how in ({"group": "patient"}, {"drop_columns": "patient"})
    )
    assert {key for key in with_groups if with_groups[key] != without.get(key)} == {"groups", "test part"}
    assert "groups" not in without


@pytest.mark.slow
def test_a_study_by_group_trains_in_workers_goes_on_and_is_exported_with_its_split(visits, tmp_path):
    out = tmp_path / "out"
    results = study(visits, out, group="patient").run(workers=2)
    assert [note for note in results.notes if note.startswith("The split is by group")]
    assert "split by patient" in results.headline
    lost = results.runs["l2(kernel=0.001)"][1]
    shutil.rmtree(out / "runs" / lost.id)
    again = reglab.Study.resume(out).run(workers=0)
    found = again.runs["l2(kernel=0.001)"][1].metrics
    assert {**found, "seconds": 0} == {**lost.metrics, "seconds": 0}
    made = reglab.Study.resume(out)
    groups = made.dataset.groups
    for seed in (0, 1):
        parts = Replay(out, made.assignment).split(seed)
        sides = [set(groups[indices]) for indices in (parts.train, parts.val, parts.test)]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 20
    with np.load(export(made, recipe="l2(kernel=0.001)", out=tmp_path / "script", seed=1) / "data.npz") as held:
        for name, indices in (("train", parts.train), ("val", parts.val), ("test", parts.test)):
            np.testing.assert_array_equal(np.sort(held[f"x_{name}"][:, 0]), np.sort(made.dataset.x[indices][:, 0]))
    assert len({len(Replay(out, made.assignment).split(seed).val) for seed in (0, 1)}) == 2  # sizes of seeds differ
    page = next(path for path in again.report() if path.suffix == ".html").read_text()
    assert "The split is by group" in page


@pytest.mark.slow
def test_the_command_line_splits_by_group(visits, tmp_path):
    found = CliRunner().invoke(
        cli, ["compare", "--data", str(visits), "--target", "state", "--group", "patient", "--model", "mlp(units=4)",
               "--recipe", "l2", "--seeds", "2", "--epochs", "1", "--workers", "0", "--out", str(tmp_path / "out")],
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "whole groups of patient" in found.output
    assert "split by patient" in found.output
