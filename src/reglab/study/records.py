"""What a run leaves behind."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["ACCEPTED", "DIVERGED", "FAILED", "FINISHED", "PLANNED", "Predictions", "Record", "reason"]

PLANNED, FINISHED, DIVERGED, FAILED = "planned", "finished", "diverged", "failed"
ACCEPTED = (FINISHED, DIVERGED)  # results; a run that failed is tried again when the study is next started


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the best weights predict for one part of the data, as the task keeps it, and the labels; examples first."""

    predicted: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Record:
    """One run, finished, diverged or failed; never changed afterwards.

    Attributes:
        id: the run's identity.
        name, recipe, hyperparameters, seed: which run it was; ``recipe`` as text, ``hyperparameters`` its fingerprint.
        status: ``finished``, ``diverged`` (the loss or a prediction was not a number) or ``failed`` (an exception, a
            worker that was killed each time, or no time left).
        metrics: scalars at the best epoch and on the test set; empty unless finished.
        history: for each epoch, ``loss`` as trained on, and clean metrics on training part and validation.
        validation, test: predictions; None unless finished, and ``test`` None where it is sealed.
        weights: the best weights of the network; None unless finished.
        error: the traceback of a failure, or what diverged.
        device: what it was trained on: CPU, or the name of an accelerator; empty if it failed.
    """

    id: str
    name: str
    recipe: str
    hyperparameters: str
    seed: int
    status: str
    metrics: dict[str, float] = field(default_factory=dict)
    history: dict[str, list[float]] = field(default_factory=dict)
    validation: Predictions | None = None
    test: Predictions | None = None
    weights: list[np.ndarray] | None = None
    error: str = ""
    device: str = ""

    @property
    def read_test(self) -> bool:
        """Whether the test set was read."""
        return self.test is not None

    def summary(self) -> dict[str, Any]:
        """Return what the table of runs is told of it."""
        return {
            "id": self.id, "name": self.name, "recipe": self.recipe, "hyperparameters": self.hyperparameters,
            "seed": self.seed, "status": self.status, "metrics": self.metrics, "error": self.error,
            "read_test": self.read_test,
        }  # fmt: skip


def reason(error: str) -> str:
    r"""Return what an error says, in a line: of a traceback its last exception, of other texts the first line.

    Keras wraps what a layer raises into a page about the call; the message inside is what the line shows.

    >>> reason("Traceback (most recent call last):\n  File ...\nValueError: no such luck")
    'ValueError: no such luck'
    """
    lines = [line.rstrip() for line in error.strip().splitlines()]
    if not lines or not lines[0].startswith("Traceback"):
        return lines[0] if lines else "no reason is known"
    last = max((i for i, line in enumerate(lines) if line.startswith("  ")), default=0)
    raised = [i for i, line in enumerate(lines) if _RAISED.match(line)]
    at = next((i for i in raised if i > last), raised[-1] if raised else len(lines) - 1)
    kind, _, message = lines[at].partition(": ")
    if message.startswith("Exception encountered when calling"):
        message = next((line.strip() for line in lines[at + 1 :] if line.strip()), message)
    return f"{kind}: {message}" if message else kind


_RAISED = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning)\b")
