"""The regularization strategies, one file each. ``CATALOGUE`` is the only list of them."""

from __future__ import annotations

from reglab.schedules import Cosine, Linear, Steps
from reglab.strategies.adversarial import Adversarial
from reglab.strategies.augmentation import Augmentation
from reglab.strategies.base import Batch, InputRange, ModelInput, Strategy
from reglab.strategies.dropout import Dropout
from reglab.strategies.early_stopping import EarlyStopping
from reglab.strategies.ema import EMA
from reglab.strategies.gaussian_noise import GaussianNoise
from reglab.strategies.l1_l2 import L1, L1L2, L2
from reglab.strategies.label_smoothing import LabelSmoothing
from reglab.strategies.learning_rate import LearningRate
from reglab.strategies.mixup import Mixup
from reglab.strategies.sam import SAM
from reglab.strategies.weight_decay import WeightDecay
from reglab.strategies.weight_noise import WeightNoise

__all__ = [
    "CATALOGUE",
    "EMA",
    "L1",
    "L1L2",
    "L2",
    "SAM",
    "Adversarial",
    "Augmentation",
    "Batch",
    "Cosine",
    "Dropout",
    "EarlyStopping",
    "GaussianNoise",
    "InputRange",
    "LabelSmoothing",
    "LearningRate",
    "Linear",
    "Mixup",
    "ModelInput",
    "Steps",
    "Strategy",
    "WeightDecay",
    "WeightNoise",
]

CATALOGUE: dict[str, type[Strategy]] = {
    strategy.name: strategy
    for strategy in (
        L1,
        L2,
        L1L2,
        Augmentation,
        GaussianNoise,
        WeightNoise,
        LabelSmoothing,
        Dropout,
        EarlyStopping,
        Adversarial,
        Mixup,
        WeightDecay,
        LearningRate,
        EMA,
        SAM,
    )
}
