"""Probes of a study's baseline: each trains or predicts a little more to find out one thing.

What they train are studies of their own, in folders under the study's, so nothing that was trained is trained twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from reglab.analysis.curves import late
from reglab.analysis.probed import (
    LabelProbe,
    LearningCurve,
    NoiseProbe,
    Probes,
    WeightProbe,
    label_probe,
    learning_curve,
    noise_probe,
    weight_probe,
)
from reglab.data import Dataset, Split, split, test_part
from reglab.data.dataset import TEST, TRAIN, VAL
from reglab.data.kinds import SEVERAL
from reglab.errors import ReglabError
from reglab.results import Results, RunResult
from reglab.seeds import derive
from reglab.studies import Study
from reglab.study.records import FINISHED
from reglab.study.storage import folders
from reglab.tasks import Task

__all__ = [
    "PROBES",
    "alone",
    "check_probes",
    "probe_data",
    "probe_labels",
    "probe_noise",
    "probe_weights",
    "probed",
    "wrong_labels",
]

S = TypeVar("S", bound=Study)

Run = Callable[["Study"], "Results"]

PROBES = ("learning-curve", "labels", "noise", "weights")
SHARE = 0.3  # of wrong labels: enough that learning them shows, and few enough that the rest can be learned
FRACTIONS = (0.25, 0.5)  # of the training set, beside all of it
STDDEVS = (0.0, 0.05, 0.1, 0.2, 0.5)
EXAMPLES = 2000  # of validation, for noise
RADIUS = 0.05  # of each kernel's norm
DRAWS = 5  # perturbations of the weights


def check_probes(names: Collection[str], task: Task) -> None:
    """Raise a ReglabError for a probe that says nothing of a task."""
    if "labels" in names and task.memorized(1.0, 1.0) is None:
        raise ReglabError(
            f"--probe labels: how many wrong labels are learned does not follow from {task.success.title}, which is "
            f"measured of {task.kind}. Leave that probe out."
        )


def probed(names: Collection[str], study: Study, results: Results, *, run: Run | None = None) -> Probes:
    """Return what the named probes find; those that train come first."""
    return Probes(
        probe_data(study, results, run=run) if "learning-curve" in names else None,
        probe_labels(study, results, run=run) if "labels" in names else None,
        probe_noise(study, results) if "noise" in names else None,
        probe_weights(study, results) if "weights" in names else None,
    )


def probe_data(study: Study, results: Results, *, run: Run | None = None) -> LearningCurve | None:
    """Train the baseline on a quarter and a half of the training set, for as many steps as on all of it.

    As many steps and not as many epochs: otherwise smaller sets would also be trained less.

    Args:
        study: the diagnosed one.
        results: its results, which are the learning curve's last point.
        run: how a study is run; by default as :meth:`Study.run` does it.

    Returns:
        None if the training set is too small to be divided.
    """
    settings = study.settings
    whole = len(_split(study, settings.first_seed).train)
    validation, training = {}, {}
    for fraction in FRACTIONS:
        size = round(fraction * whole)
        if size < 2 * study.task.fewest(study.dataset.y):
            continue
        part = _inside(
            study, study.out / "probe-learning-curve" / str(size), train_size=size,
            epochs=max(1, round(settings.epochs / fraction)),
        )  # fmt: skip
        found = part.run() if run is None else run(part)
        validation[size], training[size] = _levels(found, study.baseline)
    validation[whole], training[whole] = _levels(results, study.baseline)
    return learning_curve(validation, training)


def probe_labels(study: Study, results: Results, *, run: Run | None = None, share: float = SHARE) -> LabelProbe | None:
    """Train the baseline with a share of wrong labels; validation and test keep theirs (Zhang et al. 2017, Arpit 2017).

    How many wrong labels are learned is bounded from below: of the measured training examples a share ``w`` is labelled
    wrongly, and of the others no more than all can be learned, so of the wrong ones ``1 - (1 - success) / w`` at least
    are: of the variance of numbers, where success is R². See :meth:`reglab.tasks.Task.memorized`.

    Args:
        study: the diagnosed one.
        results: its results, which are the comparison without wrong labels.
        run: how a study is run.
        share: of the training labels that become wrong.
    """
    memorized, ends, best, success = [], [], [], study.task.success.name
    for seed in study.settings.seed_list():
        parts = _split(study, seed)
        data, wrong = wrong_labels(study.dataset, study.task, parts, share=share, seed=seed)
        part = _inside(
            study, study.out / "probe-labels" / f"seed-{seed}", data=data, seeds=1, first_seed=seed, train_size=None,
            protocol="honest", group=None,
        )  # fmt: skip
        found = part.run() if run is None else run(part)
        for trained in _finished(found, study.baseline):
            measured = wrong[measured_part(np.flatnonzero(data.part == 0), len(parts.val), seed)].mean()
            learned = study.task.memorized(late(trained.history[f"train_{success}"]), measured)
            assert learned is not None
            memorized.append(learned)
            ends.append(late(trained.history[f"val_{success}"]))
            best.append(trained.metrics[f"val_{success}"])
    clean = [late(trained.history[f"val_{success}"]) for trained in _finished(results, study.baseline)]
    if not memorized or not clean:
        return None
    return label_probe(share, memorized=memorized, val=ends, best_val=best, clean_val=clean)


def wrong_labels(data: Dataset, task: Task, parts: Split, *, share: float, seed: int) -> tuple[Dataset, np.ndarray]:
    """Return the examples of a split as data that comes in parts, a share of whose training labels is wrong.

    Which ones, and which other label each gets, is drawn from a stream of the seed.

    Returns:
        the data, and for each of its examples whether its label is wrong.
    """
    if not 0 < share < 1:
        raise ReglabError(f"share={share} of wrong labels is invalid. Give one between 0 and 1.")
    kept = np.concatenate([parts.train, parts.val, parts.test])
    part = np.repeat(np.array([TRAIN, VAL, TEST], "int8"), [len(parts.train), len(parts.val), len(parts.test)])
    random = np.random.default_rng(derive(seed, "wrong labels"))
    wrong = np.zeros(len(kept), dtype=bool)
    wrong[random.choice(len(parts.train), size=max(1, round(share * len(parts.train))), replace=False)] = True
    y = data.y[kept].copy()
    y[wrong] = task.mislabelled(y[wrong], random)
    name = f"{data.name} with {100 * share:g} % wrong labels"
    whole = replace(data, name=name, x=np.asarray(data.x[kept]), y=y, part=part, groups=None, group="")
    return whole, wrong


def measured_part(train: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return which training examples a run's clean metrics are of, as the workbench draws them."""
    random = np.random.default_rng(derive(seed, "clean"))
    return np.sort(random.choice(train, size=min(len(train), count), replace=False))


