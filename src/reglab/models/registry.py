"""From what a user says of a model to a function that builds it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reglab.errors import ReglabError, nearest
from reglab.lazy import keras
from reglab.models.inception import inception
from reglab.models.mlp import mlp
from reglab.models.resnet import resnet
from reglab.text import parse_call

__all__ = ["MODELS", "resolve"]

MODELS: dict[str, Callable[..., Any]] = {"inception": inception, "mlp": mlp, "resnet": resnet}


def resolve(model: Any, *, input_shape: tuple[int, ...], num_classes: int) -> Callable[[], Any]:
    """Return a function without arguments that builds the model.

    Args:
        model: the name of a built-in model, with options as text (``"inception(pooled=true)"``);
            ``"package.module:function"`` or ``"path/to/file.py:function"``; a function of ``(input_shape, num_classes)`` or
            without arguments; or a ``keras.Model``, which is then what is returned each time.
        input_shape: the shape of one example.
        num_classes: how many classes the data has.

    Raises:
        ReglabError: for anything that does not lead to a Keras model.
    """
    if isinstance(model, str):
        function, options = _function(model) if ":" in model.split("(", 1)[0] else _built_in(model)
    elif callable(model) and not _is_model(model):
        function, options = model, {}
    elif _is_model(model):
        return lambda: model
    else:
        raise ReglabError(f"{model!r} is not a model. Give one of {', '.join(MODELS)}, a function that builds one, or a keras.Model.")
    call = _call(function, options, tuple(input_shape), num_classes)

    def build() -> Any:
        built = call()
        if not _is_model(built):
            raise ReglabError(f"{_name(function)} returned {type(built).__name__}; it has to return a keras.Model.")
        return built

    return build


def _is_model(thing: Any) -> bool:
    return "keras" in sys.modules and isinstance(thing, keras.Model)


def _built_in(text: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    name, options = parse_call(text)
    if name not in MODELS:
        raise ReglabError(
            f"Unknown model {name!r}.{nearest(name, MODELS)} Known are {', '.join(MODELS)}; your own as module:function or "
            "file.py:function."
        )
    return MODELS[name], options


def _function(text: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    head, _, call = text.partition("(")
    place, _, name = head.rpartition(":")
    options = parse_call(f"{name}({call}")[1] if call else {}
    module = _import(place)
    if not hasattr(module, name):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ReglabError(f"{place} has no function {name!r}.{nearest(name, public)} It has {', '.join(public) or 'none'}.")
    function = getattr(module, name)
    if not callable(function):
        raise ReglabError(f"{place}:{name} is {type(function).__name__}; it has to be a function that returns a keras.Model.")
    return function, options


def _import(place: str) -> Any:
    try:
        if place.endswith(".py"):
            return _import_file(Path(place))
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())  # as `python -m` does, so that a module beside the user is found
        return importlib.import_module(place)
    except ReglabError:
        raise
    except Exception as error:
        raise ReglabError(f"Importing {place!r} failed: {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise ReglabError(f"There is no file {path}. Give path/to/file.py:function.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _call(function: Callable[..., Any], options: dict[str, Any], input_shape: tuple, num_classes: int) -> Callable[[], Any]:
    """Return the call of a builder with the arguments that its signature takes."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        parameters = {}
    unknown = [key for key in options if key not in parameters]
    if unknown:
        choices = [key for key in parameters if key not in {"input_shape", "num_classes"}]
        raise ReglabError(
            f"{_name(function)} has no option {unknown[0]!r}.{nearest(unknown[0], choices)} It has {', '.join(choices) or 'none'}."
        )
    if {"input_shape", "num_classes"} <= set(parameters):
        return lambda: function(input_shape=input_shape, num_classes=num_classes, **options)
    required = [
        p for p in parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in options
    ]  # fmt: skip
    if len(required) == 2:
        return lambda: function(input_shape, num_classes, **options)
    if not required:
        return lambda: function(**options)
    raise ReglabError(
        f"{_name(function)} takes {len(required)} arguments without default. A builder takes (input_shape, num_classes) or none."
    )


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)
