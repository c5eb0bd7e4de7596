"""A prescription in words: of each remedy what to do, why, and where it is from."""

from __future__ import annotations

from reglab.analysis.diagnosis import Diagnosis, Kind
from reglab.analysis.prescribe import Item, Reason, Remedy

__all__ = ["action", "reason", "reference"]

_ACTIONS = {
    Remedy.MORE_DATA: "label more examples",
    Remedy.AUGMENTATION: "train on randomly moved images",
    Remedy.NOISE: "train with the noise that it cannot stand",
    Remedy.AVERAGES: "evaluate a moving average of the weights",
    Remedy.LOWER_RATE: "divide the learning rate by 3, or let it decay to zero",
    Remedy.LABEL_SMOOTHING: "ask for 90 % and not 100 %",
    Remedy.MIXUP: "train on mixtures of two examples and their labels",
    Remedy.DROPOUT: "switch off units at random in training",
    Remedy.L2: "make large weights cost something",
    Remedy.SAM: "look for weights whose neighbours are good too",
    Remedy.LOOK_AT_DATA: "fit ten examples, without any regularization; look at inputs and labels as the model gets "
    "them",
    Remedy.BIGGER: "double units or filters, or add a layer",
}
_GOODFELLOW = "Goodfellow et al. 2016"
_REFERENCES = {
    Remedy.MORE_DATA: "Hestness et al. 2017, arXiv:1712.00409",
    Remedy.AUGMENTATION: "Shorten and Khoshgoftaar 2019, Journal of Big Data 6:60",
    Remedy.EARLY_STOPPING: "Prechelt 1998, Early Stopping - But When?",
    Remedy.NOISE: "Bishop 1995, Neural Computation 7(1)",
    Remedy.AVERAGES: "Izmailov et al. 2018, arXiv:1803.05407",
    Remedy.LOWER_RATE: f"{_GOODFELLOW}, section 11.4.1",
    Remedy.LABEL_SMOOTHING: "Müller et al. 2019, arXiv:1906.02629",
    Remedy.TEMPERATURE: "Guo et al. 2017, arXiv:1706.04599",
    Remedy.MIXUP: "Zhang et al. 2018, arXiv:1710.09412",
    Remedy.DROPOUT: "Srivastava et al. 2014, JMLR 15:1929",
    Remedy.L2: "Krogh and Hertz 1992, NeurIPS 4; the paper's Table 3",
    Remedy.SAM: "Foret et al. 2021, arXiv:2010.01412",
    Remedy.LONGER: f"{_GOODFELLOW}, section 11.4.1",
    Remedy.OTHER_RATE: f"{_GOODFELLOW}, section 11.4.1",
    Remedy.LOOK_AT_DATA: f"{_GOODFELLOW}, section 11.5",
    Remedy.LESS: f"{_GOODFELLOW}, section 5.2",
    Remedy.BIGGER: f"{_GOODFELLOW}, section 5.2",
    Remedy.COMBINATION: "Kukačka et al. 2017, arXiv:1710.10686; the best arm of the paper's Table 2",
}
# Where the same remedy is known for another reason from somewhere else.
_REFERENCES_FOR = {
    (Remedy.EARLY_STOPPING, Reason.MEMORIZED): "Li et al. 2020, arXiv:1903.11680; Arpit et al. 2017, arXiv:1706.05394",
    (Remedy.MIXUP, Reason.TOO_SURE): "Thulasidasan et al. 2019, arXiv:1905.11001",
    (Remedy.MIXUP, Reason.ONLY_COST_RISES): "Thulasidasan et al. 2019, arXiv:1905.11001",
    (Remedy.LABEL_SMOOTHING, Reason.MEMORIZED): "Lukasik et al. 2020, arXiv:2003.02819",
}


def reference(item: Item) -> str:
    """Return where a remedy is from."""
    return _REFERENCES_FOR.get((item.name, item.reason), _REFERENCES[item.name])


def action(item: Item, found: Diagnosis) -> str:
    """Return what to do."""
    if item.there:
        return f"the recipe has {', '.join(item.there)} already: try other strengths (reglab sweep)"
    if item.name == Remedy.AUGMENTATION and item.without:
        return f"{_ACTIONS[item.name]} (without {', '.join(item.without)}, which can change what an image is)"
    if item.name == Remedy.EARLY_STOPPING:
        return f"keep the weights of the best validation {found.cost.title}"
    if item.name == Remedy.TEMPERATURE:
        return f"divide the logits by {item.number:.2f}; no decision changes"
    if item.name == Remedy.LONGER:
        return "train twice as long" if item.number is None else f"train for {item.number:g} epochs"
    if item.name == Remedy.OTHER_RATE:
        unfinished = found.kind == Kind.UNFINISHED
        return "try three times the learning rate" if unfinished else "try the learning rate times 3 and divided by 3"
    if item.name == Remedy.LESS:
        if item.without:
            return f"train without {item.without[0]}, or with half of it"
        return "take dropout, penalties, noise and augmentation out of the model, or halve them"
    return f"{item.parts[0]} and {item.parts[1]} together" if item.parts else _ACTIONS[item.name]


def reason(item: Item, found: Diagnosis) -> str:
    """Return why a remedy is prescribed, after "for" or a colon."""
    text = _gap(item, found) if item.reason == Reason.GAP else _because(item, found)
    if item.name == Remedy.AUGMENTATION and item.number is not None:
        text += f", and there are {item.number:,.0f} training images a class"
    if item.name == Remedy.EARLY_STOPPING and item.reason == Reason.MEMORIZED:
        text += ", and late"
    return f"{text}; at twice the cost of a step" if item.name == Remedy.SAM else text


def _gap(item: Item, found: Diagnosis) -> str:
    if item.name == Remedy.AUGMENTATION:
        return "training images are told better than new ones"
    if item.name == Remedy.MIXUP:
        return "training examples are told better than new ones"
    return f"training {found.level.title} runs ahead of validation"


def _because(item: Item, found: Diagnosis) -> str:
    level, cost = found.level, found.cost
    number = 0.0 if item.number is None else item.number
    if item.reason == Reason.RISES:
        since = f" after epoch {found.onset}" if item.name == Remedy.EARLY_STOPPING else ""
        return f"validation {cost.title} rises{since}"
    if item.reason == Reason.SHORT_OF_DATA:
        return f"the last doubling of the training set brought {level.differs(number, level.rough)} on validation"
    if item.reason == Reason.SENSITIVE:
        return f"noise of {item.at:g} standard deviations on inputs costs {level.differs(number, level.rough)}"
    return {
        Reason.FALLS: f"validation {level.title} falls",
        Reason.ONLY_COST_RISES: f"validation {cost.title} rises while {level.title} does not fall",
        Reason.TOO_SURE: f"confidence is above {found.task.success.title}",
        Reason.MEMORIZED: "wrong labels, if there are any, are memorized",
        Reason.JUMPS: "validation jumps from epoch to epoch",
        Reason.VALIDATION_IMPROVES: "validation was still improving when training ended",
        Reason.TRAINING_IMPROVES: f"training {level.title} was still improving when training ended",
        Reason.NOT_LEARNED: "the training set itself is not learned",
        Reason.AT_CHANCE: f"{level.title} is no better than {found.task.uninformed}",
        Reason.BELOW_ATTAINABLE: f"training {level.title} stays below what is attainable",
        Reason.NOISE_OR_SIZE: f"where training {level.title} rises with it, the model was too small; else it is noise",
        Reason.ADDS_UP: "strategies that act in different places can be combined; whether they add up is to be tried",
    }[item.reason]
