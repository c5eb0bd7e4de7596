"""From what a user says of a model to a function that builds it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, TypeGuard

from reglab import backends
from reglab.data.kinds import ARRAY, IMAGE, SERIES, TABLE, TOKENS, measures, plural
from reglab.data.several import Shape
from reglab.errors import ReglabError, nearest
from reglab.expressions import parse_call
from reglab.lazy import keras
from reglab.models.fcn import fcn
from reglab.models.inception import inception
from reglab.models.mlp import mlp
from reglab.models.resnet import resnet
from reglab.models.text_cnn import text_cnn
from reglab.models.transformer import transformer
from reglab.models.unet import unet

__all__ = ["GIVEN", "MODELS", "ModelSource", "Network", "found_function", "is_built_in", "resolve", "takes"]

ModelSource: TypeAlias = "str | keras.Model | Callable[..., keras.Model]"
"""What :func:`resolve` makes a function of: a name, with options as text, a model, or a function that builds one."""


@dataclass(frozen=True)
class Network:
    """A network of reglab's own.

    Attributes:
        build: the function that builds it.
        kinds: the kinds of input that it takes (:mod:`reglab.data.kinds`), the usual one first.
        paper: where it comes from.
    """

    build: Callable[..., keras.Model]
    kinds: tuple[str, ...]
    paper: str = ""

    def takes(self, kind: str) -> bool:
        """Whether it takes data of a kind: one for arrays of any shape takes all whose numbers measure something."""
        return kind in self.kinds or (ARRAY in self.kinds and measures(kind))


MODELS: dict[str, Network] = {
    "fcn": Network(fcn, (SERIES,), "Wang, Yan and Oates 2017, arXiv:1611.06455"),
    "inception": Network(inception, (IMAGE,), "Szegedy et al. 2015, arXiv:1409.4842, figure 2a"),
    "mlp": Network(mlp, (TABLE, SERIES, IMAGE, ARRAY)),
    "resnet": Network(resnet, (IMAGE,), "He et al. 2016, arXiv:1512.03385, section 4.2"),
    "text_cnn": Network(text_cnn, (TOKENS,), "Kim 2014, arXiv:1408.5882, CNN-rand"),
    "transformer": Network(transformer, (TOKENS,), "Vaswani et al. 2017, arXiv:1706.03762, figure 1, left"),
    "unet": Network(unet, (IMAGE,), "Ronneberger, Fischer and Brox 2015, arXiv:1505.04597"),
}


_OWN = "Your own is given as package.module:function or path/to/file.py:function."
_BUILT_IN = re.compile(r"\s*\w+\s*(\(.*)?", re.DOTALL)
_FUNCTION = re.compile(r"(?P<place>.+):(?P<call>(?P<name>[^\W\d]\w*)\s*(\(.*\)\s*)?)", re.DOTALL)
_SAVED = (".keras", ".h5", ".hdf5")
# What a builder is given by these names, if it takes them.
GIVEN = ("input_shape", "num_classes", "ending", "vocabulary", "per_position")


def resolve(
    model: ModelSource,
    *,
    input_shape: Shape,
    num_classes: int | Mapping[str, int],
    ending: str = "softmax",
    kind: str | None = None,
    vocabulary: int | None = None,
    per_position: bool = False,
) -> Callable[[], keras.Model]:
    """Return a function without arguments that builds the model.

    Args:
        model: the name of a built-in model, with options as text (``"inception(pooled=true)"``);
            ``"package.module:function"`` or ``"path/to/file.py:function"``, which takes options too; a function of
            ``(input_shape, num_classes)``, of some of what is given by name, or without arguments; or a
            ``keras.Model``, which is then what is returned each time.
        input_shape: the shape of one example; of several inputs a dict of them by name.
        num_classes: how many classes the data has, or numbers to predict; of several outputs a dict of them by name.
        ending: the activation that a built-in model ends in; also given to a builder that takes it by that name.
        kind: of the data, where it is known: a built-in model refuses what it does not take.
        vocabulary: how many token ids there can be, given to a builder that takes it by that name.
        per_position: whether each time step, token or pixel has a label; also given to a builder that takes it.

    Raises:
        ReglabError: for anything that does not lead to a Keras model, or a built-in model of other data. What only
            building can show is raised by the returned function.

    Example:
        >>> build = resolve("mlp(units=64)", input_shape=(30,), num_classes=2)
        >>> build().output_shape
        (None, 2)
    """
    if _is_model(model):
        return lambda: model
    if isinstance(model, os.PathLike) or (isinstance(model, str) and model.strip().endswith(_SAVED)):
        raise ReglabError(
            f"{os.fspath(model)!r} is the file of a model where a model is expected. Read it first: "
            "keras.models.load_model(path); on the command line, in a function of yours: path/to/file.py:function."
        )
    if isinstance(model, str):
        _check_kind(model, kind, input_shape)
        if isinstance(num_classes, Mapping) and is_built_in(model):
            raise ReglabError(
                f"{parse_call(model)[0]} has one output; the data has labels of {', '.join(num_classes)}. Give a model "
                "of yours with these outputs (path/to/file.py:function, or a keras.Model), or the labels of one."
            )
        if per_position:
            _check_positions(model)
        function, options = _built_in(model) if _BUILT_IN.fullmatch(model) else _function(model)
    elif callable(model):
        function, options = model, {}
    else:
        raise ReglabError(
            f"{model!r} is not a model. Give one of {', '.join(MODELS)}, a function that builds one, or a keras.Model."
        )
    call = _call(function, options, (input_shape, num_classes, ending, vocabulary, per_position))

    def build() -> keras.Model:
        try:
            built = call()
        except ReglabError:
            raise
        except Exception as error:
            raise ReglabError(f"{_name(function)} failed to build a model: {_told(error)}") from error
        if not _is_model(built):
            raise ReglabError(f"{_name(function)} returned {type(built).__name__}; it has to return a keras.Model.")
        return built

    return build


def is_built_in(model: object) -> TypeGuard[str]:
    """Whether a model is one of reglab's own, by name."""
    return isinstance(model, str) and bool(_BUILT_IN.fullmatch(model)) and parse_call(model)[0] in MODELS


