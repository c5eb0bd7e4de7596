"""A strategy is known because its file is there, because a package offers it, or because a script registers it."""

import importlib
import pydoc
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from typing import ClassVar

import pytest

import reglab
from reglab import ReglabError
from reglab.strategies import CATALOGUE, Stage, Strategy, params, register
from reglab.strategies.registry import catalogue as made
from reglab.strategies.registry import scanned

_DOUBLING = """
    from dataclasses import dataclass
    from typing import ClassVar
    from reglab.strategies import Stage, Strategy, param

    @dataclass(frozen=True)
    class Doubling(Strategy):
        name: ClassVar[str] = "doubling"
        formula: ClassVar[str] = "factor * w"
        paper: ClassVar[str] = "none"
        stage: ClassVar[Stage] = Stage.WEIGHTS

        factor: float = param(2.0, "what kernels are multiplied by", low=0, strength=True)

        def forward(self, weight, s, random):
            return s.factor * weight
"""
_HALVED = """
    from reglab.strategies import Observer

    class Halves(Observer):
        def bring(self, moment):
            return [weight / 2 for weight in moment.weights]

    @dataclass(frozen=True)
    class Halved(Strategy):
        name: ClassVar[str] = "halved"
        formula: ClassVar[str] = "evaluation uses w / 2"
        paper: ClassVar[str] = "none"
        stage: ClassVar[Stage] = Stage.OBSERVATION
        rider: ClassVar[bool] = True

        def observer(self, task):
            return Halves()
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that puts a package with entry points where Python finds it."""

    def install(package, source, *entries):
        (tmp_path / f"{package}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("\n".join(["[reglab.strategies]", *entries, ""]))
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, package, raising=False)
        return tmp_path

    return install


def test_a_file_in_a_family_is_all_that_a_strategy_takes(tmp_path, monkeypatch):
    family = tmp_path / "house" / "weights"
    family.mkdir(parents=True)
    (tmp_path / "house" / "__init__.py").touch()
    (family / "__init__.py").touch()
    (family / "doubling.py").write_text(textwrap.dedent(_DOUBLING))
    (family / "helper.py").write_text("from house.weights.doubling import Doubling")
    monkeypatch.syspath_prepend(tmp_path)
    assert [cls.name for cls in scanned("house", ("weights",))] == ["doubling"]


def test_every_strategy_is_a_name_of_the_package():
    for cls in CATALOGUE.values():
        assert getattr(reglab.strategies, cls.__name__) is cls
        assert cls.__name__ in reglab.strategies.__all__
        assert cls.__module__ == f"reglab.strategies.{cls.__module__.split('.')[2]}.{cls.name}"


def test_what_a_package_offers_is_known(installed):
    installed("plugged", _DOUBLING, "doubling = plugged:Doubling")
    catalogue = made([])
    assert "plugged" not in sys.modules
    assert catalogue["doubling"](factor=3.0).factor == 3.0
    assert list(catalogue) == ["doubling"]
    with pytest.raises(KeyError):
        catalogue["trebling"]


@pytest.mark.parametrize(
    ("source", "entry", "told"),
    [
        (
            "import nothing_of_this_name",
            "doubling = broken:Doubling",
            "'doubling' of the package broken cannot be",
        ),
        (
            _DOUBLING,
            "twofold = broken:Doubling",
            "the strategy 'twofold', and its name is 'doubling'",
        ),
        ("Doubling = 2", "doubling = broken:Doubling", "and its name is None"),
    ],
)
def test_an_offer_that_is_broken_is_told_and_takes_no_other_with_it(installed, caplog, source, entry, told):
    installed("broken", source, entry)
    catalogue = made([reglab.strategies.L2])
    with pytest.raises(ReglabError, match=told):
        catalogue[entry.split(" ")[0]]
    for _ in range(2):
        assert list(catalogue) == ["l2"]
    (record,) = caplog.records
    assert "package broken" in record.getMessage()


def test_a_name_has_one_strategy(installed, caplog):
    installed("taking", _DOUBLING.replace('"doubling"', '"l2"'), "l2 = taking:Doubling", "doubling = taking:Doubling")
    installed("same", _DOUBLING, "doubling = same:Doubling")
    catalogue = made([reglab.strategies.L2])
    assert catalogue["l2"] is reglab.strategies.L2
    with pytest.raises(ReglabError, match="offered by the package same and the package taking"):
        catalogue["doubling"]
    list(catalogue)
    assert "the package taking offers a strategy 'l2', which is a name of reglab's" in caplog.text


def test_what_a_script_registers_is_known_and_can_be_defined_again():
    def defined():
        @register
        @dataclass(frozen=True)
        class Own(Strategy):
            name: ClassVar[str] = "own"

        return Own

    first, second = defined(), defined()
    assert first is not second
    assert CATALOGUE["own"] is second
    CATALOGUE.remove("own")
    assert "own" not in CATALOGUE


def test_what_cannot_be_registered_is_told():
    @dataclass(frozen=True)
    class Taking(Strategy):
        name: ClassVar[str] = "l2"
        stage: ClassVar[Stage] = Stage.LOSS

    with pytest.raises(ReglabError, match=r"l2 is a strategy of reglab's\. Give Taking another name"):
        register(Taking)
    for other in (Strategy, Taking(), int):
        with pytest.raises(ReglabError, match="is not a strategy"):
            register(other)


@pytest.mark.slow
def test_what_a_package_offers_is_known_in_workers_saved_models_and_reports(installed):
    offers = "doubling = plugged:Doubling", "halved = plugged:Halved"
    folder = installed("plugged", _DOUBLING + _HALVED, *offers)

    def done(*command):
        return subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False)

    script = """
        import keras, reglab
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
        reglab.regularize(model, "doubling(factor=3)").save("saved.keras")
        study = reglab.Study("iris", "mlp(units=4)", ["doubling(factor=3)", "halved"], seeds=1, epochs=1, out="study")
        results = study.run(workers=1)
        print([row.finished for row in results.comparison.rows])
        plain, halved = (next(iter(results.runs[name].values())).history for name in ("none", "halved"))
        print(plain["loss"] == halved["loss"], plain["val_cross_entropy"] == halved["val_cross_entropy"])
    """
    trained = done("-c", textwrap.dedent(script))
    assert trained.stdout == "[1, 1, 1]\nTrue False\n", trained.stderr  # its own numbers, of the baseline's training
    loaded = done("-c", "import keras, reglab; print(keras.models.load_model('saved.keras').recipe)")
    assert loaded.stdout == "doubling(factor=3.0)\n", loaded.stderr
    for command in (["report", "study"], ["runs", "study"], ["strategies", "doubling"]):
        assert done("-m", "reglab", *command).returncode == 0, command
    assert "doubling" in (folder / "study" / "report" / "table.md").read_text()


def test_help_lists_the_arguments_with_their_ranges():
    doc = reglab.strategies.Dropout.__doc__
    assert (
        "    rate: probability with which a unit is left out ([0, 1); default 0.1). It can follow a schedule.\n" in doc
    )
    assert "    where: after which layers (input, hidden, output, or names of layers; default ('hidden',)).\n" in doc
    assert doc.index("Args:") < doc.index("Example:")
    for cls in CATALOGUE.values():
        shown = " ".join(pydoc.plain(pydoc.render_doc(cls)).replace(" |", "").split())  # as help() prints it
        for name, declared in params(cls).items():
            unit = f" [{declared.unit}]" if declared.unit else ""
            said = f" {name}: {declared.doc}{unit} ({declared.range()}; default {getattr(cls, name)!r})."
            assert " ".join(said.split()) in shown
        assert "Args:" not in cls.description
