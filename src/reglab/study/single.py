"""One training outside of a study: data without a test part in, a trained network out. No disk.

It is the training of a study's run: the same program, streams, split and choice of the best epoch. A classifier that is
given what is not test in a study, and the study's seed, becomes that run.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import keras
import numpy as np

from reglab import backends
from reglab.data import Preprocess
from reglab.data.kinds import are_indices, shaped
from reglab.errors import ReglabError
from reglab.keras_internals import name_anew, naming_kept
from reglab.models import ModelSource, check_output, resolve, takes
from reglab.recipe import Recipe
from reglab.regularized import regularize
from reglab.regularized.inputs import takes_as_they_are
from reglab.regularized.model import RegularizedModel
from reglab.rounding import narrowed
from reglab.seeds import derive
from reglab.study.plan import Run, rides
from reglab.study.records import DIVERGED, Record
from reglab.study.run import Program, SeedData
from reglab.study.spec import Settings
from reglab.study.targets import Scale, in_own_units, scaled, scales_targets, target_scale, units_layer
from reglab.study.track import Track
from reglab.study.training import Training
from reglab.tasks import Head, Task

__all__ = ["Single", "Trained", "predictions", "undisturbed", "whole"]

_FEWEST, _MOST, _VALUES = 32, 512, 2**18  # examples predicted at a time, and numbers in their inputs; as in a study


@dataclass(frozen=True, eq=False)
class Trained:
    """What came of a training: the model at the epoch that is kept (counted from 0), and what goes with it."""

    model: RegularizedModel
    task: Task
    head: Head
    preprocess: Preprocess
    target_scale: Scale | None
    history: dict[str, list[float]]
    best_epoch: int


@dataclass(frozen=True, eq=False)
class Single:
    """What is trained, and how.

    Attributes:
        model: what :func:`reglab.models.resolve` takes.
        recipe: the recipe.
        seed: decides the split, the initial weights, the batch order and every random stream.
        validation: share of the examples that chooses the best epoch; None keeps the last one.
        epochs, batch_size, optimizer, learning_rate, preprocess, scale_targets: as in a study.
    """

    model: ModelSource
    recipe: Recipe
    seed: int
    validation: float | None
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float | None
    preprocess: str
    scale_targets: str | None = None

    def train(
        self,
        x: np.ndarray,
        y: np.ndarray,
        *,
        task: Task,
        weights: np.ndarray | None = None,
        on_epoch: Callable[[int, dict], None] = lambda epoch, values: None,
    ) -> Trained:
        """Train on raw examples and their labels.

        Args:
            x: examples ``(N, ...)``.
            y: their labels.
            task: what they are labels of.
            weights: how much each example counts, all above 0; by default alike.
            on_epoch: hears of each epoch, counted from 0, with its clean metrics.

        Raises:
            ReglabError: for a model or recipe that does not fit, before training; for a training that diverges.
        """
        x, vocabulary = narrowed(x), None
        kinds = takes(self.model)
        if kinds and all(map(are_indices, kinds)):
            x = shaped(x, kinds[0], name="The data")
            vocabulary = int(x.max()) + 1
        ride = rides([Run("single", self.recipe.to_text(), self.recipe, self.seed)])[0]
        train, _ = self._parts(y, task)
        program, initial = self._compiled(ride.recipe, x.shape[1:], task, vocabulary, examples=len(train))
        mode = "none" if takes_as_they_are(program.model.network) else self.preprocess
        data = self._prepared(x, y, weights, initial, mode, task)
        name_anew()  # the step is traced in the first epoch
        (record,) = program.train(ride, data, epochs=self.epochs, batch_size=self.batch_size, on_epoch=on_epoch)
        if record.status == DIVERGED:
            raise ReglabError(
                f"The training with {self.recipe.to_text()!r} diverged: {record.error}. Lower the learning rate or the "
                "strengths of the recipe, or look for examples with extreme values."
            )
        return Trained(
            program.model, task, program.head, data.preprocess, data.target_scale,
            best_epoch=int(record.metrics["best_epoch"]) - 1,
            history={
                name: values for name, values in record.history.items()
                if self.validation is not None or not name.startswith("val_")
            },
        )  # fmt: skip

    def _compiled(
        self, recipe: Recipe, shape: tuple[int, ...], task: Task, vocabulary: int | None, *, examples: int
    ) -> tuple[Program, list[np.ndarray]]:
        """Return the program that trains ``recipe`` on so many examples, and the initial weights."""
        builder = resolve(
            self.model, input_shape=shape, num_classes=len(task.names), ending=task.ending, vocabulary=vocabulary
        )

        def build() -> keras.Model:
            name_anew()
            _seed_all(derive(self.seed, "weights"))
            model = builder()
            if not model.built:
                model.build((None, *shape))
            return model

        model = build()
        head = check_output(model, task=task, input_shape=shape)
        initial = [np.array(weight) for weight in model.get_weights()]
        regularized = regularize(build() if isinstance(self.model, keras.Model) else build, recipe, seed=0)
        settings = Settings(optimizer=self.optimizer, learning_rate=self.learning_rate)
        training = Training(settings, task, steps=lambda: self.epochs * math.ceil(examples / self.batch_size))
        regularized.compile(optimizer=training.optimizer(), loss=training.loss(head))
        program = Program if self.validation is not None else _ToTheEnd
        return program(regularized, task, head, shape), initial

    def _prepared(
        self,
        x: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        initial: list[np.ndarray],
        mode: str,
        task: Task,
    ) -> SeedData:
        train, val = self._parts(y, task)
        limits = (0.0, 255.0) if x.dtype == np.uint8 else None
        preprocess = _fitted(x[train], mode, limits, None if weights is None else weights[train])
        if self.validation is None:
            clean = val = train  # something has to be measured; nothing is chosen by it
        else:
            draw = np.random.default_rng(derive(self.seed, "clean"))
            clean = np.sort(draw.choice(train, size=min(len(train), len(val)), replace=False))
            clean = clean if task.measurable(y[clean]) else train
        if weights is not None:
            # To a mean of 1, so that penalties weigh what they do without.
            weights = (weights / weights[train].mean()).astype("float32")

        def ready(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return preprocess(x[indices]), y[indices]

        scale = None
        if scales_targets(task, self.model, self.scale_targets):
            scale = target_scale(y[train], None if weights is None else weights[train])
        return SeedData(
            seed=self.seed, x=x, y=scaled(y, scale), target_scale=scale, train=train, preprocess=preprocess,
            clean=ready(clean), validation=ready(val),
            test=None, initial_weights=initial, weights=weights,
            measured=(None, None) if weights is None else (weights[clean], weights[val]),
        )  # fmt: skip

    def _parts(self, y: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
        """Return the examples that train and those that choose: in proportion, as far as there are enough of a kind."""
        indices, share = np.arange(len(y)), self.validation
        if share is None:
            return indices, indices[:0]
        train, val = task.hold_out_of_few(y, share, seed=derive(self.seed, "validation"))
        if not len(val) or not task.measurable(y[val]):
            what = "none can be held out" if not len(val) else f"the {len(val)} that are held out have no label"
            raise ReglabError(
                f"Of {len(y)} examples{task.counted(y)} {what} with validation={share}. Give more "
                "examples, a larger share, or validation=None, which keeps the last epoch."
            )
        return train, val


class _ToTheEnd(Program):
    """A program that keeps the last epoch in place of the best, with the weights that its observers bring there."""

    def _record(self, track: Track, data: SeedData) -> Record:
        if not track.diverged:
            track.best_epoch = len(track.history["loss"]) - 1
            track.best_weights = track.latest()
        return super()._record(track, data)


def _fitted(x: np.ndarray, mode: str, limits: tuple[float, float] | None, weights: np.ndarray | None) -> Preprocess:
    """Return what is done to inputs; with weights, mean and deviation are those of the weighted examples."""
    if weights is None or mode != "standardize":
        return Preprocess.fit(x, mode, value_range=limits)
    values = x.reshape(-1, x.shape[-1]).astype("float64")
    counts = np.repeat(weights, len(values) // len(x))
    mean = np.average(values, axis=0, weights=counts)
    deviation = np.sqrt(np.average(np.square(values - mean), axis=0, weights=counts))
    return Preprocess.standardizing(mean, deviation, x=x, value_range=limits)


def predictions(
    model: RegularizedModel,
    task: Task,
    head: Head,
    preprocess: Preprocess,
    x: np.ndarray,
    scale: Scale | None = None,
) -> np.ndarray:
    """Return what the task keeps of the outputs for raw examples, in inference mode.

    Batches have a few sizes only, filled up with an example that is there, since each size is compiled once.
    """
    most = max(_FEWEST, min(_MOST, _VALUES // int(np.prod(x.shape[1:]))))
    outputs = []
    for start in range(0, len(x), most):
        piece = preprocess(x[start : start + most])
        size = min(most, max(_FEWEST, 2 ** (len(piece) - 1).bit_length()))
        filled = np.concatenate([piece, np.repeat(piece[:1], size - len(piece), axis=0)])
        outputs.append(keras.ops.convert_to_numpy(model.predict_on_batch(filled))[: len(piece)])
    return in_own_units(task.predictions(np.concatenate(outputs).astype("float32"), head), scale)


def whole(
    network: keras.Model,
    preprocess: Preprocess,
    shape: tuple[int, ...],
    scale: Scale | None = None,
) -> keras.Model:
    """Return a plain Keras model that does what ``preprocess`` does before ``network``, in the units of targets."""
    if preprocess.mode == "none" and scale is None:
        return network
    inputs = outputs = keras.Input(shape, name="raw_input")
    for layer in preprocess.as_layers():
        outputs = layer(outputs)
    outputs = network(outputs)
    return keras.Model(inputs, outputs if scale is None else units_layer(scale)(outputs), name=network.name)


def _seed_all(seed: int) -> None:
    """Seed whatever a builder draws weights from. TensorFlow's own generator is left alone: it cannot be put back."""
    random.seed(seed)  # Keras draws the seeds of initializers from it
    np.random.seed(seed)
    if backends.name() == "torch":
        import torch

        torch.manual_seed(seed)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave the random state of the process and Keras' automatic names as they were.

    TensorFlow warns when much is compiled, as in a cross-validation, where every fit has a program of its own: of that
    it says nothing meanwhile.
    """
    python, numpy = random.getstate(), np.random.get_state()
    log = logging.getLogger("tensorflow")
    log.addFilter(_not_of_retracing)
    try:
        with naming_kept(), _torch_kept():
            yield
    finally:
        log.removeFilter(_not_of_retracing)
        random.setstate(python)
        np.random.set_state(numpy)


def _not_of_retracing(record: logging.LogRecord) -> bool:
    return "retracing" not in record.getMessage()


def _torch_kept() -> AbstractContextManager[None]:
    if backends.name() != "torch":
        return nullcontext()
    import torch

    return torch.random.fork_rng(devices=range(torch.cuda.device_count()))
