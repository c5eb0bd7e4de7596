"""Which strategies there are: those of reglab, those of installed packages, and those that a script registers.

A strategy of reglab's is found because its file lies in one of the packages of :data:`FAMILIES`. Another package adds
its own by an entry point of the group ``reglab.strategies``, named as the strategy is::

    [project.entry-points."reglab.strategies"]
    scale_noise = "my_package.scale_noise:ScaleNoise"

It is imported where its name is looked up, so in worker processes, saved models and reports as well.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

from reglab.catalogue import Catalogue
from reglab.strategies.base import Strategy

__all__ = ["FAMILIES", "catalogue", "scanned"]

# After Kukacka, Golkov and Cremers 2017: data, error function, architecture, penalty, optimization.
FAMILIES = ("data", "targets", "architecture", "penalties", "weights", "gradients", "optimization", "averaging")


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


def catalogue(own: Iterable[type[Strategy]]) -> Catalogue[type[Strategy]]:
    """Return the catalogue that has reglab's own strategies and whatever else is offered."""
    return Catalogue(own, base=Strategy, what="strategy", key="name", group="reglab.strategies")
