"""A network as the Python code that builds it: Sequential and Functional models, one layer a line."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from reglab.errors import ReglabError
from reglab.export.source import WIDTH, call, docstring, literal
from reglab.export.steps import ends_of, identifier, steps_of, variables
from reglab.keras_internals import is_graph
from reglab.regularized.activity import ActivityPenalty
from reglab.regularized.clone import Tap

__all__ = ["Printer"]

_WAY_OUT = "The trained network itself can be exported all the same: leave the script out (--no-script)"
_BUILT_IN = re.compile(r"keras(\.src)?\b")


@dataclass
class Printer:
    """Writes functions that build a network.

    Attributes:
        tap: from a tap of reglab's to the expression of the Keras layer that stands in its place, or None for nothing.
        more: from a layer to further arguments of it.
        seeds: the seed of each random layer of the user's, by its name.
        policy: the dtype policy that is in force where the code runs.
        front: expressions of layers that stand before the outermost network.
        functions: the functions written so far, the outermost last.
        imports: what the user's own layers need.
    """

    tap: Callable[[Tap], str | None]
    more: Callable[[Any], dict[str, str]]
    seeds: Mapping[str, int]
    policy: str
    front: tuple[str, ...] = ()
    functions: list[str] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)

    def function(self, network: keras.Model, name: str, doc: str) -> None:
        """Write a function ``name()`` that builds ``network``, and those of the networks inside it."""
        if not is_graph(network):
            raise ReglabError(
                f"{type(network).__name__} is a subclassed model, which cannot be written as layers. {_WAY_OUT}."
            )
        front, self.front = self.front, ()  # networks inside this one have nothing before them
        write = self._sequential if isinstance(network, keras.Sequential) else self._functional
        try:
            body = write(network, front)
        except NotImplementedError as error:  # what Keras raises for a layer without get_config
            reason = " ".join(str(error).split()).split(". ")[0]
            raise ReglabError(f"{network.name!r} cannot be written as layers: {reason}. {_WAY_OUT}.") from error
        self.functions.append("\n".join([f"def {name}():", docstring(doc, indent="    "), *body]))

    # --- the two kinds of network ----------------------------------------------------------------------------------

    def _sequential(self, network: keras.Model, front: tuple[str, ...]) -> list[str]:
        items = [*(_input(tensor) for tensor in network.inputs), *front]
        kept = [layer for layer in network.layers if not (isinstance(layer, Tap) and self.tap(layer) is None)]
        items += [self._layer(layer, indent=12) for layer in kept]
        lines = [f"            {item}," for item in items]
        name = f"        name={literal(network.name)},"
        return ["    return keras.Sequential(", "        [", *lines, "        ],", name, "    )"]

    def _functional(self, network: keras.Model, front: tuple[str, ...]) -> list[str]:
        config = network.get_config()
        operations = {operation.name: operation for operation in network.operations}
        steps = list(steps_of(config))
        names = variables(steps, config)
        lines: list[str] = []
        for step in steps:
            operation, target = operations[step.name], names[step.name, step.node]
            if isinstance(operation, keras.layers.InputLayer):
                lines.append(f"    {'inputs' if front else target} = {_input(operation.output)}")
                before = ["inputs", *[target] * len(front)]
                lines += [f"    {target} = {made}({given})" for made, given in zip(front, before, strict=False)]
                continue
            if isinstance(operation, Tap) and self.tap(operation) is None:
                source = _argument(step.args[0], names)
                lines += [f"    {target} = {source}"] if target != source else []
                continue
            if step.count > 1 and step.node == 0:  # a layer that is called several times is made once
                lines.append(f"    {identifier(step.name)}_layer = {self._layer(operation)}")
            arguments = [_argument(value, names) for value in step.args]
            arguments += [f"{key}={_argument(value, names)}" for key, value in step.kwargs.items() if value is not None]
            if not isinstance(operation, keras.Layer):
                lines.append(f"    {target} = {_operation(operation, arguments)}")
                continue
            room = WIDTH - 8 - len(target)
            made = f"{identifier(step.name)}_layer" if step.count > 1 else self._layer(operation, room=room)
            line = f"    {target} = {made}({', '.join(arguments)})"
            if "\n" not in made and len(line) > WIDTH:
                line = f"    {target} = {made}(\n        {', '.join(arguments)}\n    )"
            lines.append(line)
        ends = [_tensors(config[key], names) for key in ("input_layers", "output_layers")]
        begin = "inputs" if front else ends[0]
        made = call("keras.Model", [begin, ends[1], f"name={literal(network.name)}"], before="return ", indent=4)
        lines += made.splitlines()
        return lines

    # --- one layer -------------------------------------------------------------------------------------------------

    def _layer(self, layer: keras.Layer, room: int = WIDTH - 14, indent: int = 4) -> str:
        """Return the expression that makes a layer."""
        if isinstance(layer, Tap):
            return self.tap(layer) or ""
        if isinstance(layer, keras.Model):
            name = f"build_{identifier(layer.name)}"
            while any(text.startswith(f"def {name}()") for text in self.functions):
                name += "_"
            self.function(layer, name, f"Return the part of the network that is called {layer.name}.")
            return f"{name}()"
        if isinstance(layer, keras.layers.Lambda):
            raise ReglabError(
                f"The layer {layer.name!r} is a Lambda, whose function is no text. Make it a layer with a call method. "
                f"{_WAY_OUT}."
            )
        config = dict(layer.get_config())
        if isinstance(layer.activity_regularizer, ActivityPenalty):
            original = layer.activity_regularizer.original
            config.pop("activity_regularizer", None)
            if original is not None:
                config["activity_regularizer"] = keras.saving.serialize_keras_object(original)
        if layer.name in self.seeds and "seed" in config:
            config["seed"] = self.seeds[layer.name]
        arguments = self._arguments(type(layer), config, named=True, more=self.more(layer))
        text = call(self._class(type(layer)), arguments, after="," * (indent > 4), indent=indent)[indent:]
        text = text.removesuffix(",") if indent > 4 else text
        if "\n" not in text and len(text) > room:
            text = call(self._class(type(layer)), arguments, before=" " * (WIDTH - room), indent=4)[4:].lstrip()
        return text

    def _arguments(self, cls: type, config: dict[str, Any], *, named: bool, more: dict[str, str]) -> list[str]:
        """Return what a layer or another object of Keras' is made with, where it differs from the default."""
        signature = inspect.signature(cls).parameters
        order = [key for key in signature if key in config] + [key for key in config if key not in signature]
        positional = [key for key, value in signature.items() if value.default is inspect.Parameter.empty]
        texts: list[str] = []
        for key in order:
            value = _short(key, config)
            if key == "dtype" and _policy(value) == self.policy:
                continue
            default = signature[key].default if key in signature else _DEFAULTS.get(key, inspect.Parameter.empty)
            if key in more and value is not None:
                more = {**more, key: f"both({self._value(value)}, {more[key]})"}
            if key in more or (key == "name" and not named) or (key != "name" and _same(value, default)):
                continue
            text = literal(_policy(value)) if key == "dtype" else self._value(value)
            _dotted(key)
            texts.append(text if key in positional and len(texts) == positional.index(key) else f"{key}={text}")
        name = [text for text in texts if text.startswith("name=")]
        return [text for text in texts if text not in name] + [f"{k}={v}" if v else k for k, v in more.items()] + name

    def _value(self, value: object) -> str:
        if isinstance(value, Mapping) and "class_name" in value and "config" in value:
            module, name = value.get("module"), value["class_name"]
            if module == "builtins":
                return _dotted(str(value["config"]))
            if str(module).startswith("keras.initializers") and (usual := _usual_name(value)):
                return literal(usual)
            cls = keras.saving.get_registered_object(value.get("registered_name") or name) or _find(module, name)
            if inspect.isfunction(cls):
                return self._class(cls)
            arguments = self._arguments(cls, dict(value["config"]), named="layers" in str(module), more={})
            return f"{self._class(cls)}({', '.join(arguments)})"
        if isinstance(value, list):
            items = [self._value(item) for item in value]
            return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
        return literal(value)

    def _class(self, cls: Any) -> str:
        """Return how a class or function is written: Keras' own by its public name, another's imported."""
        module, name = cls.__module__, cls.__name__
        if _BUILT_IN.match(module):
            for place in ("layers", "initializers", "regularizers", "constraints", "activations"):
                if getattr(getattr(keras, place), name, None) is cls:
                    return f"layers.{name}" if place == "layers" else f"keras.{place}.{name}"
            if getattr(keras, name, None) is cls:
                return f"keras.{name}"
        if module in ("__main__", "builtins") or "<locals>" in cls.__qualname__ or module.startswith("reglab."):
            raise ReglabError(
                f"{cls.__qualname__} is defined in {module}, from where a script cannot import it. Put it in a module "
                f"of its own. {_WAY_OUT}."
            )
        self.imports.add(f"from {_dotted(module)} import {_dotted(name)}")
        return name


