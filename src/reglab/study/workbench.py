"""Where runs are trained: the common ground of a study's runs, and the programs that were compiled for them."""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import keras
import numpy as np

from reglab import backends
from reglab.data import Preprocess, Split, split, test_part
from reglab.data.kinds import SEVERAL, are_indices
from reglab.data.preprocess import PreprocessEach
from reglab.data.several import by_input, fed, with_batch_axis
from reglab.errors import ReglabError
from reglab.keras_internals import uncompiled
from reglab.models import by_output, check_output, output_mask, resolve
from reglab.recipe import Recipe
from reglab.regularized import regularize
from reglab.regularized.checks import check_ready
from reglab.regularized.export import why_not_saved
from reglab.regularized.inputs import indexed, masked
from reglab.regularized.watching import Watchers
from reglab.seeds import derive
from reglab.strategies.understood import check_understood
from reglab.study.as_text import CLIPPING
from reglab.study.checkpoint import Checkpoint
from reglab.study.measured import Measured, MeasuredEach
from reglab.study.objects import taken
from reglab.study.plan import RESULT_VERSION, Plan, Ride, Run, as_text, identity
from reglab.study.records import Record
from reglab.study.run import Program, SeedData
from reglab.study.spec import TABLE, Assignment, task_of
from reglab.study.targets import scaled, scales_targets, target_scale
from reglab.study.training import Training
from reglab.tasks import Head
from reglab.version import __version__

__all__ = ["Workbench"]

_PROGRAMS = 16  # compiled programs kept; a study of more structures compiles some of them again
_SEEDS = 2  # seeds whose preprocessed data are kept


class _Seen(NamedTuple):
    """What the model ends in, its configuration, and which inputs it looks up and which it masks by their values."""

    head: Head
    config: str
    looked_up: frozenset[str]
    masked: frozenset[str]


