"""Scripts carry the functions of strategies: no strategy is written a second time, as text."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

import pytest

import reglab
from reglab.export.script import Script
from reglab.export.source import names_in, unannotated
from reglab.strategies import ASAM, Adversarial, CutMix, Mixup
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

    return [inner(x), *more]


def test_annotations_are_left_out_of_inner_functions_too():
    text = unannotated(outer)
    assert text.splitlines()[0] == "def outer(x, *more, y=()):"
    assert "    def inner(z):" in text
    assert "# said before" in text
    assert names_in(outer) == ["len"]


@pytest.mark.parametrize(
    "strategy", [Mixup(0.31), CutMix(0.31), ASAM(0.31), Adversarial(0.31, method="pgd", unit="pixel", clip="data")]
)
def test_the_numbers_of_a_recipe_are_arguments(strategy):
    made = script()
    made.gradient = lambda: None  # that of a backend, which needs Keras
    made.write(strategy, 5)
    compile("\n\n\n".join(made.definitions), "script", "exec")
    text = "\n".join([*made.batch, *(made.ascent[1] if made.ascent else [])])
    value = next(iter(strategy.strengths().values()))
    assert repr(value) in text
    assert not any(repr(value) in each for each in made.definitions)
