"""The stages of a training step, at which strategies act."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reglab.errors import ReglabError

if TYPE_CHECKING:
    from reglab.strategies.base import Strategy

__all__ = ["Stage", "in_order"]


class Stage(enum.IntEnum):
    """Where in the training step a strategy acts, in the order of the step; ``strategies/base.py`` shows it."""

    EXAMPLES = 1  # each example by itself
    TARGETS = 2
    MIXTURES = 3  # examples with each other
    ATTACKS = 4  # inputs along the gradient of their loss
    ACTIVATIONS = 5  # what flows through the network
    WEIGHTS = 6  # the weights of one forward pass
    LOSS = 7
    GRADIENTS = 8  # where the gradient is taken, and what becomes of it
    UPDATE = 9  # how the optimizer steps
    OBSERVATION = 10  # the end of each epoch


def in_order(strategies: Sequence[Strategy]) -> tuple[Strategy, ...]:
    """Return strategies in the order in which they act: by stage, in a stage by what each comes after, then by name.

    Two of one name are at different places, which decide; nothing that can change from epoch to epoch does.

    Raises:
        ReglabError: if two of a stage each come after the other.
    """
    waiting = sorted(strategies, key=lambda each: (each.stage, each.name, each.places))
    found: list[Strategy] = []
    while waiting:
        names = {each.name for each in waiting if each.stage == waiting[0].stage}
        for position, each in enumerate(waiting):
            if each.stage == waiting[0].stage and not (names - {each.name}) & set(each.after):
                found.append(waiting.pop(position))
                break
        else:
            raise ReglabError(
                f"{' and '.join(sorted(names))} each come after another of them (after = ...), so none can be first."
            )
    return tuple(found)
