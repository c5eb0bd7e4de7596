"""A packed study: small, the same wherever it is packed, and a study again when it is unpacked."""

import json
import shutil
import zipfile

import numpy as np
import pytest

import reglab
from reglab.errors import ReglabError
from reglab.study.storage import answers
from reglab.study.storage.packed import pack, unpack
from reglab.study.storage.view import View
from reglab.tasks import SingleLabel

BY = {"seeds": 2, "epochs": 2, "train_size": 100, "batch_size": 50}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    made = reglab.Study("digits", "mlp", ["none", "l2(kernel=0.01)"], out=folder / "study", **BY)
    results = made.run(workers=0)
    answers.keep(made.out, "robustness", {"epsilon": 1}, {"found": 2})
    return folder, results


@pytest.fixture(scope="module")
def packed(study):
    folder, _ = study
    return pack(folder / "study", folder / "packed"), folder / "packed"


def unpacked(packed, tmp_path):
    unpack(packed[1], tmp_path / "again")
    return reglab.Results.load(tmp_path / "again")


def test_what_is_unpacked_has_the_same_results(study, packed, tmp_path):
    _, before = study
    added, _ = packed
    assert len(added) == 4
    after = unpacked(packed, tmp_path)
    assert after.to_dict() | {"folder": ""} == before.to_dict() | {"folder": ""}
    assert answers.latest(tmp_path / "again", "robustness")["found"] == 2
    with View(tmp_path / "again") as view:
        assert view.record(added[0]).device == "CPU"


def test_a_packed_study_is_small_and_has_no_weights(study, packed):
    folder, _ = study
    size = sum(path.stat().st_size for path in packed[1].rglob("*"))
    assert size < sum(path.stat().st_size for path in folder.glob("study/runs/*/predictions.npz"))
    with zipfile.ZipFile(packed[1] / "runs" / f"{packed[0][0]}.zip") as file:
        assert file.namelist() == ["history.json", "predictions.npz", "record.json"]


def test_it_has_the_same_bytes_when_it_is_packed_again(packed, tmp_path):
    unpacked(packed, tmp_path)
    pack(tmp_path / "again", tmp_path / "packed")
    for path in packed[1].rglob("*.*"):
        assert (tmp_path / "packed" / path.relative_to(packed[1])).read_bytes() == path.read_bytes()


def test_only_what_has_come_since_is_added(packed, tmp_path):
    shutil.copytree(packed[1], tmp_path / "packed")
    gone = tmp_path / "packed" / "runs" / f"{packed[0][-1]}.zip"
    gone.unlink()
    assert len(unpack(tmp_path / "packed", tmp_path / "again")) == 3
    assert unpack(packed[1], tmp_path / "again") == [packed[0][-1]]
    assert pack(tmp_path / "again", tmp_path / "packed") == [packed[0][-1]]
    assert pack(tmp_path / "again", tmp_path / "packed") == []


@pytest.mark.slow
def test_a_study_that_lacks_a_run_goes_on_and_comes_to_the_same(study, packed, tmp_path):
    _, before = study
    shutil.copytree(packed[1], tmp_path / "packed")
    (tmp_path / "packed" / "runs" / f"{packed[0][-1]}.zip").unlink()
    unpack(tmp_path / "packed", tmp_path / "again")
    after = reglab.Study.resume(tmp_path / "again").run(workers=0)
    assert after.comparison.rows[1].mean("accuracy") == before.comparison.rows[1].mean("accuracy")


@pytest.mark.slow
def test_a_path_of_this_machine_does_not_travel(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(60) % 2)
    made = reglab.Study(str(tmp_path / "mine.npz"), "mlp", [], out=tmp_path / "study", seeds=1, epochs=1)
    made.run(workers=0)
    pack(tmp_path / "study", tmp_path / "packed")
    text = (tmp_path / "packed" / "study.json").read_text()
    assert json.loads(text)["spec"]["data"] == "mine.npz"
    assert str(tmp_path) not in text
    unpack(tmp_path / "packed", tmp_path / "again")
    reglab.Study.resume(tmp_path / "again", data=str(tmp_path / "mine.npz")).run(workers=0)


@pytest.mark.parametrize("bytes_", [b"", b"PK", None])
def test_a_damaged_run_is_named_and_nothing_is_taken_in(packed, tmp_path, bytes_):
    shutil.copytree(packed[1], tmp_path / "packed")
    run = tmp_path / "packed" / "runs" / f"{packed[0][0]}.zip"
    if bytes_ is None:
        with zipfile.ZipFile(run, "w") as file:
            file.writestr("record.json", "{}")
    else:
        run.write_bytes(bytes_)
    with pytest.raises(ReglabError, match=f"{packed[0][0]}.zip is damaged"):
        unpack(tmp_path / "packed", tmp_path / "again")


@pytest.mark.slow
def test_what_is_no_packed_study_is_refused(study, packed, tmp_path):
    folder, _ = study
    with pytest.raises(ReglabError, match="There is no packed study in"):
        unpack(folder / "study", tmp_path / "again")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ReglabError, match="not empty"):
        pack(folder / "study", tmp_path / "full")
    other = reglab.Study("iris", "mlp", [], out=tmp_path / "other", seeds=1, epochs=1)
    other.run(workers=0)
    with pytest.raises(ReglabError, match="another study"):
        pack(tmp_path / "other", packed[1])
    with pytest.raises(ReglabError, match="holds another study"):
        unpack(packed[1], tmp_path / "other")


