"""The calls of a network's layers, in the order in which code makes them, and names for what they give."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Step", "ends_of", "identifier", "steps_of", "variables"]


@dataclass(frozen=True)
class Step:
    """One call of one layer or operation."""

    name: str
    node: int
    count: int
    args: list[Any]
    kwargs: dict[str, Any]

    @property
    def sources(self) -> list[tuple[str, int]]:
        return list(_sources([self.args, self.kwargs]))


def steps_of(config: dict[str, Any]) -> Iterator[Step]:
    """Yield the calls of a network, each after those whose results it takes."""
    waiting = []
    for entry in config["layers"]:
        nodes = entry["inbound_nodes"] or [{"args": [], "kwargs": {}}]
        waiting += [Step(entry["name"], i, len(nodes), node["args"], node["kwargs"]) for i, node in enumerate(nodes)]
    done: set[tuple[str, int]] = set()
    while waiting:
        ready = next(step for step in waiting if done.issuperset(step.sources))
        waiting.remove(ready)
        done.add((ready.name, ready.node))
        yield ready


def _sources(value: object) -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            name, node, _ = value["config"]["keras_history"]
            yield name, node
        else:
            for item in value.values():
                yield from _sources(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _sources(item)


def variables(steps: list[Step], config: dict[str, Any]) -> dict[tuple[str, int], str]:
    """Return the name of each result: ``x`` where the next line alone takes it and nothing else, else the layer's."""
    names: dict[tuple[str, int], str] = {}
    ends = {(name, node) for key in ("input_layers", "output_layers") for name, node in ends_of(config[key])}
    for position, step in enumerate(steps):
        key = (step.name, step.node)
        takers = [i for i, other in enumerate(steps) if key in other.sources]
        in_chain = takers == [position + 1] and len(steps[position + 1].sources) == 1 and key not in ends
        suffix = f"_{step.node}" if step.count > 1 else ""
        name = "x" if in_chain else f"{identifier(step.name)}{suffix}"
        while not in_chain and name in names.values():  # two names of layers can be one as a variable's: "a-b", "a.b"
            name += "_"
        names[key] = name
    return names


def ends_of(entry: Any) -> Iterator[tuple[str, int]]:
    """Yield layer and node of each tensor in a configuration's ``input_layers`` or ``output_layers``."""
    if isinstance(entry, list | tuple) and len(entry) == 3 and isinstance(entry[0], str):
        yield entry[0], entry[1]
    else:
        for item in entry.values() if isinstance(entry, Mapping) else entry:
            yield from ends_of(item)


def identifier(name: str) -> str:
    """Return a layer's name as a variable's."""
    text = re.sub(r"\W", "_", name)
    taken = keyword.iskeyword(text) or text[:1].isdigit() or text in ("x", "keras", "layers", "ops", "np")
    return f"{text}_" if taken else text
