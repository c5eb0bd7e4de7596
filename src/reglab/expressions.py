"""Reading ``name(key=value) + name(...)``: the form in which recipes, schedules and models are written as text.

The text is parsed with Python's own grammar and walked; nothing in it is ever evaluated. Besides names and calls it
may hold numbers, ``8/255``, quoted or bare words, ``true``, ``false``, ``none``, tuples, lists and mappings.
"""

from __future__ import annotations

import ast
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from reglab.errors import ReglabError

__all__ = ["Call", "format_call", "format_value", "parse_call", "parse_list", "parse_sum", "parse_value", "shown"]

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


def parse_list(text: str) -> tuple[Call, ...]:
    """Read ``"mae, auc(curve=PR)"`` as two calls.

    >>> [call.name for call in parse_list("mae, auc(curve=PR)")]
    ['mae', 'auc']
    """
    with _readable(text):
        node = _parse(text)
        return tuple(_call(each, text) for each in (node.elts if isinstance(node, ast.Tuple) else [node]))


def parse_value(text: str) -> Any:
    """Read a value by itself: a number, a word, ``(1, 5)``, ``{cat: 1, 'big dog': 5}``.

    >>> parse_value("{cat: 1, 'big dog': 5}")
    {'cat': 1, 'big dog': 5}
    """
    with _readable(text):
        return _value(_parse(text), text)


def format_value(value: object) -> str:
    """Write ``value`` so that :func:`parse_sum` reads it back.

    >>> format_value((0.1, "module1", None))
    '(0.1, module1, none)'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{format_value(key)}: {format_value(held)}" for key, held in value.items()) + "}"
    if isinstance(value, Call):
        return format_call(value.name, value.kwargs)
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


def format_call(name: str, options: Mapping[str, Any]) -> str:
    """Write ``name(option=value)``, options by their names in order.

    >>> format_call("sgd", {"nesterov": True, "momentum": 0.9}), format_call("adam", {})
    ('sgd(momentum=0.9, nesterov=true)', 'adam')
    """
    inner = ", ".join(f"{key}={format_value(options[key])}" for key in sorted(options))
    return f"{name}({inner})" if inner else name


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


def shown(value: object) -> str:
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
        case ast.Dict(keys=keys, values=values) if all(isinstance(key, ast.Constant | ast.Name) for key in keys):
            return {_value(key, text): _value(held, text) for key, held in zip(keys, values, strict=True) if key}
        case ast.Call():
            return _call(node, text)
    raise ReglabError(
        f"Cannot read the value {ast.unparse(node)!r} in {text!r}: expected a number, a word, true, false, none, "
        "a tuple or a mapping of these."
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
