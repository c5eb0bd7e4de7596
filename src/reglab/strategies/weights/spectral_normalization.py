"""Kernels divided by their largest singular value, so that no layer stretches its input by more than that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reglab.aliases import Tensor
from reglab.declare import param
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.given import Place, StrengthView, Weight
from reglab.strategies.stage import Stage

__all__ = ["SpectralNormalization", "power_step", "stretch"]

_FIRST = 50  # power iterations before the first step


def power_step(kernel: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return approximations of the first left and right singular vector after a step of the power iteration.

    Args:
        kernel: of any shape ``(..., units)``, taken as the matrix ``(-1, units)``.
        u: an approximation of the right one, ``(units,)``.
    """
    ops = keras.ops
    matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
    v = ops.matmul(matrix, u)
    v = v / ops.maximum(ops.norm(v), 1e-12)
    u = ops.matmul(ops.transpose(matrix), v)
    return v, u / ops.maximum(ops.norm(u), 1e-12)


def stretch(kernel: Tensor, u: Tensor) -> Tensor:
    """Return the largest singular value of a kernel after a step of the power iteration from ``u``.

    Its gradient is that of ``v' W u`` with the singular vectors as constants.
    """
    ops = keras.ops
    v, u = (ops.stop_gradient(each) for each in power_step(kernel, u))
    return ops.sum(v * ops.matmul(ops.reshape(kernel, (-1, kernel.shape[-1])), u))


@dataclass(frozen=True)
class SpectralNormalization(Strategy):
    """Runs the network with kernels ``norm * W / sigma(W)``, in training and at evaluation.

    ``sigma`` is the largest singular value of the kernel ``(..., units)`` as a matrix ``(-1, units)``, by a step of the
    power iteration from a vector that is kept from step to step and follows the weights. The gradient goes through
    ``sigma``. Biases, normalization weights and embeddings are left alone. An exported network has the divided kernels
    in it; so have the weights that a study keeps.

    Differences from the paper (Miyato et al.): ``norm`` is 1 there, and the vector is updated before the step and not
    behind it. (``keras.layers.SpectralNormalization`` writes the divided kernel over ``W`` in every step.)

    Example: ``SpectralNormalization(norm=3.0)``
    """

    name: ClassVar[str] = "spectral_normalization"
    formula: ClassVar[str] = "norm * W / sigma(W), sigma the largest singular value"
    paper: ClassVar[str] = "Miyato et al. 2018, arXiv:1802.05957; Yoshida and Miyato 2017, arXiv:1705.10941"
    stage: ClassVar[Stage] = Stage.WEIGHTS

    norm: float = param(
        1.0,
        "largest singular value of each kernel",
        low=0,
        open_low=True,
        strength=True,
        search=(0.5, 10.0, "log"),
    )

    def state(self, weights: list[Weight]) -> dict[str, np.ndarray]:
        found = {}
        for value, place in weights:
            if _acts_on(place):
                matrix = np.asarray(value, "float64").reshape(-1, np.shape(value)[-1])
                u = np.random.default_rng(place.index).normal(size=matrix.shape[1])
                for _ in range(_FIRST):
                    u = matrix.T @ (matrix @ u)
                    u = u / max(float(np.linalg.norm(u)), 1e-12)
                found[_key(place)] = u.astype("float32")
        return found

    def reparametrize(self, weight: Tensor, place: Place, s: StrengthView, *, training: bool) -> Tensor:
        if not _acts_on(place):
            return weight
        kernel = keras.ops.cast(weight, "float32")
        kernel = kernel * (s.norm / keras.ops.maximum(stretch(kernel, s.state[_key(place)]), 1e-12))
        return keras.ops.cast(kernel, weight.dtype)

    def next_state(self, weights: list[Weight], s: StrengthView) -> dict[str, Tensor]:
        return {
            _key(place): power_step(keras.ops.cast(value, "float32"), s.state[_key(place)])[1]
            for value, place in weights
            if _acts_on(place)
        }


def _acts_on(place: Place) -> bool:
    return place.kind == "kernel" and place.name != "embeddings"


def _key(place: Place) -> str:
    return f"u{place.index}"
