"""Somebody else's kind of input is one value, registered or offered by a package, and goes through what others do."""

from __future__ import annotations

import ast
import os
import pickle
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from click.testing import CliRunner

import reglab
from reglab import ReglabError
from reglab.analysis.prescribe import Patient, Remedy, prescribe
from reglab.cli import cli
from reglab.data import Kind, load, register_kind
from reglab.data.kinds import KINDS
from reglab.data.several import by_input
from reglab.experiments.diagnosis import diagnosed
from reglab.lazy import keras
from reglab.models import resolve
from reglab.report.catalogue import card
from reglab.strategies import Stage, Strategy
from reglab.study.progress import Progress
from reglab.study.workbench import Workbench

SETTINGS = {"seeds": 2, "epochs": 2, "batch_size": 20}


def not_negative(x, name):
    if (x < 0).any():
        raise ReglabError(f"{name}: spectrograms hold magnitudes, and some are below 0. Give np.abs(...) of them.")


SPECTROGRAM = Kind(
    "spectrogram", "spectrograms", ("frequency", "time", "channels"), single="channel", check=not_negative
)
VOLUME = Kind("volume", "volumes", ("depth", "height", "width", "channels"))
CODES = Kind("codes", "codes", ("levels", "length"), indices=True)
OWN = (SPECTROGRAM, VOLUME, CODES)

RANDOM = np.random.default_rng(0)
COUNT = 60
LABELS = np.arange(COUNT) % 2
SOUNDS = (RANDOM.exponential(size=(COUNT, 6, 5)) * (1 + LABELS[:, None, None])).astype("float32")
SCANS = RANDOM.normal(LABELS[:, None, None, None, None], size=(COUNT, 3, 4, 2, 1)).astype("float32")
IDS = RANDOM.integers(0, 9, (COUNT, 2, 6))


@pytest.fixture
def known():
    """As in a script, whose functions are sent by value."""
    here = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(here)
    for kind in OWN:
        register_kind(kind)
    yield
    for kind in OWN:
        KINDS.remove(kind.name)
    cloudpickle.unregister_pickle_by_value(here)


def flat(input_shape, num_classes):
    layers = [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes, "softmax")]
    return keras.Sequential(layers)


def test_data_of_it_are_shaped_by_it(known):
    data = load((SOUNDS, LABELS), kind="spectrogram")
    assert (data.kind, data.input_shape, data.notes) == ("spectrogram", (6, 5, 1), ())
    assert "6x5x1 (spectrogram, float32, " in data.facts[0]
    np.testing.assert_array_equal(data.x[..., 0], SOUNDS)
    assert load(load((SOUNDS, LABELS)), kind="spectrogram").fingerprint == data.fingerprint
    assert reglab.Dataset("made", SCANS, LABELS, ("a", "b"), kind="volume").input_shape == (3, 4, 2, 1)


@pytest.mark.parametrize(
    ("x", "kind", "said"),
    [
        (SOUNDS - 9, "spectrogram", r"arrays: spectrograms hold magnitudes, and some are below 0"),
        (SCANS, "spectrogram", r"shape \(60, 3, 4, 2, 1\); spectrograms have \(N, frequency, time, channels\), or "
         r"\(N, frequency, time\) for one channel"),
        (SCANS[..., 0], "volume", r"volumes have \(N, depth, height, width, channels\)\. Give"),
        (IDS + 0.5, "codes", r"row 0, position \(0, 0\) is \d\.5, and codes are indices: whole numbers"),
        (SOUNDS, "spectogram", r"Did you mean 'spectrogram'\? Expected one of image, .*, array, spectrogram, volume"),
    ],
)  # fmt: skip
def test_what_is_not_of_it_is_refused(known, x, kind, said):
    with pytest.raises(ReglabError, match=said):
        load((x, LABELS), kind=kind)


def test_without_it_there_is_no_such_kind():
    with pytest.raises(
        ReglabError, match=r"kind='volume' is invalid.* Expected one of image, table, series, tokens, a"
    ):
        reglab.Study((SCANS, LABELS), "mlp", kind="volume")


def test_of_several_inputs_it_is_said_by_name(known):
    data = load(({"sound": SOUNDS, "ids": IDS, "age": np.ones(COUNT)}, LABELS), kind="sound=spectrogram,ids=codes")
    assert data.kinds == {"sound": "spectrogram", "ids": "codes", "age": "table"}
    assert data.input_shape == {"sound": (6, 5, 1), "ids": (2, 6), "age": (1,)}
    np.testing.assert_array_equal(by_input(data.x)["ids"], IDS)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (lambda: Kind("image", "pictures"), r"image is a kind of input of reglab's\. Give yours another name"),
        (lambda: Kind, r"is not a kind of input: give a reglab\.data\.Kind"),
        (lambda: Kind("several", "inputs"), "cannot be called 'several'"),
        (lambda: Kind("a=b", "others"), "cannot be called 'a=b'. Give a word"),
        (lambda: Kind("one", "ones", "time"), r"axes='time' is invalid\. Name each axis"),
        (lambda: Kind("one", "ones", ("time",), single="step"), "of the last of two axes or more"),
        (lambda: Kind("one", "ones", ("time", "step"), pictures=True), "pictures have three axes"),
    ],
)
def test_a_kind_that_cannot_be_is_refused(kind, said):
    with pytest.raises(ReglabError, match=said):
        register_kind(kind())


