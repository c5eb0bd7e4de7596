"""The names that people type, with everything that can be done with them: ``Study``, ``Results``, ``Diagnosis``.

What trains and what shows do not know of each other. They meet here: ``study.run().report()``,
``results.best().export()``, ``print(results)``, ``print(results.diagnose())``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reglab import results, studies
from reglab.analysis import diagnose as analysed
from reglab.analysis import diagnosis
from reglab.errors import ReglabError
from reglab.experiments.diagnosis import diagnosed
from reglab.export.write import export
from reglab.lazy import pandas
from reglab.logs import read_log
from reglab.recipe import Recipe
from reglab.regularized import regularize
from reglab.report import diagnosis as words
from reglab.report import notebook, spreadsheet, tables
from reglab.report.write import write_report
from reglab.study.storage.store import Store

if TYPE_CHECKING:
    import keras

    from reglab.regularized.model import RegularizedModel

__all__ = ["Best", "Diagnosis", "Results", "Study", "diagnose"]


@dataclass(frozen=True, repr=False)
class Diagnosis(diagnosis.Diagnosis):
    """What the runs of one recipe say of the model: ``print`` says it in the words of ``reglab diagnose``.

    Attributes:
        word, kind, gap, onset, runs and others: the numbers and names behind them; see
            :class:`reglab.analysis.diagnosis.Diagnosis`.
        notes: what has to be said of the numbers.

    Example:
        >>> found = reglab.diagnose({"accuracy": [0.5, 0.8, 0.9, 0.9, 0.9], "val_accuracy": [0.5, 0.6, 0.6, 0.6, 0.6]})
        >>> str(found.word), round(found.gap.mean, 2)
        ('overfitting', 0.3)
    """

    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: diagnosis.Diagnosis, *, notes: tuple[str, ...] = ()) -> Diagnosis:
        """Return a diagnosis with its words."""
        known = {each.name: getattr(found, each.name) for each in fields(diagnosis.Diagnosis)}
        return cls(**known, notes=notes)

    def __str__(self) -> str:
        return words.told(self, notes=self.notes)

    def _repr_html_(self) -> str:
        return notebook.of_diagnosis(self, notes=self.notes)


def diagnose(
    log: Any, *, attainable: float | None = None, classes: int | None = None, target_std: float | None = None
) -> Diagnosis:
    """Say whether a model overfits, from the log of its training.

    Args:
        log: what ``model.fit`` returned, or its ``.history``; several of them, one per run; or the path of a file that
            Keras' ``CSVLogger`` wrote, or of JSON; see :func:`reglab.logs.read_log`.
        attainable: the training accuracy, or R², that a good model can have on this data: below 1 where labels are
            noisy. By default 1, and of R² nothing is assumed.
        classes: how many there are, where the log does not tell.
        target_std: standard deviation of the target, where the log has squared errors and no R².

    Raises:
        ReglabError: if the log holds no metric that is known.

    Example:
        >>> train, val = [0.5, 0.7, 0.9, 1.0, 1.0, 1.0], [0.5, 0.6, 0.7, 0.7, 0.7, 0.7]
        >>> found = reglab.diagnose([{"accuracy": train, "val_accuracy": val}] * 3)
        >>> found
        Diagnosis(overfitting (performance), 3 runs, gap 0.300)
        >>> print(found)
        Overfitting: ...
    """
    read = read_log(log, loss="mean_squared_error" if target_std else "", outputs=classes, deviation=target_std)
    found = analysed.diagnose(read.histories, read.task, attainable=attainable, clean=read.clean)
    return Diagnosis.of(found, notes=read.notes)


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

    ``diagnose`` says whether the model overfits, and ``to_frame`` gives the runs as a data frame.

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

    def diagnose(self, recipe: str | None = None, *, attainable: float | None = None) -> Diagnosis:
        """Say whether the model overfits, trained with a recipe of the study; by default with the baseline.

        Args:
            recipe: its name.
            attainable: the level on training examples that a good model can have on this data; by default what the task
                says.

        Raises:
            ReglabError: if there is no such recipe.

        Example:
            >>> found = reglab.Results.load("reglab-out/demo").diagnose()
            >>> str(found.word) in ("overfitting", "underfitting", "fitting", "cannot tell")
            True
        """
        if recipe is not None and recipe not in self.runs:
            raise ReglabError(f"The study in {self.folder} has no recipe {recipe!r}. It has {', '.join(self.runs)}.")
        return Diagnosis.of(diagnosed(self, recipe, attainable=attainable))

    def to_frame(self) -> pandas.DataFrame:
        """Return a data frame with a row per run: its recipe, seed, how it ended, and every metric, as in ``runs.csv``.

        Example:
            >>> frame = reglab.Results.load("reglab-out/demo").to_frame()
            >>> frame.groupby("recipe")["accuracy"].mean().idxmax()
            'combination'
        """
        columns, rows = spreadsheet.run_rows(self)
        return pandas.DataFrame(rows, columns=columns)

    def __str__(self) -> str:
        return tables.plain(self)

    def _repr_html_(self) -> str:
        return notebook.of_results(self)


class Study(studies.Study[Results]):
    """Recipes, trained under identical conditions on one model and one data set, over several seeds.

    A seed fixes the split into training and validation, the initial weights, the order of batches and every random
    stream, each from its own name, for all recipes alike; the test part is fixed once. Each run keeps the weights of
    its best epoch by validation and reads the test set once, at its end.

    Args:
        data: ``"digits"``, ``"cifar10"``, ``"breast_cancer"``, ``"wine"``, ``"iris"``, ``"diabetes"``; the path of a
            folder or archive with a folder a class, of a ``.npz``, ``.csv`` or ``.parquet`` file; arrays ``(x, y)`` or
            ``((x_train, y_train), (x_test, y_test))``; a data frame of pandas, polars or pyarrow, with ``target``,
            the column of labels, or a frame and labels in place of the arrays; a finite ``tf.data.Dataset`` or
            ``keras.utils.PyDataset``, or ``(train, test)`` of them; or a :class:`reglab.Dataset`.
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
            ``sample_weight`` an array, ``groups`` an array too, of examples that lie together in one part (of a table,
            ``group`` names a column), ``callbacks`` a list of Keras callbacks or
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