def _dotted(name: str) -> str:
    """Return a name that is to stand in code as it is, if it is one and nothing else.

    Raises:
        ReglabError: for any other text: classes and configurations can be called anything.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise ReglabError(f"{name!r} is not a name that Python code can have. {_WAY_OUT}.")
    return name


_DEFAULTS = {"trainable": True, "activity_regularizer": None, "quantization_config": None}


def _tensors(entry: object, names: Mapping[tuple[str, int], str]) -> str:
    """Return the inputs or outputs of a network, by name where it has them so."""
    if isinstance(entry, Mapping):
        return "{" + ", ".join(f"{literal(key)}: {_tensors(each, names)}" for key, each in entry.items()) + "}"
    found = [names[key] for key in ends_of(entry)]
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]"


def _argument(value: object, names: Mapping[tuple[str, int], str]) -> str:
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            name, node, index = value["config"]["keras_history"]
            return names[name, node] + (f"[{index}]" if index else "")
        if value.get("class_name") == "__slice__":
            ends = value["config"]
            return f"slice({ends['start']}, {ends['stop']}, {ends['step']})"
        if value.get("class_name") == "__ellipsis__":
            return "..."
    if isinstance(value, list | tuple):
        return f"[{', '.join(_argument(item, names) for item in value)}]"
    return literal(value)


def _operation(operation: keras.Operation, arguments: list[str]) -> str:
    """Return the call of ``keras.ops`` that an operation between layers is."""
    config = {key: value for key, value in operation.get_config().items() if key != "name"}
    if type(operation).__name__ == "GetItem":
        return f"{arguments[0]}[{arguments[1].removeprefix('[').removesuffix(']')}]"
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(operation).__name__).lower()
    if not hasattr(keras.ops, name):
        kind = type(operation).__name__
        raise ReglabError(f"The operation {operation.name!r} ({kind}) cannot be written. {_WAY_OUT}.")
    return f"ops.{name}({', '.join([*arguments, *(f'{k}={literal(v)}' for k, v in config.items())])})"


def _input(tensor: keras.KerasTensor) -> str:
    shape, dtype = tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype)
    arguments = [literal(shape[1:])] if shape[0] is None else [f"batch_shape={literal(shape)}"]
    if dtype != keras.backend.floatx():
        arguments.append(f"dtype={literal(dtype)}")
    return f"keras.Input({', '.join([*arguments, f'name={literal(tensor.name)}'])})"


def _policy(value: object) -> object:
    return value["config"].get("name") if isinstance(value, Mapping) and "config" in value else value


def _same(value: object, default: object) -> bool:
    """Whether a configured value is what the layer has by default."""
    if default is inspect.Parameter.empty:
        return False
    if isinstance(value, list | tuple):
        return list(value) == list(default) if isinstance(default, list | tuple) else set(value) == {default}
    if isinstance(default, list | tuple):
        return set(default) == {value}
    if isinstance(value, Mapping) and isinstance(default, str) and "class_name" in value:
        try:
            usual = keras.saving.serialize_keras_object(keras.initializers.get(default))
        except ValueError:
            return False
        return usual["class_name"] == value["class_name"] and usual["config"] == value["config"]
    if isinstance(value, str) and default is None:
        return value == "linear" or value == keras.config.image_data_format()
    return value == default or (value is None and default is None)


def _short(key: str, config: Mapping[str, Any]) -> Any:
    """Return a value of a layer's configuration in its short form: a kernel of ``(3, 3)`` is one of ``3``."""
    value = config[key]
    if key == "strides" and value == config.get("pool_size"):
        return None  # what pooling has by default
    square = key in ("kernel_size", "strides", "pool_size", "dilation_rate") and isinstance(value, list | tuple)
    return value[0] if square and len(set(value)) == 1 else value


def _usual_name(value: Mapping[str, Any]) -> str | None:
    """Return the text that stands for an initializer, ``he_normal``, if it is as that text makes it."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", value["class_name"]).lower()
    return name if _same(value, name) else None


def _find(module: str | None, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module or "keras"), name)
    except (ImportError, AttributeError):
        raise ReglabError(f"{name} of {module} cannot be imported, so it cannot be written. {_WAY_OUT}.") from None
