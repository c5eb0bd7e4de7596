"""Training logs that people have, read into the histories that a diagnosis takes: Keras' ``History``, CSV, JSON."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reglab.analysis.logged import LOSS, History, Reader, bare, number, unknown
from reglab.errors import ReglabError
from reglab.tasks import Task, of_log

__all__ = ["Log", "read_log"]


@dataclass(frozen=True)
class Log:
    """What a log holds.

    Attributes:
        task: what is predicted, as far as a log tells: names of classes and targets are made up.
        histories: one a run, with the keys of a study's.
        clean: whether training metrics were measured in inference mode, without penalties, as in a study.
        notes: what has to be said of the numbers.
    """

    task: Task
    histories: tuple[History, ...]
    clean: bool
    notes: tuple[str, ...] = ()


def read_log(
    source: Any, *, task: Task | None = None, loss: str = "", outputs: int | None = None, deviation: float | None = None
) -> Log:
    """Return the histories of a training log.

    Metrics are known by their names, those of Keras among them. Errors of regression give its root mean squared error,
    or its mean absolute error, where the log has nothing else. ``loss`` is taken for the cross-entropy beside an
    accuracy, and for a squared error only where ``task`` or ``loss`` says so; what is another metric, number for
    number, is left out.

    Args:
        source: what ``model.fit`` returned, or its ``.history``, a mapping from names to one number per epoch; several
            of them, one per run; the path of a file that Keras' ``CSVLogger`` wrote, or of a JSON file that holds such
            a mapping, several, or a list with a mapping per epoch.
        task: what is predicted; by default what names of metrics tell.
        loss: the name of the loss among Keras' own, such as ``mean_squared_error``, where it is known.
        outputs: how many outputs the model has, one per class or target, where that is known.
        deviation: the standard deviation of the target, which gives R² where the log has squared errors.

    Raises:
        ReglabError: if it holds no metric that is known.

    Example:
        >>> log = read_log({"loss": [2.0, 1.0], "val_acc": [0.4, 0.5]})
        >>> log.histories
        ({'val_accuracy': [0.4, 0.5], 'train_cross_entropy': [2.0, 1.0]},)
        >>> log.clean
        False
        >>> read_log({"mse": [4.0, 1.0]}, deviation=2.0).histories
        ({'train_rmse': [2.0, 1.0], 'train_r2': [0.0, 0.75]},)
    """
    where, raw = _raw(source)
    names = {bare(name) for history in raw for name in history}
    loss = loss if LOSS in names else ""
    known = task or of_log(names, loss=loss, outputs=outputs)
    if known is None:
        raise unknown(where, sorted(names))
    reader = Reader(where, known, loss, told=task is not None, deviation=deviation)
    read = [reader.read(history) for history in raw]
    if not read:
        raise ReglabError(f"{where}: there is no epoch in it. Give the log of a training that ran.")
    notes = sorted({note for each in read for note in each[2]})
    return Log(known, tuple(each[0] for each in read), all(each[1] for each in read), tuple(notes))


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
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ReglabError(f"{path}, line {line}: {len(row)} values for {len(header)} columns.")
    return _runs([dict(zip(header, row, strict=True)) for row in rows if row != header])


def _runs(epochs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Sequence[Any]]]:
    """Return one history a run from one mapping an epoch: where the epochs begin anew, so does a run."""
    runs: list[dict[str, list[Any]]] = []
    before = -math.inf
    for values in epochs:
        epoch = number(values.get("epoch"))
        epoch = before + 1 if epoch is None else epoch
        if not runs or epoch <= before:
            runs.append({})
        before = epoch
        for key, value in values.items():
            runs[-1].setdefault(key, []).append(value)
    return list(runs)
