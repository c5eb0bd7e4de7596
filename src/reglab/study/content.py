"""What a function, a class or an object of somebody's own is, as a digest: the same for the same, in every process.

Results depend on it, so identities of runs have to. A pickle would do for neither: it names what can be imported, and
holds where a function stands in its file.
"""

from __future__ import annotations

import functools
import hashlib
import site
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

from reglab.keras_internals import settings_of

__all__ = ["digest"]

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_PLACES = [sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
_PLACES += [*site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parents[1])]
_INSTALLED = tuple({str(Path(path).resolve()) for path in _PLACES})


def digest(thing: object) -> str:
    """Return a digest of what something is.

    Of functions it is their code and what they are closed over, of objects their classes and attributes. What was
    installed counts by its name; whatever else cannot be looked into, by its pickle.

    >>> one, same, other = (lambda y, p: p - y), (lambda y, p: p - y), (lambda y, p: p + y)
    >>> digest(one) == digest(same), digest(one) == digest(other)
    (True, False)
    """
    hashed = hashlib.sha256()
    for piece in _pieces(thing, {}):
        hashed.update(piece)
        hashed.update(b"\x1f")
    return hashed.hexdigest()[:20]


def _pieces(thing: object, seen: dict[int, int]) -> Iterator[bytes]:
    """Yield all that makes a thing what it is; ``seen`` are those that are being looked at, by their number."""
    if isinstance(thing, _PLAIN):
        yield f"{type(thing).__name__} {thing!r}".encode()
        return
    if id(thing) in seen:
        yield f"seen {seen[id(thing)]}".encode()
        return
    seen[id(thing)] = len(seen)
    for kind, look in _LOOKS:
        if isinstance(thing, kind):
            yield type(thing).__name__.encode()
            yield from look(thing, seen)
            return
    yield from _object(thing, seen)


def _array(array: np.ndarray | np.generic, seen: dict[int, int]) -> Iterator[bytes]:
    yield f"{array.dtype} {array.shape}".encode()
    yield np.ascontiguousarray(array).tobytes() if array.dtype != object else repr(array.tolist()).encode()


def _sequence(things: Iterable[object], seen: dict[int, int]) -> Iterator[bytes]:
    for each in things:
        yield from _pieces(each, seen)


def _set(things: Iterable[object], seen: dict[int, int]) -> Iterator[bytes]:
    yield from sorted(digest(each).encode() for each in things)


def _mapping(things: Mapping[Any, Any], seen: dict[int, int]) -> Iterator[bytes]:
    for key, value in things.items():
        yield from _pieces(key, seen)
        yield from _pieces(value, seen)


def _module(module: types.ModuleType, seen: dict[int, int]) -> Iterator[bytes]:
    yield module.__name__.encode()


def _partial(made: functools.partial, seen: dict[int, int]) -> Iterator[bytes]:
    yield from _sequence((made.func, made.args, made.keywords), seen)


def _method(method: types.MethodType, seen: dict[int, int]) -> Iterator[bytes]:
    yield from _sequence((method.__func__, method.__self__), seen)


def _code(code: types.CodeType, seen: dict[int, int]) -> Iterator[bytes]:
    """What it does, and not where it stands; its own docstring is among the constants."""
    yield code.co_code
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_argcount, code.co_flags)
    yield repr(names).encode()
    yield from _sequence(code.co_consts, seen)


def _function(function: types.FunctionType, seen: dict[int, int]) -> Iterator[bytes]:
    if _installed(function):
        yield f"{function.__module__}.{function.__qualname__}".encode()
        return
    yield from _code(function.__code__, seen)
    yield from _pieces(function.__defaults__, seen)
    yield from _pieces(function.__kwdefaults__, seen)
    for cell in function.__closure__ or ():
        try:
            held = cell.cell_contents
        except ValueError:  # not filled yet
            held = None
        yield from _pieces(held, seen)
    for name in sorted(_names_in(function.__code__)):
        if name in function.__globals__:
            yield name.encode()
            yield from _pieces(function.__globals__[name], seen)


def _names_in(code: types.CodeType) -> set[str]:
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return set(code.co_names).union(*(_names_in(each) for each in inner))


def _class(cls: type, seen: dict[int, int]) -> Iterator[bytes]:
    yield f"{cls.__module__}.{cls.__qualname__}".encode()
    if _installed(cls):
        return
    yield from _sequence(cls.__bases__, seen)
    for name, value in sorted(vars(cls).items()):
        if name not in _OF_CLASSES:
            yield name.encode()
            yield from _pieces(value, seen)


_OF_CLASSES = {
    "__dict__", "__weakref__", "__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__",
    "__annotations__", "__abstractmethods__", "_abc_impl", "__slotnames__",
}  # fmt: skip


def _wrapped(thing: Any, seen: dict[int, int]) -> Iterator[bytes]:
    """Of a classmethod, a staticmethod or a property its functions."""
    parts = (thing.fget, thing.fset) if isinstance(thing, property) else (thing.__func__,)
    yield from _sequence(parts, seen)


def _object(thing: object, seen: dict[int, int]) -> Iterator[bytes]:
    yield from _class(type(thing), seen)
    if callable(getattr(thing, "get_config", None)) and _installed(type(thing)):
        yield from _pieces(settings_of(thing), seen)
    elif hasattr(thing, "__dict__"):
        yield from _mapping(dict(sorted(vars(thing).items())), seen)
    elif not isinstance(thing, types.BuiltinFunctionType):
        yield cloudpickle.dumps(thing)
    else:
        yield str(getattr(thing, "__qualname__", "")).encode()


def _installed(thing: object) -> bool:
    """Whether a function or class comes with a package that is installed, or with Python."""
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    if module is None or module.__name__ == "__main__" or "<" in getattr(thing, "__qualname__", ""):
        return False  # a function within another, or without a name, is not found by it
    path = getattr(module, "__file__", None)
    return path is None or str(Path(path).resolve()).startswith(_INSTALLED)


_LOOKS: tuple[tuple[Any, Callable[[Any, dict[int, int]], Iterator[bytes]]], ...] = (
    (np.ndarray, _array),
    (np.generic, lambda thing, seen: _array(np.asarray(thing), seen)),
    ((list, tuple), _sequence),
    ((set, frozenset), _set),
    (Mapping, _mapping),
    (types.ModuleType, _module),
    (functools.partial, _partial),
    (types.MethodType, _method),
    (types.FunctionType, _function),
    (types.CodeType, _code),
    (type, _class),
    ((classmethod, staticmethod, property), _wrapped),
)
