"""A recipe: a combination of strategies, checked and ordered, with one text, YAML and JSON form.

A recipe is a value. ``L2(1e-3) + Dropout(0.1)`` and ``"dropout(rate=0.1) + l2(kernel=0.001)"`` are the same one, and
the empty recipe, ``Recipe()``, written ``none``, is the baseline.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from reglab.declare import Param, params
from reglab.errors import ReglabError, nearest
from reglab.expressions import Call, format_value, parse_sum
from reglab.schedules import Schedule
from reglab.schedules import from_call as schedule_from_call
from reglab.strategies import CATALOGUE, Strategy
from reglab.strategies.stage import in_order

__all__ = ["Recipe", "RecipeLike", "Recipes", "spoken"]

NONE = "none"
RecipeLike: TypeAlias = "Recipe | Strategy | str | Sequence[str | Mapping[str, Mapping[str, Any]]] | None"
"""What :meth:`Recipe.of` reads."""
Recipes: TypeAlias = "Mapping[str, RecipeLike] | Iterable[RecipeLike] | Strategy | str"
"""Several recipes, by name or one after another, or a single one."""


def spoken(name: str, baseline: str = NONE) -> str:
    """Return how a sentence calls a recipe: a baseline that is called none would make it say the contrary.

    >>> spoken("none"), spoken("none", "l2"), spoken("l2")
    ('the baseline (no regularization)', 'no regularization', 'l2')
    """
    if name != NONE:
        return name
    return "the baseline (no regularization)" if baseline == NONE else "no regularization"


class Recipe:
    """Strategies to be used together, in the order in which they act.

    Args:
        strategies: strategies, each at most once; one that is placed in the network (dropout, noise) may come again for
            other places.

    Raises:
        ReglabError: for strategies that cannot be combined, saying what conflicts and what to do.

    Example:
        >>> Recipe.parse("dropout(rate=0.1) + l2(kernel=1e-3)").to_text()
        'dropout(rate=0.1) + l2(kernel=0.001)'
        >>> Recipe().to_text()
        'none'
    """

    __slots__ = ("strategies",)
    strategies: tuple[Strategy, ...]

    def __init__(self, *strategies: Strategy) -> None:
        for strategy in strategies:
            if not isinstance(strategy, Strategy):
                raise ReglabError(
                    f"A recipe is made of strategies; given was {strategy!r}. Example: Recipe(L2(kernel=1e-3), "
                    f"Dropout(0.1))."
                )
        _check_conflicts(strategies)
        object.__setattr__(self, "strategies", in_order(strategies))

    # --- as a value ------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a recipe cannot be changed; make another one")

    def __reduce__(self) -> tuple[Any, ...]:
        return (Recipe, self.strategies)

    def __add__(self, other: Recipe | Strategy) -> Recipe:
        if not isinstance(other, Recipe | Strategy):
            return NotImplemented
        added = other.strategies if isinstance(other, Recipe) else (other,)
        return Recipe(*self.strategies, *added)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self.strategies == other.strategies

    def __hash__(self) -> int:
        return hash(self.strategies)

    def __iter__(self) -> Iterator[Strategy]:
        return iter(self.strategies)

    def __len__(self) -> int:
        return len(self.strategies)

    def __repr__(self) -> str:
        return f"Recipe({', '.join(map(repr, self.strategies))})"

    def __str__(self) -> str:
        return self.to_text()

    # --- forms -----------------------------------------------------------------------------------------------------

    @classmethod
    def of(cls, value: RecipeLike) -> Recipe:
        """Return the recipe that ``value`` stands for: a recipe, a strategy, its text, its list form, or None."""
        if isinstance(value, Recipe):
            return value
        if isinstance(value, Strategy):
            return cls(value)
        if value is None:
            return cls()
        if isinstance(value, str):
            return cls.parse(value)
        if isinstance(value, list | tuple):
            return cls.from_list(value)
        raise ReglabError(
            f"{value!r} is not a recipe. Give reglab.Recipe(...), a strategy such as L2(kernel=1e-3), or text such as "
            "'l2(kernel=1e-3)+dropout(rate=0.1)'."
        )

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Read a recipe from text; nothing in it is evaluated."""
        if text.strip().lower() in {NONE, ""}:
            return cls()
        return cls(*(_from_call(call) for call in parse_sum(text)))

    def to_text(self) -> str:
        """Write it so that :meth:`parse` gives it back."""
        return " + ".join(_to_text(strategy) for strategy in self.strategies) or NONE

    @classmethod
    def from_list(cls, items: list[Any] | tuple[Any, ...]) -> Recipe:
        """Read the form that stands in YAML and JSON: a list of names, or of ``{name: {hyperparameter: value}}``."""
        strategies = []
        for item in items:
            if isinstance(item, str):
                item = {item: {}}
            if not (isinstance(item, Mapping) and len(item) == 1):
                raise ReglabError(f"{item!r} is not a strategy. Write it as {{name: {{hyperparameter: value}}}}.")
            ((name, options),) = item.items()
            if not isinstance(options, Mapping):
                raise ReglabError(f"{name}: {options!r} are not hyperparameters. Write {{hyperparameter: value}}.")
            strategies.append(_from_call(Call(str(name), (), {str(key): value for key, value in options.items()})))
        return cls(*strategies)

    def to_list(self) -> list[dict[str, dict[str, Any]]]:
        """Write it with every hyperparameter, as YAML and JSON hold it."""
        return [{strategy.name: _plain(strategy)} for strategy in self.strategies]

    def fingerprint(self) -> str:
        """Return a hash of everything the recipe says, defaults included."""
        return hashlib.sha256(json.dumps(self.to_list(), sort_keys=True).encode()).hexdigest()

    # --- what runs need to know ------------------------------------------------------------------------------------

    def at(self, epoch: int) -> Recipe:
        """Return the recipe with every schedule at its value in ``epoch``."""
        return Recipe(*(strategy.at(epoch) for strategy in self.strategies)) if self.scheduled else self

    @property
    def scheduled(self) -> bool:
        """Whether any strength follows a schedule."""
        return any(strategy.scheduled for strategy in self.strategies)

    def structure(self) -> tuple[Any, ...]:
        """Return what decides the compiled program, strengths left out: recipes of one structure share it."""
        return tuple((*strategy.structure(), tuple(sorted(strategy.terms()))) for strategy in self.strategies)

    def accepts(self, other: Recipe) -> bool:
        """Whether the program compiled for this recipe can run ``other`` by changing strengths only."""
        return len(self) == len(other) and all(
            mine.structure() == theirs.structure() and theirs.terms() <= mine.terms()
            for mine, theirs in zip(self.strategies, other.strategies, strict=True)
        )

    def host(self) -> Recipe:
        """Return the recipe without its riders: the one whose training it can be computed from."""
        return Recipe(*(strategy for strategy in self.strategies if not strategy.rides()))

    def active_transforms(self) -> frozenset[str]:
        """Return the names of the random transforms that the recipe draws."""
        return frozenset().union(*(strategy.active_transforms() for strategy in self.strategies))


