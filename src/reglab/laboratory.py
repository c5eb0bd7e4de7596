"""A study from beginning to end: data -> recipes -> runs -> records -> analysis -> report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reglab import backends
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.results import Results
from reglab.study import naming
from reglab.study.progress import Progress
from reglab.study.spec import Settings, named_recipes, read_yaml
from reglab.study.storage import folders, owned

if TYPE_CHECKING:
    from reglab.data import Dataset
    from reglab.export.best import Best
    from reglab.study.executors.base import Executor
    from reglab.study.executors.choice import Execution
    from reglab.study.plan import Plan
    from reglab.study.storage.store import Store

__all__ = ["Results", "Study"]

BANNER = (
    "PROTOCOL test-as-validation: the best epoch was chosen by the test set, so these test figures are optimistic. "
    "They compare with studies that were run this way, and estimate nothing."
)

_EXTENDED = (
    "EXPLORATORY: the results of {} had been read before this study went on to {}. Looking again until a "
    "difference shows finds differences that are not there, and verdicts do not allow for it: confirm them with seeds "
    "that no study has had (first_seed)."
)


class Study:
    """Recipes, trained under identical conditions on one model and one data set, over several seeds.

    A seed fixes the split into training and validation, the initial weights, the order of batches and every random
    stream, each from its own name, for all recipes alike; the test part is fixed once. Each run keeps the weights of
    its best epoch by validation accuracy and reads the test set once, at its end.

    Args:
        data: ``"digits"``, ``"cifar10"``, ``"breast_cancer"``, ``"wine"``, ``"iris"``; the path of a folder or archive
            with a folder a class, of a ``.npz``, ``.csv`` or ``.parquet`` file; arrays ``(x, y)`` or
            ``((x_train, y_train), (x_test, y_test))``; or a :class:`reglab.Dataset`.
        model: ``"inception"``, ``"inception(pooled=true)"``, ``"mlp"``, ``"resnet"``; ``"package.module:function"``; a
            function without arguments or of ``(input_shape, num_classes)`` that returns a Keras model; or a Keras
            model, whose weights are then the initial weights of every run.
        recipes: recipes, strategies or texts; or a mapping from names to them.
        baseline: the name of the recipe that the others are compared with. By default the empty one, which is added if
            it is not there.
        out: the study folder. Runs that it already has are not trained again. By default
            ``reglab-out/<data>-<model>``, or the same with a number where that one holds another study: one of other
            settings, data or model, or by another version of Keras. Any other folder has to be new, empty or a study.
        reuse: folders of other studies; results that are this study's too are copied from there. By default, where
            ``out`` is too, the numbered neighbours of the folder.
        name: what the folder is called by default.
        backend: the Keras backend, where none is in use yet.
        **settings: see :class:`reglab.study.spec.Settings`: ``seeds``, ``epochs``, ``batch_size``, ``train_size``,
            ``optimizer``, ``learning_rate``, ``precision``, ``preprocess``, ``protocol`` and others.

    Raises:
        ReglabError: for anything that cannot work, before anything is trained.

    Example:
        >>> import reglab
        >>> study = reglab.Study("digits", "mlp", ["l2(kernel=1e-3)", "dropout(rate=0.3)"], seeds=5, epochs=20)
        >>> results = study.run()
        >>> print(results)
        digits, mlp, ...
        <BLANKLINE>
        recipe ...
    """

    def __init__(
        self,
        data: Any,
        model: Any = "inception(pooled=true)",
        recipes: Any = (),
        *,
        baseline: str | None = None,
        out: str | Path | None = None,
        reuse: Iterable[str | Path] | None = None,
        name: str | None = None,
        backend: str | None = None,
        **settings: Any,
    ) -> None:
        _check_names(settings)
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

    @classmethod
    def from_yaml(cls, path: str | Path, **changes: Any) -> Study:
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
    def resume(cls, folder: str | Path, *, backend: str | None = None, **elsewhere: Any) -> Study:
        """Return the study that a folder holds, ready to go on.

        Args:
            folder: the study folder.
            backend: by default the one the study began with.
            **elsewhere: ``data`` or ``model``, where they were Python objects or lie in another place now. What they
                are must not have changed.

        Raises:
            ReglabError: if there is none, or what the folder says of it is damaged or needs such an object.
        """
        from reglab.study.storage.view import began_with, resumable_spec

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
            key for key, value in (("data", self.source), ("model", self.model)) if naming.found_again(value) is None
        ]
        return {
            "data": naming.text(self.source),
            "model": naming.text(self.model),
            "recipes": {name: recipe.to_text() for name, recipe in self.recipes.items()},
            "baseline": self.baseline,
            **self.settings.to_dict(),
            **({"python_objects": objects} if objects else {}),
        }

    @property
    def dataset(self) -> Dataset:
        """The data, read when it is first asked for."""
        if self._dataset is None:
            from reglab.data import load

            settings = self.settings
            self._dataset = load(
                self.source, image_size=settings.image_size, color_mode=settings.color_mode, target=settings.target,
                skip_broken=settings.skip_broken, **settings.table(),
            )  # fmt: skip
        return self._dataset

    @property
    def headline(self) -> str:
        """Data, model and budget in a line."""
        settings = self.settings
        train = f"{settings.train_size} training examples" if settings.train_size else "all training examples"
        rate = "" if settings.learning_rate is None else f" {settings.learning_rate:g}"
        return (
            f"{self.dataset.name}, {naming.text(self.model)}, {train}, {settings.epochs} epochs, batch "
            f"{settings.batch_size}, {settings.optimizer}{rate}, {settings.seeds} seeds"
        )

    def notes(self) -> list[str]:
        """Return what has to be said about the study: an optimistic protocol, transforms that change labels."""
        notes = [BANNER] if self.settings.protocol == "test-as-validation" else []
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
    ) -> Results:
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
        from reglab.study.coordinate import Limits, coordinate
        from reglab.study.executors.choice import Execution

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

    def best(self) -> Best:
        """Return the recipe that the comparison in the study folder recommends: ``best.regularize(model)``.

        Raises:
            ReglabError: if there is no comparison yet.
        """
        return Results.load(self.out).best(self)

    @contextmanager
    def opened(self, execution: Execution, progress: Progress) -> Iterator[tuple[Store, Executor, Plan]]:
        """Open the folder and whoever trains, with the plan entered: for those who decide what is trained."""
        from reglab.study.executors import choice
        from reglab.study.spec import Assignment
        from reglab.study.storage.view import holds_study

        out = self.out
        owned.check(out)
        with ExitStack() as stack:
            # Its lock and its spec come before anything that takes time.
            store = stack.enter_context(self._entered(out)) if holds_study(out) else None
            threads = store.execution().get("threads") if store else None
            notes = self.notes()
            assignment = Assignment(self.dataset, self.model, self.settings, self.recipes)
            trainer = stack.enter_context(choice.opened(assignment, execution, threads=threads))
            plan = trainer.plan()
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
        from reglab.study.storage.store import Store

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
            "headline": self.headline,
            "notes": [*self.dataset.notes, *notes],
            "classes": list(self.dataset.class_names),
            "runs": {name: {str(run.seed): run.id for run in runs} for name, runs in plan.runs.items()},
            "sizes": {name: len(recipe) for name, recipe in self.recipes.items()},
            "versions": plan.versions,
            "data": self._known(),
        }

    def _known(self) -> dict[str, Any]:
        """Return what a diagnosis has to know of the data."""
        from reglab.data import split, test_part
        from reglab.data.dataset import VAL

        data, settings = self.dataset, self.settings
        parts = split(
            data, test=test_part(data, fraction=settings.test), seed=settings.first_seed,
            train_size=settings.train_size, validation=settings.validation, protocol=settings.protocol,
        )  # fmt: skip
        whole = data.part is not None and bool((data.part == VAL).any())
        return {
            "kind": data.kind, "label_changing": sorted(data.label_changing), "train_size": len(parts.train),
            "shared_validation": whole or settings.protocol == "test-as-validation", "read": list(data.facts),
        }  # fmt: skip

    def _extends(self) -> list[int]:
        """Return how many seeds studies have that were concluded, of which this one is a longer version."""
        from reglab.study.storage import disk

        found = []
        mine = self.spec()
        for folder in self._neighbours():
            held = disk.read_json(folder / "results.json")
            theirs = held.get("study") if isinstance(held, dict) else None
            if isinstance(theirs, dict) and _longer(mine, theirs):
                found.append(theirs["seeds"])
        return found

    def _concluded(self, store: Store) -> Results:
        """Compare what is recorded, and write it."""
        from reglab.report import tables

        results = Results.load(self.out)
        store.write_results(results.to_dict())
        store.write_report("table.md", tables.markdown(results))
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


def _check_names(settings: dict[str, Any]) -> None:
    from reglab.declare import params
    from reglab.errors import nearest

    known = params(Settings)
    for name in settings:
        if name not in known:
            raise ReglabError(f"A study has no setting {name!r}.{nearest(name, known)} It has {', '.join(known)}.")