class Workbench:
    """Data, model, settings and test part of a study, and its compiled programs. It knows no disk and no other runs.

    A program trains all seeds and all strengths of its structure, so a study compiles once a structure, wherever its
    runs are trained.
    """

    def __init__(self, assignment: Assignment) -> None:
        self.data, self.settings, self.recipes = assignment.data, assignment.settings, assignment.recipes
        self.task = task_of(self.data, self.settings)
        self.builder = resolve(
            assignment.model,
            input_shape=self.data.input_shape,
            num_classes=self.task.units,
            ending=self.task.ending,
            kind=self.data.kind,
            vocabulary=self.data.vocabulary,
            per_position=self.task.per_position,
        )
        if self.task.outputs and self.settings.scale_targets == "standardize":
            raise ReglabError(
                "scale_targets=standardize is of numbers that one output predicts, and the data has labels of "
                f"{', '.join(self.task.outputs)}. Standardize the labels themselves, or give loss_weights."
            )
        self._scales_targets = scales_targets(self.task, assignment.model, self.settings.scale_targets)
        self._candidates = assignment.candidates
        self._built_anew = not isinstance(
            assignment.model, keras.Model
        )  # so that nobody else has what the builder gives
        self.test = test_part(self.data, self.task, fraction=self.settings.test)
        self._programs: OrderedDict[tuple, Program] = OrderedDict()
        self._seeds: OrderedDict[int, SeedData] = OrderedDict()
        self._checked: _Seen | None = None
        self._given = assignment.given
        self._masking: keras.Model | None = None  # what masks are asked of, once one was
        self._masks = self.task.takes_masks  # whether the model can have one of its own, as far as was seen
        self._compiled_with: Mapping[str, Any] = {}

    def plan(self) -> Plan:
        """Check that every recipe can act on the model, and return the runs with their identities.

        A model is built for every recipe and compiled, so that whatever cannot work is said before anything is trained.

        Raises:
            ReglabError: for a model that does not fit the data, or a recipe that cannot act on the model.
        """
        first = self.settings.first_seed
        self.split(first)
        for recipe in self.recipes.values():
            for strategy in recipe:
                check_understood(strategy, self.data)
        self._check_training()
        for recipe in self.recipes.values():
            self._try(recipe)
        runs: dict[str, list[Run]] = {name: [] for name in self.recipes}
        bases: dict[int, str] = {}
        for seed in self.settings.seed_list():
            facts = self._facts(seed, self._initial_weights(seed))
            bases[seed] = as_text(facts)
            for name, recipe in self.recipes.items():
                runs[name].append(Run(identity({**facts, "recipe": recipe.fingerprint()}), name, recipe, seed))
        weights = self._initial_weights(first)
        examples = len(self.test) + len(self.split(first).val)
        return Plan(
            runs={name: tuple(of_name) for name, of_name in runs.items()},
            facts=self._study_facts(self._facts(first, weights)),
            versions={"reglab": __version__, "keras": keras.__version__, backends.name(): backends.version()},
            task=self.task,
            bases=bases,
            notes=self._notes(),
            refused=self._refused(),
            trained=self.training.spoken(self._model().head),
            result_bytes=sum(weight.nbytes for weight in weights) + 4 * examples * self.task.numbers,
        )

    def _try(self, recipe: Recipe) -> None:
        """Raise a ReglabError if a recipe cannot act here."""
        self.training.check_callbacks(recipe)
        self._program(recipe)
        Watchers(recipe, self.task)

    def _refused(self) -> dict[str, str]:
        found = {}
        for name, recipe in self._candidates.items():
            try:
                self._try(recipe)
            except ReglabError as error:
                found[name] = str(error)
        return found

    def _notes(self) -> tuple[str, ...]:
        notes = self.training.notes()
        seen = sorted(name for name in self._indices if not are_indices(self.data.kinds[name]))
        if seen and self.settings.preprocess != "none":
            notes.append(
                f"The model looks its inputs{' ' * bool(seen[0])}{', '.join(seen)} up as indices (token ids, "
                f"categories), so it gets them as they are: preprocess={self.settings.preprocess} is for numbers that "
                "measure something."
            )
        masks = sorted(self._masked)
        if masks and self.settings.preprocess != "none":
            notes.append(
                f"The model masks steps of its inputs{' ' * bool(masks[0])}{', '.join(masks)} by their values "
                f"(keras.layers.Masking), so it gets them as they are: preprocess={self.settings.preprocess} would "
                "move the padding."
            )
        if self._mask(np.asarray(self.data.x[:1])) is not None:
            notes.append("Positions that the model's own mask leaves out, as padding, count nowhere.")
        if self._scales_targets:
            notes.append(
                "Networks are trained on standardized targets and predict in their own units; scale_targets=none "
                "trains on the numbers as they are."
            )
        reason = why_not_saved(self._program(next(iter(self.recipes.values()))).model.network)
        if reason:
            notes.append(f"The model can be compared, but not exported: it {reason}.")
        return tuple(notes)

    def facts(self) -> dict[str, str]:
        """Return what results depend on beside the spec, each as a short text."""
        first = self.settings.first_seed
        return self._study_facts(self._facts(first, self._initial_weights(first)))

    def restored(self, recipe: Recipe, seed: int, weights: list[np.ndarray]) -> Program:
        """Return a program whose network has these weights, for looking at inputs and not for training.

        Of the recipe it has what acts on inputs outside of training too, such as whitening; so most recipes share one.
        """
        kept = Recipe(*(strategy for strategy in recipe if strategy.preprocesses))
        program = self._program(kept)
        program.restore(kept, self.seed_data(seed), weights)
        return program

    def in_training(self, recipe: Recipe, seed: int, weights: list[np.ndarray]) -> Program:
        """Return the program that trains a recipe, with these weights: what acts on a batch acts as in training."""
        program = self._program(recipe.host())
        program.restore(recipe.host(), self.seed_data(seed), weights)
        return program

    def at_start(self, ride: Ride) -> tuple[Program, SeedData]:
        """Return the program that trains a ride, standing where the training begins, and what its seed fixes."""
        program, data = self._program(ride.recipe), self.seed_data(ride.seed)
        program.restore(ride.recipe, data, data.initial_weights)
        return program, data

    def train(
        self,
        ride: Ride,
        *,
        start: Checkpoint | None = None,
        checkpoint_every: int | None = None,
        until: int | None = None,
        on_epoch: Callable[[int, dict], None],
        on_checkpoint: Callable[[Checkpoint], None],
    ) -> list[Record]:
        """Train a ride, from the beginning or from where it stood, and return the record of each of its runs."""
        program, data = self._program(ride.recipe), self.seed_data(ride.seed)
        # The step is traced in the first epoch; the names given meanwhile must not depend on what was built before.
        keras.utils.clear_session(free_memory=False)
        return program.train(
            ride, data, epochs=self.settings.epochs, batch_size=self.settings.batch_size,
            start=start, checkpoint_every=checkpoint_every, until=until, on_epoch=on_epoch, on_checkpoint=on_checkpoint,
            callbacks=self.training.callbacks(),
        )  # fmt: skip

    # --- what a seed fixes -----------------------------------------------------------------------------------------

    def split(self, seed: int) -> Split:
        settings = self.settings
        return split(
            self.data,
            self.task,
            test=self.test,
            seed=seed,
            train_size=settings.train_size,
            validation=settings.validation,
            protocol=settings.protocol,
        )

    def seed_data(self, seed: int) -> SeedData:
        """Return what the seed fixes for every recipe alike."""
        if seed not in self._seeds:
            self._seeds[seed] = self._prepared(seed)
            while len(self._seeds) > _SEEDS:
                self._seeds.popitem(last=False)
        self._seeds.move_to_end(seed)
        return self._seeds[seed]

    def _prepared(self, seed: int) -> SeedData:
        data, parts = self.data, self.split(seed)
        preprocess = self._preprocess(data.x[np.sort(parts.train)])
        random = np.random.default_rng(derive(seed, "clean"))
        clean = np.sort(random.choice(parts.train, size=min(len(parts.train), len(parts.val)), replace=False))

        def ready(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            x, y = preprocess(data.x[indices]), data.y[indices]
            mask = self._mask(x)
            return x, y if mask is None else self.task.masked(y, mask)

        scale = target_scale(data.y[np.sort(parts.train)]) if self._scales_targets else None
        y = self._form(data.y) if scale is None else scaled(data.y, scale)
        return SeedData(
            seed=seed, x=data.x, y=y, target_scale=scale, train=parts.train,
            preprocess=preprocess, clean=ready(clean),
            validation=ready(np.sort(parts.val)), test=None if self.settings.sealed else ready(np.sort(parts.test)),
            initial_weights=self._initial_weights(seed), repetition=self.settings.repetition,
            weights=self.training.weights(data.y, parts.train),
        )  # fmt: skip

    def _mask(self, x: np.ndarray) -> np.ndarray | None:
        """Return which positions count by the model's own mask, which is that of its inputs and not of its weights."""
        if not self._masks:
            return None
        if self._masking is None:
            self._masking = self._build(self.settings.first_seed)
        found = output_mask(self._masking, x)
        if found is None:
            self._masks, self._masking = False, None
        return found

    def _preprocess(self, x: np.ndarray) -> Preprocess | PreprocessEach:
        """Return what is done to inputs, given those of training: nothing to indices, and where a value is a mask."""
        data, mode = self.data, self.settings.preprocess
        kept = self._indices | self._masked
        modes = {name: "none" if name in kept else mode for name in data.kinds}
        if data.kind != SEVERAL:
            return Preprocess.fit(x, modes[""], value_range=data.value_range, missing=data.missing)
        ranges = {name: (0.0, 255.0) if of.dtype == np.uint8 else None for name, of in by_input(x).items()}
        return PreprocessEach({
            name: Preprocess.fit(of, modes[name], value_range=ranges[name]) for name, of in by_input(x).items()
        })  # fmt: skip

    def _initial_weights(self, seed: int) -> list[np.ndarray]:
        # An accelerator's random numbers differ in their last bits, and a study is the same wherever it is trained.
        with backends.on_processor():
            return [np.array(weight) for weight in self._build(seed).get_weights()]

    def _build(self, seed: int) -> keras.Model:
        # On TensorFlow the last bits depend on automatic layer names, so every build starts counting them anew.
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(derive(seed, "weights"))
        with self._precision():
            model = self.builder()
            if not model.built:
                model.build(with_batch_axis(self.data.input_shape))
        return model

    @contextmanager
    def _precision(self) -> Iterator[None]:
        """Give layers that are made meanwhile the study's dtype policy."""
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.settings.precision)
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)

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
        head = self._model().head
        measured = self._measured  # for which a model is built, before the one that is trained
        model = self._build(self.settings.first_seed)
        with self._precision():
            regularized = regularize((lambda: model) if self._built_anew else model, recipe, seed=0)
        weights = self.training.loss_weights()
        regularized.compile(
            optimizer=self.training.optimizer(), loss=self.training.loss(head),
            **({} if weights is None else {"loss_weights": weights}),
        )  # fmt: skip
        check_ready(recipe.host(), fitted=True, validated=False, metrics=[])
        return Program(regularized, self.task, head, self.data.input_shape, measured=measured)

    def _model(self) -> _Seen:
        """Return what is seen of the model, if it fits the data."""
        if self._checked is None:
            model = self._build(self.settings.first_seed)
            head = check_output(model, task=self.task, input_shape=self.data.input_shape)
            self._compiled_with = self._given.get("compiled") or taken(model)
            self._checked = _Seen(head, _config_of(model), indexed(model), masked(model))
        return self._checked

    @property
    def _indices(self) -> frozenset[str]:
        """The inputs that are indices, which measure nothing: the model looks them up, or the data says so."""
        looked_up = self._model().looked_up
        return frozenset(name for name, kind in self.data.kinds.items() if are_indices(kind) or name in looked_up)

    @property
    def _masked(self) -> frozenset[str]:
        """The inputs of which the model masks steps by their values, which scaling would move."""
        return self._model().masked & frozenset(self.data.kinds)

    # --- how they are trained --------------------------------------------------------------------------------------

    @cached_property
    def training(self) -> Training:
        """How the runs are trained, the same for every recipe."""
        self._model()
        return Training(
            self.settings, self.task, given=self._given, compiled=self._compiled_with, steps=self._steps
        )  # fmt: skip

    def _steps(self) -> int:
        """Return how many steps a training takes."""
        batches = math.ceil(len(self.split(self.settings.first_seed).train) / self.settings.batch_size)
        return batches * self.settings.epochs

    @cached_property
    def _form(self) -> Callable[[np.ndarray], np.ndarray]:
        """From labels to the form that the loss takes."""
        return self.training.form(self._model().head, self.data.y, self._outputs)

    @cached_property
    def _measured(self) -> Measured | MeasuredEach | None:
        """What measures the user's metrics."""
        return self.training.measured(self._model().head, self.data.y, self._outputs)

    def _outputs(self, count: int) -> Any:
        """Return what the model gives at its start for so many examples; of several outputs a dict by name."""
        x = self.data.x[np.resize(np.arange(min(count, len(self.data))), count)]
        model = self._build(self.settings.first_seed)
        outputs = model(fed(self._preprocess(x)(x)), training=False)
        if not self.task.outputs:
            return keras.ops.convert_to_numpy(outputs).astype("float32")
        named = by_output(model, outputs)
        return {name: keras.ops.convert_to_numpy(named[name]).astype("float32") for name in self.task.outputs}

    def _check_training(self) -> None:
        """Raise a ReglabError where runs cannot be trained as was said, before anything is."""
        self._form(self.data.y[:1])
        first = self.split(self.settings.first_seed).train
        self.training.weights(self.data.y, first)
        if self.settings.schedule is not None and "decay_steps" not in self.settings.schedule:
            for seed in self.settings.seed_list():
                if len(self.split(seed).train) != len(first):
                    raise ReglabError(
                        f"schedule={self.settings.schedule!r} ends with the training, and trainings of seed {seed} and "
                        f"of seed {self.settings.first_seed} take different numbers of steps. Say decay_steps."
                    )

    def _facts(self, seed: int, weights: list[np.ndarray]) -> dict[str, Any]:
        """Return everything but the recipe that decides the result of a run."""
        digest = hashlib.sha256()
        for weight in weights:
            digest.update(np.ascontiguousarray(weight).tobytes())
        training = self.training
        settings = {k: v for k, v in self.settings.to_dict().items() if k not in _NOT_RESULT}
        head, config = self._model().head, self._model().config
        settings |= {"optimizer": training.name, "learning_rate": training.rate}
        names = ", ".join(sorted(self._indices))
        read = {"inputs": f"{names}{': ' * bool(names)}indices, as they are"} if self._indices else {}
        if self._masked:
            read["padding"] = f"{', '.join(sorted(self._masked))}{': ' * any(self._masked)}masked, inputs as they are"
        if self._scales_targets:
            read["targets"] = "standardized"
        if (groups := self.data.groups) is not None:
            content = np.ascontiguousarray(np.unique(groups, return_inverse=True)[1].astype("int64"))
            read["groups"] = hashlib.sha256(content.tobytes()).hexdigest()
        return {
            **read,
            "data": self.data.fingerprint, "test_part": hashlib.sha256(self.test.tobytes()).hexdigest(),
            "model": config, "initial_weights": digest.hexdigest(), "seed": seed, "settings": settings,
            "task": self.task.kind, "metric": self.task.deciding, "head": head.told(),
            "optimizer": training.identified(), "keras": keras.__version__,
            "backend": [backends.name(), backends.version()], **training.facts(head),
        }  # fmt: skip

    def _study_facts(self, facts: dict[str, Any]) -> dict[str, str]:
        """Return the facts of a study for people: what a later start of it has to find unchanged."""
        backend, version = facts["backend"]
        return {
            **{key: facts[key] for key in ("inputs", "padding", "targets") if key in facts},
            "task": facts["task"],
            "metric": facts["metric"],
            "data (content)": facts["data"][:12],
            **({"groups": facts["groups"][:12]} if "groups" in facts else {}),
            "test part": facts["test_part"][:12],
            "model (configuration)": hashlib.sha256(facts["model"].encode()).hexdigest()[:12],
            "model (initial weights)": facts["initial_weights"][:12],
            "optimizer": ", ".join(f"{key}={value}" for key, value in sorted(facts["optimizer"].items())),
            **self.training.told(self._model().head),
            "keras": facts["keras"],
            "backend": f"{backend} {version}",
            "reglab results": str(RESULT_VERSION),
        }


# Settings that do not change what one run gives, or whose outcome counts in their place: which seeds there are, what
# the task was said to be, how the data was read, and what the optimizer and the loss are made of.
_NOT_RESULT = (
    "seeds",
    "first_seed",
    "margin",
    "task",
    "metric",
    "ignore_class",
    "scale_targets",
    "kind",
    "image_size",
    "color_mode",
    "skip_broken",
    "schedule",
    *CLIPPING,
    "loss",
    "loss_weights",
    "metrics",
    "class_weight",
    *TABLE,
)


def _config_of(model: keras.Model) -> str:
    """Return the model's configuration, or what can be known of a model that has none."""
    try:
        with uncompiled(model):  # what it is trained with counts by itself, and may have no configuration
            config = dict(keras.saving.serialize_keras_object(model))
        return json.dumps(config, sort_keys=True, default=str)
    except Exception:  # a subclassed model without get_config; its weights count in any case
        shapes = [list(weight.shape) for weight in model.weights]
        return f"{type(model).__module__}.{type(model).__qualname__} {shapes}"
