"""What a report shows where it is there: robustness, samples, a diagnosis; None where it is not."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reglab.analysis.diagnose import diagnose
from reglab.experiments.diagnosis import diagnosed
from reglab.experiments.samples import Sample, load
from reglab.report.findings import Told, told
from reglab.results import Results
from reglab.study.records import FINISHED
from reglab.study.storage import answers, disk

__all__ = ["Pair", "Samples", "diagnosis_of", "effort_of", "onsets_of", "robustness_of", "samples_of"]

_SCHEMA = 1


def robustness_of(folder: Path) -> dict[str, Any] | None:
    """Return what ``reglab robustness`` was last asked, as it writes it."""
    found = answers.latest(folder, "robustness")
    if found is None:
        return None
    whole = isinstance(found.get("runs"), dict) and all(found.get(key) for key in ("attacks", "epsilons", "metric"))
    return found if whole else None


def effort_of(folder: Path) -> dict[str, list[float]] | None:
    """Return, for each strategy, the expected best of n trials, as ``reglab compare --tune-each`` writes it."""
    found = disk.read_json(folder / "tuning.json")
    if not isinstance(found, dict) or found.get("schema") != _SCHEMA or not isinstance(found.get("curves"), dict):
        return None
    return found["curves"] or None


@dataclass(frozen=True)
class Pair:
    """One example before and after: PNG files as data URIs, and what is said of it.

    ``difference`` is there where the change is too small to be seen.
    """

    before: str
    after: str
    difference: str | None
    label: str
    predicted_before: str | None
    predicted_after: str | None

    @property
    def fooled(self) -> bool:
        """Whether the change made a right prediction wrong."""
        return self.predicted_before == self.label != self.predicted_after and self.predicted_after is not None


@dataclass(frozen=True)
class Samples:
    """What a strategy of a recipe does to examples: ``what`` is the strategy as text.

    ``magnified`` says by what factor differences are, 0 where none are shown.
    """

    recipe: str
    what: str
    magnified: int
    pairs: tuple[Pair, ...]


def samples_of(folder: Path) -> list[Samples] | None:
    """Return what ``report/samples.npz`` holds, as :func:`reglab.experiments.samples.samples` makes it."""
    return [_samples(sample) for sample in load(folder)] or None


def _samples(sample: Sample) -> Samples:
    pairs = (
        Pair(_png(one), _png(other), _png(change) if sample.magnified else None, label, first, second)
        for one, other, change, label, first, second in zip(
            sample.before, sample.after, sample.difference, sample.labels, sample.predicted_before,
            sample.predicted_after, strict=True,
        )
    )  # fmt: skip
    return Samples(sample.recipe, sample.what, sample.magnified, tuple(pairs))


def diagnosis_of(results: Results) -> Told | None:
    """Return whether the baseline overfits; None if none of its runs has finished."""
    if not any(run.status == FINISHED and run.history for run in results.runs.get(results.baseline, {}).values()):
        return None
    return told(diagnosed(results))


def onsets_of(results: Results) -> dict[str, int]:
    """Return, for each recipe that overfits from some epoch on, the median of that epoch over seeds."""
    found = {}
    for name, of_name in results.runs.items():
        histories = [run.history for run in of_name.values() if run.status == FINISHED and run.history]
        onset = diagnose(histories, results.task).onset if histories else None
        if onset is not None:
            found[name] = onset
    return found


def _png(image: np.ndarray) -> str:
    flat = image[..., 0] if image.shape[-1] == 1 else image[..., :3]
    file = io.BytesIO()
    Image.fromarray(flat).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
