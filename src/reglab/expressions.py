"""Reading ``name(key=value) + name(...)``: the form in which recipes, schedules and models are written as text.

The text is parsed with Python's own grammar and walked; nothing in it is ever evaluated. Besides names and calls it
may hold numbers, ``8/255``, quoted or bare words, ``true``, ``false``, ``none``, tuples and lists.
"""

from __future__ import annotations

import ast
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from reglab.errors import ReglabError

__all__ = ["Call", "format_value", "parse_call", "parse_sum", "shown"]

_WORDS = {"true": True, "false": False, "none": None}
_LONGEST = 10_000


class Call(NamedTuple):
    """``name(*args, **kwargs)`` as it was written."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def parse_sum(text: str) -> tuple[Call, ...]:
    """Read ``"a(x=1) + b + c(2)"`` as three calls.

    >>> parse_sum("l2(kernel=1e-3) + dropout(rate=0.1)")[1]
    Call(name='dropout', args=(), kwargs={'rate': 0.1})
    """
    with _readable(text):
        return tuple(_call(node, text) for node in _terms(_parse(text)))


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Read ``"inception(pooled=true)"`` as ``("inception", {"pooled": True})``; options are given by name."""
    with _readable(text):
        call = _call(_parse(text), text)
    if call.args:
        raise ReglabError(f"{text!r} gives a value without its name. Write {call.name}(option=value).")
    return call.name, call.kwargs


def format_value(value: Any) -> str:
    """Write ``value`` so that :func:`parse_sum` reads it back.

    >>> format_value((0.1, "module1", None))
    '(0.1, module1, none)'
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        inner = ", ".join(format_value(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, str):
        # Python reads names in a normal form, in which some letters are others (the micro sign is a mu).
        plain = value.isidentifier() and value.lower() not in _WORDS and unicodedata.normalize("NFKC", value) == value
        return value if plain else repr(value)
    return repr(value)


@contextmanager
def _readable(text: str) -> Iterator[None]:
    """Turn what a text of thousands of brackets, signs or digits raises on its way into an error of ours."""
    try:
        yield
    except ReglabError:
        raise
    except (RecursionError, OverflowError, ValueError) as error:
        raise ReglabError(
            f"Cannot read {text[:60]!r}...: {error}. Write it as name(option=value) + name(option=value)."
        ) from None


def _parse(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ReglabError(f"The text is {len(text)} characters long; at most {_LONGEST} are read.")
    try:
        return ast.parse(text.replace("\n", " ").strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or error
        raise ReglabError(
            f"Cannot read {_short(text)!r}: {reason}. Write it as name(option=value) + name(option=value)."
        ) from None


def _short(text: str, length: int = 200) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def shown(value: Any) -> str:
    """Return a value as text of a length that people read; whole numbers of thousands of digits have none.

    >>> shown(0.1), shown("x" * 99)[-5:]
    ('0.1', 'xx...')
    """
    try:
        return _short(format_value(value), 80)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too long to show"


def _terms(node: ast.expr) -> list[ast.expr]:
    terms = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        terms.append(node.right)
        node = node.left
    return [node, *reversed(terms)]


def _call(node: ast.expr, text: str) -> Call:
    if isinstance(node, ast.Name):
        return Call(node.id, (), {})
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise ReglabError(f"Cannot read {ast.unparse(node)!r} in {text!r}: expected a name, or name(option=value).")
    kwargs = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ReglabError(f"{text!r}: ** is not read here. Name each option.")
        kwargs[keyword.arg] = _value(keyword.value, text)
    return Call(node.func.id, tuple(_value(arg, text) for arg in node.args), kwargs)


def _value(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
            return value
        case ast.Name(id=word):
            return _WORDS.get(word.lower(), word)
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return tuple(_value(item, text) for item in items)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _value(operand, text)
            if _is_number(value):
                return -value
        case ast.BinOp(op=ast.Div(), left=left, right=right):
            above, below = _value(left, text), _value(right, text)
            if _is_number(above) and _is_number(below) and below != 0:
                return above / below
        case ast.Call():
            return _call(node, text)
    raise ReglabError(
        f"Cannot read the value {ast.unparse(node)!r} in {text!r}: expected a number, a word, true, false, none, "
        "or a tuple of these."
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
