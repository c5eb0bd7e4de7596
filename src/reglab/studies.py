"""A study as a whole, from what it is to its results: what campaigns make, change and run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Self, TypeVar

from reglab import backends
from reglab.data import Dataset, Source, Split, load, split, test_part
from reglab.data.dataset import VAL
from reglab.data.groups import told_of_groups
from reglab.data.pipelines import are_pipelines
from reglab.declare import params
from reglab.errors import ReglabError, nearest
from reglab.models import ModelSource, takes
from reglab.recipe import Recipe, Recipes
from reglab.results import Results
from reglab.study import naming
from reglab.study.as_text import ALONE
from reglab.study.coordinate import Limits, coordinate
from reglab.study.executors import choice
from reglab.study.executors.base import Executor
from reglab.study.executors.choice import Execution
from reglab.study.objects import BY_OUTPUT, OBJECTS, as_said, kept, said, spoken, spoken_name, taken
from reglab.study.plan import Plan
from reglab.study.progress import Progress
from reglab.study.spec import Assignment, Settings, named_recipes, read_yaml, task_of
from reglab.study.storage import disk, folders, owned
from reglab.study.storage.store import Store
from reglab.study.storage.view import began_with, holds_study, resumable_spec
from reglab.tasks import Task, forms_of

__all__ = ["Study"]

R = TypeVar("R", bound=Results, covariant=True)

BANNER = (
    "PROTOCOL test-as-validation: the best epoch was chosen by the test set, so these test figures are optimistic. "
    "They compare with studies that were run this way, and estimate nothing."
)

_EXTENDED = (
    "EXPLORATORY: the results of {} had been read before this study went on to {}. Looking again until a "
    "difference shows finds differences that are not there, and verdicts do not allow for it: confirm them with seeds "
    "that no study has had (first_seed)."
)


class Study(Generic[R]):
    """A study, made, changed and run; people have it as :class:`reglab.facade.Study`, which says what it takes.

    Attributes:
        results_type: what :meth:`run` reads from the folder.
    """

    results_type: type[R]

    def __init__(
        self,
        data: Source,
        model: ModelSource = "inception(pooled=true)",
        recipes: Recipes = (),
        *,
        baseline: str | None = None,
        out: str | Path | None = None,
        reuse: Iterable[str | Path] | None = None,
        name: str | None = None,
        backend: str | None = None,
        **settings: Any,
    ) -> None:
        _check_names(settings)
        settings, self._given = _objects(settings)
        if self._given.get("sample_weight") is not None and are_pipelines(data):
            raise ReglabError(
                "sample_weight says of each example, in its order, how much it counts, and a pipeline may give "
                "examples in another one. Read it into arrays, with the weights beside them, and give those."
            )
        self.settings = Settings(**settings)
        self.source = data
        self.model = model
        self.recipes, self.baseline = _with_baseline(named_recipes(recipes), baseline)
        self._out = None if out is None else owned.given(out)
        self._found: tuple[dict[str, Any], Path] | None = None  # a spec and its default folder, once facts are known
        self._reuse = None if reuse is None else [Path(folder) for folder in reuse]
        self._name = name or naming.slug(f"{naming.text(data)}-{naming.text(model)}")
        self.backend = backends.require(backend)
        self._dataset: Dataset | None = None
        self._held: dict[str, Any] | None = None  # the frozen spec of a study that is resumed

    def __repr__(self) -> str:
        what = f"{naming.text(self.source)}, {naming.text(self.model)}"
        return f"{type(self).__name__}({what}: recipes {', '.join(self.recipes)}; seeds: {self.settings.seeds})"

    @classmethod
    def from_yaml(cls, path: str | Path, **changes: Any) -> Self:
        """Return the study that a YAML file holds, with ``changes`` to it."""
        held = read_yaml(path)
        objects = [key for key in held.pop("python_objects", ()) if key not in changes]
        if objects:
            raise ReglabError(
                f"{path} names {' and '.join(objects)} that were Python objects, which a file cannot hold. Give "
                f"{' and '.join(f'{key}=...' for key in objects)} in Python, or run the script that made it once more."
            )
        return cls(**{**held, **changes})

    @classmethod
    def resume(cls, folder: str | Path, *, backend: str | None = None, **elsewhere: Any) -> Self:
        """Return the study that a folder holds, ready to go on.

        Args:
            folder: the study folder.
            backend: by default the one the study began with.
            **elsewhere: ``data`` or ``model``, where they were Python objects or lie in another place now. What they
                are must not have changed.

        Raises:
            ReglabError: if there is none, or what the folder says of it is damaged or needs such an object.
        """
        held = resumable_spec(folder)
        missing = [key for key in held.get("python_objects", ()) if key not in elsewhere]
        if missing:
            raise ReglabError(
                f"The {' and '.join(missing)} of the study in {folder} were given as Python objects, which a folder "
                "cannot hold. Run the script that began it once more: it goes on where it stopped."
            )
        if backend is None and backends.loaded() is None:
            backend = began_with(folder)
        spec = {key: value for key, value in held.items() if key != "python_objects"}
        study = cls(**{**spec, **elsewhere}, out=folder, backend=backend)
        study._held = held
        return study

    @property
    def name(self) -> str:
        """What default folders are called after: data and model."""
        return self._name

    @property
    def out(self) -> Path:
        """The study folder."""
        spec = self.spec()
        if self._out is None and self._found is not None and self._found[0] == spec:
            return self._found[1]
        return self._out or folders.folder_for(self._name, spec)

    @property
    def reuse(self) -> tuple[Path, ...]:
        """The folders of other studies that were named, whose results are taken over."""
        return tuple(self._reuse or ())

    def _neighbours(self) -> list[Path]:
        """Return the folders whose results are taken over."""
        if self._reuse is not None or self._out is not None:
            return self._reuse or []
        return [folder for folder in folders.by_name(self._name) if folder != self.out]

    def spec(self) -> dict[str, Any]:
        """Return the study as ``study.yaml`` holds it; data and models given as Python objects stand by their name."""
        if self._held is not None:
            return dict(self._held)
        objects = [
            *(key for key, value in (("data", self.source), ("model", self.model)) if not naming.found_again(value)),
            *self._given,
        ]
        return {
            "data": naming.text(self.source),
            "model": naming.text(self.model),
            "recipes": {name: recipe.to_text() for name, recipe in self.recipes.items()},
            "baseline": self.baseline,
            **self.settings.to_dict(),
            **{key: spoken_name(value) for key, value in self._given.items()},
            **({"python_objects": objects} if objects else {}),
        }

    @property
    def dataset(self) -> Dataset:
        """The data, read when it is first asked for."""
        if self._dataset is None:
            self._dataset = load(self.source, groups=self._given.get("groups"), **self._reading())
        return self._dataset

    def _reading(self) -> dict[str, Any]:
        """Return how the data are read."""
        names = ("image_size", "color_mode", "target", "skip_broken", "kind", "ignore_class")
        task = self.settings.task
        form = None if task is None else forms_of(task)
        given = {name: getattr(self.settings, name) for name in names}
        kinds = takes(self.model)
        taken_by = (str(self.model).partition("(")[0].strip(), kinds) if kinds else None
        return {**given, "form": form, "taken_by": taken_by, **self.settings.table()}

    @property
    def assignment(self) -> Assignment:
        """What whoever trains the study is given."""
        return Assignment(self.dataset, self.model, self.settings, self.recipes, given=self._given)

    def with_(
        self,
        *,
        out: str | Path | None,
        reuse: Iterable[str | Path] | None = None,
        data: Source | None = None,
        recipes: Mapping[str, Recipe] | None = None,
        **settings: Any,
    ) -> Self:
        """Return the study with other data, recipes or settings, in a folder of its own.

        Args:
            out: its folder; None for the default one by its name.
            reuse: folders of other studies, whose results are taken over.
            data: other data; by default the same, which are not read again unless they are now read otherwise. An array
                of groups is of the data that it was given with.
            recipes: other recipes, with this study's baseline among them.
            **settings: what else changes.
        """
        given = {key: value for key, value in self._given.items() if key != "groups" or data is None}
        made = type(self)(
            self.source if data is None else data, self.model, self.recipes if recipes is None else recipes,
            baseline=self.baseline, out=out, reuse=reuse,
            **{**self.settings.to_dict(), **given, **settings},
        )  # fmt: skip
        same_groups = made._given.get("groups") is self._given.get("groups")
        if data is None and made._reading() == self._reading() and same_groups:
            made._dataset = self._dataset
        return made

    @property
    def task(self) -> Task:
        """What is predicted, and which metric decides: what the data shows, or what was said."""
        return task_of(self.dataset, self.settings)

    @property
    def headline(self) -> str:
        """Data, model and budget in a line, as far as they are known before a model was built."""
        return self._headline(self.trained)

    @property
    def trained(self) -> str:
        """How runs are trained, in a part of a line; what builds the model may still compile it otherwise."""
        return spoken(said(self.settings, self._given, taken(self.model)), self.settings.class_weight)

    def _headline(self, trained: str) -> str:
        settings = self.settings
        about = "" if self.dataset.groups is None else "about "  # whole groups
        train = f"{about}{settings.train_size} training examples" if settings.train_size else "all training examples"
        return (
            f"{self.dataset.name}, {naming.text(self.model)}, {train}, {settings.epochs} epochs, batch "
            f"{settings.batch_size}, {trained}, {settings.seeds} seeds"
            + (f", {self.task.said}" if self.task.said else "")
            + self._split_by()
        )

    def _split_by(self) -> str:
        """Return in a part of a line that the split is by group."""
        data = self.dataset
        return "" if data.groups is None else f", split by {data.group or 'group'}"

    def notes(self) -> list[str]:
        """Return what has to be said of the study: an optimistic protocol, groups, transforms that change labels."""
        notes = [BANNER] if self.settings.protocol == "test-as-validation" else []
        if self.dataset.groups is not None:
            notes += told_of_groups(self.dataset, self._first_split(), seed=self.settings.first_seed)
        if self.settings.metric is None and (why := self.task.why(self.dataset.y)):
            title = self.task.decides.title
            notes.append(f"What decides is {title}, for {why}. Another metric is named by metric (--metric).")
        for name, recipe in self.recipes.items():
            changing = sorted(recipe.active_transforms() & self.dataset.label_changing)
            if changing:
                notes.append(
                    f"{name}: {', '.join(changing)} changes what examples of {self.dataset.name} are (a flipped 6 is "
                    "no 6), so labels become wrong. Leave it out unless that is what you want to see."
                )
        return notes

    def run(
        self,
        progress: Progress | None = None,
        *,
        workers: int | None = None,
        timeout: float | None = None,
        checkpoint_every: int | None = None,
        executor: str = "processes",
        address: str | None = None,
    ) -> R:
        """Train every run that the study folder does not have, and return the comparison of all.

        How a study is trained is no part of what it is: it can be interrupted, and go on with other values of these.

        Args:
            progress: hears of what happens.
            workers: processes that train at the same time and share the processor's cores; 0 trains in this process,
                without isolation and without ``timeout``. By default what is fastest on this machine, as far as is
                known. On a Ray cluster, trainings at the same time; by default as many as it has room for.
            timeout: seconds after which a training is given up; the run counts as failed.
            checkpoint_every: epochs after which the state of a training is kept, so that an interrupted study goes on
                there and not from the training's beginning. By default never.
            executor: ``processes`` on this machine, or tasks on a ``ray`` cluster.
            address: of the Ray cluster; by default the one that runs here, or a new one on this machine.

        Raises:
            ReglabError: for anything that cannot work, before anything is trained; if another process runs the study;
                if the folder holds another study; or if the disk is full, and then what was recorded is kept.
        """
        execution = Execution(workers=workers, timeout=timeout, checkpoint_every=checkpoint_every, executor=executor,
                              address=address)  # fmt: skip
        progress = progress or Progress()
        with self.opened(execution, progress) as (store, trainer, plan):
            coordinate(
                store, trainer, plan, epochs=self.settings.epochs,
                limits=Limits(timeout=execution.timeout, checkpoint_every=execution.checkpoint_every),
                progress=progress,
            )  # fmt: skip
            return self._concluded(store)

    @contextmanager
    def opened(
        self,
        execution: Execution,
        progress: Progress,
        *,
        candidates: Mapping[str, Recipe] = MappingProxyType({}),
        required: bool = True,
    ) -> Iterator[tuple[Store, Executor, Plan]]:
        """Open the folder and whoever trains, with the plan entered: for those who decide what is trained.

        Args:
            execution: how it is trained.
            progress: hears of what has to be said first.
            candidates: recipes that may be trained, tried on the model like those of the study.
            required: whether all of them have to be able to act on it; otherwise ``plan.refused`` says which cannot.
        """
        out = self.out
        owned.check(out)
        with ExitStack() as stack:
            # Its lock and its spec come before anything that takes time.
            store = stack.enter_context(self._entered(out)) if holds_study(out) else None
            threads = store.execution().get("threads") if store else None
            assignment = dataclasses.replace(self.assignment, candidates=dict(candidates))
            notes = self.notes()
            trainer = stack.enter_context(choice.opened(assignment, execution, threads=threads))
            plan = trainer.plan()
            if required and plan.refused:
                raise ReglabError(next(iter(plan.refused.values())))
            if store is not None and self._out is None and store.changed(plan.facts):
                progress.note(_moves_on(store, plan.facts))
                store.close()
                out, store = folders.folder_for(self._name, self.spec(), plan.facts), None
            if store is None:  # nothing is written before it is known that the study can work
                store = stack.enter_context(self._entered(out))
            if self._out is None:
                self._found = self.spec(), out
            self._begin(store, trainer, plan, notes, progress)
            yield store, trainer, plan

    def _entered(self, out: Path) -> Store:
        """Open the folder, with the spec frozen in it."""
        store = Store(out)
        try:
            store.freeze(self.spec())
        except BaseException:
            store.close()
            raise
        return store

    def _begin(self, store: Store, trainer: Executor, plan: Plan, notes: list[str], progress: Progress) -> None:
        """Enter the plan, and take over what other studies have of it."""
        extended = sorted({*store.execution().get("extended", ()), *self._extends()})
        if extended:
            store.set_execution({**store.execution(), "extended": extended})
            notes = [*notes, _EXTENDED.format(_seeds(extended), self.settings.seeds)]
        notes = [*notes, *plan.notes]
        for note in notes:
            progress.note(note)
        store.register(plan.facts, [run.summary() for run in plan.unique()], self._about(plan, notes))
        threads = trainer.threads
        if threads is not None:
            before = store.execution().get("threads", threads)
            if before != threads:
                progress.note(
                    f"Workers have another number of threads than before ({threads}, and it was {before}), so what is "
                    "trained from now on can differ in its last bits from what an uninterrupted study gives."
                )
            store.set_execution({**store.execution(), "threads": threads})
        for note in store.notes:
            progress.note(note)
        for folder in self._neighbours():
            adopted = store.adopt(folder, [run.id for run in plan.unique()])
            if adopted:
                progress.note(f"{len(adopted)} results were taken over from {folder}.")

    def _about(self, plan: Plan, notes: list[str]) -> dict[str, Any]:
        """Return what people are told of the study, so that its folder can be read without data and model."""
        return {
            "headline": self._headline(plan.trained),
            "notes": [*self.dataset.notes, *notes],
            "task": self.task.to_dict(),
            "runs": {name: {str(run.seed): run.id for run in runs} for name, runs in plan.runs.items()},
            "sizes": {name: len(recipe) for name, recipe in self.recipes.items()},
            "versions": plan.versions,
            "data": self._known(),
        }

    def _known(self) -> dict[str, Any]:
        """Return what a diagnosis has to know of the data."""
        data, settings = self.dataset, self.settings
        parts = self._first_split()
        whole = data.part is not None and bool((data.part == VAL).any())
        return {
            "kind": data.kind, "label_changing": sorted(data.label_changing), "train_size": len(parts.train),
            "shared_validation": whole or settings.protocol == "test-as-validation", "read": list(data.facts),
        }  # fmt: skip

    def _first_split(self) -> Split:
        """Return the split of the first seed."""
        data, settings = self.dataset, self.settings
        return split(
            data, self.task, test=test_part(data, self.task, fraction=settings.test), seed=settings.first_seed,
            train_size=settings.train_size, validation=settings.validation, protocol=settings.protocol,
        )  # fmt: skip

    def _extends(self) -> list[int]:
        """Return how many seeds studies have that were concluded, of which this one is a longer version."""
        found = []
        mine = self.spec()
        for folder in self._neighbours():
            held = disk.read_json(folder / "results.json")
            theirs = held.get("study") if isinstance(held, dict) else None
            if isinstance(theirs, dict) and _longer(mine, theirs):
                found.append(theirs["seeds"])
        return found

    def _concluded(self, store: Store) -> R:
        """Compare what is recorded, and write it."""
        results = self.results_type.load(self.out)
        store.write_results(results.to_dict())
        return results


def _moves_on(store: Store, facts: dict[str, str]) -> str:
    return (
        f"{store.folder} has this study with something else that results depend on "
        f"({'; '.join(store.changed(facts))}), so this one gets a folder of its own."
    )


def _with_baseline(recipes: dict[str, Recipe], baseline: str | None) -> tuple[dict[str, Recipe], str]:
    if baseline is not None:
        if baseline not in recipes:
            raise ReglabError(
                f"The baseline {baseline!r} is not among the recipes: {', '.join(recipes) or 'none given'}."
            )
        return recipes, baseline
    empty = [name for name, recipe in recipes.items() if not recipe.strategies]
    if empty:
        return recipes, empty[0]
    return {"none": Recipe(), **recipes}, "none"


def _seeds(counts: list[int]) -> str:
    return " and ".join(map(str, counts)) + (" seed" if counts == [1] else " seeds")


def _longer(mine: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether a study is another one with more seeds: the same but for seeds and margin, with a recipe of it."""
    free = ("seeds", "margin", "recipes")
    if {k: v for k, v in mine.items() if k not in free} != {k: v for k, v in theirs.items() if k not in free}:
        return False
    both = set(mine["recipes"].items()) & set(theirs.get("recipes", {}).items())
    return theirs.get("seeds", 0) < mine["seeds"] and len(both) > 1


def _objects(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return settings as text and numbers, and those that were given as Python objects which no text says all of."""
    texts = {key: value for key, value in settings.items() if key not in ALONE}
    objects = {key: kept(key, settings[key]) for key in ALONE if settings.get(key) is not None}
    for key in BY_OUTPUT:
        if isinstance(settings.get(key), Mapping):
            texts[key], objects[key] = None, kept(key, settings[key])
    metrics = texts.get("metrics")
    if metrics is not None and not isinstance(metrics, str):
        several = metrics if isinstance(metrics, list | tuple) else [metrics]
        named = all(isinstance(each, str) for each in several)
        texts["metrics"] = ", ".join(several) if named else None
        objects |= {} if named else {"metrics": kept("metrics", several)}
    for key in OBJECTS:
        value = texts.get(key)
        if value is None or isinstance(value, str):
            continue
        texts[key] = as_said(key, value) or naming.found_again(value)
        if texts[key] is None:
            objects[key] = kept(key, value)
    return texts, objects


def _check_names(settings: dict[str, Any]) -> None:
    known = [*params(Settings), *ALONE]
    for name in settings:
        if name not in known:
            raise ReglabError(f"A study has no setting {name!r}.{nearest(name, known)} It has {', '.join(known)}.")
