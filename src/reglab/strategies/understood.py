"""Whether a strategy understands the inputs of a data set, which is known before any model is built."""

from __future__ import annotations

from reglab.data.dataset import Dataset
from reglab.data.kinds import KINDS, TOKENS, plural
from reglab.errors import ReglabError
from reglab.strategies.base import Strategy
from reglab.strategies.given import ModelInput

__all__ = ["check_understood"]


def check_understood(strategy: Strategy, data: Dataset) -> None:
    """Raise a ReglabError if a strategy acts on inputs, and not on those of the kind that the data has."""
    if not strategy.acts_on_inputs or data.kind in strategy.kinds:
        return
    if data.kind == TOKENS:
        strategy.check_input(ModelInput((None, *data.input_shape), data.x.dtype.name, indices=True))
    known = [plural(kind) for kind in KINDS if kind in strategy.kinds]
    raise ReglabError(
        f"{strategy.name} acts on {', '.join(known)}, and the inputs of {data.name} are {plural(data.kind)} of shape "
        f"{data.input_shape}. Leave it out of the recipe; if they are something else, say so (kind, --kind)."
    )
