"""Before the compute is spent: what a study can show, and what it will cost."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reglab.analysis.paired import detectable, seeds_to_detect
from reglab.analysis.verdict import ALPHA, ENOUGH_SEEDS
from reglab.data import test_part
from reglab.errors import ReglabError
from reglab.experiments import calibrate
from reglab.results import Results
from reglab.studies import Study
from reglab.study.executors.choice import Execution
from reglab.study.executors.processes import default_workers
from reglab.study.plan import Run, rides
from reglab.study.progress import Progress
from reglab.study.storage.view import holds_study
from reglab.tasks import Metric

__all__ = ["Cost", "Outlook", "Spread", "look_ahead", "measured", "spread_from"]

_EPOCHS = 4  # trained to know how long one takes; the first of them compiles
_SEEDS = (5, 10, 20, 40)


@dataclass(frozen=True)
class Spread:
    """The standard deviation of differences from the baseline over seeds, and where it is known from."""

    value: float
    source: str


@dataclass(frozen=True)
class Cost:
    """What trainings take on this machine, measured on their first epochs.

    Attributes:
        start: seconds until the first training begins: processes, backend, plan.
        compiling: seconds to compile all programs once.
        seconds: of all trainings of one seed, in processor time of one worker.
        trainings: of one seed.
        workers: trainings at the same time.
        run_bytes: on disk, of one run.
    """

    start: float
    compiling: float
    seconds: float
    trainings: int
    workers: int
    run_bytes: int

    def of(self, seeds: int) -> float:
        """Return the seconds that a study of so many seeds takes, at most where recipes stop early."""
        # No more workers than trainings can be busy.
        busy = min(self.workers, self.trainings * seeds)
        return self.start + (self.compiling + seeds * self.seconds) / busy


@dataclass(frozen=True)
class Outlook:
    """What a planned study can show and what it costs.

    Attributes:
        headline: data, model and budget in a line.
        seeds: planned.
        runs: in all, of which early stopping and EMA are computed from others' trainings.
        recipes: beside the baseline: the more, the larger a difference has to be.
        spread: of differences, or None where nothing is known of it.
        cost: or None where it was not measured.
        test_examples: how many.
        margin: the declared difference that matters, or None.
        metric: the one that decides, of which differences are.
    """

    headline: str
    seeds: int
    runs: int
    recipes: int
    spread: Spread | None
    cost: Cost | None
    test_examples: int
    margin: float | None
    metric: Metric

    def detectable(self, seeds: int, spread: float | None = None) -> float | None:
        """Return the smallest difference that so many seeds show with a chance of 80 %.

        It is what the verdict's first test needs, at ``0.05 / recipes``. None with fewer than five seeds, which get no
        verdict, or without a spread.
        """
        value = spread if spread is not None else None if self.spread is None else self.spread.value
        if value is None or seeds < ENOUGH_SEEDS:
            return None
        return detectable(value, seeds, alpha=ALPHA / max(1, self.recipes))

    @property
    def seeds_needed(self) -> int | None:
        """Seeds that show the declared difference with a chance of 80 %, or None."""
        if self.margin is None or self.spread is None:
            return None
        found = seeds_to_detect(self.margin, self.spread.value, alpha=ALPHA / max(1, self.recipes))
        return None if found is None else max(ENOUGH_SEEDS, found)

    def choices(self) -> list[int]:
        """Return numbers of seeds worth comparing, the planned one among them."""
        return sorted({*_SEEDS, self.seeds, *([] if self.seeds_needed is None else [self.seeds_needed])})


def look_ahead(
    study: Study,
    *,
    spread: float | None = None,
    source: str | Path | None = None,
    measure: bool = True,
    execution: Mapping[str, Any] = MappingProxyType({}),
) -> Outlook:
    """Return what a study can show and what it will cost, before it is run.

    Args:
        study: the planned study.
        spread: standard deviation of differences from the baseline, in the unit that the deciding metric is shown in.
        source: a folder that tells it: of a finished study, of an A/A study (:func:`calibrate`). By default the study's
            own folder, or the A/A study beside it, where there is one.
        measure: whether to train a few epochs of every recipe, in a folder that is thrown away, to know the cost.
        execution: how trainings will run, see :meth:`Study.run`.

    Raises:
        ReglabError: for a source that tells nothing, or anything that would stop the study itself.
    """
    known, metric = None, study.task.decides
    if spread is not None:
        if not spread > 0:
            unit = f" in {metric.apart}" if metric.apart else ""
            raise ReglabError(f"spread={spread}: a standard deviation of {metric.title}{unit}, larger than 0.")
        known = Spread(spread / metric.scale, "given")
    elif source is not None:
        known = spread_from(source)
    else:
        for folder in (study.out, noise_folder(study.out)):
            if known is None and (holds_study(folder) or calibrate.load(folder) is not None):
                known = _told(folder)
    settings = study.settings
    return Outlook(
        headline=study.headline, seeds=settings.seeds, runs=settings.seeds * len(study.recipes),
        recipes=len(study.recipes) - 1, spread=known, cost=measured(study, execution=execution) if measure else None,
        test_examples=len(test_part(study.dataset, study.task, fraction=settings.test)),
        margin=None if settings.margin is None else settings.margin / metric.scale, metric=metric,
    )  # fmt: skip


def noise_folder(out: Path) -> Path:
    """Return where the A/A study of a study lies by default."""
    return out.with_name(f"{out.name}-noise")


def spread_from(folder: str | Path) -> Spread:
    """Return the spread of differences that a folder tells: of a study, or of an A/A study.

    Of a study it is the median over recipes; those that change nothing, as riders may, do not count.

    Raises:
        ReglabError: if it tells none.
    """
    found = _told(Path(folder))
    if found is None:
        raise ReglabError(
            f"{folder} tells no spread: it holds neither an A/A study (reglab calibrate) nor a study with two finished "
            "seeds of a recipe and the baseline."
        )
    return found


def _told(folder: Path) -> Spread | None:
    noise = calibrate.load(folder)
    if noise is not None:
        return Spread(noise.noise.pair, f"the A/A study in {folder}")
    if not holds_study(folder):
        return None
    verdicts = [row.verdict for row in Results.load(folder).comparison.rows if row.verdict is not None]
    spreads = [verdict.paired.std for verdict in verdicts if verdict.paired.n > 1 and verdict.paired.std > 0]
    return Spread(statistics.median(spreads), f"the study in {folder}") if spreads else None


def measured(study: Study, *, execution: Mapping[str, Any] = MappingProxyType({})) -> Cost:
    """Train a few epochs of every recipe, as the study will be trained, and return what they take."""
    settings = study.settings
    plan = rides([Run(name, name, recipe, 0) for name, recipe in study.recipes.items()])
    workers = Execution(**execution).workers
    if workers is None:
        workers = default_workers(study.assignment)
    # Enough seeds that every worker has something to do: trainings beside each other are slower than one alone.
    seeds = min(settings.seeds, -(-max(1, workers) // len(plan)))
    changes: dict[str, Any] = {"epochs": min(_EPOCHS, settings.epochs), "seeds": seeds}
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="reglab-plan-") as folder:
        study.with_(out=folder, reuse=(), **changes).run(clock, **{**execution, "workers": workers})
        size = sum(path.stat().st_size for path in (Path(folder) / "runs").rglob("*") if path.is_file())
    spans = clock.spans()
    return Cost(
        start=clock.start, compiling=sum(span.compiling for span in spans) / seeds,
        seconds=sum(settings.epochs * span.epoch + span.end for span in spans) / seeds, trainings=len(plan),
        workers=max(1, workers), run_bytes=round(size / (seeds * len(study.recipes))),
    )  # fmt: skip


@dataclass(frozen=True)
class _Span:
    compiling: float
    epoch: float
    end: float


@dataclass
class _Clock(Progress):
    """Notes when things happen."""

    began: float = field(default_factory=time.perf_counter)
    start: float = 0.0
    times: dict[int, list[float]] = field(default_factory=dict)
    ended: dict[int, float] = field(default_factory=dict)

    def training(self, job: int, names: Sequence[str], seed: int, worker: str) -> None:
        self.times[job] = [time.perf_counter()]
        self.start = self.start or time.perf_counter() - self.began

    def epoch(self, job: int, epoch: int, metrics: dict[str, float]) -> None:
        self.times[job].append(time.perf_counter())

    def training_ended(self, job: int) -> None:
        self.ended[job] = time.perf_counter()

    def spans(self) -> list[_Span]:
        """Return what each training took: to compile, for an epoch, and after its last one."""
        found = []
        for job, times in self.times.items():
            steps = [later - earlier for earlier, later in itertools.pairwise(times)]
            if not steps:
                raise ReglabError(
                    "A training ended before its first epoch, so nothing can be said of its cost. reglab compare with "
                    "few epochs shows what goes wrong."
                )
            epoch = statistics.median(steps[1:] or steps)
            found.append(_Span(max(0.0, steps[0] - epoch), epoch, self.ended.get(job, times[-1]) - times[-1]))
        return found
