"""Training logs that people have, read into the histories that a diagnosis takes: Keras' ``History``, CSV, JSON."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reglab.data.numerals import COMMA, POINT, notations, read_numerals
from reglab.errors import ReglabError

__all__ = ["Log", "read_log"]

History = dict[str, list[float]]

# Names of metrics, the first one that is there counts. A cross-entropy among the metrics goes before the loss, which
# contains penalties.
_NAMES = {
    "accuracy": ("accuracy", "acc", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy"),
    "cross_entropy": (
        "cross_entropy", "sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy", "loss",
    ),
}  # fmt: skip

# Metrics of regression: beside them a loss is no cross-entropy.
_REGRESSION = frozenset({
    "mae", "mse", "msle", "mape", "rmse", "mean_absolute_error", "mean_squared_error", "root_mean_squared_error",
    "mean_squared_logarithmic_error", "mean_absolute_percentage_error", "r2_score", "r2", "cosine_similarity", "huber",
    "log_cosh", "logcosh",
})  # fmt: skip
_PERCENT = "accuracy is in percent in the log, and was divided by 100."

_LOSS = "loss and val_loss stand for the cross-entropy; they contain penalties, if there are any."


@dataclass(frozen=True)
class Log:
    """What a log holds.

    Attributes:
        histories: one a run, with the keys of a study's.
        clean: whether training metrics were measured in inference mode, without penalties, as in a study.
        notes: what has to be said of the numbers.
    """

    histories: tuple[History, ...]
    clean: bool
    notes: tuple[str, ...] = ()


def read_log(source: Any, *, cross_entropy: bool = False) -> Log:
    """Return the histories of a training log.

    Args:
        source: what ``model.fit`` returned, or its ``.history``, a mapping from names to one number an epoch; several
            of them, one a run; the path of a file that Keras' ``CSVLogger`` wrote, or of a JSON file that holds such a
            mapping, several, or a list with a mapping an epoch.
        cross_entropy: whether the loss is known to be one. Else it counts as one beside an accuracy alone.

    Raises:
        ReglabError: if it holds no metric that is known, or is of another task than single-label classification.

    Example:
        >>> log = read_log({"loss": [2.0, 1.0], "val_acc": [0.4, 0.5]})
        >>> log.histories
        ({'train_cross_entropy': [2.0, 1.0], 'val_accuracy': [0.4, 0.5]},)
        >>> log.clean
        False
    """
    where, raw = _raw(source)
    read = [_canonical(history, where, cross_entropy) for history in raw]
    if not read:
        raise ReglabError(f"{where}: there is no epoch in it. Give the log of a training that ran.")
    clean = all(each[1] for each in read)
    notes = sorted({note for each in read for note in each[2]})
    return Log(tuple(each[0] for each in read), clean, tuple(notes))


def _raw(source: Any) -> tuple[str, list[Mapping[str, Sequence[Any]]]]:
    if isinstance(source, str | Path):
        path = Path(source)
        return str(path), _from_file(path)
    if isinstance(source, Mapping):
        return "the history", [source]
    if isinstance(getattr(source, "history", None), Mapping):
        return "the history", [source.history]
    if isinstance(source, Sequence) and source:
        return "the histories", [history for each in source for history in _raw(each)[1]]
    raise ReglabError(
        f"A {type(source).__name__} is no training log. Give what model.fit returned, its .history, a CSV file of "
        "CSVLogger, a JSON file, or a list of such."
    )


def _from_file(path: Path) -> list[Mapping[str, Sequence[Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ReglabError(f"Cannot read {path}: {error.strerror}. Give a CSV or JSON log, or a study folder.") from None
    except UnicodeDecodeError:
        raise ReglabError(f"{path} is not text. Give a CSV file of Keras' CSVLogger, or a JSON file.") from None
    return _from_json(text, path) if path.suffix.lower() == ".json" else _from_csv(text, path)


def _from_json(text: str, path: Path) -> list[Mapping[str, Sequence[Any]]]:
    try:
        held = json.loads(text)
    except json.JSONDecodeError as error:
        raise ReglabError(f"{path} is not valid JSON: {error}.") from None
    if isinstance(held, dict) and isinstance(held.get("history"), dict | list):
        held = held["history"]
    many = held if isinstance(held, list) else [held]
    if many and all(isinstance(each, dict) for each in many):
        if all(not isinstance(value, list) for each in many for value in each.values()):
            return _runs(many)
        return many
    raise ReglabError(
        f"{path} holds no history. Expected is a mapping from metrics to lists, such as "
        '{"accuracy": [0.5, 0.7], "val_accuracy": [0.4, 0.5]}; several of them; or a list with a mapping an epoch.'
    )


def _from_csv(text: str, path: Path) -> list[Mapping[str, Sequence[Any]]]:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        raise ReglabError(
            f"{path} has no epoch in it. Expected is a header and a line an epoch, as CSVLogger writes it."
        )
    separator = max(",;\t", key=lines[0].count)
    header, *rows = csv.reader(lines, delimiter=separator)
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ReglabError(f"{path}, line {number}: {len(row)} values for {len(header)} columns.")
    return _runs([dict(zip(header, row, strict=True)) for row in rows if row != header])


def _runs(epochs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Sequence[Any]]]:
    """Return one history a run from one mapping an epoch: where the epochs begin anew, so does a run."""
    runs: list[dict[str, list[Any]]] = []
    before = -math.inf
    for values in epochs:
        epoch = _number(values.get("epoch"))
        epoch = before + 1 if epoch is None else epoch
        if not runs or epoch <= before:
            runs.append({})
        before = epoch
        for key, value in values.items():
            runs[-1].setdefault(key, []).append(value)
    return list(runs)


def _canonical(
    history: Mapping[str, Sequence[Any]], where: str, cross_entropy: bool
) -> tuple[History, bool, list[str]]:
    """Return a history under the study's names, whether it is clean, and what has to be said.

    Epochs that lack a metric, as those without validation under ``validation_freq``, are left out.
    """
    read: dict[str, list[float | None]] = {}
    clean, notes, of_loss, named = True, [], False, cross_entropy
    error = _other_loss(history)
    for part, prefixes in (("train", ("train_", "")), ("val", ("val_",))):
        for what, names in _NAMES.items():
            key = next((p + name for p in prefixes for name in names if p + name in history), None)
            if key is None or (key.endswith("loss") and error):
                continue
            read[f"{part}_{what}"] = _numbers(history[key], f"{where}: {key}")
            clean = clean and (part == "val" or key.startswith("train_"))
            if key.endswith("loss"):
                of_loss = True
                notes.append(_LOSS)
            named = named or key.endswith("entropy")
    notes += [f"loss is the same as {error}, so it is no cross-entropy and was left out."] if error else []
    notes += _as_shares(read, where)
    _check_classification(history, read, where)
    if of_loss and not named and not any(key.endswith("accuracy") for key in read):
        raise ReglabError(
            f"{where} has a loss and no accuracy, and a loss alone does not say what is learned: classification or "
            "something else. Log accuracy (metrics=['accuracy']), or the cross-entropy under its own name "
            "(cross_entropy, val_cross_entropy)."
        )
    lengths = {key: len(values) for key, values in read.items()}
    if not read or not any(lengths.values()):
        raise ReglabError(
            f"{where} has no metric that is known; it has {', '.join(map(str, history)) or 'nothing'}. Expected are "
            "accuracy, loss, val_accuracy, val_loss, as Keras names them, or a study's train_accuracy and others."
        )
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise ReglabError(f"{where}: metrics of different lengths ({said} epochs). Each needs one number an epoch.")
    whole: list[Any] = [epoch for epoch in zip(*read.values(), strict=True) if None not in epoch]
    if not whole:
        raise ReglabError(f"{where}: no epoch has all of {', '.join(read)}. Each needs one number an epoch.")
    found = {key: [epoch[i] for epoch in whole] for i, key in enumerate(read)}
    return found, clean, notes


def _as_shares(read: dict[str, list[float | None]], where: str) -> list[str]:
    """Turn accuracies in percent into shares, in place; return what has to be said.

    Raises:
        ReglabError: for what is neither.
    """
    known = {
        key: [value for value in values if value is not None and math.isfinite(value)]
        for key, values in read.items() if key.endswith("accuracy")
    }  # fmt: skip
    every = [value for values in known.values() for value in values]
    if every and (min(every) < 0 or max(every) > 100):
        raise ReglabError(
            f"{where}: accuracies from {min(every):g} to {max(every):g}. Expected are shares from 0 to 1, or percent."
        )
    percent = [key for key, values in known.items() if values and max(values) > 1.001]
    for key in percent:
        read[key] = [None if value is None else value / 100 for value in read[key]]
    if percent and len(percent) < sum(bool(values) for values in known.values()):
        raise ReglabError(
            f"{where}: {', '.join(percent)} is in percent, and other accuracies are not. Give both alike."
        )
    return [_PERCENT] if percent else []


def _check_classification(history: Mapping[str, Any], read: Mapping[str, Any], where: str) -> None:
    """Raise a ReglabError for a log whose loss is no cross-entropy: of regression, or below zero."""
    names = {str(key).removeprefix("val_").removeprefix("train_") for key in history}
    regression = sorted(names & _REGRESSION)
    if regression and not any(key.endswith("accuracy") for key in read):
        raise ReglabError(
            f"{where} has {', '.join(regression)} and no accuracy, so it is of a regression, of which a diagnosis "
            "knows nothing yet. It takes logs of classification: accuracy and cross-entropy."
        )
    for key in ("train_cross_entropy", "val_cross_entropy"):
        lowest = min((v for v in read.get(key, ()) if v is not None and math.isfinite(v)), default=0.0)
        if lowest < 0:
            raise ReglabError(
                f"{where}: {key.replace('_', ' ')} is {lowest:g}, and a cross-entropy is never below 0, so the loss is "
                "another one. Log a cross-entropy among the metrics, or leave the loss out and give accuracy."
            )


def _other_loss(history: Mapping[str, Sequence[Any]]) -> str:
    """Return the metric of regression that the loss is, number for number; an empty text if it is none."""
    loss = list(history.get("loss", ()))
    return next(
        (str(key) for key, values in history.items() if key in _REGRESSION and loss and list(values) == loss), ""
    )


def _numbers(values: Sequence[Any], where: str) -> list[float | None]:
    """Return numbers, None where a metric lacks one; texts may have decimal commas or a sign of per cent."""
    try:
        return [_number(value, where) for value in values]
    except ReglabError:
        texts = {value for value in values if isinstance(value, str)}
        found = read_numerals(texts)
        mark = notations(found) or next(
            (mark for mark in (POINT, COMMA) if found.fits(mark) and "%" in found.units), ""
        )
        if found.odd or mark not in (COMMA, POINT) or set(found.units) not in ({""}, {"%"}):
            raise
        known = found.values(mark)
        return [
            None if value in found.missing else known.get(value) if isinstance(value, str) else _number(value, where)
            for value in values
        ]


def _number(value: Any, where: str = "epoch") -> float | None:
    if value is None or value in ("", "NA"):  # what CSVLogger and JSON write for a metric that an epoch lacks
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ReglabError(f"{where}: {value!r} is no number. Expected is one number an epoch.") from None
