"""Without ``out``, a study that differs from the one before gets a folder of its own, as a notebook needs it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import played
import pytest

import reglab
from reglab.errors import ReglabError
from reglab.facade import Results
from reglab.study.executors import choice
from reglab.study.progress import Progress


class Player(played.Player):
    """Plays runs whose identities depend on the data and on what the model is made of."""

    versions = "1"

    def plan(self):
        plan = super().plan()
        model = self._task.model
        built = str(model() if callable(model) else model)
        facts = {
            "data (content)": hashlib.sha256(np.ascontiguousarray(self._task.data.x).tobytes()).hexdigest()[:12],
            "model (structure)": built, "keras": self.versions,
        }  # fmt: skip
        runs = {
            name: tuple(
                replace(run, id=hashlib.sha256(f"{run.id} {facts}".encode()).hexdigest()[:20]) for run in of_name
            )
            for name, of_name in plan.runs.items()
        }
        return replace(plan, runs=runs, facts=facts)


class Notes(Progress):
    def __init__(self):
        self.notes = []
        self.trained = 0

    def note(self, text):
        self.notes.append(text)

    def recorded(self, record):
        self.trained += 1


@pytest.fixture(autouse=True)
def _plays(monkeypatch, tmp_path):
    monkeypatch.setattr(choice, "opened", lambda assignment, execution, *, threads: Player(assignment))
    monkeypatch.chdir(tmp_path)


def arrays(seed):
    random = np.random.default_rng(seed)
    return random.normal(size=(60, 4)).astype("float32"), np.arange(60) % 3


def run(data, model, recipes=("l2",), **more):
    progress = Notes()
    results = reglab.Study(data, model, list(recipes), seeds=2, epochs=played.EPOCHS, **more).run(progress)
    return str(results.folder), progress


def test_other_arrays_get_a_folder_of_their_own_and_the_same_ones_theirs():
    first, _ = run(arrays(0), "mlp")
    second, progress = run(arrays(1), "mlp")
    assert (first, second) == ("reglab-out/tuple-mlp", "reglab-out/tuple-mlp-2")
    assert "data (content) is" in progress.notes[0]
    assert "folder of its own" in progress.notes[0]
    assert progress.trained == 4, "none of the first's results are the second's"
    for seed, folder in ((0, first), (1, second)):
        again, progress = run(arrays(seed), "mlp")
        assert (again, progress.trained) == (folder, 0)


def test_an_edited_cell_gets_a_folder_of_its_own():
    def build():
        return "one layer"

    def edited():
        return "two layers"

    edited.__name__ = build.__name__
    edited.__qualname__ = build.__qualname__
    first, _ = run("iris", build)
    second, _ = run("iris", edited)
    back, progress = run("iris", build)
    assert (first, second, back) == ("reglab-out/iris-build", "reglab-out/iris-build-2", "reglab-out/iris-build")
    assert progress.trained == 0


def test_what_both_have_is_taken_over():
    run(arrays(0), "mlp")
    run(arrays(1), "mlp")
    folder, progress = run(arrays(1), "mlp", recipes=("l2", "dropout"))
    assert folder == "reglab-out/tuple-mlp-3"
    assert progress.trained == 2, "the runs of dropout alone"


def test_the_study_knows_its_folder_after_it_ran():
    run(arrays(0), "mlp")
    study = reglab.Study(arrays(1), "mlp", ["l2"], seeds=2, epochs=played.EPOCHS)
    results = study.run()
    assert study.out == results.folder
    assert study.best().folder == results.folder
    assert Results.load(study.out).complete


def test_another_version_gets_a_folder_of_its_own(monkeypatch):
    first, _ = run("iris", "mlp")
    monkeypatch.setattr(Player, "versions", "2")
    second, progress = run("iris", "mlp")
    assert (first, second) == ("reglab-out/iris-mlp", "reglab-out/iris-mlp-2")
    assert "keras is 2 and was 1" in progress.notes[0]


def test_a_folder_that_was_named_is_kept_to_and_resuming_too(tmp_path):
    run(arrays(0), "mlp", out="named")
    with pytest.raises(ReglabError, match=r"data \(content\) is.*--out"):
        run(arrays(1), "mlp", out="named")
    with pytest.raises(ReglabError, match=r"data \(content\) is"):
        reglab.Study.resume("named", data=arrays(1)).run()


def test_somebodys_folder_of_that_name_is_passed_by(tmp_path):
    (tmp_path / "reglab-out" / "iris-mlp").mkdir(parents=True)
    (tmp_path / "reglab-out" / "iris-mlp" / "notes.txt").write_text("mine")
    folder, _ = run("iris", "mlp")
    assert folder == "reglab-out/iris-mlp-2"
    assert [path.name for path in (tmp_path / "reglab-out" / "iris-mlp").iterdir()] == ["notes.txt"]
