"""The names that people type, with everything that can be done with them: ``Study``, ``Results``, ``Best``.

What trains and what shows do not know of each other. They meet here: ``study.run().report()``,
``results.best().export()``, ``print(results)``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reglab import results, studies
from reglab.errors import ReglabError
from reglab.export.write import export
from reglab.recipe import Recipe
from reglab.regularized import regularize
from reglab.report import tables
from reglab.report.write import write_report
from reglab.study.storage.store import Store

if TYPE_CHECKING:
    import keras

    from reglab.regularized.model import RegularizedModel

__all__ = ["Best", "Results", "Study"]


@dataclass(frozen=True)
class Best:
    """The recipe that a study recommends: the best by validation, or a simpler one that is shown to be as good.

    Attributes:
        name: what the study calls it.
        recipe: the recipe.
        folder: of the study.
        study: the study, where it is at hand; by default it is resumed from the folder when something is exported.

    Example:
        >>> import keras, reglab
        >>> best = reglab.Results.load("reglab-out/demo").best()
        >>> best.name
        'combination'
        >>> network = keras.Sequential([keras.layers.Dense(64, "relu"), keras.layers.Dense(3, "softmax")])
        >>> network.build((None, 8))
        >>> model = best.regularize(network)  # compile and fit it as any Keras model
    """

    name: str
    recipe: Recipe
    folder: Path
    study: studies.Study | None = None

    def regularize(
        self, model: keras.Model | Callable[[], keras.Model], *, seed: int | None = None
    ) -> RegularizedModel:
        """Return a Keras model that trains ``model`` with the recipe; see :func:`reglab.regularize`."""
        return regularize(model, self.recipe, seed=seed)

    def network(self, seed: int | None = None) -> keras.Model:
        """Return the trained network of its best run by validation, or of a seed: plain Keras, raw inputs in."""
        import keras

        with tempfile.TemporaryDirectory() as folder:
            out = self.export(Path(folder) / "export", seed=seed, script=False)
            return keras.models.load_model(out / "model.keras", safe_mode=True)

    def export(self, out: str | Path | None = None, **options: Any) -> Path:
        """Write the recipe, the trained network and a training script; see :func:`reglab.export.write.export`."""
        return export(self.study or Study.resume(self.folder), recipe=self.name, out=out, **options)


class Results(results.Results):
    """What came out of a study: ``print`` shows the table, ``report`` writes the page, ``best`` is what to use.

    Attributes:
        comparison, folder, notes, headline, versions, spec, facts, classes, runs, data: see
            :class:`reglab.results.Results`.

    Example:
        >>> results = reglab.Results.load("reglab-out/demo")
        >>> results.best().name
        'combination'
    """

    def report(self, out: str | Path | None = None) -> list[Path]:
        """Write the report, by default into the study's folder; see :func:`reglab.report.write.write_report`."""
        return write_report(self, out)

    def best(self, study: studies.Study | None = None) -> Best:
        """Return the recipe that the comparison recommends, to be used: ``best.regularize(model)``.

        Args:
            study: whose results these are, where its data or model are Python objects, which a folder cannot hold.

        Raises:
            ReglabError: if no run has finished.
        """
        if self.comparison.choice is None:
            raise ReglabError(f"No run of the study in {self.folder} has finished, so nothing is best yet.")
        name = self.comparison.choice.recommended
        return Best(name, Recipe.parse(self.spec["recipes"][name]), self.folder, study)

    def __str__(self) -> str:
        return tables.plain(self)


class Study(studies.Study[Results]):
    """Recipes, trained under identical conditions on one model and one data set, over several seeds.

    A seed fixes the split into training and validation, the initial weights, the order of batches and every random
    stream, each from its own name, for all recipes alike; the test part is fixed once. Each run keeps the weights of
    its best epoch by validation and reads the test set once, at its end.

    Args:
        data: ``"digits"``, ``"cifar10"``, ``"breast_cancer"``, ``"wine"``, ``"iris"``, ``"diabetes"``; the path of a
            folder or archive with a folder a class, of a ``.npz``, ``.csv`` or ``.parquet`` file; arrays ``(x, y)`` or
            ``((x_train, y_train), (x_test, y_test))``; or a :class:`reglab.Dataset`.
        model: a name that ``reglab models`` lists, with options: ``"inception(pooled=true)"``, ``"mlp"``, ``"fcn"``,
            ``"transformer"``; ``"package.module:function"``; a
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
            ``learning_rate``, ``precision``, ``preprocess``, ``protocol`` and others. ``optimizer``, ``schedule`` and
            ``loss`` can be Keras objects or own functions too, ``class_weight`` a mapping; by default they are those
            that the model was compiled with. ``metrics`` is a list of names, metrics and functions,
            ``sample_weight`` an array, ``callbacks`` a list of Keras callbacks or
            of functions that make them, of which each run has its own.

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

    results_type = Results

    def best(self) -> Best:
        """Return the recipe that the comparison in the study folder recommends: ``best.regularize(model)``.

        Raises:
            ReglabError: if there is no comparison yet.
        """
        return Results.load(self.out).best(self)

    def _concluded(self, store: Store) -> Results:
        found = super()._concluded(store)
        store.write_report("table.md", tables.markdown(found))
        return found
