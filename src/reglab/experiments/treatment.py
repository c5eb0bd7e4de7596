"""A prescription, tried: the baseline's study again with each item as a recipe, paired by seed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reglab.analysis.decompose import Change, adjusted, decompose_change
from reglab.analysis.prescribe import Item
from reglab.analysis.verdict import Verdict
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.results import Results
from reglab.studies import Study
from reglab.study.records import FINISHED
from reglab.study.storage import folders
from reglab.study.storage.view import frozen_spec

__all__ = ["Treated", "Tried", "judged", "treat", "treated_before", "treatment"]

FOLDER = "treatment"


@dataclass(frozen=True)
class Tried:
    """One item of a prescription, and what came of it.

    Attributes:
        item: what was tried, added to the recipe that was diagnosed.
        verdict: on its test set, against the baseline.
        change: what it did to bias and variance, adjusted for all that were tried; None with fewer than three seeds.
        gap: the mean change of the gap between training and validation, in the metric that decides, at the best epoch.
        cost: the mean change of the criterion on the test set.
    """

    item: Item
    verdict: Verdict
    change: Change | None
    gap: float
    cost: float


@dataclass(frozen=True)
class Treated:
    """What came of a prescription.

    Attributes:
        tried: the items that are recipes, in the order in which they were prescribed.
        untried: what is no recipe.
        results: of the study.
        recommended: the item that validation recommends; empty for none of them, or with too few seeds.
    """

    tried: tuple[Tried, ...]
    untried: tuple[Item, ...]
    results: Results
    recommended: str


def treatment(study: Study, items: Sequence[Item], *, out: Path | None = None) -> Study:
    """Return the study that tries the items of a prescription that are recipes, each added to the baseline.

    Its folder, ``treatment`` or the same with a number where that holds the treatment of another recipe, lies in that
    of the diagnosed study, whose runs of the baseline it takes over.

    Raises:
        ReglabError: if no item is a recipe.
    """
    recipes = _recipes(study.baseline, study.recipes[study.baseline], items)
    if len(recipes) == 1:
        names = ", ".join(item.name for item in items) or "nothing is prescribed"
        raise ReglabError(f"There is no recipe to try: {names}.")

    def made(folder: Path, *more: Path) -> Study:
        return study.with_(out=folder, reuse=[study.out, *more], recipes=recipes)

    if out is not None:
        return made(out)
    first = study.out / FOLDER
    folder = folders.free(first, made(first).spec())
    return made(folder, *(each for each in folders.known(first) if each != folder))


def _recipes(baseline: str, base: Recipe, items: Sequence[Item]) -> dict[str, Recipe]:
    return {
        baseline: base,
        **{_named(item, baseline): base + Recipe.parse(item.recipe) for item in items if item.recipe},
    }


def treated_before(results: Results, items: Sequence[Item]) -> Treated | None:
    """Return what the last treatment of a study's baseline that is complete says of these items, or None."""
    baseline = results.baseline
    try:
        wanted = _recipes(baseline, Recipe.parse(results.spec["recipes"][baseline]), items)
    except ReglabError:  # strategies of a third party that are not here: nothing can be compared
        return None
    for folder in reversed(folders.known(results.folder / FOLDER)):
        spec = frozen_spec(folder) or {}
        held = spec.get("recipes") or {}
        if spec.get("baseline") != baseline or held.get(baseline) != wanted[baseline].to_text():
            continue
        known = [
            item for item in items
            if not item.recipe or held.get(name := _named(item, baseline)) == wanted[name].to_text()
        ]  # fmt: skip
        if not any(item.recipe for item in known):
            continue
        with contextlib.suppress(ReglabError):
            found = Results.load(folder)
            if found.complete:
                return judged(found, known)
    return None


def treat(
    study: Study, items: Sequence[Item], *, run: Callable[[Study], Results] | None = None, out: Path | None = None
) -> Treated:  # fmt: skip
    """Train the items of a prescription and say which worked.

    Args:
        study: the diagnosed one.
        items: the prescription.
        run: how the study is run; by default as :meth:`Study.run` does it.
        out: its folder.
    """
    tried = treatment(study, items, out=out)
    return judged(tried.run() if run is None else run(tried), items)


def judged(results: Results, items: Sequence[Item]) -> Treated:
    """Return what the results of a treatment say of each item."""
    baseline = results.baseline
    names = {_named(item, baseline): item for item in items if item.recipe}
    changes = dict(zip(names, adjusted([_change(results, name, baseline) for name in names]), strict=True))
    tried = []
    for name, item in names.items():
        row = results.comparison.row(name)
        assert row.verdict is not None
        tried.append(Tried(
            item, row.verdict, changes[name], row.differences["gap"].mean,
            row.differences[results.task.criterion.name].mean,
        ))  # fmt: skip
    untried = tuple(item for item in items if not item.recipe)
    choice = results.comparison.choice
    taken = names.get(choice.recommended) if choice is not None and not choice.screening else None
    recommended = "" if taken is None else taken.name
    return Treated(tuple(tried), untried, results, recommended)


def _named(item: Item, baseline: str) -> str:
    """Return what the study of a treatment calls an item: never what the diagnosed recipe is called."""
    name = f"with {item.name}"
    return name if name != baseline else f"{name} too"


def _change(results: Results, name: str, baseline: str) -> Change | None:
    """Return what a recipe does to bias and variance, by the seeds that it and the baseline finished."""
    ours, theirs = results.predictions(name), results.predictions(baseline)
    if ours is None or theirs is None:
        return None
    rows = [_rows(results.runs[each]) for each in (name, baseline)]
    both = [seed for seed in rows[0] if seed in rows[1]]
    if not both:
        return None
    p, q = (of.predicted[[rows[i][seed] for seed in both]] for i, of in enumerate((ours, theirs)))
    first, second = results.task.points(ours.labels, p), results.task.points(ours.labels, q)
    return None if first is None or second is None else decompose_change(*first, second[1])


def _rows(runs: Mapping[int, Any]) -> dict[int, int]:
    """Return for each seed that finished its row among the predictions."""
    finished = [seed for seed, run in runs.items() if run.status == FINISHED]
    return {seed: row for row, seed in enumerate(finished)}
