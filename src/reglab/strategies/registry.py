"""Which strategies there are: those of reglab, those of installed packages, and those that a script registers.

A strategy of reglab's is found because its file lies in one of the packages of :data:`FAMILIES`. Another package adds
its own by an entry point of the group ``reglab.strategies``, named as the strategy is::

    [project.entry-points."reglab.strategies"]
    scale_noise = "my_package.scale_noise:ScaleNoise"

It is imported where its name is looked up, so in worker processes, saved models and reports as well.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points

from reglab.errors import ReglabError
from reglab.strategies.base import Strategy

__all__ = ["FAMILIES", "Catalogue", "scanned"]

# After Kukacka, Golkov and Cremers 2017: data, error function, architecture, penalty, optimization.
FAMILIES = ("data", "targets", "architecture", "penalties", "weights", "gradients", "optimization", "averaging")
_GROUP = "reglab.strategies"

logger = logging.getLogger(_GROUP)


def scanned(package: str, families: tuple[str, ...] = FAMILIES) -> list[type[Strategy]]:
    """Return the strategies that the modules of some packages define, family after family, by name in each."""
    found: list[type[Strategy]] = []
    for family in families:
        home = importlib.import_module(f"{package}.{family}")
        modules = [
            importlib.import_module(f"{home.__name__}.{each.name}") for each in pkgutil.iter_modules(home.__path__)
        ]
        classes = [value for module in modules for value in vars(module).values() if _defines(module.__name__, value)]
        found += sorted(classes, key=lambda cls: cls.name)
    return found


def _defines(module: str, value: object) -> bool:
    """Whether a value is a strategy that this module defines; what several have in common has no name."""
    return (
        isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == module and "name" in vars(value)
    )


class Catalogue(Mapping[str, type[Strategy]]):
    """Strategies by name. What other packages offer is imported when it is asked for.

    Args:
        own: the strategies of reglab, whose names nobody else can take.

    Example:
        >>> from reglab.strategies import CATALOGUE
        >>> CATALOGUE["dropout"].formula
        'h * m / (1 - rate), m ~ Bernoulli(1 - rate) a unit'
    """

    def __init__(self, own: list[type[Strategy]]) -> None:
        self._own = {cls.name: cls for cls in own}
        self._added: dict[str, type[Strategy]] = {}
        self._offered: dict[str, list[EntryPoint]] | None = None
        self._said: set[str] = set()  # what is wrong with an offer is said once

    def __getitem__(self, name: str) -> type[Strategy]:
        for known in (self._own, self._added):
            if name in known:
                return known[name]
        if name not in self._offers():
            raise KeyError(name)
        return self.add(_loaded(name, self._offers()[name]))

    def __iter__(self) -> Iterator[str]:
        for name, points in self._offers().items():
            if name in self._said:
                continue
            try:  # one that is broken does not take the others with it
                if name in self._own:
                    raise ReglabError(f"{_origin(points[0])} offers a strategy {name!r}, which is a name of reglab's.")
                self[name]
            except ReglabError as error:
                self._said.add(name)
                logger.warning("%s", error)
        return iter([*self._own, *self._added])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def add(self, cls: type[Strategy]) -> type[Strategy]:
        """Make a strategy of one's own known by its name, so that recipes written as text can have it.

        It can be written as a decorator. Defining it again, as a notebook does, replaces it.

        Raises:
            ReglabError: if it is no strategy, or has a name of reglab's.

        Example:
            >>> from dataclasses import dataclass
            >>> from typing import ClassVar
            >>> from reglab.strategies import CATALOGUE, Strategy, register
            >>> @register
            ... @dataclass(frozen=True)
            ... class Nothing(Strategy):
            ...     name: ClassVar[str] = "nothing"
            >>> CATALOGUE.remove("nothing")
        """
        if not (isinstance(cls, type) and issubclass(cls, Strategy) and isinstance(getattr(cls, "name", None), str)):
            raise ReglabError(f"{cls!r} is not a strategy: give a subclass of reglab.strategies.Strategy with a name.")
        if cls.name in self._own and cls is not self._own[cls.name]:
            raise ReglabError(f"{cls.name} is a strategy of reglab's. Give {cls.__name__} another name.")
        if cls.name not in self._own:
            self._added[cls.name] = cls
        return cls

    def remove(self, name: str) -> None:
        """Forget a strategy that was added."""
        del self._added[name]

    def _offers(self) -> dict[str, list[EntryPoint]]:
        """Return what installed packages offer, by name; looked up once."""
        if self._offered is None:
            self._offered = {}
            for point in entry_points(group=_GROUP):
                self._offered.setdefault(point.name, []).append(point)
        return self._offered


def _loaded(name: str, points: list[EntryPoint]) -> type[Strategy]:
    """Return the strategy that an installed package offers under a name."""
    point = points[0]
    if len({each.value for each in points}) > 1:
        several = " and ".join(sorted({_origin(each) for each in points}))
        raise ReglabError(f"The strategy {name!r} is offered by {several}. Uninstall all but one of them.")
    try:
        cls = point.load()
    except Exception as error:  # whatever a module raises when it is imported
        raise ReglabError(
            f"The strategy {name!r} of {_origin(point)} cannot be imported ({type(error).__name__}: {error}). Mend or "
            "uninstall that package."
        ) from error
    if getattr(cls, "name", None) != name:
        raise ReglabError(
            f"{_origin(point)} offers {point.value} as the strategy {name!r}, and its name is "
            f"{getattr(cls, 'name', None)!r}. The entry point is named as the strategy is."
        )
    return cls


def _origin(point: EntryPoint) -> str:
    return f"the package {point.dist.name}" if point.dist is not None else point.value
