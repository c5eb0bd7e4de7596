"""Imports run one way: left in the table of floors in ARCHITECTURE.md, without circles, and at the top of files."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "reglab"
# `L2() + Dropout()`: strategies make a recipe, and a recipe is read from the names of strategies.
SUM = ("reglab.strategies.base", "reglab.recipe")


class Arrow(NamedTuple):
    """An import: which module takes what, on which line, and whether at the top, in a function, or for types alone."""

    source: str
    target: str
    line: int
    where: str


def modules() -> dict[str, Path]:
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = ("reglab", *path.relative_to(SOURCE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Yield what a statement imports: modules of reglab as such, names in them by their module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif node.level:
        raise AssertionError(f"line {node.lineno}: an import from {'.' * node.level} does not say from where")
    elif node.module:
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            yield full if full in MODULES else node.module


def _imports_by_name(call: ast.AST, argument: ast.Constant) -> bool:
    """Whether a text is what ``importlib.import_module`` is given."""
    return isinstance(call, ast.Call) and argument in call.args and ast.unparse(call.func).endswith("import_module")


def arrows(name: str) -> list[Arrow]:
    """Return all imports of a module, those of packages that reglab did not write among them."""
    found: list[Arrow] = []

    def visit(node: ast.AST, where: str) -> None:
        for child in ast.iter_child_nodes(node):
            inside = where
            if isinstance(child, ast.Import | ast.ImportFrom):
                found.extend(Arrow(name, target, child.lineno, where) for target in imported(child))
            elif isinstance(child, ast.Constant) and child.value in MODULES and _imports_by_name(node, child):
                found.append(Arrow(name, child.value, child.lineno, "function"))
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                inside = "function"
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for part, at in ((child.body, "types"), (child.orelse, where)):
                    for statement in part:
                        visit(ast.Module([statement], []), at)
                continue
            visit(child, inside)

    visit(ast.parse(MODULES[name].read_text(encoding="utf-8")), "top")
    return found


ARROWS = [arrow for name in sorted(MODULES) for arrow in arrows(name)]
INSIDE = [arrow for arrow in ARROWS if arrow.target in MODULES]


def floors() -> list[set[str]]:
    """Return the rooms of each floor, from the left to the right, as ARCHITECTURE.md lists them."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = re.search(r"^\| floor \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table is not None
    rows = [line.split("|")[2] for line in table[1].splitlines()]
    return [set(re.findall(r"`([a-z_]+)(?:\.py|/)`", row)) for row in rows]


FLOORS = floors()


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room(name) in rooms)


def shown(found: list[Arrow]) -> str:
    return "\n".join(f"{arrow.source}:{arrow.line} imports {arrow.target} ({arrow.where})" for arrow in found)


def test_every_module_lies_on_one_floor():
    listed = [name for rooms in FLOORS for name in rooms]
    assert sorted(listed) == sorted({room(name) for name in MODULES})


def test_imports_go_left_only():
    wrong = [a for a in INSIDE if floor(a.target) > floor(a.source) and (a.source, a.target) != SUM]
    assert not wrong, shown(wrong)


def test_nothing_imports_in_a_circle():
    """What runs counts; an import for annotations alone has to go left, but may meet its own package."""
    graph = {name: {a.target for a in INSIDE if a.source == name and a.where != "types"} for name in MODULES}
    graph[SUM[0]] -= {SUM[1]}
    done: set[str] = set()

    def follow(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            pytest.fail(" -> ".join((*way[way.index(name) :], name)))
        if name not in done:
            for target in graph[name]:
                follow(target, (*way, name))
            done.add(name)

    for name in MODULES:
        follow(name, ())


def late() -> set[str]:
    """Return what may be imported late: Keras, and every extra."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    shipped = [each for name, group in extras.items() if name not in ("test", "bench", "dev") for each in group]
    return {"keras", *(re.split(r"[-><=;\s]", each)[0] for each in shipped)}


LATE = late()


def needing() -> set[str]:
    """Return the modules that need Keras or an extra as soon as they are imported."""
    found = {a.source for a in ARROWS if a.where == "top" and a.target.split(".")[0] in LATE}
    while True:
        more = {a.source for a in INSIDE if a.where == "top" and a.target in found}
        more |= {name for name in MODULES if name.rpartition(".")[0] in found - {"reglab"}}
        if more <= found:
            return found
        found |= more


def test_an_import_in_a_function_is_of_something_that_needs_keras_or_an_extra():
    """And whoever imports it does not, so that it can be used without."""
    need = needing()
    wrong = [
        a for a in ARROWS
        if a.where == "function" and (a.source, a.target) != SUM and a.target.split(".")[0] not in LATE
        and not (a.target in need and a.source not in need)
    ]  # fmt: skip
    assert not wrong, shown(wrong)


def test_what_takes_long_to_load_is_taken_from_one_place():
    """``lazy.py`` imports it when it is used; the scikit-learn face is made of scikit-learn's classes."""
    slow = {"pandas", "scipy", "sklearn"}
    found = {a.source for a in ARROWS if a.where != "types" and a.target.split(".")[0] in slow}
    assert found == {"reglab.sklearn.base", "reglab.sklearn.classifier", "reglab.sklearn.regressor"}


@pytest.mark.parametrize("name", ["reglab", "reglab.cli", "reglab.facade", "reglab.study.coordinate", "reglab.results"])
def test_what_only_looks_plans_or_helps_needs_no_keras(name):
    assert name not in needing()


def test_the_checks_see_what_they_are_for():
    """A graph that was not read would pass all of them."""
    assert any(a.where == "function" and a.target == "keras" for a in ARROWS)
    assert {"reglab.study.workbench", "reglab.regularized.model"} <= needing()
    assert floor("reglab.data.splits") < floor("reglab.study.run") < floor("reglab.report.page") < floor("reglab.cli")
    assert len(INSIDE) > 500
    with pytest.raises(AssertionError, match="does not say from where"):
        list(imported(ast.parse("from . import sources").body[0]))
    call = ast.parse("importlib.import_module('reglab.study.plan')").body[0].value
    assert _imports_by_name(call, call.args[0])