def _check_conflicts(strategies: tuple[Strategy, ...]) -> None:
    for position, one in enumerate(strategies):
        for other in strategies[position + 1 :]:
            if one.name == other.name and not (one.places and not set(one.places) & set(other.places)):
                raise ReglabError(
                    f"{one.name} stands twice in the recipe. Use it once"
                    + (", or at different places (where=...)." if one.places else ".")
                )
            remedy = one.conflicts.get(other.name) or other.conflicts.get(one.name)
            if remedy:
                raise ReglabError(f"{one.name} and {other.name} cannot be combined: {remedy}.")


def _from_call(call: Call) -> Strategy:
    cls = CATALOGUE.get(call.name.lower())
    if cls is None:
        raise ReglabError(
            f"Unknown strategy {call.name!r}.{nearest(call.name, CATALOGUE)} Known are {', '.join(CATALOGUE)} and "
            "none. One of your own is known once its module is imported and has registered it "
            "(@reglab.strategies.register)."
        )
    declared = params(cls)
    if len(call.args) > len(declared):
        raise ReglabError(f"{cls.name} takes at most {len(declared)} values; given were {len(call.args)}.")
    options = dict(zip(declared, call.args, strict=False))
    rest = next((key for key, each in declared.items() if each.kind == "options"), None)
    for key, value in call.kwargs.items():
        if rest is not None and (key not in declared or key == rest):
            more = dict(value) if key == rest else {key: value}
            numbers = {name: _number(each) for name, each in more.items()}
            options[rest] = {**dict(options.get(rest, ())), **numbers}
            continue
        if key not in declared:
            raise ReglabError(
                f"{cls.name} has no hyperparameter {key!r}.{nearest(key, declared)} It has {', '.join(declared)}."
            )
        if key in options:
            raise ReglabError(f"{cls.name}: {key} is given twice.")
        options[key] = value
    return cls(**{key: _read(value, declared[key]) for key, value in options.items()})


def _read(value: object, declared: Param) -> object:
    """Return a value as a strategy takes it: calls become schedules, lists tuples, YAML's ``1e-3`` a number."""
    if isinstance(value, Call):
        return schedule_from_call(value)
    if isinstance(value, str) and declared.kind in {"float", "int", "pair"}:
        try:
            return float(value)  # YAML 1.1 reads 1e-3 as text
        except ValueError:
            return schedule_from_call(parse_sum(value)[0]) if "(" in value else value
    return tuple(value) if isinstance(value, list) else value


def _number(value: object) -> object:
    """Return the number that a text says in a notation that YAML 1.1 does not read as one, such as ``1e-3``."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _to_text(strategy: Strategy) -> str:
    """Write the hyperparameters that differ from their defaults; the first, the main one, is always written."""
    fields = dataclasses.fields(strategy)
    shown = [field for field in fields if getattr(strategy, field.name) != field.default] or list(fields[:1])
    if fields and fields[0] not in shown and fields[0].default != 0:
        shown.insert(0, fields[0])
    values = _named(strategy, [field.name for field in shown])
    texts = [
        f"{name}={value.to_text() if isinstance(value, Schedule) else format_value(value)}"
        for name, value in values.items()
    ]
    return f"{strategy.name}({', '.join(texts)})" if texts else strategy.name


def _plain(strategy: Strategy) -> dict[str, Any]:
    def plain(value: object) -> object:
        if isinstance(value, Schedule):
            return value.to_text()
        return list(value) if isinstance(value, tuple) else value

    named = _named(strategy, [field.name for field in dataclasses.fields(strategy)])
    return {name: plain(value) for name, value in named.items()}


def _named(strategy: Strategy, names: list[str]) -> dict[str, Any]:
    """Return values of a strategy by name; its options stand beside them, each by its own."""
    declared, found = params(strategy), dict[str, Any]()
    for name in names:
        value = getattr(strategy, name)
        found.update(dict(value) if declared[name].kind == "options" else {name: value})
    return found