class Shifting(Strategy):
    """Acts on inputs of the kinds that it names."""

    name, formula, paper, stage = "shifting", "x[t - 1]", "none", Stage.EXAMPLES
    kinds = frozenset({"spectrogram", "codes"})

    def on_batch(self, batch, s, random, input_range):
        return batch


class TestStrategies:
    """Those that say nothing act on what measures something, the others on what they name."""

    @staticmethod
    def plan(x, kind, *recipes):
        study = reglab.Study((x, LABELS), flat, list(recipes), kind=kind, seeds=1, epochs=1)
        return Workbench(study.assignment).plan()

    def test_accepted(self, known):
        recipes = ["mixup", "gaussian_noise(where=input)", reglab.Recipe(Shifting())]
        assert len(self.plan(SOUNDS, "spectrogram", *recipes).runs) == 4

    @pytest.mark.parametrize(
        ("x", "kind", "recipe", "said"),
        [
            (SOUNDS, "spectrogram", "cutmix", r"cutmix acts on images, and .* are spectrograms of shape \(6, 5, 1\)"),
            (SCANS, "volume", Shifting(), r"shifting acts on spectrograms, codes, and .* are volumes of shape"),
            (IDS, "codes", "mixup", "mixup changes the numbers .* they are indices"),
        ],
    )
    def test_refused(self, known, x, kind, recipe, said):
        with pytest.raises(ReglabError, match=said):
            self.plan(x, kind, recipe)

    def test_cards_name_it(self, known):
        assert {"spectrogram", "volume"} < set(card("mixup")["kinds"])
        assert card("cutmix")["kinds"] == ["image"]
        assert "codes" not in card("mixup")["kinds"]


def test_nothing_is_done_to_indices(known):
    study = reglab.Study((IDS, LABELS), flat, kind="codes", seeds=1, epochs=1)
    bench = Workbench(study.assignment)
    assert study.dataset.vocabulary == IDS.max() + 1
    assert bench.seed_data(0).preprocess.mode == "none"
    assert bench.facts()["inputs"] == "indices, as they are"
    other = reglab.Study((IDS, LABELS), flat, kind="series", seeds=1, epochs=1)
    assert Workbench(other.assignment).seed_data(0).preprocess.mode == "standardize"


def test_networks_of_arrays_of_any_shape_take_it(known):
    resolve("mlp", input_shape=(3, 4, 2, 1), num_classes=2, kind="volume")
    with pytest.raises(ReglabError, match=r"resnet takes images; the data is volumes .* Of volumes there is mlp"):
        resolve("resnet", input_shape=(3, 4, 2, 1), num_classes=2, kind="volume")
    with pytest.raises(ReglabError, match=r"the data is codes .* Of codes there is no network of reglab"):
        resolve("mlp", input_shape=(2, 6), num_classes=2, kind="codes")


def test_remedies_are_those_that_act_on_it(known):
    histories = [{"train_accuracy": [0.6, 0.9, 1.0, 1.0, 1.0], "val_accuracy": [0.5, 0.6, 0.6, 0.6, 0.6]}]
    found = reglab.analysis.diagnose.diagnose(histories)

    def names(kind):
        return {item.name for item in prescribe(found, Patient(kind=kind))}

    assert Remedy.MIXUP in names("spectrogram")
    assert Remedy.AUGMENTATION not in names("spectrogram")
    assert Remedy.MIXUP not in names("codes")


def test_whoever_trains_the_study_elsewhere_has_it_too(known):
    study = reglab.Study((SOUNDS, LABELS), "mlp(units=4)", kind="spectrogram", **SETTINGS)
    sent = cloudpickle.dumps(study.assignment)
    KINDS.remove("spectrogram")
    pickle.loads(sent)
    with pytest.raises(ReglabError, match="hold magnitudes"):
        load((SOUNDS - 9, LABELS), kind="spectrogram")


class Interrupt(Progress):
    def recorded(self, record):
        raise KeyboardInterrupt


@pytest.mark.slow
def test_a_study_of_it_is_trained_in_workers_resumed_and_read_where_it_is_unknown(known, tmp_path):
    np.savez(tmp_path / "scans.npz", x=SCANS, y=LABELS)
    told = {"data": tmp_path / "scans.npz", "model": "mlp(units=4)", "recipes": ["mixup"], **SETTINGS}
    with pytest.raises(KeyboardInterrupt):
        reglab.Study(**told, kind="volume", out=tmp_path / "s").run(Interrupt(), workers=1)
    resumed = reglab.Study.resume(tmp_path / "s")
    assert (resumed.dataset.kind, resumed.dataset.input_shape) == ("volume", (3, 4, 2, 1))
    results = resumed.run(workers=1)
    plain = reglab.Study(**told, kind="array", out=tmp_path / "t").run(workers=0)
    for name, of_name in plain.runs.items():
        for seed, run in of_name.items():
            assert results.runs[name][seed].id == run.id, "what it is called changes no result"
            assert results.runs[name][seed].history == run.history
    KINDS.remove("volume")
    read = reglab.Results.load(tmp_path / "s")
    read.report()
    assert diagnosed(read).task == results.task
    with pytest.raises(ReglabError, match="kind='volume' is invalid"):
        reglab.Study.resume(tmp_path / "s")
    register_kind(VOLUME)


