"""The diagnosis of a study's runs: from what a folder holds to what :func:`reglab.analysis.diagnose.diagnose` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from reglab.analysis.diagnose import diagnose
from reglab.study.records import DIVERGED, FINISHED

if TYPE_CHECKING:
    from reglab.analysis.diagnosis import Diagnosis
    from reglab.results import Results

__all__ = ["diagnosed"]


def diagnosed(results: Results, name: str | None = None, *, attainable: float = 1.0) -> Diagnosis:
    """Return the diagnosis of one recipe of a study.

    The word comes from training and validation alone. Calibration is of validation, at the best epoch, whose weights
    are kept; bias and variance need the same examples for all seeds, and so are of the test predictions that runs kept.

    Args:
        results: of the study; it may still be running.
        name: of the recipe; by default the baseline.
        attainable: the training accuracy that a good model can have on this data.
    """
    name = name or results.baseline
    runs = [run for run in results.runs[name].values() if run.status in (FINISHED, DIVERGED)]
    validation, test = results.predictions(name, "validation"), results.predictions(name, "test")
    chance = None
    if validation is not None:  # the most frequent class, which somebody who has learned nothing would say
        chance = float(np.bincount(validation.labels.ravel()).max() / validation.labels.size)
    return diagnose(
        [_with_end(run.history, diverged=run.status == DIVERGED) for run in runs],
        num_classes=len(results.classes) or None,
        chance=chance, attainable=attainable,
        validation=None if validation is None else (validation.labels, validation.probabilities),
        predictions=None if test is None else (test.labels, test.probabilities),
    )  # fmt: skip


def _with_end(history: Mapping[str, list[float]], *, diverged: bool) -> Mapping[str, list[float]]:
    """Return a history whose last epoch says that the run diverged, where it did."""
    if not diverged or not history:
        return history if history else {"val_cross_entropy": [float("nan")]}
    return {key: [*values, float("nan")] for key, values in history.items()}
