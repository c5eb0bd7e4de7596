"""What strategies that change images do to this data: a few training images before and after."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reglab.data.dataset import Dataset
from reglab.data.several import fed
from reglab.data.splits import drawn
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.strategies import Strategy
from reglab.studies import Study
from reglab.study.storage import disk

if TYPE_CHECKING:
    from reglab.study.run import Program, SeedData

__all__ = ["Sample", "as_bytes", "in_range", "load", "may_change", "samples"]

FILE = Path("report") / "samples.npz"
_BATCH = 64  # images that are tried; of a share that is changed, the first are shown
_VISIBLE = 0.25  # of the range: a smaller change is shown magnified


@dataclass(frozen=True, eq=False)
class Sample:
    """Images before and after one strategy of one recipe.

    Attributes:
        recipe: name of the recipe.
        what: the strategy, as text.
        labels: what each image is, in words.
        before, after: uint8 images ``(n, height, width, channels)``.
        predicted_before, predicted_after: what the recipe's trained network takes them for.
        magnified: where the change is too small to see, ``difference`` is it times this number; else 0.
        difference: uint8 images, grey where nothing changed.
    """

    recipe: str
    what: str
    labels: tuple[str, ...]
    before: np.ndarray
    after: np.ndarray
    predicted_before: tuple[str, ...]
    predicted_after: tuple[str, ...]
    magnified: int
    difference: np.ndarray


def load(folder: str | Path) -> list[Sample]:
    """Return the samples that a study folder has; none where they were not made, or are not whole."""
    held = disk.read_arrays(Path(folder) / FILE)
    try:
        about = json.loads(str(held["about"]))
        found = [_sample(one, {key: held[f"{key}_{i}"] for key in _ARRAYS}) for i, one in enumerate(about)]
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    return found if all(map(_whole, found)) else []


_ARRAYS = ("before", "after", "difference")
_TEXTS = ("labels", "predicted_before", "predicted_after")


def _sample(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> Sample:
    return Sample(**{**about, **{key: tuple(about[key]) for key in _TEXTS}, **arrays})


def _whole(sample: Sample) -> bool:
    """Whether there is as much of everything, as strategies change different numbers of images."""
    return len({len(getattr(sample, key)) for key in (*_ARRAYS, *_TEXTS)}) == 1


def samples(study: Study, *, count: int = 8) -> list[Sample]:
    """Show what augmentation, noise at the input, mixup and adversaries make of training images, and keep it.

    Each strategy acts by itself, at the strength it has after the last epoch, on the network that its recipe trained
    with the first seed that finished. It takes no training. The images are written to ``report/samples.npz`` in the
    study folder.

    Args:
        study: as :meth:`Study.resume` gives it.
        count: images of each strategy.

    Raises:
        ReglabError: if the data are no images, or not those that the study was trained on.
    """
    from reglab.replay import Replay

    study.dataset.check_known_to("samples")
    data = study.dataset
    shape = data.input_shape
    if isinstance(shape, dict) or len(shape) != 3 or shape[-1] not in (1, 3):
        raise ReglabError(f"{data.name} has examples of shape {shape}, which are no images to show.")
    changing = {name: recipe for name, recipe in study.recipes.items() if may_change(recipe)}
    replay = Replay(study.out, study.assignment)
    found: list[Sample] = []
    for name in changing:
        run = next(iter(replay.runs([name])), None)
        if run is not None:
            program, at = replay.in_training(run)
            found += _of_program(name, program, at, data, count=count, epochs=study.settings.epochs)
    _keep(Path(study.out), found)
    return found


def may_change(recipe: Recipe) -> bool:
    """Whether a recipe has a strategy that changes the inputs of training."""
    hooks = ("on_batch", "perturb_inputs")
    return any(
        (any(getattr(type(s), hook) is not getattr(Strategy, hook) for hook in hooks) and s.changes_inputs)
        or "input" in s.places
        for s in recipe
    )


def _of_program(
    name: str, program: Program, at: SeedData, data: Dataset, *, count: int, epochs: int
) -> list[Sample]:  # fmt: skip
    import keras

    model = program.model
    model.set_epoch(epochs - 1)
    rows = at.train[drawn(data.y[at.train], _BATCH, seed=at.seed)]  # the training part may lie sorted by class
    x, y = at.preprocess(data.x[rows]), data.y[rows]
    found = []
    labels = keras.tree.map_structure(keras.ops.convert_to_tensor, fed(at.y[rows]))
    for strategy, moved in model.changed_inputs(x, labels):
        after = np.asarray(keras.ops.convert_to_numpy(moved), "float32")
        changed = np.flatnonzero(np.abs(after - x).reshape(len(x), -1).max(axis=1) > 0)[:count]
        if len(changed):
            before, changed_to = (_pixels(part[changed], at, data) for part in (x, after))
            magnified, difference = _difference(before, changed_to)
            found.append(
                Sample(
                    recipe=name, what=Recipe(strategy).to_text(), magnified=magnified, difference=difference,
                    labels=program.task.in_words(y[changed]),
                    before=as_bytes(before), predicted_before=_predicted(program, x[changed]),
                    after=as_bytes(changed_to), predicted_after=_predicted(program, after[changed]),
                )
            )  # fmt: skip
    return found


def _predicted(program: Program, x: np.ndarray) -> tuple[str, ...]:
    return program.task.in_words(program.task.chosen(program.predict(x)))


def _pixels(x: np.ndarray, at: SeedData, data: Dataset) -> np.ndarray:
    """Return images in [0, 1] of the raw range from what the network gets."""
    return in_range(x * at.preprocess.scale + at.preprocess.mean, data)


def in_range(raw: np.ndarray, data: Dataset) -> np.ndarray:
    """Return raw images in [0, 1] of the range of the data."""
    low, high = data.value_range or (float(data.x.min()), float(data.x.max()))
    return np.clip((raw - low) / (high - low), 0.0, 1.0)


def as_bytes(picture: np.ndarray) -> np.ndarray:
    """Return an image in [0, 1] as uint8."""
    return np.round(255 * picture).astype("uint8")


def _difference(before: np.ndarray, after: np.ndarray) -> tuple[int, np.ndarray]:
    """Return a factor that makes the largest change visible, 0 where it is, and the changes around grey."""
    change = after - before
    largest = float(np.abs(change).max())
    if largest == 0 or largest >= _VISIBLE:
        return 0, np.full(before.shape, 128, "uint8")
    factor = int(min(1000, 0.5 / largest))
    return factor, as_bytes(np.clip(0.5 + factor * change, 0.0, 1.0))


def _keep(folder: Path, found: list[Sample]) -> None:
    about = [
        {
            "recipe": s.recipe, "what": s.what, "labels": s.labels, "predicted_before": s.predicted_before,
            "predicted_after": s.predicted_after, "magnified": s.magnified,
        }
        for s in found
    ]  # fmt: skip
    arrays = {f"{key}_{i}": getattr(sample, key) for i, sample in enumerate(found) for key in _ARRAYS}
    (folder / FILE).parent.mkdir(exist_ok=True)
    disk.write_arrays(folder / FILE, {"about": np.array(json.dumps(about)), **arrays})
