"""PyTorch: gradients from autograd, and a training step whose state lives in parameters and buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras
import torch

from reglab.aliases import Tensor, Tensors
from reglab.backends.plain import DROPPED, dropped, feed, sum_of_squares

if TYPE_CHECKING:
    from reglab.backends.trainer import Trainer as _Trainer
else:
    _Trainer = object

__all__ = [
    "DROPPED",
    "StepMixin",
    "by_class",
    "compiled",
    "device",
    "dropped",
    "feed",
    "gradient",
    "random_kept",
    "sum_of_squares",
]


def gradient(function: Callable[[Any], Tensor], at: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    """Return the gradient of the scalar ``function`` at ``at``, a tensor or a list of tensors."""
    leaves = [tensor.detach().requires_grad_(True) for tensor in keras.tree.flatten(at)]
    with torch.enable_grad():
        value = function(keras.tree.pack_sequence_as(at, leaves))
        slopes = torch.autograd.grad(value, leaves, allow_unused=True)
    slopes = [torch.zeros_like(x) if slope is None else slope for x, slope in zip(leaves, slopes, strict=True)]
    return keras.tree.pack_sequence_as(at, slopes)


def by_class(outputs: Tensor) -> Tensor:
    """Return outputs of which the sparse cross-entropy has a gradient: with classes in the first place of memory.

    Keras moves the classes there, and PyTorch's loss of pixels has a gradient only where memory has that order (seen on
    Keras 3.15.1 and PyTorch 2.13.0). No value changes.
    """
    return outputs.movedim(-1, 1).contiguous().movedim(1, -1) if outputs.ndim > 3 else outputs


def device() -> str:
    """Return what is computed on: CPU, or the name of the first GPU."""
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else str(keras.ops.zeros(()).device.type).upper()


def compiled(function: Callable[..., Any], variables: Sequence[keras.Variable]) -> Callable[..., Any]:
    """Return ``function``, which PyTorch runs as it is; without recording what it does for a gradient."""

    def run(*args: Tensor) -> Tensor:
        with torch.no_grad():
            return function(*args)

    return run


@contextmanager
def random_kept() -> Iterator[None]:
    """Leave PyTorch's own random state as it was, and let it begin at the same point in each such scope."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), torch.no_grad():
        torch.manual_seed(0)
        yield


class StepMixin(_Trainer):
    """Prepares the batch, then leaves the step to Keras."""

    def train_step(self, data: Tensors) -> dict[str, Tensor]:
        with torch.no_grad():
            data = self._prepare(data)
        logs = super().train_step(data)
        with torch.no_grad():
            self._after_update()
        return logs

    def _settle(self) -> None:
        """Nothing is left to do after a fit."""
