"""A few test images with the class of each pixel: as labelled, and as trained networks predicted it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reglab.data.splits import drawn
from reglab.errors import ReglabError
from reglab.experiments.samples import as_bytes, in_range
from reglab.results import Results
from reglab.studies import Study
from reglab.study.storage import disk, run_folder

__all__ = ["Masks", "load", "masks", "shown"]

FILE = Path("report") / "masks.npz"


@dataclass(frozen=True, eq=False)
class Masks:
    """Test images, and the classes of their pixels.

    Attributes:
        images: uint8 ``(n, height, width, channels)``.
        true: class indices as labelled, int32 ``(n, height, width)``; -1 where none counts.
        predicted: by the name of a recipe, what its network predicted, shaped as ``true``.
    """

    images: np.ndarray
    true: np.ndarray
    predicted: Mapping[str, np.ndarray]

    def fit(self, classes: int) -> bool:
        """Whether these are images with pixels of so many classes, all of one size."""
        given = list(self.predicted.values())
        return (
            self.images.ndim == 4 and self.images.shape[3] in (1, 3) and self.images.dtype == np.uint8
            and self.true.ndim == 3 and len(self.true) == len(self.images) > 0 and self.true.size > 0
            and min(self.images.shape) > 0 and len(given) > 0
            and all(each.shape == self.true.shape for each in given)
            and all(each.dtype.kind == "i" and lowest <= each.min() <= each.max() < classes
                    for each, lowest in [(self.true, -1), *((each, 0) for each in given)])
        )  # fmt: skip


def load(results: Results) -> Masks | None:
    """Return the masks that the folder of a study has; None where they were not made, or are damaged."""
    held = disk.read_arrays(results.folder / FILE)
    try:
        names = json.loads(str(held["names"]))
        given = {str(name): held[f"predicted_{i}"] for i, name in enumerate(names)}
        found = Masks(held["images"], held["true"], given)
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return found if found.fit(len(results.task.names)) else None


def shown(results: Results) -> tuple[str, ...]:
    """Return the names of the recipes whose masks are shown: the baseline and the recommended one."""
    choice = results.comparison.choice
    return tuple(dict.fromkeys([results.baseline, *([choice.recommended] if choice else [])]))


def masks(study: Study, *, count: int = 6) -> Masks:
    """Keep a few test images with the classes that the baseline and the recommended recipe predicted for their pixels.

    Each as the network of one seed predicted them, the first one that finished in all of these recipes; nothing is
    trained, and nothing predicted again. They are written to ``report/masks.npz`` in the study folder. Images without
    any label are not shown.

    Args:
        study: as :meth:`Study.resume` gives it.
        count: how many images.

    Raises:
        ReglabError: if the data are no images with a class per pixel, or not those that the study was trained on.
    """
    from reglab.replay import Replay

    data, shape = study.dataset, study.dataset.input_shape
    if not study.task.per_position or isinstance(shape, dict) or len(shape) != 3 or shape[-1] not in (1, 3):
        raise ReglabError(f"{data.name} has examples of shape {shape}, which are no images with a class per pixel.")
    replay = Replay(study.out, study.assignment)
    finished = {name: {run.seed: run for run in replay.runs([name])} for name in shown(replay.results)}
    finished = {name: runs for name, runs in finished.items() if runs}
    if not finished:
        raise ReglabError(f"The study in {study.out} has no finished run. Run it: reglab resume {study.out}")
    first, *others = finished.values()
    seed = next((seed for seed in first if all(seed in runs for runs in others)), next(iter(first)))
    kept = {
        name: run_folder.predictions(Path(study.out) / "runs" / runs[seed].id, "test")
        for name, runs in finished.items() if seed in runs
    }  # fmt: skip
    labels = next(iter(kept.values())).labels
    there = np.flatnonzero(study.task.counting(labels))
    rows = np.sort(there[drawn(labels[there], count, seed=0)])
    found = Masks(
        as_bytes(in_range(data.x[replay.split(seed).test[rows]], data)),
        np.asarray(labels[rows], "int32"),
        {name: np.asarray(study.task.chosen(each.predicted[rows]), "int32") for name, each in kept.items()},
    )
    _keep(Path(study.out) / FILE, found)
    return found


def _keep(path: Path, found: Masks) -> None:
    arrays = {f"predicted_{i}": each for i, each in enumerate(found.predicted.values())}
    names = np.array(json.dumps(list(found.predicted)))
    path.parent.mkdir(exist_ok=True)
    disk.write_arrays(path, {"names": names, "images": found.images, "true": found.true, **arrays})
