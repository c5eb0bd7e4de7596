"""The penalty on a layer's outputs, where Keras looks for one: the layer's ``activity_regularizer``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import keras

from reglab.aliases import Tensor

__all__ = ["ActivityPenalty"]


class ActivityPenalty(keras.regularizers.Regularizer):
    """The user's own activity regularizer, if there is one, plus reglab's, in float32.

    In 16 bits the sum over a batch of feature maps overflows, so outputs are cast first. Keras divides the result by
    the batch size.
    """

    resting: ClassVar[bool] = False

    def __init__(self, original: Callable[[Tensor], Tensor] | None, penalties: Sequence[Callable[[Any], Any]]) -> None:
        self.original = original
        self._penalties = penalties

    def __call__(self, x: Tensor) -> Tensor:
        x = keras.ops.cast(x, "float32")
        terms = [keras.ops.zeros(())] if self.resting else [penalty(x) for penalty in self._penalties]
        if self.original is not None:
            terms.append(keras.ops.cast(self.original(x), "float32"))
        return sum(terms[1:], terms[0])

    @classmethod
    @contextmanager
    def all_rest(cls) -> Iterator[None]:
        """Leave reglab's penalties out meanwhile, so that a network can be compared with one without them."""
        cls.resting = True
        try:
            yield
        finally:
            cls.resting = False

    def get_config(self) -> dict[str, Any]:
        return {}  # it is never saved: export_network gives layers their own regularizer back
