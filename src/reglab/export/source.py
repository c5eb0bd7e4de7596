"""Python source from values, formatted as people's formatters do it."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from reglab.inert import visible

__all__ = ["WIDTH", "call", "comment", "docstring", "in_text", "literal", "named", "names_in", "unannotated"]

WIDTH = 120


def literal(value: object) -> str:
    """Write a plain value as Python source, texts in double quotes.

    >>> literal(["a", 0.1, (1,)])
    '["a", 0.1, (1,)]'
    """
    if isinstance(value, str):
        quoted = repr(value)
        return quoted if '"' in value else f'"{quoted[1:-1]}"'
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(map(literal, sorted(value)))}}}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def docstring(*paragraphs: str, indent: str = "") -> str:
    r"""Write paragraphs as a docstring that says them literally, whatever names stand in them.

    The first one follows the opening quotes in one line; the others are filled. Nothing in them ends the string, begins
    another line or is an escape sequence, and characters that cannot be seen are replaced by ones that can.

    >>> print(docstring('Train "l2" on the file a"').replace('"', "'"))
    '''Train \'l2\' on the file a\''''
    """
    first, *others = [_inside_quotes(visible(paragraph)) for paragraph in paragraphs]
    if not others:
        return f'{indent}"""{first}"""'
    lines = [f'{indent}"""{first}']
    for paragraph in others:
        own = indent + " " * (len(paragraph) - len(paragraph.lstrip()))
        filled = textwrap.wrap(
            paragraph.strip(), WIDTH, initial_indent=own, subsequent_indent=own, break_long_words=False
        )
        lines += ["", *filled]
    return "\n".join([*lines, f'{indent}"""'])


def _inside_quotes(text: str) -> str:
    """Return text that means itself between triple quotes."""
    text = text.replace("\\", "\\\\")
    return text.replace('"', r"\"") if '"""' in text or text.endswith('"') else text


def comment(text: str) -> str:
    r"""Write text as a comment of one line.

    >>> comment("a\nimport os")
    '# a␊import os'
    """
    return f"# {visible(text)}"


def in_text(text: str) -> str:
    r"""Write text as it stands literally inside the double quotes of an f-string.

    >>> in_text('{a} "b"')
    '{{a}} \\"b\\"'
    """
    return visible(text).replace("\\", "\\\\").replace('"', '\\"').replace("{", "{{").replace("}", "}}")


def call(function: str, arguments: Iterable[str], *, before: str = "", after: str = "", indent: int = 0) -> str:
    """Write ``before function(arguments) after`` in one line, or broken where it is longer than ``WIDTH``.

    >>> call("f", ["1", "x=2"], before="y = ")
    'y = f(1, x=2)'
    """
    arguments = list(arguments)
    space = " " * indent
    line = f"{space}{before}{function}({', '.join(arguments)}){after}"
    if len(line) <= WIDTH and "\n" not in line:
        return line
    inner = f"{space}    {', '.join(arguments)}"
    if len(inner) <= WIDTH and "\n" not in inner:
        return f"{space}{before}{function}(\n{inner}\n{space}){after}"
    lines = "".join(f"{space}    {argument},\n" for argument in arguments)
    return f"{space}{before}{function}(\n{lines}{space}){after}"


def named(expressions: Mapping[str, str], *, before: str = "", indent: int = 0) -> str:
    """Write expressions by name as a dict, or the only one alone, whose name is empty.

    >>> named({"": "1"}, before="x = "), named({"a": "1", "b": "2"}, before="x = ")
    ('x = 1', 'x = {"a": 1, "b": 2}')
    """
    space = " " * indent
    if "" in expressions:
        return f"{space}{before}{expressions['']}"
    items = [f"{literal(name)}: {each}" for name, each in expressions.items()]
    line = f"{space}{before}{{{', '.join(items)}}}"
    if len(line) <= WIDTH:
        return line
    return f"{space}{before}{{\n" + "".join(f"{space}    {item},\n" for item in items) + f"{space}}}"


def unannotated(carried: Callable[..., Any] | type) -> str:
    """Return the source of a function or class without annotations, as a script that checks no types has it.

    An assignment of several lines keeps its annotation: without it, a formatter would break it elsewhere.
    """
    source = textwrap.dedent(inspect.getsource(carried))
    lines, nodes = source.splitlines(), list(ast.walk(ast.parse(source)))
    for node in nodes:
        if isinstance(node, ast.AnnAssign) and node.value is not None and node.lineno == node.end_lineno:
            line, target = lines[node.lineno - 1], node.target.end_col_offset
            lines[node.lineno - 1] = line[:target] + line[node.annotation.end_col_offset :]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    for node in sorted(functions, key=lambda each: each.lineno, reverse=True):  # the inner ones first
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        signature = ast.unparse(node.args).replace("'", '"')
        head = call(f"def {node.name}", signature.split(", "), after=":", indent=node.col_offset)
        lines[node.lineno - 1 : node.body[0].lineno - 1] = head.splitlines()
    return "\n".join(lines)


def names_in(carried: Callable[..., Any] | type) -> list[str]:
    """Return the names that a function or class reads and does not set, in their order, annotations left out."""
    nodes = list(ast.walk(ast.parse(unannotated(carried))))
    own = {node.arg for node in nodes if isinstance(node, ast.arg)}
    names = [node for node in nodes if isinstance(node, ast.Name)]
    own |= {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return list(dict.fromkeys(node.id for node in names if node.id not in own))
