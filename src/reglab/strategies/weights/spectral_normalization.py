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
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["SpectralNormalization", "first_vector", "next_vector", "power_step", "spectrally_normalized", "stretch"]

_ITERATIONS = 50  # of the power iteration before the first step


def first_vector(kernel: np.ndarray, index: int) -> np.ndarray:
    """Return an approximation of the first right singular vector of a kernel ``(..., units)``, float32.

    Args:
        kernel: taken as the matrix ``(-1, units)``.
        index: the number of the kernel among the trainable weights, which decides where the iteration starts.
    """
    matrix = np.asarray(kernel, "float64").reshape(-1, np.shape(kernel)[-1])
    u = np.random.default_rng(index).normal(size=matrix.shape[1])
    for _ in range(_ITERATIONS):
        u = matrix.T @ (matrix @ u)
        u = u / max(float(np.linalg.norm(u)), 1e-12)
    return u.astype("float32")


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


def spectrally_normalized(kernel: Tensor, u: Tensor, norm: Tensor) -> Tensor:
    """Return a kernel scaled to the largest singular value ``norm``, as far as ``u`` has it."""
    value = keras.ops.cast(kernel, "float32")
    value = value * (norm / keras.ops.maximum(stretch(value, u), 1e-12))
    return keras.ops.cast(value, kernel.dtype)


def next_vector(kernel: Tensor, u: Tensor) -> Tensor:
    """Return what becomes of ``u`` after a step of training, which left this kernel."""
    return power_step(keras.ops.cast(kernel, "float32"), u)[1]


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
        return {_key(place): first_vector(value, place.index) for value, place in weights if _acts_on(place)}

    def reparametrize(self, weight: Tensor, place: Place, s: StrengthView, *, training: bool) -> Tensor:
        if not _acts_on(place):
            return weight
        return spectrally_normalized(weight, s.state[_key(place)], s.norm)

    def next_state(self, weights: list[Weight], s: StrengthView) -> dict[str, Tensor]:
        return {_key(place): next_vector(value, s.state[_key(place)]) for value, place in weights if _acts_on(place)}

    def write_keras(self, script: TrainingScript) -> None:
        script.on_every_pass(spectrally_normalized, [repr(self.norm)], first=first_vector, then=next_vector)


def _acts_on(place: Place) -> bool:
    return place.kind == "kernel" and place.name != "embeddings"


def _key(place: Place) -> str:
    return f"u{place.index}"
