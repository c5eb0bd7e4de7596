"""What there is by name: reglab's own, what installed packages offer, and what a script adds."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from reglab.errors import ReglabError

__all__ = ["Catalogue"]

T = TypeVar("T")


class Catalogue(Mapping[str, T], Generic[T]):
    """Classes or values by name. What other packages offer is imported when it is asked for.

    Args:
        own: those of reglab, whose names nobody else can take.
        base: what each of them is a subclass of, in a package that has it by the same name.
        what: what one of them is, such as ``strategy``.
        key: the attribute that is its name.
        group: of the entry points by which other packages offer theirs.
        values: whether they are no subclasses, but instances of it.

    Example:
        >>> from reglab.strategies import CATALOGUE
        >>> CATALOGUE["dropout"].formula
        'h * m / (1 - rate), m ~ Bernoulli(1 - rate) a unit'
    """

    def __init__(self, own: Iterable[T], *, base: type, what: str, key: str, group: str, values: bool = False) -> None:
        self._base, self._what, self._key, self.group, self._values = base, what, key, group, values
        self._own: dict[str, T] = {getattr(each, key): each for each in own}
        self._added: dict[str, T] = {}
        self._offered: dict[str, list[EntryPoint]] | None = None
        self._said: set[str] = set()  # what is wrong with an offer is said once

    def __getitem__(self, name: str) -> T:
        for known in (self._own, self._added):
            if name in known:
                return known[name]
        if name not in self._offers():
            raise KeyError(name)
        return self.add(self._loaded(name, self._offers()[name]))

    def __iter__(self) -> Iterator[str]:
        for name, points in self._offers().items():
            if name in self._said:
                continue
            try:  # one that is broken does not take the others with it
                if name in self._own:
                    raise ReglabError(
                        f"{_origin(points[0])} offers a {self._what} {name!r}, which is a name of reglab's."
                    )
                self[name]
            except ReglabError as error:
                self._said.add(name)
                logging.getLogger(self.group).warning("%s", error)
        return iter([*self._own, *self._added])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def own(self) -> tuple[str, ...]:
        """The names of reglab's own."""
        return tuple(self._own)

    @property
    def added(self) -> tuple[str, ...]:
        """The names of those that were added in this process, packages' that were asked for among them."""
        return tuple(self._added)

    def add(self, one: T) -> T:
        """Make one of one's own known by its name.

        Above a class it can be written as a decorator. Defining it again, as a notebook does, replaces it.

        Raises:
            ReglabError: if it is none of these, or has a name of reglab's.

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
        name = getattr(one, self._key, None)
        if not (self._fits(one) and isinstance(name, str)):
            home = ".".join([*self._base.__module__.split(".")[:2], self._base.__name__])
            wanted = f"a {home}" if self._values else f"a subclass of {home} with a {self._key}"
            raise ReglabError(f"{one!r} is not a {self._what}: give {wanted}.")
        if name in self._own and one is not self._own[name]:
            called = one.__name__ if isinstance(one, type) else "yours"
            raise ReglabError(f"{name} is a {self._what} of reglab's. Give {called} another {self._key}.")
        if name not in self._own:
            self._added[name] = one
        return one

    def _fits(self, one: object) -> bool:
        if self._values:
            return isinstance(one, self._base)
        return isinstance(one, type) and issubclass(one, self._base)

    def remove(self, name: str) -> None:
        """Forget one that was added."""
        del self._added[name]

    def _offers(self) -> dict[str, list[EntryPoint]]:
        """Return what installed packages offer, by name; looked up once."""
        if self._offered is None:
            self._offered = {}
            for point in entry_points(group=self.group):
                self._offered.setdefault(point.name, []).append(point)
        return self._offered

    def _loaded(self, name: str, points: list[EntryPoint]) -> T:
        """Return what an installed package offers under a name."""
        point = points[0]
        if len({each.value for each in points}) > 1:
            several = " and ".join(sorted({_origin(each) for each in points}))
            raise ReglabError(f"The {self._what} {name!r} is offered by {several}. Uninstall all but one of them.")
        try:
            one: T = point.load()
        except Exception as error:  # whatever a module raises when it is imported
            raise ReglabError(
                f"The {self._what} {name!r} of {_origin(point)} cannot be imported ({type(error).__name__}: {error}). "
                "Mend or uninstall that package."
            ) from error
        if getattr(one, self._key, None) != name:
            raise ReglabError(
                f"{_origin(point)} offers {point.value} as the {self._what} {name!r}, and its {self._key} is "
                f"{getattr(one, self._key, None)!r}. The entry point is named as the {self._what} is."
            )
        return one


def _origin(point: EntryPoint) -> str:
    return f"the package {point.dist.name}" if point.dist is not None else point.value
