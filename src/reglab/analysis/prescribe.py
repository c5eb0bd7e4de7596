"""From a diagnosis to remedies, in the order in which to try them; each with its reason and where it is from.

The rules are few and stand one below the other. Their order is a prior: which remedy works on a model is what ``reglab
diagnose --treat`` finds out. None looks at the test set: bias and variance, which need it, only explain.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from reglab.analysis.diagnosis import Diagnosis
from reglab.analysis.probed import Probes
from reglab.errors import ReglabError
from reglab.recipe import Recipe

__all__ = ["Item", "Patient", "prescribe"]

# As many as can be tried in the time of a usual comparison, and as can be read at a glance.
MOST_RECIPES = 5


@dataclass(frozen=True)
class Item:
    """One remedy.

    Attributes:
        name: what it is called.
        recipe: the recipe to try, as reglab reads it; empty for what is no recipe.
        action: what to do, in words.
        reason: the evidence it rests on.
        reference: where it is from.
    """

    name: str
    recipe: str
    action: str
    reason: str
    reference: str


@dataclass(frozen=True)
class Patient:
    """What is known of data and training beside the runs.

    Attributes:
        kind: of the data: ``image``, ``table``, ``tokens`` for token ids and categories, which cannot be mixed, or
            ``array`` for what nothing is known of.
        label_changing: transforms that make another example of one.
        epochs: how long it was trained.
        steps: for how many training steps, where that is known.
        recipe: the recipe that was trained with, as text: remedies are added to it.
        train_size: how many training examples there are.
        classes: how many classes.
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
        item = _added(rule(diagnosis, patient), patient.recipe)
        if item is None or item.name in {other.name for other in found}:
            continue
        if item.recipe and (item.recipe in recipes or len(recipes) == MOST_RECIPES):
            continue
        recipes |= {item.recipe} - {""}
        found.append(item)
    both = _combination(found, patient.recipe)
    return (*found, both) if both is not None else tuple(found)


def _added(item: Item | None, recipe: str) -> Item | None:
    """Return a remedy as it can be added to the recipe that was trained with: of what is there, other strengths."""
    if item is None or not item.recipe or not recipe:
        return item
    base, remedy = Recipe.parse(recipe), Recipe.parse(item.recipe)
    there = [strategy.name for strategy in remedy if strategy.name in {other.name for other in base}]
    if there:
        action = f"the recipe has {', '.join(there)} already: try other strengths (reglab sweep)"
        return Item(item.name, "", action, item.reason, item.reference)
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
    reason = f"the last doubling of the training set brought {100 * curve.doubling.mean:.1f} points on validation"
    return Item("more data", "", "label more examples", reason, "Hestness et al. 2017, arXiv:1712.00409")


def _augmentation(d: Diagnosis, p: Patient) -> Item | None:
    if p.kind != "image" or not _accuracy(d):
        return None
    wanted = {
        "rotation_range": "10", "width_shift_range": "0.1", "height_shift_range": "0.1", "horizontal_flip": "true",
    }  # fmt: skip
    kept = {key: value for key, value in wanted.items() if key not in p.label_changing}
    if not kept:
        return None
    few = ""
    if p.train_size and p.classes:
        few = f", and there are {p.train_size / p.classes:,.0f} training images a class"
    left_out = sorted(set(wanted) & set(p.label_changing))
    without = f" (without {', '.join(left_out)}, which can change what an image is)" if left_out else ""
    recipe = f"augmentation({', '.join(f'{key}={value}' for key, value in kept.items())})"
    reason = f"{_shown(d, 'training images are told better than new ones')}{few}"
    return Item(
        "augmentation", recipe, f"train on randomly moved images{without}", reason,
        "Shorten and Khoshgoftaar 2019, Journal of Big Data 6:60",
    )  # fmt: skip


