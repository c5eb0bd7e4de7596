"""No name from outside becomes code, markup or a command to the terminal: each output's own parser says so."""

from __future__ import annotations

import ast
import io
import json
import re
import unicodedata

import keras
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import reglab
from reglab.cli.console import Console
from reglab.cli.say import say
from reglab.data.dataset import Dataset
from reglab.export.source import comment, docstring, literal
from reglab.export.texts import predict_py
from reglab.inert import visible
from reglab.study.naming import slug, slugs
from reglab.study.storage.frozen import Frozen
from reglab.tasks import SingleLabel

FRAGMENTS = [
    '"""', "'''", '"', "'", "\\", "\n", "\r", "\t", "\x1b[31m", "\x1b]0;t\x07", "\x00", "\x85", "\u2028", "\u202e",
    "</script><script>", "=1+1", "|", "{x}", "%s", "$(touch x)", "\\input{x}", "../", ": ", "- ", "# ",
    "!!python/name:os", "&a", "import os", "a", " ", "é", "\u0634", "[bold]", "[/x]", "`", "__", "0" * 30,
]  # fmt: skip
NAMES = st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=6).map("".join)
HALF = "caf\udce9"  # what a file name in another encoding is in Python
PWN = 'cats"""; open("PWN", "w"); """'


@given(name=NAMES)
def test_a_docstring_says_the_name_and_nothing_else(name):
    assert ast.literal_eval(docstring(f"Train {name}")) == f"Train {visible(name)}"
    (statement,) = ast.parse(docstring(f"Train {name}", f"    {name}", "end")).body
    assert ast.literal_eval(statement.value).startswith(f"Train {visible(name)}\n")


@given(name=NAMES)
def test_a_comment_stays_one_line(name):
    assert len(comment(name).splitlines()) == 1
    assert ast.dump(ast.parse(f"{comment(name)}\nx = 1")) == ast.dump(ast.parse("x = 1"))


@given(names=st.lists(NAMES, min_size=2, max_size=12, unique=True))
def test_classes_and_columns_in_a_script_are_the_names(names):
    k = len(names)
    data = Dataset(
        name="made", x=np.tile(np.eye(k, dtype="float32"), (2, 1)), y=np.tile(np.arange(k), 2), kind="table",
        class_names=tuple(names), feature_names=tuple(names),
    )  # fmt: skip
    text = predict_py(data, SingleLabel(classes=tuple(names)))
    values = {
        node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and node.targets[0].id in ("CLASSES", "FEATURES")
    }  # fmt: skip
    assert values == {"CLASSES": names, "FEATURES": names}
    assert ast.literal_eval(literal(names)) == names


@given(name=NAMES, other=NAMES)
def test_a_spec_as_yaml_is_the_spec(name, other):
    spec = {"data": name, "recipes": {name: "none", f"{other}.": "l2"}, "baseline": name}
    assert yaml.safe_load(Frozen.text(spec)) == spec


@given(names=st.lists(NAMES, min_size=1, max_size=6, unique=True))
def test_names_of_folders_are_plain_and_apart(names):
    found = slugs(names)
    assert len(set(found.values())) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]{1,110}", each) for each in (*found.values(), slug(names[0] * 40)))


def unseen(text):
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return [letter for letter in text if unicodedata.category(letter) in kinds and letter not in "\n\t"]


@given(name=NAMES)
def test_the_terminal_gets_no_command(name):
    from rich.text import Text

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200, color_system="truecolor", legacy_windows=False)
    console.print(Text(name, style="bold red"))
    own = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()) if "\x1b" not in name else out.getvalue()
    styles = re.findall(r"\x1b[^m]*m?", out.getvalue())
    assert all(re.fullmatch(r"\x1b\[(0|1;31)m", each) for each in styles)
    assert not unseen(re.sub(r"\x1b\[(0|1;31)m", "", own))


@pytest.mark.parametrize("name", [*FRAGMENTS, HALF, PWN])
def test_lines_and_errors_are_seen(name, capsys):
    say(f"There is no data {name}.")
    assert not unseen(capsys.readouterr().out)


def test_bars_take_any_name():
    from reglab.cli.progress import TerminalProgress

    out = io.StringIO()
    progress = TerminalProgress(Console(file=out, force_terminal=True, width=100))
    decides = SingleLabel(classes=("a", "b")).decides
    progress.started(runs=1, trainings=1, reused=0, epochs=2, workers="[/x] 2 workers", metric=decides)
    progress.training(0, ["[/red]\x1b[5m"], 0, "here")
    progress.epoch(0, 0, {"val_accuracy": 0.5})
    progress.close()
    assert "[/red]" in out.getvalue()
    assert "\x1b[5m" not in out.getvalue()


# --- a study in which everything has such a name ---


def network(name, input_shape, num_classes):
    tag = "plain" if name == "plain" else "x>y"  # TensorFlow takes no quotes in names of layers
    inputs = keras.Input(input_shape, name="in")
    h = keras.layers.Dense(4, activation="relu", name=f"{tag}.a")(inputs)
    other = keras.layers.Dense(4, name=f"{tag}-a")(inputs)  # one name with the first, as a variable's
    h = keras.layers.Add(name=f"{tag}.sum")([h, other])
    return keras.Model(inputs, keras.layers.Dense(num_classes, activation="softmax", name="head")(h), name="net")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Export the same study twice, with plain names and with hostile ones, and return both folders."""
    folders = {}
    for name in ("plain", PWN):
        where = tmp_path_factory.mktemp("study")
        data = where / f"{name.replace('/', '')}.npz"
        random = np.random.default_rng(0)
        x, y = random.normal(size=(60, 3)).astype("float32"), np.arange(60) % 2
        np.savez(data, x=x, y=np.array([f"{name} no", f"{name}\nyes"])[y])
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(where)
            study = reglab.Study(
                str(data), lambda input_shape, num_classes, n=name: network(n, input_shape, num_classes),
                {f"{name} recipe": "l2(kernel=0.01) + dropout(where=hidden)", "none": "none"},
                seeds=1, epochs=1, out=where / "out",
            )  # fmt: skip
            study.run(workers=0)
            from reglab.export.write import export

            folders[name] = export(study, recipe=f"{name} recipe", out=where / "export")
            assert not (where / "PWN").exists()
    return folders


class _Strings(ast.NodeTransformer):
    """Takes what strings say out of a program, so that two can be compared by what they do."""

    def visit_Constant(self, node):
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_Name(self, node):
        return ast.Name("name", ast.Load())


@pytest.mark.parametrize("file", ["train.py", "predict.py"])
@pytest.mark.slow
def test_scripts_of_hostile_names_do_what_those_of_plain_names_do(exported, file):
    plain, hostile = (
        ast.dump(_Strings().visit(ast.parse((exported[name] / file).read_text(encoding="utf-8"))))
        for name in ("plain", PWN)
    )
    assert hostile == plain
    assert not (exported[PWN] / "PWN").exists()


@pytest.mark.slow
def test_the_exported_recipe_is_the_recipe(exported):
    held = yaml.safe_load((exported[PWN] / "recipe.yaml").read_text(encoding="utf-8"))
    assert list(held["recipes"]) == ["none", f"{PWN} recipe"]


@pytest.mark.slow
def test_results_are_json_of_the_names(exported):
    held = json.loads((exported[PWN].parent / "out" / "results.json").read_text())
    assert {recipe["name"] for recipe in held["recipes"]} == {"none", f"{PWN} recipe"}