def takes(model: object) -> tuple[str, ...]:
    """Return the kinds of input that a network of reglab's own takes; of any other model nothing is known.

    >>> takes("resnet(depth=8)"), takes("my_file.py:build")
    (('image',), ())
    """
    return MODELS[parse_call(model)[0]].kinds if is_built_in(model) else ()


def _check_positions(model: str) -> None:
    """Raise a ReglabError if a network of reglab's own gives one prediction per example."""
    if not is_built_in(model):
        return
    keep = {name: network.kinds for name, network in MODELS.items() if "per_position" in _parameters(network.build)}
    if (name := parse_call(model)[0]) not in keep:
        raise ReglabError(
            f"{name} gives one prediction per example, and the data has a label for each position. Use "
            f"{', '.join(f'{name} ({plural(kinds[0])})' for name, kinds in keep.items())}, or a model of yours."
        )


def _check_kind(model: str, kind: str | None, input_shape: Shape) -> None:
    """Raise a ReglabError if a network of reglab's own does not take data of a kind."""
    if kind is None or not is_built_in(model) or MODELS[parse_call(model)[0]].takes(kind):
        return
    others = [name for name, network in MODELS.items() if network.takes(kind)]
    raise ReglabError(
        f"{parse_call(model)[0]} takes {', '.join(map(plural, takes(model)))}; the data is {plural(kind)} of shape "
        f"{input_shape}. Of {plural(kind)} there is {', '.join(others) or 'no network of reglab'}; if the data "
        "is something else, say so (kind, --kind)."
    )


def _is_model(thing: object) -> bool:
    return "keras" in sys.modules and isinstance(thing, keras.Model)


