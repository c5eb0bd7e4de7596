"""What a report shows where it is there: robustness, samples, a diagnosis; None where it is not."""

from __future__ import annotations

import base64
import colorsys
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reglab.analysis.diagnose import diagnose
from reglab.experiments import masks
from reglab.experiments.diagnosis import diagnosed
from reglab.experiments.samples import Sample, load
from reglab.report.findings import Told, told
from reglab.results import Results
from reglab.study.records import FINISHED
from reglab.study.storage import answers, disk

__all__ = [
    "Mask",
    "Masks",
    "Pair",
    "Samples",
    "diagnosis_of",
    "effort_of",
    "masks_of",
    "onsets_of",
    "robustness_of",
    "samples_of",
]

_SCHEMA = 1
_NO_CLASS = (128, 128, 128)  # the colour of pixels without a label
_COARSE = 64  # pixels a side of an image of which each pixel is to be seen
_LARGEST = 256  # pixels a side that are embedded at most


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


@dataclass(frozen=True)
class Mask:
    """A test image, the class of each pixel as labelled, and as recipes predict it by their names: data URIs of PNG."""

    image: str
    true: str
    predicted: dict[str, str]


@dataclass(frozen=True)
class Masks:
    """Test images with masks, and by the name of each class that is in them an image of its colour.

    ``coarse`` says that they have so few pixels that each is to be seen.
    """

    examples: tuple[Mask, ...]
    legend: dict[str, str]
    coarse: bool


def masks_of(results: Results) -> Masks | None:
    """Return what ``report/masks.npz`` holds, as :func:`reglab.experiments.masks.masks` makes it."""
    found = masks.load(results)
    if found is None:
        return None
    names = results.task.names
    colours = np.array([*_colours(len(names)), _NO_CLASS], "uint8")  # of -1, which is the last
    examples = tuple(
        Mask(
            _png(_small(image)), _png(colours[_small(true)]),
            {name: _png(colours[_small(of[i])]) for name, of in found.predicted.items()},
        )
        for i, (image, true) in enumerate(zip(found.images, found.true, strict=True))
    )  # fmt: skip
    everything = np.concatenate([found.true.ravel(), *(of.ravel() for of in found.predicted.values())])
    legend = {names[i]: _png(np.full((8, 8, 3), colours[i])) for i in np.unique(everything) if i >= 0}
    if (found.true < 0).any():
        legend["no label"] = _png(np.full((8, 8, 3), colours[-1]))
    return Masks(examples, legend, coarse=max(found.images.shape[1:3]) <= _COARSE)


def _small(picture: np.ndarray) -> np.ndarray:
    """Return every so manyth pixel of a picture that is large."""
    step = -(-max(picture.shape[:2]) // _LARGEST)
    return picture[::step, ::step]


def _colours(count: int) -> list[tuple[int, ...]]:
    """Return a colour per class: hues around the circle, light and dark by turns."""
    lightness = (0.36, 0.7)
    return [
        tuple(round(255 * part) for part in colorsys.hls_to_rgb((0.58 + i / count) % 1.0, lightness[i % 2], 0.7))
        for i in range(count)
    ]


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
