"""Executing the runs of a study one after another in this process, and keeping compiled programs for the next seed."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

import reglab
from reglab import backends
from reglab.data import Dataset, Preprocess, Split, split
from reglab.models import check_output
from reglab.recipe import Recipe
from reglab.regularized import regularize
from reglab.streams import derive
from reglab.study.plan import Ride, Run, identity
from reglab.study.plan import rides as group
from reglab.study.progress import Progress
from reglab.study.records import FAILED, Record
from reglab.study.run import Program, SeedData
from reglab.study.spec import Settings
from reglab.study.store import Store

__all__ = ["Executor"]

_PROGRAMS = 16  # compiled programs kept; a study of more structures compiles some of them again for each seed


@dataclass
class Executor:
    """The common ground of all runs of a study: data, builder, settings, and the part that is test.

    ``check`` builds a model for every recipe and compiles it, so that whatever cannot work is said before anything is
    trained.
    """

    data: Dataset
    builder: Callable[[], keras.Model]
    settings: Settings
    test: np.ndarray
    recipes: dict[str, Recipe]
    _programs: OrderedDict[tuple, Program] = field(default_factory=OrderedDict)
    _runs: dict[int, list[Run]] = field(default_factory=dict)

    def check(self) -> None:
        """Raise a ReglabError for a model that does not fit the data, or a recipe that cannot act on the model."""
        seed = self.settings.first_seed
        self.split(seed)
        model = self._build(seed)
        self._head = check_output(model, num_classes=self.data.num_classes, input_shape=self.data.input_shape)
        self._config = _config_of(model)
        for recipe in self.recipes.values():
            self._program(recipe)

    def runs(self, seed: int) -> list[Run]:
        """Return the runs of one seed, with their identities."""
        if seed in self._runs:
            return self._runs[seed]
        weights = self._initial_weights(seed)
        facts = self._facts(seed, weights)
        self._runs[seed] = [
            Run(identity({**facts, "recipe": recipe.fingerprint()}), name, recipe, seed)
            for name, recipe in self.recipes.items()
        ]
        return self._runs[seed]

    def execute(self, store: Store, progress: Progress) -> None:
        """Train every run that the store does not have. One bad run never stops the others."""
        planned = [(seed, self.runs(seed)) for seed in self.settings.seed_list()]
        todo = [(seed, group([run for run in runs if not store.has(run.id)])) for seed, runs in planned]
        missing = sum(len(ride.runs) for _, rides in todo for ride in rides)
        progress.started(
            runs=sum(len(runs) for _, runs in planned),
            trainings=sum(len(r) for _, r in todo),
            reused=sum(len(runs) for _, runs in planned) - missing,
            epochs=self.settings.epochs,
        )
        for seed, rides in todo:
            if not rides:
                continue
            data = self.seed_data(seed)
            for ride in rides:
                for record in self._train(ride, data, progress):
                    store.add(record)
                    progress.recorded(record)
                progress.training_ended()
        progress.finished()

    def _train(self, ride: Ride, data: SeedData, progress: Progress) -> list[Record]:
        progress.training([run.name for run in ride.runs], data.seed)
        try:
            return self._program(ride.recipe).train(
                ride, data, epochs=self.settings.epochs, batch_size=self.settings.batch_size, on_epoch=progress.epoch
            )
        except Exception:  # whatever it was, it is this run's record and not the end of the study
            error = traceback.format_exc()
            return [
                Record(id=run.id, name=run.name, recipe=run.recipe.to_text(), seed=run.seed, status=FAILED, error=error)
                for run in ride.runs
            ]

    # --- what a seed fixes -----------------------------------------------------------------------------------------

    def split(self, seed: int) -> Split:
        settings = self.settings
        return split(
            self.data, test=self.test, seed=seed, train_size=settings.train_size, validation=settings.validation,
            protocol=settings.protocol,
        )  # fmt: skip

    def seed_data(self, seed: int) -> SeedData:
        """Return what the seed fixes for every recipe alike."""
        data, parts = self.data, self.split(seed)
        preprocess = Preprocess.fit(
            data.x[np.sort(parts.train)], self.settings.preprocess, value_range=data.value_range
        )
        random = np.random.default_rng(derive(seed, "clean"))
        clean = np.sort(random.choice(parts.train, size=min(len(parts.train), len(parts.val)), replace=False))

        def ready(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return preprocess(data.x[indices]), data.y[indices]

        return SeedData(
            seed=seed, x=data.x, y=data.y, train=parts.train, preprocess=preprocess, clean=ready(clean),
            validation=ready(np.sort(parts.val)), test=ready(np.sort(parts.test)),
            initial_weights=self._initial_weights(seed),
        )  # fmt: skip

    def _initial_weights(self, seed: int) -> list[np.ndarray]:
        return [np.array(weight) for weight in self._build(seed).get_weights()]

    def _build(self, seed: int) -> keras.Model:
        # On TensorFlow the last bits depend on automatic layer names, so every build starts counting them anew.
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(derive(seed, "weights"))
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.settings.precision)
        try:
            model = self.builder()
            if not model.built:
                model.build((None, *self.data.input_shape))
        finally:
            keras.config.set_dtype_policy(before)
        return model

    # --- programs --------------------------------------------------------------------------------------------------

    def _program(self, recipe: Recipe) -> Program:
        key = recipe.structure()
        if key not in self._programs:
            self._programs[key] = self._compiled(recipe)
            while len(self._programs) > _PROGRAMS:
                self._programs.popitem(last=False)
        self._programs.move_to_end(key)
        return self._programs[key]

    def _compiled(self, recipe: Recipe) -> Program:
        model = self._build(self.settings.first_seed)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.settings.precision)
        try:
            regularized = regularize(model, recipe, seed=0)
        finally:
            keras.config.set_dtype_policy(before)
        regularized.compile(optimizer=self._optimizer(), loss=self._head.loss())
        return Program(regularized, self._head, self.data.input_shape)

    def _optimizer(self) -> keras.optimizers.Optimizer:
        rate = self.settings.learning_rate
        config = {} if rate is None else {"learning_rate": rate}
        return keras.optimizers.get({"class_name": self.settings.optimizer, "config": config})

    def _facts(self, seed: int, weights: list[np.ndarray]) -> dict[str, Any]:
        """Return everything but the recipe that decides the result of a run."""
        digest = hashlib.sha256()
        for weight in weights:
            digest.update(np.ascontiguousarray(weight).tobytes())
        settings = {k: v for k, v in self.settings.to_dict().items() if k not in _NOT_RESULT}
        return {
            "data": self.data.fingerprint, "test_part": hashlib.sha256(self.test.tobytes()).hexdigest(),
            "model": self._config, "initial_weights": digest.hexdigest(), "seed": seed, "settings": settings,
            "loss": self._head.kind, "optimizer": self._optimizer().get_config(), "keras": keras.__version__,
            "backend": [backends.name(), backends.version()],
        }  # fmt: skip

    def runs_by_recipe(self) -> dict[str, list[Run]]:
        """Return all runs of the study, by the name of their recipe, in the order of seeds."""
        by_name: dict[str, list[Run]] = {name: [] for name in self.recipes}
        for seed in self.settings.seed_list():
            for run in self.runs(seed):
                by_name[run.name].append(run)
        return by_name

    @staticmethod
    def versions() -> dict[str, str]:
        """Return the versions that results depend on."""
        return {"reglab": reglab.__version__, "keras": keras.__version__, backends.name(): backends.version()}


# Settings that do not change what one run gives: which seeds there are, and how the data was read (its content counts).
_NOT_RESULT = ("seeds", "first_seed", "image_size", "color_mode", "target")


def _config_of(model: keras.Model) -> str:
    """Return the model's configuration, or what can be known of a model that has none."""
    try:
        return json.dumps(keras.saving.serialize_keras_object(model), sort_keys=True, default=str)
    except Exception:  # a subclassed model without get_config; its weights count in any case
        shapes = [list(weight.shape) for weight in model.weights]
        return f"{type(model).__module__}.{type(model).__qualname__} {shapes}"