def _built_in(text: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    name, options = parse_call(text)
    if name not in MODELS:
        raise ReglabError(f"Unknown model {name!r}.{nearest(name, MODELS)} Known are {', '.join(MODELS)}. {_OWN}")
    return MODELS[name].build, options


def _function(text: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    if _FUNCTION.fullmatch(text.strip()) is None:
        raise ReglabError(f"{text!r} names no model. Known are {', '.join(MODELS)}. {_OWN}")
    function, options = found_function(text)
    if not callable(function) or _is_model(function):
        raise ReglabError(f"{text} is {type(function).__name__}; it has to be a function that returns a keras.Model.")
    return function, options


def found_function(text: str) -> tuple[Any, dict[str, Any]]:
    """Return what ``package.module:name`` or ``path/to/file.py:name`` is, and the options that are given to it.

    Raises:
        ReglabError: if there is no such file, module or name, or importing it fails.
    """
    match = _FUNCTION.fullmatch(text.strip())
    if match is None:
        raise ReglabError(f"{text!r} names nothing in a file or module. {_OWN}")
    place, name = match["place"], match["name"]
    _, options = parse_call(match["call"])
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    if not hasattr(module, name):
        public = [
            key for key, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not key.startswith("_")
        ]  # fmt: skip
        raise ReglabError(
            f"{place} has no function {name!r}.{nearest(name, public)} It has {', '.join(public) or 'none'}."
        )
    return getattr(module, name), options


def _import_module(place: str) -> ModuleType:
    backends.require()  # so that a missing backend is said as such, and not as a failure of the user's module
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` does, so that a module beside the user is found
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
            raise ReglabError(
                f"There is no module {error.name!r} here or among the installed ones. Run reglab from the folder it is "
                "in, install it, or give path/to/file.py:function."
            ) from None
        raise ReglabError(f"Importing {place} failed: {_told(error)}") from error
    except (Exception, SystemExit) as error:
        raise ReglabError(f"Importing {place} failed: {_told(error)}") from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ReglabError(f"There is no file {path}. Give path/to/file.py:function.")
    backends.require()
    path = path.resolve()
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # its imports of files beside it work, and shadow nothing
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ReglabError(f"{path} cannot be imported. Give the path of a Python file.")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(path.stem)
    if before is None or getattr(before, "__file__", None) == str(path):
        sys.modules[path.stem] = module  # pickle and dataclasses look there; a module of the same name is left alone
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        if sys.modules.get(path.stem) is module:
            del sys.modules[path.stem]
        raise ReglabError(f"Importing {path} failed: {_told(error)}") from error
    return module


def _call(
    function: Callable[..., Any],
    options: dict[str, Any],
    given: tuple[Shape, int | Mapping[str, int], str, int | None, bool],
) -> Callable[[], keras.Model]:
    """Return the call of a builder with the arguments that its signature takes."""
    parameters = _parameters(function)
    _check_options(function, options, parameters)
    by_name = {
        key: value for key, value in zip(GIVEN, given, strict=True)
        if key in parameters and parameters[key].kind is not inspect.Parameter.POSITIONAL_ONLY
    }  # fmt: skip
    required = [
        parameter for name, parameter in parameters.items()
        if parameter.default is parameter.empty and name not in by_name and name not in options
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]  # fmt: skip
    if not required:
        return lambda: function(**by_name, **options)
    positional = all(parameter.kind is not parameter.KEYWORD_ONLY for parameter in required)
    if len(required) == 2 and positional and not by_name.keys() - {"ending", "vocabulary", "per_position"}:
        return lambda: function(*given[:2], **by_name, **options)
    raise ReglabError(
        f"{_name(function)} requires {', '.join(parameter.name for parameter in required)}. A builder takes "
        "(input_shape, num_classes), or nothing; give everything else a default."
    )


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # some callables written in C have none
        return {}


def _check_options(
    function: Callable[..., Any], options: dict[str, Any], parameters: Mapping[str, inspect.Parameter]
) -> None:
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    choices = [key for key in parameters if key not in GIVEN]
    for name in options:
        if name in GIVEN:
            raise ReglabError(f"{_name(function)}: {name} comes from the data. Leave it out.")
        if name not in choices:
            raise ReglabError(
                f"{_name(function)} has no option {name!r}.{nearest(name, choices)} It has "
                f"{', '.join(choices) or 'none'}."
            )


def _name(function: object) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _told(error: BaseException) -> str:
    """Return the error's type and message and the line it was raised from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
