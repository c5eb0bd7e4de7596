"""The paper as data: the arms of its Table 1, the published numbers of Tables 2 and 3, and what it does not say.

S. K. Srivastava, *Regularization Strategies in Deep Learning*: ten strategies with a small Inception network on
CIFAR-10, Adamax, batch 100, 200 epochs, inputs normalized by mean and standard deviation, best weights by validation
accuracy.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from reglab.recipe import Recipe
from reglab.strategies.architecture.dropout import Dropout
from reglab.strategies.architecture.gaussian_noise import GaussianNoise
from reglab.strategies.data.adversarial import Adversarial
from reglab.strategies.data.augmentation import Augmentation
from reglab.strategies.optimization.early_stopping import EarlyStopping
from reglab.strategies.penalties.l1 import L1
from reglab.strategies.penalties.l1l2 import L1L2
from reglab.strategies.penalties.l2 import L2

__all__ = [
    "ASSUMPTIONS",
    "BASELINE",
    "IN_BOTH",
    "PUBLISHED",
    "TABLE2",
    "TABLE3",
    "Published",
    "arms",
    "both",
    "table2",
    "table3",
    "without_transforms",
]

BASELINE = "no regularization"
IN_BOTH = {"L2 0.001": "L2"}  # rows of Table 3 that are arms of Table 2 under other names

_AUGMENTATION = Augmentation(
    zca_epsilon=1e-6, rotation_range=10, width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True
)
_L2 = L2(kernel=1e-3, bias=1e-4, activity=1e-5)
_DROPOUT = Dropout(rate=0.1, where="hidden")


@dataclass(frozen=True)
class Published:
    """A row as the paper prints it: macro precision and accuracy on the test set, one run."""

    precision: float
    accuracy: float


def table2() -> dict[str, Recipe]:
    """Return the ten arms of Tables 1 and 2, by name."""
    return {
        BASELINE: Recipe(),
        "L1": Recipe(L1(kernel=1e-2, bias=1e-4, activity=1e-5)),
        "L2": Recipe(_L2),
        "L1L2": Recipe(L1L2(kernel=(1e-3, 1e-3))),
        "dataset augmentation": Recipe(_AUGMENTATION),
        "noise robustness": Recipe(GaussianNoise(stddev=0.005, where="hidden")),
        "early stopping": Recipe(EarlyStopping(monitor="val_accuracy", patience=40)),
        "dropout": Recipe(_DROPOUT),
        "adversarial (FGSM)": Recipe(Adversarial(method="fgsm", epsilon=0.005)),
        "combination": Recipe(_L2, _AUGMENTATION, _DROPOUT),
    }


def table3() -> dict[str, Recipe]:
    """Return the sweep of Table 3, the L2 coefficient on kernels, beside the baseline."""
    sweep = {f"L2 {value:g}": Recipe(L2(kernel=value, bias=1e-4, activity=1e-5)) for value in (1e-1, 1e-2, 1e-3, 1e-4)}
    return {BASELINE: Recipe(), **sweep}


def both() -> dict[str, Recipe]:
    """Return the arms of both tables, in the order in which a reader learns most from an unfinished study.

    The baseline and the combination come first, and ``L2`` stands for ``L2 0.001`` of Table 3 too (:data:`IN_BOTH`).
    """
    first = (BASELINE, "combination", "dataset augmentation", "L2", "dropout")
    found = {name: recipe for name, recipe in {**table2(), **table3()}.items() if name not in IN_BOTH}
    return {name: found[name] for name in (*first, *(name for name in found if name not in first))}


def arms(table: str) -> dict[str, Recipe]:
    """Return the arms of ``table2``, of ``table3``, or of ``both``."""
    return {"table2": table2, "table3": table3, "both": both}[table]()


def without_transforms(recipes: dict[str, Recipe], transforms: frozenset[str]) -> tuple[dict[str, Recipe], list[str]]:
    """Leave out flips that change labels of the data, and say for which arms that was done."""
    kept, notes = {}, []
    for name, recipe in recipes.items():
        strategies = []
        for strategy in recipe:
            changing = sorted(transforms & strategy.active_transforms() & {"horizontal_flip", "vertical_flip"})
            if changing:
                strategy = dataclasses.replace(strategy, **dict.fromkeys(changing, False))
                notes.append(f"{name}: {', '.join(changing)} left out, because it changes what the examples are.")
            strategies.append(strategy)
        kept[name] = Recipe(*strategies)
    return kept, notes


TABLE2 = {
    BASELINE: Published(0.77896, 0.7785),
    "L1": Published(0.78399, 0.7841),
    "L2": Published(0.79902, 0.8005),
    "L1L2": Published(0.79272, 0.7923),
    "dataset augmentation": Published(0.82933, 0.8301),
    "noise robustness": Published(0.78409, 0.7803),
    "early stopping": Published(0.77789, 0.7789),
    "dropout": Published(0.79751, 0.7961),
    "adversarial (FGSM)": Published(0.77787, 0.777),
    "combination": Published(0.84854, 0.8481),
}

TABLE3 = {
    BASELINE: Published(0.77896, 0.7785),
    "L2 0.1": Published(0.01, 0.1),
    "L2 0.01": Published(0.504229, 0.5173),
    "L2 0.001": Published(0.79902, 0.8005),
    "L2 0.0001": Published(0.77536, 0.7759),
}

PUBLISHED = {"table2": TABLE2, "table3": TABLE3}

ASSUMPTIONS = (
    ("the filters of the Inception modules", "an option; by default those of reglab.models.inception"),
    ("Adamax's learning rate (0.002 in the Keras of its time, 0.001 since)", "--learning-rate; 0.002 by default"),
    ("how validation was made", "split off the training images by seed; or the test set, with --protocol "
     "test-as-validation, as such studies often do"),
    ("where dropout and noise sit", "after each Inception module"),
    ("which layers the bias and activity coefficients reach", "all biases; activities of all hidden convolutions"),
    ("the unit of FGSM's 0.005, called alpha in Table 1 and epsilon in equation 6", "units of the normalized input"),
    ('the share of adversarial examples ("as well")', "half of each batch"),
    ("whether bias 1e-4 and activity 1e-5 stay in Table 3", "they stay"),
    ("how many runs a figure comes from", "taken as one; ours are means over seeds"),
)  # fmt: skip