@pytest.mark.slow
@pytest.mark.parametrize("pictures", [True, False])
def test_the_report_shows_what_is_pictures(known, tmp_path, pictures):
    register_kind(replace(SPECTROGRAM, pictures=pictures))
    np.savez(tmp_path / "data.npz", x=SOUNDS, y=LABELS)
    told = {"recipes": ["adversarial"], "seeds": 1, "epochs": 1, "out": tmp_path / "s"}
    reglab.Study(tmp_path / "data.npz", "mlp(units=4)", kind="spectrogram", **told).run(workers=0)
    assert CliRunner().invoke(cli, ["report", str(tmp_path / "s")]).exit_code == 0
    assert (tmp_path / "s" / "report" / "samples.npz").exists() == pictures


def test_a_prescription_for_a_kind_that_there_is_not_is_refused(known, tmp_path):
    rows = ["epoch,loss,val_loss,accuracy,val_accuracy", "0,1,1.1,0.5,0.5", "1,0.5,0.9,0.8,0.6", "2,0.2,1,0.9,0.6"]
    (tmp_path / "log.csv").write_text("\n".join(rows))
    known_one, other = (
        CliRunner().invoke(cli, ["diagnose", str(tmp_path / "log.csv"), "--kind", kind]) for kind in ("codes", "code")
    )
    assert known_one.exit_code == 0
    assert "kind='code' is invalid. Did you mean 'codes'?" in str(other.exception) + other.output


@pytest.mark.slow
def test_a_package_offers_it_to_the_command_and_its_workers(tmp_path):
    source = Path(__file__).read_text("utf-8")
    start, end = source.index("def not_negative"), source.index("VOLUME = ")
    imports = "from reglab import ReglabError\nfrom reglab.data import Kind\n\n\n"
    (tmp_path / "sounds.py").write_text(imports + source[start:end], "utf-8")
    info = tmp_path / "sounds-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sounds\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[reglab.kinds]\nspectrogram = sounds:SPECTROGRAM\n")
    np.savez(tmp_path / "data.npz", x=SOUNDS, y=LABELS)
    (tmp_path / "study.yaml").write_text(
        textwrap.dedent("""
            data: data.npz
            model: mlp(units=4)
            recipes: [mixup]
            kind: spectrogram
            seeds: 2
            epochs: 2
        """)
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "reglab", *words], cwd=tmp_path, text=True, capture_output=True,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip

    done = run("compare", "study.yaml", "--workers", "1", "--out", "s")
    assert done.returncode == 0, done.stderr
    assert "6x5x1 (spectrogram, float32" in done.stdout + done.stderr
    refused = run("compare", "study.yaml", "--recipe", "augmentation(rotation_range=10)", "--out", "t")
    assert refused.returncode != 0
    assert "are spectrograms of shape" in " ".join(refused.stderr.split())


# --- nobody else asks which kind it is -------------------------------------------------------------------------------

SOURCE = Path(reglab.__file__).parent
NAMES = {kind.upper() for kind in KINDS.own}
MENTIONED = re.compile(rf"\b({'|'.join(NAMES)})\b|[\"']({'|'.join(KINDS.own)})[\"']")
EXCEPTIONS = {
    "data/dataset.py": "what has two axes and was not declared is seen as a table",
    "experiments/references.py": "reference lines are those of tables",
    "models/registry.py": "a network that takes arrays of any shape",
}


def asks(text: str) -> bool:
    """Whether code compares something with the name of a kind: ``x == TOKENS``, ``data.kind == "tokens"``."""
    if not MENTIONED.search(text):  # reading all files takes long
        return False
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare):
            parts = list(ast.walk(node))
            names = {part.id for part in parts if isinstance(part, ast.Name)}
            of_kind = any(isinstance(part, ast.Attribute) and part.attr in ("kind", "kinds") for part in parts)
            texts = {part.value for part in parts if isinstance(part, ast.Constant)}
            if names & NAMES or (of_kind and texts & set(KINDS.own)):
                return True
    return False


def test_other_files_ask_the_kind_and_not_for_its_name():
    files = {path.relative_to(SOURCE).as_posix(): path for path in SOURCE.rglob("*.py") if path.name != "kinds.py"}
    found = {name for name, path in files.items() if asks(path.read_text("utf-8"))}
    assert found == set(EXCEPTIONS)


@pytest.mark.parametrize("code", ["kind == TOKENS", 'data.kind in ("tokens", 1)', "said.get(kind) in (None, IMAGE)"])
def test_the_search_finds(code):
    assert asks(code)