def probe_noise(study: Study, results: Results) -> NoiseProbe | None:
    """Predict validation with Gaussian noise on what the network gets; nothing is trained.

    Of indices there is none, and of several inputs there is no one size of noise.
    """
    if "inputs" in results.facts or study.dataset.kind == SEVERAL:
        return None
    rows = []
    for _, program, data in _replayed(study, results):
        x, y = data.validation[0][:EXAMPLES], data.validation[1][:EXAMPLES]
        random = np.random.default_rng(derive(data.seed, "noise probe"))
        noise = (float(x.std()) * random.normal(size=x.shape)).astype("float32")
        rows.append([program.task.level(y, program.predict(x + np.float32(s) * noise)) for s in STDDEVS])
    return noise_probe(STDDEVS, np.array(rows).T.tolist()) if rows else None


def probe_weights(study: Study, results: Results) -> WeightProbe | None:
    """Look at the kept weights: how far their norm grew, and what small changes of them cost; nothing is trained."""
    growth, sharpness = [], []
    for _, program, data in _replayed(study, results):
        network = program.model.network
        weights = [np.array(weight) for weight in network.get_weights()]
        growth.append(_norm(weights) / _norm(data.initial_weights))
        x, y = data.clean
        cost, random = program.task.criterion, np.random.default_rng(derive(data.seed, "weights"))
        before = cost(y, program.predict(x))
        costs = []
        for _ in range(DRAWS):
            network.set_weights([_moved(weight, random) for weight in weights])
            costs.append(cost(y, program.predict(x)) - before)
        network.set_weights(weights)
        sharpness.append(float(np.mean(costs)))
    return weight_probe(growth, sharpness, radius=RADIUS) if growth else None


def _moved(weight: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a kernel moved at random by a share of its norm; other weights as they are."""
    if weight.ndim < 2:
        return weight
    step = random.normal(size=weight.shape)
    return (weight + RADIUS * np.linalg.norm(weight) / np.linalg.norm(step) * step).astype(weight.dtype)


def _norm(weights: list[np.ndarray]) -> float:
    return float(np.sqrt(sum(float(np.sum(weight.astype("float64") ** 2)) for weight in weights if weight.ndim >= 2)))


def _replayed(study: Study, results: Results) -> Any:
    from reglab.replay import Replay

    replay = Replay(results.folder, study.assignment)
    each: Any = replay.each(replay.runs([study.baseline]))
    return each


def _split(study: Study, seed: int) -> Split:
    settings = study.settings
    test = test_part(study.dataset, study.task, fraction=settings.test)
    return split(
        study.dataset, study.task, test=test, seed=seed, train_size=settings.train_size, validation=settings.validation,
        protocol=settings.protocol,
    )  # fmt: skip


def _inside(study: Study, folder: Path, **changes: Any) -> Study:
    """Return the study of a probe: in ``folder``, or with a number where that has the probe of another recipe."""
    made = alone(study, folder, **changes)
    free = folders.free(folder, made.spec())
    return made if free == folder else alone(study, free, **changes)


def alone(study: S, out: Path | None, *, data: Dataset | None = None, **changes: Any) -> S:
    """Return the study of the baseline alone, with other settings; without ``out`` in a folder by its name."""
    baseline = {study.baseline: study.recipes[study.baseline]}
    return study.with_(out=out, reuse=study._reuse, data=data, recipes=baseline, **changes)


def _finished(results: Results, name: str) -> list[RunResult]:
    return [run for run in results.runs[name].values() if run.status == FINISHED]


def _levels(results: Results, name: str) -> tuple[dict[int, float], dict[int, float]]:
    """Return the level of each seed at its best epoch, on validation and on the training part."""
    runs, level = _finished(results, name), results.task.level.name
    validation, training = ({run.seed: run.metrics[f"{part}_{level}"] for run in runs} for part in ("val", "train"))
    return validation, training
