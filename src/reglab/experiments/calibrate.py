"""An A/A study: a recipe against itself, which says how much a set-up differs by when nothing differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from reglab.analysis.noise import Noise, noise
from reglab.analysis.paired import detectable
from reglab.analysis.verdict import ALPHA
from reglab.errors import ReglabError
from reglab.results import Results
from reglab.studies import Study
from reglab.study.progress import Progress
from reglab.study.storage import answers, owned
from reglab.tasks import Task, read_task

__all__ = ["Calibration", "calibrate"]

STEM = "calibration"  # of ``calibration.json``, and ``calibration-<key>.json`` for other numbers of repetitions


@dataclass(frozen=True)
class Calibration:
    """What an A/A study found.

    Attributes:
        folder: where it is; the studies of its repetitions are in it.
        recipe: what was repeated, as text.
        headline: data, model and budget in a line.
        task: what was predicted, and which metric decides.
        noise: the noise of that metric on the test set.
        bad: runs that diverged or failed; their seeds are left out.
    """

    folder: Path
    recipe: str
    headline: str
    task: Task
    noise: Noise
    bad: int

    def detectable(self, seeds: int, recipes: int = 1) -> float:
        """Return the smallest difference that so many seeds show with a chance of 80 %, among so many recipes.

        It is at the spread of recipes that do little; one that does much may vary more.
        """
        return detectable(self.noise.pair, seeds, alpha=ALPHA / recipes)

    def to_dict(self) -> dict[str, Any]:
        """Return what stands in ``calibration.json``."""
        return {
            "schema": answers.SCHEMA, "recipe": self.recipe, "headline": self.headline, "task": self.task.to_dict(),
            "noise": asdict(self.noise), "bad": self.bad,
        }  # fmt: skip


def calibrate(
    make: Callable[..., Study],
    *,
    out: str | Path,
    repetitions: int = 3,
    progress: Progress | None = None,
    execution: Mapping[str, Any] = MappingProxyType({}),
    began: Callable[[int, Study], None] = lambda number, study: None,
) -> Calibration:
    """Train one recipe again and again and compare it with itself.

    Each repetition is a study of one recipe: the same seeds, and for each seed the same split and initial weights; the
    order of batches and the random draws are others. So repetitions differ by what a recipe cannot be given credit for.
    It can be interrupted and called again.

    Args:
        make: from ``out`` and ``repetition`` to a study with one recipe, its baseline.
        out: a folder; each repetition gets one in it.
        repetitions: how often, two at least.
        progress: hears of every training.
        execution: how trainings run, see :meth:`Study.run`.
        began: hears of each repetition before it is trained.

    Raises:
        ReglabError: for fewer than two repetitions or two seeds that finished in all of them.

    Example:
        >>> make = lambda **kwargs: reglab.Study("digits", "mlp", seeds=10, epochs=20, **kwargs)
        >>> found = calibrate(make, out="reglab-out/digits-noise")
        >>> found.noise.repetitions, found.noise.pair < found.noise.seeds
        (3, True)
    """
    if repetitions < 2:
        raise ReglabError(f"repetitions={repetitions}: a recipe is compared with itself, so give 2 or more.")
    out = owned.given(out)
    owned.check_group(out, "repetition-*")
    studies = [make(out=out / f"repetition-{number}", repetition=number) for number in range(repetitions)]
    if len(studies[0].recipes) != 1:
        raise ReglabError(
            f"One recipe is repeated; given were {len(studies[0].recipes)}: {', '.join(studies[0].recipes)}. Give one "
            "recipe and name it as the baseline too, or none for no regularization."
        )
    if studies[0].settings.seeds < 2:
        raise ReglabError(f"seeds={studies[0].settings.seeds}: a spread over seeds needs 2 or more.")
    results = []
    for number, study in enumerate(studies):
        began(number, study)
        results.append(study.run(progress, **execution))
    found = _found(out, results, studies[0])
    answers.keep(out, STEM, {"recipe": found.recipe, "repetitions": repetitions}, found.to_dict())
    return found


def load(folder: str | Path) -> Calibration | None:
    """Return the calibration that a folder holds, the last one that was asked for, or None."""
    held = answers.latest(folder, STEM)
    if held is None:
        return None
    task, noise_of = read_task(held["task"]), Noise(**held["noise"])
    return Calibration(Path(folder), held["recipe"], held["headline"], task, noise_of, held["bad"])


def _found(out: Path, results: list[Results], study: Study) -> Calibration:
    (recipe,) = study.recipes
    runs = [result.runs[recipe] for result in results]
    bad = sum(run.status != "finished" for of_one in runs for run in of_one.values())
    seeds = [seed for seed in runs[0] if all(of_one[seed].status == "finished" for of_one in runs)]
    if len(seeds) < 2:
        raise ReglabError(
            f"{bad} runs diverged or failed, so that fewer than two seeds are left to compare. reglab runs "
            f"{results[0].folder} --failed says why."
        )
    name = results[0].metric.name
    values = np.array([[of_one[seed].metrics[name] for of_one in runs] for seed in seeds])
    return Calibration(out, study.recipes[recipe].to_text(), results[0].headline, results[0].task, noise(values), bad)
