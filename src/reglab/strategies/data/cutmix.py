"""CutMix: training on examples with a patch of another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reglab.aliases import Random, Tensor
from reglab.data.kinds import IMAGE
from reglab.declare import param
from reglab.errors import ReglabError
from reglab.lazy import keras
from reglab.strategies.base import Strategy
from reglab.strategies.data.mixing import NO_XLA, mix, mixed_targets, shares, spliced, spliced_targets
from reglab.strategies.given import Batch, InputRange, ModelInput, StrengthView
from reglab.strategies.script import TrainingScript
from reglab.strategies.stage import Stage

__all__ = ["CutMix", "cut", "cutmix", "patches"]


def cutmix(x: Tensor, y: Tensor, alpha: Tensor, random: Random) -> tuple[Tensor, Tensor]:
    """Return images with a patch of their neighbour in the batch, and distributions over classes mixed by area.

    Args:
        x: images ``(batch, height, width, channels)``.
        y: distributions ``(batch, classes)``.
        alpha: the size of patches is drawn from ``Beta(alpha, alpha)``.
        random: a ``keras.random.SeedGenerator``.
    """
    x, patch = cut(x, alpha, random)
    return x, mix(y, 1.0 - keras.ops.mean(patch, axis=(1, 2)))


def cut(x: Tensor, alpha: Tensor, random: Random) -> tuple[Tensor, Tensor]:
    """Return images with a patch of their neighbour, and where it is, ``(batch, height, width)``."""
    ops = keras.ops
    x = ops.cast(x, "float32")
    count, (height, width) = ops.shape(x)[0], x.shape[1:3]
    m = shares(alpha, count, random)
    u = keras.random.uniform((2, count), seed=random)
    patch = patches(m, u[0] * height, u[1] * width, height=height, width=width)
    covered = patch[..., None]
    x = x * (1.0 - covered) + ops.roll(x, 1, axis=0) * covered
    return x, patch


def patches(m: Tensor, rows: Tensor, columns: Tensor, *, height: int, width: int) -> Tensor:
    """Return where patches lie, ``(batch, height, width)``: 1 inside, 0 outside.

    A patch has the share ``1 - m`` of an image in each of both axes' proportion, ``sqrt(1 - m)`` of its height and
    width, cut to whole pixels, about the pixel ``(rows, columns)``; what lies beyond the edge is cut off.

    Args:
        m: the share of an image that stays, ``(batch,)``.
        rows: rows of the centres, in ``[0, height)``.
        columns: columns of the centres, in ``[0, width)``.
        height: of an image.
        width: of an image.
    """
    side = keras.ops.sqrt(1.0 - m)
    inside = _within(rows, side, height)[:, :, None], _within(columns, side, width)[:, None, :]
    return inside[0] * inside[1]


def _within(centre: Tensor, side: Tensor, extent: int) -> Tensor:
    """Return which pixels of an axis a patch covers, ``(batch, extent)``."""
    ops = keras.ops
    cut = ops.floor(side * extent)
    middle = ops.floor(centre)
    low, high = middle - ops.floor(cut / 2), middle + ops.floor(cut / 2)
    pixels = ops.cast(ops.arange(extent), "float32")[None, :]
    return ops.cast(ops.logical_and(pixels >= low[:, None], pixels < high[:, None]), "float32")


@dataclass(frozen=True)
class CutMix(Strategy):
    """Replaces a patch of each image by that of another one, and mixes their targets by area.

    ``x_i (1 - M) + x_j M`` with target ``a y_i + (1 - a) y_j``, where ``M`` is a patch of ``sqrt(1 - m)`` of the height
    and width about a random pixel, ``m ~ Beta(alpha, alpha)``, and ``a`` the share of the image that is not covered.
    Each example has its own patch and gets it from its neighbour in the shuffled batch. Sample weights are mixed
    as with ``Mixup``. Targets of pixels, as of segmentation, come from where the pixel does; numbers to predict are
    mixed as classes are.

    Differences from the paper (Yun et al.): one patch per example, theirs one per batch; the partner is the neighbour,
    theirs a second permutation of the batch; every batch is mixed, theirs a share of them.

    Example: ``CutMix(alpha=1.0)``
    """

    name: ClassVar[str] = "cutmix"
    formula: ClassVar[str] = "x_i (1 - M) + x_j M, target a y_i + (1 - a) y_j, M a patch, a = 1 - mean(M)"
    paper: ClassVar[str] = "Yun et al. 2019, arXiv:1905.04899"
    stage: ClassVar[Stage] = Stage.MIXTURES
    kinds: ClassVar[frozenset[str] | None] = frozenset({IMAGE})
    zero: ClassVar[dict[str, float]] = {"alpha": 0.0}
    soft_targets: ClassVar[bool] = True
    mixes_numbers: ClassVar[bool] = True

    alpha: float = param(
        1.0,
        "how the sizes of patches are drawn; 1 draws their areas uniformly",
        low=0,
        high=100,
        strength=True,
        search=(0.1, 2.0, "log"),
    )

    def check_input(self, given: ModelInput) -> None:
        super().check_input(given)
        if len(given.shape) != 4 or None in given.shape[1:]:
            raise ReglabError(
                f"cutmix cuts patches out of images (batch, height, width, channels) of one size; the model's input is "
                f"{tuple(given.shape)}. Use mixup, or give the model a fixed image size."
            )

    def check_targets(self, given: ModelInput, shape: tuple[int | None, ...]) -> None:
        if len(shape) > 2 and None not in shape[1:3] and shape[1:3] != given.shape[1:3]:
            raise ReglabError(
                f"cutmix moves patches of images {given.shape[1:3]}, and the targets {tuple(shape)} are of another "
                "size. Leave it out of the recipe, or give the model outputs of the size of its inputs."
            )

    def on_batch(self, batch: Batch, s: StrengthView, random: Random, input_range: InputRange | None) -> Batch:
        x, patch = cut(batch.x, s.alpha, random)
        if len(batch.y.shape) > 2:
            return spliced_targets(batch, patch)._replace(x=x)
        return mixed_targets(batch, 1.0 - keras.ops.mean(patch, axis=(1, 2)))._replace(x=x)

    def write_keras(self, script: TrainingScript) -> None:
        if self.alpha > 0:
            script.soften()
            if script.task.per_position:
                script.on_batch(f"x, patch = {script.carry(cut)}(x, {self.alpha!r}, {{random}})", stream=True)
                script.on_batch(f"y = {script.carry(spliced)}(y, patch)")
            else:
                script.mix(cutmix, [repr(self.alpha)])

    def refuses(self, *, backend: str, jit_compile: bool) -> str | None:
        return NO_XLA if backend == "tensorflow" and jit_compile else None
