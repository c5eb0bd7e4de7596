"""Whether what a study folder says of itself can be what reglab wrote: types and references, checked before use.

A file can be cut short, edited, or written by something else. Everything that is read from the table is looked at here
once, so that whoever reads it afterwards finds what the schema promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reglab.errors import ReglabError
from reglab.study.records import ACCEPTED, FAILED, FINISHED, PLANNED
from reglab.tasks import COSTS, Task, read_task

__all__ = ["check_entry", "check_run", "check_told", "has_metrics", "is_history", "is_id"]

_STATES = (PLANNED, FAILED, *ACCEPTED)
_NEEDED = ("gap", *COSTS)  # of a finished run, whatever its task


def is_id(value: object) -> bool:
    """Whether a text can be the identity of a run, which is also the name of its folder.

    >>> is_id("5f2a"), is_id("../5f2a"), is_id(".5f2a")
    (True, False, False)
    """
    return isinstance(value, str) and bool(value) and value.replace("-", "").replace("_", "").isalnum()


def is_history(value: object) -> bool:
    """Whether a value holds a list of numbers per name; a number that was not finite is None."""
    return isinstance(value, Mapping) and all(
        isinstance(series, list) and all(each is None or _is_number(each) for each in series)
        for series in value.values()
    )


def check_entry(key: str, value: object) -> None:
    """Raise a ValueError if an entry of the table ``study`` cannot be compared with what it should be."""
    if not isinstance(value, dict):
        raise ValueError(f"the entry {key!r} is not what reglab writes there")


def check_run(row: Mapping[str, Any]) -> None:
    """Raise a ValueError if a row of the table ``runs`` cannot be one."""
    texts = all(isinstance(row[key], str) for key in ("name", "recipe", "hyperparameters", "error"))
    metrics = row["metrics"]
    numbers = isinstance(metrics, Mapping) and all(value is None or _is_number(value) for value in metrics.values())
    if not (texts and is_id(row["id"]) and isinstance(row["seed"], int) and row["status"] in _STATES and numbers):
        raise ValueError(f"the row of run {row['id']!r} is not what reglab writes there")


def check_told(spec: Any, facts: Any, about: Any) -> None:
    """Raise a ValueError if people cannot be told of a study what its table says: entries that are None are not there.

    This is more than whoever goes on with a study needs, who compares the entries with what they should be.
    """
    for key, value, fits in (("spec", spec, _is_spec), ("facts", facts, _is_texts), ("about", about, _is_about)):
        if value is not None and not fits(value):
            raise ValueError(f"the entry {key!r} is not what reglab writes there")
    if spec and about and (set(about["runs"]) - set(spec["recipes"]) or spec["baseline"] not in about["runs"]):
        raise ValueError("the entry 'about' speaks of other recipes than the spec")


def has_metrics(row: Mapping[str, Any], task: Task | None = None) -> bool:
    """Whether a run has the metrics that every finished one of the task has, or of any task."""
    of_task = () if task is None else (f"train_{task.deciding}", f"val_{task.deciding}")
    return row["status"] != FINISHED or all(_is_number(row["metrics"].get(key)) for key in (*_NEEDED, *of_task))


def _is_spec(held: object) -> bool:
    return (
        isinstance(held, dict)
        and _is_texts(held.get("recipes"))
        and isinstance(held.get("baseline"), str)
        and held["baseline"] in held["recipes"]
        and isinstance(held.get("data"), str)
        and isinstance(held.get("model"), str)
        and (held.get("margin") is None or _is_number(held["margin"]))
    )


def _is_about(held: object) -> bool:
    return (
        isinstance(held, dict)
        and isinstance(held.get("headline"), str)
        and _is_list_of_texts(held.get("notes"))
        and _is_task(held.get("task"))
        and _is_texts(held.get("versions"))
        and isinstance(held.get("sizes"), dict)
        and all(isinstance(size, int) for size in held["sizes"].values())
        and isinstance(held.get("runs"), dict)
        and all(_is_runs(of_name) for of_name in held["runs"].values())
    )


def _is_task(held: object) -> bool:
    try:
        return isinstance(held, dict) and bool(read_task(held))
    except (ReglabError, TypeError):
        return False


def _is_runs(held: object) -> bool:
    return isinstance(held, dict) and all(_is_whole(seed) and is_id(run) for seed, run in held.items())


def _is_texts(held: object) -> bool:
    return isinstance(held, dict) and all(isinstance(value, str) for value in held.values())


def _is_list_of_texts(held: object) -> bool:
    return isinstance(held, list) and all(isinstance(value, str) for value in held)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdigit()
