"""A study from beginning to end: data -> recipes -> runs -> records -> analysis -> report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reglab import backends
from reglab.analysis.compare import Comparison, compare
from reglab.errors import ReglabError
from reglab.recipe import Recipe
from reglab.report.tables import Results
from reglab.study.progress import Progress
from reglab.study.spec import Settings, named_recipes, read_yaml

if TYPE_CHECKING:
    from reglab.data import Dataset

__all__ = ["Results", "Study"]

BANNER = (
    "PROTOCOL test-as-validation: the best epoch was chosen by the test set, so these test figures are optimistic. "
    "They compare with studies that were run this way, and estimate nothing."
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
        out: the study folder. Runs that it already has are not trained again.
        backend: the Keras backend, where none is in use yet.
        **settings: see :class:`reglab.study.spec.Settings`: ``seeds``, ``epochs``, ``batch_size``, ``train_size``,
            ``optimizer``, ``learning_rate``, ``precision``, ``preprocess``, ``protocol`` and others.

    Raises:
        ReglabError: for anything that cannot work, before anything is trained.

    Example:
        >>> import reglab
        >>> study = reglab.Study("digits", "mlp", ["l2(kernel=1e-3)", "dropout(rate=0.3)"], seeds=5, epochs=20)
        >>> results = study.run()                                                                   # doctest: +SKIP
        >>> print(results)                                                                          # doctest: +SKIP
    """

    def __init__(
        self,
        data: Any,
        model: Any = "inception(pooled=true)",
        recipes: Any = (),
        *,
        baseline: str | None = None,
        out: str | Path | None = None,
        backend: str | None = None,
        **settings: Any,
    ) -> None:
        _check_names(settings)
        self.settings = Settings(**settings)
        self.source = data
        self.model = model
        self.recipes, self.baseline = _with_baseline(named_recipes(recipes), baseline)
        self.out = Path(out) if out is not None else Path("reglab-out") / _slug(f"{_text(data)}-{_text(model)}")
        self.backend = backends.require(backend)
        self._dataset: Dataset | None = None

    @classmethod
    def from_yaml(cls, path: str | Path, **changes: Any) -> Study:
        """Return the study that a YAML file holds, with ``changes`` to it."""
        return cls(**{**read_yaml(path), **changes})

    def spec(self) -> dict[str, Any]:
        """Return the study as ``study.yaml`` holds it; data and models given as Python objects stand by their name."""
        return {
            "data": _text(self.source),
            "model": _text(self.model),
            "recipes": {name: recipe.to_text() for name, recipe in self.recipes.items()},
            "baseline": self.baseline,
            **self.settings.to_dict(),
        }

    @property
    def dataset(self) -> Dataset:
        """The data, read when it is first asked for."""
        if self._dataset is None:
            from reglab.data import load

            settings = self.settings
            self._dataset = load(
                self.source, image_size=settings.image_size, color_mode=settings.color_mode, target=settings.target
            )
        return self._dataset

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

    def run(self, progress: Progress | None = None) -> Results:
        """Execute every run that the study folder does not have, and return the comparison of all."""
        from reglab.data import test_part
        from reglab.models import resolve
        from reglab.report import tables
        from reglab.study.execute import Executor
        from reglab.study.store import Store

        data = self.dataset
        builder = resolve(self.model, input_shape=data.input_shape, num_classes=data.num_classes)
        test = test_part(data, fraction=self.settings.test)
        executor = Executor(data, builder, self.settings, test, self.recipes)
        executor.check()
        notes = self.notes()
        with Store(self.out) as store:
            changed = store.write_spec(self.spec())
            if changed:
                notes.append(f"The folder {self.out} held a study with other {', '.join(changed)}; its runs are kept.")
            executor.execute(store, progress or Progress())
            records = {
                name: {run.seed: store.summary(run.id) for run in runs}
                for name, runs in executor.runs_by_recipe().items()
            }
            comparison = _compare(records, self.recipes, self.baseline)
            headline = _headline(self.settings, data, _text(self.model))
            results = Results(comparison, self.out, tuple(notes), headline, executor.versions())
            store.write_results(
                {
                    "schema": 1,
                    "notes": notes,
                    "study": self.spec(),
                    **comparison.to_dict(),
                    "versions": results.versions,
                }
            )
            store.write_report("table.md", tables.markdown(results))
        return results


def _compare(records: Mapping[str, Mapping[int, dict | None]], recipes: dict[str, Recipe], baseline: str) -> Comparison:
    outcomes = {
        name: {
            seed: (record["status"], record["metrics"]) if record else ("missing", {}) for seed, record in seeds.items()
        }
        for name, seeds in records.items()
    }
    texts = {name: recipe.to_text() for name, recipe in recipes.items()}
    return compare(outcomes, recipes=texts, baseline=baseline)


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


def _check_names(settings: dict[str, Any]) -> None:
    from reglab.errors import nearest
    from reglab.strategies.declare import params

    known = params(Settings)
    for name in settings:
        if name not in known:
            raise ReglabError(f"A study has no setting {name!r}.{nearest(name, known)} It has {', '.join(known)}.")


def _text(thing: Any) -> str:
    """Return how a spec calls data or a model: texts as they are, paths and Python objects by name."""
    if isinstance(thing, str | Path):
        return str(thing)
    return str(getattr(thing, "name", None) or getattr(thing, "__name__", None) or type(thing).__name__)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower() or "study"


def _headline(settings: Settings, data: Dataset, model: str) -> str:
    train = f"{settings.train_size} training examples" if settings.train_size else "all training examples"
    rate = "" if settings.learning_rate is None else f" {settings.learning_rate:g}"
    return (
        f"{data.name}, {model}, {train}, {settings.epochs} epochs, batch {settings.batch_size}, "
        f"{settings.optimizer}{rate}, {settings.seeds} seeds"
    )
