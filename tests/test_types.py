"""Annotations say what arguments are: few of them say nothing, and type checkers of users read them."""

from __future__ import annotations

import ast
from pathlib import Path

import reglab
from reglab import aliases

SOURCE = Path(reglab.__file__).parent
MOST = 0.05  # of annotated arguments say `Any` and nothing else


def annotated(text: str) -> list[tuple[str, bool]]:
    """Return the annotated arguments of all functions in a text, and of each whether it is `Any` alone."""
    found, waiting = [], ast.parse(text).body
    while waiting:  # statements alone: walking through expressions takes three times as long
        function = waiting.pop()
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(function, part, [])
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        given = function.args
        own = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        for argument in own:
            if argument is not None and argument.annotation is not None:
                said = ast.unparse(argument.annotation).removeprefix("typing.")
                found.append((f"{function.name}({argument.arg})", said == "Any"))
    return found


def test_few_arguments_are_any():
    files = {path.relative_to(SOURCE).as_posix(): annotated(path.read_text("utf-8")) for path in SOURCE.rglob("*.py")}
    found = [(file, name, bare) for file, arguments in files.items() for name, bare in arguments]
    bare = [f"{file}: {name}" for file, name, bare in found if bare]
    assert len(found) > 4000
    assert len(bare) < MOST * len(found), "say what these are, see aliases.py:\n" + "\n".join(bare)


def test_the_count_sees_every_way_of_taking_an_argument():
    text = "def f(a: Any, /, b: Any, *c: Any, d: typing.Any, e: list[Any], g, **h: Any) -> Any:\n    def i(j: int): ..."
    counted = dict(annotated(text))
    assert {name for name, bare in counted.items() if bare} == {f"f({each})" for each in "abcdh"}
    assert {name for name, bare in counted.items() if not bare} == {"f(e)", "i(j)"}


def test_one_alias_alone_is_any():
    """A name for nothing tells nothing: only of a backend's tensor there is no more to say."""
    assert [name for name in aliases.__all__ if vars(aliases)[name] is vars(aliases)["Any"]] == ["Tensor"]


def test_type_checkers_of_users_read_the_annotations():
    assert (SOURCE / "py.typed").is_file()