def test_rounded_probabilities_have_the_same_class_as_before():
    p = np.random.default_rng(0).dirichlet(np.full(10, 0.3), size=2000).astype("float32")
    p[0] = [0.104, 0.096, *[0.1] * 8]  # all the same in hundredths
    p[1] = [0.096, 0.104, *[0.1] * 8]
    task = SingleLabel(classes=tuple("abcdefghij"))
    found = task.compact(p)
    assert (found.argmax(axis=-1) == p.argmax(axis=-1)).all()
    assert np.abs(found - p).max() < 0.0151
    np.testing.assert_array_equal(task.compact(found), found)
    assert found.dtype == p.dtype


def test_the_commands_say_how_many_runs_they_took(packed, tmp_path):
    from click.testing import CliRunner

    from reglab.cli import cli

    unpacked(packed, tmp_path)
    ran = CliRunner().invoke(cli, ["pack", str(tmp_path / "again"), str(tmp_path / "packed")])
    assert "4 runs packed into" in ran.output
    ran = CliRunner().invoke(cli, ["unpack", str(tmp_path / "packed"), str(tmp_path / "twice")])
    assert "4 runs unpacked into" in ran.output


def damaged(packed, tmp_path, change):
    """Return a copy of the packed study whose study.json was changed."""
    target = tmp_path / "packed"
    shutil.copytree(packed[1], target)
    held = json.loads((target / "study.json").read_text())
    change(held)
    (target / "study.json").write_text(json.dumps(held))
    return target


@pytest.mark.parametrize("change", [
    lambda held: held.update(spec=None),
    lambda held: held.update(facts=None),
    lambda held: held.update(execution=[1]),
    lambda held: held.pop("about"),
    lambda held: held["runs"][0].update(id="../../x"),
    lambda held: held["runs"][0].update(id="/tmp/x"),
    lambda held: held["runs"][0].update(id=[1]),
    lambda held: held["runs"][0].update(name=None),
    lambda held: held["runs"][0].update(seed="0"),
    lambda held: held["runs"].append(held["runs"][0]),
])  # fmt: skip
def test_what_study_json_cannot_say_is_refused_and_nothing_is_written(packed, tmp_path, change):
    target = damaged(packed, tmp_path, change)
    with pytest.raises(ReglabError, match=r"study.json is damaged"):
        unpack(target, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def rewritten(path, name, change):
    """Write a run's archive anew with one of its files changed."""
    with zipfile.ZipFile(path) as file:
        held = {each: file.read(each) for each in file.namelist()}
    held[name] = change(held[name])
    with zipfile.ZipFile(path, "w") as file:
        for each, content in held.items():
            file.writestr(each, content)


def of_record(**changes):
    return lambda content: json.dumps({**json.loads(content), **changes}).encode()


@pytest.mark.parametrize(("name", "change"), [
    ("history.json", lambda content: b"{}"),
    ("predictions.npz", lambda content: content[:-20]),
    ("record.json", of_record(files={"/dev/zero": [0, "x"]})),
    ("record.json", of_record(files=None)),
    ("record.json", of_record(metrics={"a": "b"})),
    ("record.json", of_record(error=None)),
    ("record.json", of_record(seed=7)),
    ("record.json", of_record(status="failed")),
])  # fmt: skip
def test_a_run_that_is_not_what_was_packed_is_refused_and_nothing_is_written(packed, tmp_path, name, change):
    target = tmp_path / "packed"
    shutil.copytree(packed[1], target)
    rewritten(target / "runs" / f"{packed[0][0]}.zip", name, change)
    with pytest.raises(ReglabError, match=r"\.zip is damaged"):
        unpack(target, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_bytes_that_flip_are_noticed(packed, tmp_path):
    target = tmp_path / "packed"
    shutil.copytree(packed[1], target)
    path = target / "runs" / f"{packed[0][0]}.zip"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(ReglabError, match=r"\.zip is damaged"):
        unpack(target, tmp_path / "again")


def test_what_is_no_run_of_the_plan_is_left_alone(packed, tmp_path):
    target = tmp_path / "packed"
    shutil.copytree(packed[1], target)
    (target / "runs" / ".reglab-tmp-1-abc.zip").write_bytes(b"half")
    assert len(unpack(target, tmp_path / "again")) == 4


def test_a_damaged_run_is_not_packed(study, tmp_path):
    folder, _ = study
    shutil.copytree(folder / "study", tmp_path / "study")
    run = next((tmp_path / "study" / "runs").iterdir())
    text = (run / "history.json").read_text()
    (run / "history.json").write_text(text.replace("0", "1", 1))
    with pytest.raises(ReglabError, match="cannot be read"):
        pack(tmp_path / "study", tmp_path / "packed")


@pytest.mark.slow
def test_another_study_of_the_same_data_is_not_packed_over_it(study, tmp_path):
    folder, _ = study
    other = reglab.Study("digits", "mlp", ["none", "dropout"], out=tmp_path / "other", **BY)
    other.run(workers=0)
    pack(folder / "study", tmp_path / "packed")
    with pytest.raises(ReglabError, match="another study"):
        pack(other.out, tmp_path / "packed")


@pytest.mark.slow
def test_a_study_goes_on_after_it_is_unpacked_onto_itself_wherever_its_data_lie(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(60) % 2)
    made = reglab.Study(str(tmp_path / "mine.npz"), "mlp", [], out=tmp_path / "study", seeds=1, epochs=1)
    made.run(workers=0)
    pack(made.out, tmp_path / "packed")
    assert unpack(tmp_path / "packed", made.out) == []


@pytest.mark.slow
def test_what_needs_weights_says_that_there_are_none(packed, tmp_path):
    results = unpacked(packed, tmp_path)
    with pytest.raises(ReglabError, match="has no weights: reglab pack leaves them out"):
        results.best().network()
