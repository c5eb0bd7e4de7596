"""Scripts carry the functions of strategies: no strategy is written a second time, as text."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

import keras
import pytest

import reglab
from reglab.export.carried import normalizing
from reglab.export.script import Script
from reglab.export.source import names_in, unannotated
from reglab.regularized.statistics import averaged_layers
from reglab.strategies import ASAM, CATALOGUE, Adversarial, CutMix, Mixup, SpectralNormalization
from reglab.strategies.data.adversarial import attacked
from reglab.strategies.data.cutmix import cutmix
from reglab.strategies.script import ScriptOutput
from reglab.tasks import Head, SingleLabel

STRATEGIES = Path(reglab.__file__).parent / "strategies"


def script():
    task = SingleLabel(classes=("a", "b", "c"))
    return Script(
        backend="tensorflow",
        task=task,
        outputs={"": ScriptOutput(task, Head("softmax", 3))},
        input_shape=(4, 4, 1),
        precision="float32",
        count=lambda strategy: 1,
        fitted=lambda strategy: {},
        limits=(0.0, 1.0),
    )


def test_no_code_stands_in_a_text():
    found = set()
    for path in STRATEGIES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if "def " in text and "return " in text:
                found.add(path.name)
    assert found <= {"augmentation_script.py"}  # whose code has the transforms of one recipe only


def test_what_a_function_calls_and_reads_comes_with_it_once():
    made = script()
    assert made.carry(cutmix) == "cutmix"
    made.carry(attacked)
    made.carry(cutmix)
    text = "\n\n\n".join(made.definitions)
    defined = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert sorted(defined) == sorted(set(defined))
    assert {"cutmix", "cut", "patches", "within", "shares", "mix", "attacked", "first", "project"} <= set(defined)
    assert "TINY = 1e-12" in text
    read = {name for each in ast.parse(text).body if isinstance(each, ast.FunctionDef) for name in names_of(each)}
    assert read - set(defined) - set(dir(builtins)) == {"TINY", "keras", "ops"}


def names_of(function):
    nodes = list(ast.walk(function))
    own = {node.arg for node in nodes if isinstance(node, ast.arg)}
    own |= {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return {node.id for node in nodes if isinstance(node, ast.Name)} - own


def outer(x: int, *more: float, y: tuple[int, ...] = ()) -> list[int]:
    """Return them."""

    # said before
    def inner(z: int) -> int:
        return z + len(y)

    first: list[int] = [inner(x)]
    return [*first, *more]


def test_annotations_are_left_out_of_inner_functions_and_assignments_too():
    text = unannotated(outer)
    assert text.splitlines()[0] == "def outer(x, *more, y=()):"
    assert "    def inner(z):" in text
    assert "# said before" in text
    assert "    first = [inner(x)]" in text
    assert names_in(outer) == ["len"]


@pytest.mark.parametrize(
    "strategy",
    [
        Mixup(0.31),
        CutMix(0.31),
        ASAM(0.31),
        Adversarial(0.31, method="pgd", unit="pixel", clip="data"),
        SpectralNormalization(0.31),
    ],
)
def test_the_numbers_of_a_recipe_are_arguments(strategy):
    made = script()
    made.gradient = lambda: None  # that of a backend, which needs Keras
    made.write(strategy, 5)
    compile("\n\n\n".join(made.definitions), "script", "exec")
    text = "\n".join([*made.batch, *(made.ascent[1] if made.ascent else []), *(how for how, *_ in made.made.values())])
    value = next(iter(strategy.strengths().values()))
    assert repr(value) in text
    assert not any(repr(value) in each for each in made.definitions)


def test_every_strategy_has_a_script():
    assert [name for name, strategy in CATALOGUE.items() if not strategy.implements("write_keras")] == []


def test_a_mean_of_weights_has_statistics_where_there_are_some():
    made = [script(), script()]
    made[1].averaging = True
    for each in made:
        each.write(CATALOGUE["swa"](start=0.5, every=2), 0)
    assert [each.settles for each in made] == [False, True]
    (plain,), (settled,) = (each.before_checkpoint for each in made)
    mean = "mean_of_epochs(kept, weights, epoch, round(0.5 * EPOCHS), 2)"
    assert plain == f"Mean(network, lambda kept, weights, epoch: {mean})"
    assert settled.startswith("SettledMean(")
    assert "recomputed" not in "".join(made[0].definitions)


class Own(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.norm = keras.layers.BatchNormalization()

    def call(self, x):
        return self.norm(x)


def test_a_script_finds_normalization_in_networks_and_wrappers_and_not_in_layers_of_ones_own():
    layers = keras.layers
    inside = keras.Sequential([keras.Input((3, 2)), layers.TimeDistributed(layers.BatchNormalization())])
    frozen = layers.BatchNormalization(trainable=False)
    network = keras.Sequential([keras.Input((3, 2)), inside, layers.BatchNormalization(), frozen])
    assert {id(each) for each in normalizing(network)} == {id(each) for each in averaged_layers(network)}
    assert len(normalizing(network)) == 2
    own = keras.Sequential([keras.Input((3, 2)), Own()])
    assert len(normalizing(own)) < len(averaged_layers(own)) == 1