def _early_stopping(d: Diagnosis, p: Patient) -> Item | None:
    memorizes = p.probes.labels is not None and p.probes.labels.memorizes
    if d.onset is None and not memorizes:
        return None
    patience = max(5, (p.epochs or 50) // 10)
    if memorizes:
        reason = "wrong labels, if there are any, are memorized, and late"
        reference = "Li et al. 2020, arXiv:1903.11680; Arpit et al. 2017, arXiv:1706.05394"
    else:
        reason = f"validation cross-entropy rises after epoch {d.onset}"
        reference = "Prechelt 1998, Early Stopping - But When?"
    recipe = f"early_stopping(monitor=val_loss, patience={patience})"
    return Item("early stopping", recipe, "keep the weights of the best validation cross-entropy", reason, reference)


def _mixup(d: Diagnosis, p: Patient) -> Item | None:
    if p.kind == "tokens":
        return None
    memorizes = p.probes.labels is not None and p.probes.labels.memorizes
    reference = "Zhang et al. 2018, arXiv:1710.09412"
    if memorizes:
        reason, recipe = "wrong labels, if there are any, are memorized", "mixup(alpha=1.0)"
    elif _too_sure(d):
        reason, recipe = _TOO_SURE if d.overconfident else _RISES, "mixup(alpha=0.2)"
        reference = "Thulasidasan et al. 2019, arXiv:1905.11001"
    elif _accuracy(d):
        reason, recipe = _shown(d, "training examples are told better than new ones"), "mixup(alpha=0.2)"
    else:
        return None
    return Item(
        "mixup", recipe, "train on mixtures of two examples and their labels", reason,
        reference,
    )  # fmt: skip


def _mixup_of_images(d: Diagnosis, p: Patient) -> Item | None:
    return _mixup(d, p) if p.kind == "image" else None


def _dropout(d: Diagnosis, p: Patient) -> Item | None:
    if not _accuracy(d):
        return None
    return Item(
        "dropout", "dropout(rate=0.3)", "switch off units at random in training", _shown(d),
        "Srivastava et al. 2014, JMLR 15:1929",
    )  # fmt: skip


def _l2(d: Diagnosis, p: Patient) -> Item | None:
    if not _accuracy(d):
        return None
    return Item(
        "L2 penalty", "l2(kernel=1e-3)", "make large weights cost something", _shown(d),
        "Krogh and Hertz 1992, NeurIPS 4; the paper's Table 3",
    )  # fmt: skip


def _noise(d: Diagnosis, p: Patient) -> Item | None:
    probe = p.probes.noise
    if probe is None or not probe.sensitive:
        return None
    reason = f"noise of {probe.at:g} standard deviations on inputs costs {100 * probe.lost.mean:.1f} points"
    return Item(
        "input noise", f"gaussian_noise(stddev={probe.at:g})", "train with the noise that it cannot stand", reason,
        "Bishop 1995, Neural Computation 7(1)",
    )  # fmt: skip


def _sam(d: Diagnosis, p: Patient) -> Item | None:
    if not _accuracy(d):
        return None
    return Item(
        "sharpness-aware minimization", "sam(rho=0.05)", "look for weights whose neighbours are good too",
        f"{_shown(d)}; at twice the cost of a step",
        "Foret et al. 2021, arXiv:2010.01412",
    )  # fmt: skip


def _accuracy(d: Diagnosis) -> bool:
    return d.word == "overfitting" and d.kind == "accuracy"


def _shown(d: Diagnosis, gap: str = "training accuracy runs ahead of validation") -> str:
    """Return what shows that new examples are told worse: a gap, where the history has both accuracies."""
    if d.apart:
        return gap
    return "validation accuracy falls" if d.val_accuracy is not None else "validation cross-entropy rises"


# --- confidence and stability, whatever the word -----------------------------------------------------------------


def _label_smoothing(d: Diagnosis, p: Patient) -> Item | None:
    memorizes = p.probes.labels is not None and p.probes.labels.memorizes
    if not (_too_sure(d) or memorizes):
        return None
    if memorizes and not d.overconfident:
        reason, reference = (
            "wrong labels, if there are any, are memorized",
            "Lukasik et al. 2020, arXiv:2003.02819",
        )
    else:
        reason, reference = _TOO_SURE if d.overconfident else _RISES, "Müller et al. 2019, arXiv:1906.02629"
    return Item("label smoothing", "label_smoothing(smoothing=0.1)", "ask for 90 % and not 100 %", reason, reference)


_TOO_SURE = "confidence is above accuracy"
_RISES = "validation cross-entropy rises while accuracy does not fall"


def _too_sure(d: Diagnosis) -> bool:
    """Whether it is shown to be too sure of itself, or has become so, and is not known to be less sure than right."""
    under = d.overconfidence is not None and d.overconfidence.mean <= 0
    return d.overconfident or (d.kind == "confidence" and not under)


def _temperature(d: Diagnosis, p: Patient) -> Item | None:
    if not d.overconfident or d.temperature is None:
        return None
    return Item(
        "temperature scaling", "", f"divide the logits by {d.temperature.mean:.2f}; no decision changes",
        "confidence is above accuracy", "Guo et al. 2017, arXiv:1706.04599",
    )  # fmt: skip


def _ema(d: Diagnosis, p: Patient) -> Item | None:
    momentum = _momentum(p.steps)
    if not d.unstable or momentum is None:
        return None
    recipe = "ema" if momentum == _SLOW else f"ema(momentum={momentum:g})"
    return Item(
        "averaged weights", recipe, "evaluate a moving average of the weights", "validation jumps from epoch to epoch",
        "Izmailov et al. 2018, arXiv:1803.05407",
    )  # fmt: skip


_SLOW = 0.99


def _momentum(steps: int | None) -> float | None:
    """Return the momentum of an average that has left the initial weights behind; None where training is too short.

    After ``10 / (1 - momentum)`` steps they count for less than a ten-thousandth.
    """
    return next((m for m in (_SLOW, 0.95, 0.9) if steps is None or steps * (1 - m) >= 10 - 1e-6), None)


def _lower_rate(d: Diagnosis, p: Patient) -> Item | None:
    if not d.unstable:
        return None
    return Item(
        "lower learning rate", "", "divide the learning rate by 3, or let it decay to zero",
        "validation jumps from epoch to epoch", "Goodfellow et al. 2016, section 11.4.1",
    )  # fmt: skip


# --- underfitting ----------------------------------------------------------------------------------------------------


def _longer(d: Diagnosis, p: Patient) -> Item | None:
    if d.onset is not None or not (d.falls or (d.train_falls and d.kind == "unfinished")):
        return None
    longer = f"train for {2 * p.epochs} epochs" if p.epochs else "train twice as long"
    part = "validation" if d.falls else "training accuracy"
    reason = f"{part} was still improving when training ended"
    return Item("train longer", "", longer, reason, "Goodfellow et al. 2016, section 11.4.1")


def _rate(d: Diagnosis, p: Patient) -> Item | None:
    if d.kind == "limited" or d.kind == "nothing learned":
        how = "try the learning rate times 3 and divided by 3"
    else:
        how = "try three times the learning rate"
    return Item(
        "other learning rate", "", how, "the training set itself is not learned",
        "Goodfellow et al. 2016, section 11.4.1",
    )  # fmt: skip


def _labels(d: Diagnosis, p: Patient) -> Item | None:
    if d.kind != "nothing learned":
        return None
    return Item(
        "look at the data", "", "fit ten examples, without any regularization; look at inputs and labels as the model "
        "gets them", "accuracy is that of chance", "Goodfellow et al. 2016, section 11.5",
    )  # fmt: skip


def _less(d: Diagnosis, p: Patient) -> Item | None:
    known = p.recipe not in ("", "none")
    what = (
        f"train without {p.recipe}, or with half of it"
        if known
        else ("take dropout, penalties, noise and augmentation out of the model, or halve them")
    )
    return Item(
        "less regularization", "", what,
        "the training set itself is not learned", "Goodfellow et al. 2016, section 5.2",
    )  # fmt: skip


def _bigger(d: Diagnosis, p: Patient) -> Item | None:
    if d.kind == "unfinished":
        return None
    return Item(
        "bigger model", "", "double units or filters, or add a layer",
        "training accuracy stays below what is attainable",
        "Goodfellow et al. 2016, section 5.2",
    )  # fmt: skip


_COMMON: tuple[Callable[[Diagnosis, Patient], Item | None], ...] = (_ema, _lower_rate, _label_smoothing, _temperature)
_RULES: dict[str, tuple[Callable[[Diagnosis, Patient], Item | None], ...]] = {
    "overfitting": (
        _more_data, _augmentation, _early_stopping, _noise, _ema, _lower_rate, _label_smoothing, _temperature,
        _mixup_of_images, _dropout, _l2, _mixup, _sam, _longer,
    ),
    "underfitting": (_labels, _longer, _rate, _bigger, _less),
    "fitting": (_longer, _more_data, _noise, *_COMMON),
    "cannot tell": (),
}  # fmt: skip


def _combination(items: list[Item], base: str = "") -> Item | None:
    """Return the first two recipes that go together, as one."""
    several = [item for item in items if item.recipe and item.name != "early stopping"]
    for i, one in enumerate(several):
        for other in several[i + 1 :]:
            try:
                recipe = Recipe.parse(f"{one.recipe} + {other.recipe}")
                Recipe.parse(base) + recipe
            except ReglabError:  # a declared conflict
                continue
            return Item(
                "combination", recipe.to_text(), f"{one.name} and {other.name} together",
                "strategies that act in different places can be combined; whether they add up is to be tried",
                "Kukačka et al. 2017, arXiv:1710.10686; the best arm of the paper's Table 2",
            )  # fmt: skip
    return None
