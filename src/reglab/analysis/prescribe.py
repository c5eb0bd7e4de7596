"""From a diagnosis to remedies, in the order in which to try them, each with the reason it rests on.

The rules are few and stand one below the other. Their order is a prior: which remedy works on a model is what ``reglab
diagnose --treat`` finds out. None looks at the test set: bias and variance, which need it, only explain. What to do,
why and where it is from, in words, is the report's (``report/remedies.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum

from reglab.analysis.diagnosis import Diagnosis, Kind, Word
from reglab.analysis.probed import Probes
from reglab.data.kinds import are_pictures
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.strategies import CATALOGUE

__all__ = ["Item", "Patient", "Reason", "Remedy", "prescribe"]

# As many as can be tried in the time of a usual comparison, and as can be read at a glance.
MOST_RECIPES = 5


class Remedy(StrEnum):
    """What a remedy is called; those with a recipe can be tried."""

    MORE_DATA = "more data"
    AUGMENTATION = "augmentation"
    EARLY_STOPPING = "early stopping"
    NOISE = "input noise"
    AVERAGES = "averaged weights"
    LOWER_RATE = "lower learning rate"
    LABEL_SMOOTHING = "label smoothing"
    TEMPERATURE = "temperature scaling"
    MIXUP = "mixup"
    DROPOUT = "dropout"
    L2 = "L2 penalty"
    SAM = "sharpness-aware minimization"
    LONGER = "train longer"
    OTHER_RATE = "other learning rate"
    LOOK_AT_DATA = "look at the data"
    LESS = "less regularization"
    BIGGER = "bigger model"
    COMBINATION = "combination"


class Reason(StrEnum):
    """What a remedy rests on."""

    GAP = "training examples are predicted better than new ones"
    FALLS = "the level on validation falls"
    RISES = "the cost on validation rises"
    ONLY_COST_RISES = "the cost on validation rises while the level does not fall"
    TOO_SURE = "confidence is above the level"
    MEMORIZED = "wrong labels are memorized"
    JUMPS = "validation jumps from epoch to epoch"
    SHORT_OF_DATA = "more data would help"
    SENSITIVE = "noise on inputs hurts"
    VALIDATION_IMPROVES = "validation was still improving"
    TRAINING_IMPROVES = "training was still improving"
    NOT_LEARNED = "the training set is not learned"
    AT_CHANCE = "the level is that of chance"
    BELOW_ATTAINABLE = "the level on training examples stays below what is attainable"
    NOISE_OR_SIZE = "noise and a model that is too small look alike"
    ADDS_UP = "what acts in different places can be combined"


@dataclass(frozen=True)
class Item:
    """One remedy.

    Attributes:
        name: what it is called.
        recipe: the recipe to try, as reglab reads it; empty for what is no recipe.
        reason: what it rests on.
        number: the number that remedy or reason are about: of epochs to train, training images per class, the
            temperature, what a doubling of the data brought, what noise costs, the epoch of the onset; or None.
        at: of which noise, in standard deviations; or None.
        without: what it has to do without: transforms that change labels, the recipe to take back.
        there: strategies that the recipe has already, of which other strengths are to be tried.
        parts: what is combined.
    """

    name: Remedy
    recipe: str
    reason: Reason
    number: float | None = None
    at: float | None = None
    without: tuple[str, ...] = ()
    there: tuple[str, ...] = ()
    parts: tuple[Remedy, ...] = ()


@dataclass(frozen=True)
class Patient:
    """What is known of data and training beside the runs.

    Attributes:
        kind: of the data: ``image``, ``table``, ``tokens`` for token ids and categories, and ``several`` for inputs by
            name, neither of which can be mixed, a kind of one's own, or ``array`` for what nothing is known of.
        label_changing: transforms that make another example of one.
        epochs: how long it was trained.
        steps: for how many training steps, where that is known.
        recipe: the recipe that was trained with, as text: remedies are added to it.
        train_size: how many training examples there are.
        classes: how many classes there are; None of what has none.
        probes: what was probed.
    """

    kind: str = "array"
    label_changing: Collection[str] = frozenset()
    epochs: int | None = None
    steps: int | None = None
    recipe: str = ""
    train_size: int | None = None
    classes: int | None = None
    probes: Probes = field(default_factory=Probes)

    @property
    def memorizes(self) -> bool:
        return self.probes.labels is not None and self.probes.labels.memorizes


def prescribe(diagnosis: Diagnosis, patient: Patient | None = None) -> tuple[Item, ...]:
    """Return remedies, the first one first; none if nothing is wrong or nothing can be told.

    Underfitting is never answered by regularization. Of the recipes, five at most are kept.

    Example:
        >>> from reglab.analysis.diagnose import diagnose
        >>> history = {"train_accuracy": [0.6, 0.9, 1.0, 1.0, 1.0], "val_accuracy": [0.5, 0.6, 0.6, 0.6, 0.6]}
        >>> [item.recipe for item in prescribe(diagnose([history]), Patient(kind="table"))][:2]
        ['dropout(rate=0.3)', 'l2(kernel=1e-3)']
    """
    patient = patient or Patient()
    found: list[Item] = []
    recipes: set[str] = set()
    for rule in _RULES[diagnosis.word]:
        item = _fitting(rule(diagnosis, patient), diagnosis, patient.recipe)
        if item is None or item.name in {other.name for other in found}:
            continue
        if item.recipe and (item.recipe in recipes or len(recipes) == MOST_RECIPES):
            continue
        recipes |= {item.recipe} - {""}
        found.append(item)
    both = _combination(found, patient.recipe)
    return (*found, both) if both is not None else tuple(found)


def _fitting(item: Item | None, d: Diagnosis, recipe: str) -> Item | None:
    """Return a remedy as it can be added to the recipe that was trained with: of what is there, other strengths.

    What mixes or softens labels is none for labels that are numbers.
    """
    if item is None or not item.recipe:
        return item
    base, remedy = Recipe.parse(recipe), Recipe.parse(item.recipe)
    if not d.task.probabilities and any(strategy.soft_targets for strategy in remedy):
        return None
    there = tuple(strategy.name for strategy in remedy if strategy.name in {other.name for other in base})
    if there:
        return replace(item, recipe="", there=there)
    try:
        base + remedy
    except ReglabError:  # a declared conflict
        return None
    return item


# --- overfitting ---------------------------------------------------------------------------------------------------


def _more_data(d: Diagnosis, p: Patient) -> Item | None:
    curve = p.probes.learning_curve
    if curve is None or not curve.short_of_data:
        return None
    return Item(Remedy.MORE_DATA, "", Reason.SHORT_OF_DATA, number=curve.doubling.mean)


def _augmentation(d: Diagnosis, p: Patient) -> Item | None:
    if not CATALOGUE["augmentation"].understands(p.kind) or not _performance(d):
        return None
    wanted = {
        "rotation_range": "10", "width_shift_range": "0.1", "height_shift_range": "0.1", "horizontal_flip": "true",
    }  # fmt: skip
    kept = {key: value for key, value in wanted.items() if key not in p.label_changing}
    if not kept:
        return None
    per_class = p.train_size / p.classes if p.train_size and p.classes else None
    recipe = f"augmentation({', '.join(f'{key}={value}' for key, value in kept.items())})"
    without = tuple(sorted(set(wanted) & set(p.label_changing)))
    return Item(Remedy.AUGMENTATION, recipe, _shown(d), number=per_class, without=without)


def _early_stopping(d: Diagnosis, p: Patient) -> Item | None:
    if d.onset is None and not p.memorizes:
        return None
    recipe = f"early_stopping(monitor=val_loss, patience={max(5, (p.epochs or 50) // 10)})"
    reason = Reason.MEMORIZED if p.memorizes else Reason.RISES
    return Item(Remedy.EARLY_STOPPING, recipe, reason, number=None if p.memorizes else d.onset)


def _mixup(d: Diagnosis, p: Patient) -> Item | None:
    if not CATALOGUE["mixup"].understands(p.kind):
        return None
    if p.memorizes:
        return Item(Remedy.MIXUP, "mixup(alpha=1.0)", Reason.MEMORIZED)
    if _too_sure(d):
        return Item(Remedy.MIXUP, "mixup(alpha=0.2)", _sure_reason(d))
    return Item(Remedy.MIXUP, "mixup(alpha=0.2)", _shown(d)) if _performance(d) else None


def _mixup_of_images(d: Diagnosis, p: Patient) -> Item | None:
    return _mixup(d, p) if are_pictures(p.kind) else None


def _dropout(d: Diagnosis, p: Patient) -> Item | None:
    return Item(Remedy.DROPOUT, "dropout(rate=0.3)", _shown(d)) if _performance(d) else None


def _l2(d: Diagnosis, p: Patient) -> Item | None:
    return Item(Remedy.L2, "l2(kernel=1e-3)", _shown(d)) if _performance(d) else None


def _noise(d: Diagnosis, p: Patient) -> Item | None:
    probe = p.probes.noise
    if probe is None or not probe.sensitive:
        return None
    recipe = f"gaussian_noise(stddev={probe.at:g})"
    return Item(Remedy.NOISE, recipe, Reason.SENSITIVE, number=probe.lost.mean, at=probe.at)


def _sam(d: Diagnosis, p: Patient) -> Item | None:
    return Item(Remedy.SAM, "sam(rho=0.05)", _shown(d)) if _performance(d) else None


def _performance(d: Diagnosis) -> bool:
    return d.word == Word.OVERFITTING and d.kind == Kind.PERFORMANCE


def _shown(d: Diagnosis) -> Reason:
    """Return what shows that new examples are predicted worse: a gap, where the history has both levels."""
    if d.apart:
        return Reason.GAP
    return Reason.FALLS if d.val is not None else Reason.RISES


# --- confidence and stability, whatever the word -----------------------------------------------------------------


def _label_smoothing(d: Diagnosis, p: Patient) -> Item | None:
    if not (_too_sure(d) or p.memorizes):
        return None
    reason = Reason.MEMORIZED if p.memorizes and not d.overconfident else _sure_reason(d)
    return Item(Remedy.LABEL_SMOOTHING, "label_smoothing(smoothing=0.1)", reason)


def _sure_reason(d: Diagnosis) -> Reason:
    return Reason.TOO_SURE if d.overconfident else Reason.ONLY_COST_RISES


def _too_sure(d: Diagnosis) -> bool:
    """Whether it is shown to be too sure of itself, or has become so, and is not known to be less sure than right."""
    under = d.overconfidence is not None and d.overconfidence.mean <= 0
    return d.overconfident or (d.kind == Kind.CONFIDENCE and not under)


def _temperature(d: Diagnosis, p: Patient) -> Item | None:
    if not d.overconfident or d.temperature is None:
        return None
    return Item(Remedy.TEMPERATURE, "", Reason.TOO_SURE, number=d.temperature.mean)


def _ema(d: Diagnosis, p: Patient) -> Item | None:
    momentum = _momentum(p.steps)
    if not d.unstable or momentum is None:
        return None
    recipe = "ema" if momentum == _SLOW else f"ema(momentum={momentum:g})"
    return Item(Remedy.AVERAGES, recipe, Reason.JUMPS)


_SLOW = 0.99


def _momentum(steps: int | None) -> float | None:
    """Return the momentum of an average that has left the initial weights behind; None where training is too short.

    After ``10 / (1 - momentum)`` steps they count for less than a ten-thousandth.
    """
    return next((m for m in (_SLOW, 0.95, 0.9) if steps is None or steps * (1 - m) >= 10 - 1e-6), None)


def _lower_rate(d: Diagnosis, p: Patient) -> Item | None:
    return Item(Remedy.LOWER_RATE, "", Reason.JUMPS) if d.unstable else None


# --- underfitting ----------------------------------------------------------------------------------------------------


def _longer(d: Diagnosis, p: Patient) -> Item | None:
    if d.onset is not None or not (d.falls or (d.train_falls and d.kind == Kind.UNFINISHED)):
        return None
    reason = Reason.VALIDATION_IMPROVES if d.falls else Reason.TRAINING_IMPROVES
    return Item(Remedy.LONGER, "", reason, number=2 * p.epochs if p.epochs else None)


def _rate(d: Diagnosis, p: Patient) -> Item | None:
    return Item(Remedy.OTHER_RATE, "", Reason.NOT_LEARNED)


def _labels(d: Diagnosis, p: Patient) -> Item | None:
    return Item(Remedy.LOOK_AT_DATA, "", Reason.AT_CHANCE) if d.kind == Kind.NOTHING_LEARNED else None


def _less(d: Diagnosis, p: Patient) -> Item | None:
    without = () if p.recipe in ("", "none") else (p.recipe,)
    return Item(Remedy.LESS, "", Reason.NOT_LEARNED, without=without)


def _bigger(d: Diagnosis, p: Patient) -> Item | None:
    if d.kind == Kind.UNFINISHED:
        return None
    return Item(Remedy.BIGGER, "", Reason.NOT_LEARNED if d.attainable is None else Reason.BELOW_ATTAINABLE)


def _bigger_to_tell(d: Diagnosis, p: Patient) -> Item | None:
    """Where noise and a model that is too small look alike, a larger one tells them apart."""
    return Item(Remedy.BIGGER, "", Reason.NOISE_OR_SIZE) if d.kind == Kind.NOISE else None


_Rule = Callable[[Diagnosis, Patient], "Item | None"]
_COMMON: tuple[_Rule, ...] = (_ema, _lower_rate, _label_smoothing, _temperature)
_RULES: dict[Word, tuple[_Rule, ...]] = {
    Word.OVERFITTING: (
        _more_data, _augmentation, _early_stopping, _noise, _ema, _lower_rate, _label_smoothing, _temperature,
        _mixup_of_images, _dropout, _l2, _mixup, _sam, _longer,
    ),
    Word.UNDERFITTING: (_labels, _longer, _rate, _bigger, _less),
    Word.FITTING: (_longer, _more_data, _noise, *_COMMON),
    Word.CANNOT_TELL: (_bigger_to_tell,),
}  # fmt: skip


def _combination(items: list[Item], base: str = "") -> Item | None:
    """Return the first two recipes that go together, as one."""
    several = [item for item in items if item.recipe and item.name != Remedy.EARLY_STOPPING]
    for i, one in enumerate(several):
        for other in several[i + 1 :]:
            try:
                recipe = Recipe.parse(f"{one.recipe} + {other.recipe}")
                Recipe.parse(base) + recipe
            except ReglabError:  # a declared conflict
                continue
            return Item(Remedy.COMBINATION, recipe.to_text(), Reason.ADDS_UP, parts=(one.name, other.name))
    return None
