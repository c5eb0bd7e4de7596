"""Whether a strategy understands the inputs of a data set, which is known before any model is built."""

from __future__ import annotations

import numpy as np

from reglab.data.dataset import Dataset
from reglab.data.kinds import KINDS, SEVERAL, are_indices, plural
from reglab.data.several import by_input
from reglab.errors import ReglabError
from reglab.strategies.base import Strategy
from reglab.strategies.given import ModelInput

__all__ = ["check_understood"]


def check_understood(strategy: Strategy, data: Dataset) -> None:
    """Raise a ReglabError if a strategy acts on inputs, and not on those of the kind that the data has."""
    if not strategy.acts_on_inputs:
        return
    if data.kind == SEVERAL and "input" not in strategy.places:
        raise ReglabError(
            f"{strategy.name} acts on one array of inputs; {data.name} has {len(data.kinds)}: {', '.join(data.kinds)}. "
            "Leave it out of the recipe."
        )
    for name, x in by_input(data.x).items():
        _check_kind(
            strategy, data.kinds[name], x, f"the inputs of {data.name}" if not name else f"{data.name}'s {name}"
        )


def _check_kind(strategy: Strategy, kind: str, x: np.ndarray, called: str) -> None:
    if strategy.understands(kind):
        return
    if are_indices(kind):
        strategy.check_input(ModelInput((None, *x.shape[1:]), x.dtype.name, indices=True))
    known = [plural(each) for each in KINDS if strategy.understands(each)]
    raise ReglabError(
        f"{strategy.name} acts on {', '.join(known)}, and {called} are {plural(kind)} of shape {x.shape[1:]}. Leave it "
        "out of the recipe; if they are something else, say so (kind, --kind)."
    )
