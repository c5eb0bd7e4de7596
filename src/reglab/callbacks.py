"""``reglab.Diagnose``: one line in anybody's training that says at its end whether the model overfits."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console

from reglab import backends
from reglab.report.diagnosis import brief, whole

backends.require()

import keras  # noqa: E402  # after a backend was chosen: see reglab.lazy

from reglab.analysis.diagnose import diagnose  # noqa: E402
from reglab.analysis.prescribe import Item, Patient, prescribe  # noqa: E402
from reglab.data.kinds import ARRAY, IMAGE, TOKENS  # noqa: E402
from reglab.data.labels import read_labels  # noqa: E402
from reglab.errors import ReglabError  # noqa: E402
from reglab.facade import Diagnosis  # noqa: E402
from reglab.logs import Log, read_log  # noqa: E402
from reglab.models import check_output  # noqa: E402
from reglab.regularized.inputs import takes_indices  # noqa: E402
from reglab.tasks import Head, Task, of_classes, of_log, task_for  # noqa: E402

__all__ = ["Diagnose"]

_ROWS = 256  # examples a prediction step
_WIDEST = 100  # characters a line


@keras.saving.register_keras_serializable(package="reglab")
class Diagnose(keras.callbacks.Callback):
    """Prints, when training ends, whether the model overfits, and the first remedy.

    It watches what ``fit`` logs and changes nothing: weights, metrics and random streams are as without it. Keras' own
    training metrics are running means over an epoch, with dropout on and while the weights move, so a gap found from
    them is rather too small, and the output says so. With ``clean`` the training part is measured as a study does.

    Args:
        clean: examples and labels of the training set ``(x, y)``, or some of them, on which what a diagnosis goes by is
            measured in inference mode after each epoch: accuracy and cross-entropy, or R² and the root mean squared
            error of numbers. By default Keras' metrics are used.
        validation: the same for validation, which also gives calibration. By default what ``validation_data`` logs.
        attainable: the training accuracy, or R² of numbers, that a good model can have on this data: below 1 where
            labels are noisy. By default 1, and of numbers nothing is assumed.
        verbose: 0 prints nothing; 1 verdict and first remedy; 2 all findings and remedies.

    Attributes:
        diagnosis: a :class:`reglab.Diagnosis`, once training has ended; ``print`` says it in words.
        prescription: the remedies, the first one first.

    Example:
        >>> import keras, reglab
        >>> from sklearn.datasets import load_digits
        >>> x, y = load_digits(return_X_y=True)
        >>> model = keras.Sequential([keras.layers.Dense(99, "relu"), keras.layers.Dense(10, "softmax")])
        >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> watch = reglab.Diagnose()
        >>> history = model.fit(x[:200], y[:200], validation_split=0.5, epochs=30, verbose=0, callbacks=[watch])
        Overfitting: ...
    """

    def __init__(
        self,
        *,
        clean: tuple[Any, Any] | None = None,
        validation: tuple[Any, Any] | None = None,
        attainable: float | None = None,
        verbose: int = 1,
    ) -> None:
        super().__init__()
        self.attainable, self.verbose = attainable, verbose
        self.diagnosis: Diagnosis | None = None
        self.prescription: tuple[Item, ...] = ()
        pairs = (("train", clean, "clean"), ("val", validation, "validation"))
        self._given = {name: _pair(pair, what) for name, pair, what in pairs if pair is not None}
        self._parts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._logs: dict[str, list[float | None]] = {}
        self._task: Task | None = None
        self._head: Head | None = None
        self._watched: Any = None

    def get_config(self) -> dict[str, Any]:
        """Return what makes it again, but for the data."""
        return {"attainable": self.attainable, "verbose": self.verbose}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._watched is not self.model:  # another fit of the same model goes on with its history
            self._watched, self._logs = self.model, {}
        self._parts = {}
        if self._given:
            x, y = next(iter(self._given.values()))
            loss, outputs = _loss_name(getattr(self.model, "loss", None)), self._outputs(x)
            many = len(getattr(self.model, "output_shape", None) or ()) > 2  # a class per position, or something else
            self._task = of_log((), loss=loss, outputs=outputs) if loss and not many else _by_labels(y, outputs)
            if self._task is not None:
                self._parts = {part: (x, _labels(y, self._task)) for part, (x, y) in self._given.items()}
                self._head = check_output(self.model, task=self._task, input_shape=x.shape[1:])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values = dict(logs or {})
        for part, (x, y) in self._parts.items():
            assert self._task is not None
            measured = self._task.measured(y, self._predicted(x))
            values |= {f"{part}_{name}": value for name, value in measured.items()}
        length = max((len(known) for known in self._logs.values()), default=0)
        for key in {*self._logs, *values}:  # validation_freq leaves epochs without
            known = self._logs.setdefault(key, [None] * length)
            known.append(float(values[key]) if key in values else None)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if not self._logs:
            return
        try:
            log = self._log()
        except ReglabError as error:  # no metric that is known: never a reason to end somebody's program
            self._say(f"reglab: no diagnosis. {error}")
            return
        found = diagnose(
            log.histories, log.task, attainable=self.attainable, clean=log.clean, validation=self._predictions()
        )
        self.diagnosis = Diagnosis.of(found, notes=log.notes)
        epochs, steps = self.diagnosis.runs[0].epochs, (self.params or {}).get("steps")
        patient = Patient(
            kind=self._kind(), epochs=epochs, steps=epochs * steps if steps else None,
            label_changing=frozenset({"horizontal_flip"}),  # of a digit it makes another one: what it is, nobody says
        )  # fmt: skip
        self.prescription = prescribe(self.diagnosis, patient)
        if self.verbose:
            text = whole if self.verbose > 1 else brief
            self._say(text(self.diagnosis, self.prescription, notes=log.notes, width=self._width()))

    def _log(self) -> Log:
        """Return what was logged, as far as it is known what it is of.

        Raises:
            ReglabError: if the model is trained for a task that is not known.
        """
        loss, outputs = _loss_name(getattr(self.model, "loss", None)), self._outputs()
        if loss and of_log((), loss=loss, outputs=outputs) is None:
            several = f" of {outputs} outputs" if outputs and outputs > 1 else ""
            raise ReglabError(
                f"The model is trained with {loss}{several}. A diagnosis knows cross-entropies of one label per "
                "example, and errors of numbers."
            )
        if loss:
            return read_log(self._logs, task=self._task, loss=loss, outputs=outputs)
        kept = {key: values for key, values in self._logs.items() if not key.endswith("loss")}  # it may be anything
        if of_log({key.removeprefix("val_").removeprefix("train_") for key in kept}) is None:
            raise ReglabError(
                "The loss is not one of Keras' own, and no metric is logged that tells what is learned. Compile with "
                "metrics=['accuracy'], or for numbers with metrics=[keras.metrics.R2Score()]."
            )
        return read_log(kept, task=self._task, outputs=outputs)

    def _say(self, text: str) -> None:
        if self.verbose:
            self._console().print(text, markup=False, highlight=False, soft_wrap=True)

    def _width(self) -> int:
        return min(_WIDEST, self._console().width)

    @staticmethod
    def _console() -> Any:
        return Console()

    def _predicted(self, x: np.ndarray) -> np.ndarray:
        assert self._head is not None
        assert self._task is not None
        size = min(_ROWS, len(x))
        rows = []
        for start in range(0, len(x), size):
            piece = x[start : start + size]
            count = len(piece)
            if count < size:  # of the same shape, so that nothing is compiled again
                piece = np.concatenate([piece, np.repeat(piece[:1], size - count, axis=0)])
            rows.append(np.asarray(keras.ops.convert_to_numpy(self.model.predict_on_batch(piece)))[:count])
        return self._task.predictions(np.concatenate(rows).astype("float32"), self._head)

    def _predictions(self) -> tuple[np.ndarray, np.ndarray] | None:
        if "val" not in self._parts:
            return None
        x, y = self._parts["val"]
        predicted = self._predicted(x)
        return (y, predicted[None]) if np.isfinite(predicted).all() else None

    def _outputs(self, x: np.ndarray | None = None) -> int | None:
        """Return how many outputs the model has; with examples it is called if it does not say so."""
        shape = getattr(self.model, "output_shape", None)
        if not isinstance(shape, tuple) or not isinstance(shape[-1], int):
            return None if x is None else int(self.model(x[:2], training=False).shape[-1])
        return shape[-1]

    def _kind(self) -> str:
        shape = getattr(self.model, "input_shape", None)
        image = isinstance(shape, tuple) and len(shape) == 4 and shape[-1] in (1, 3, 4)
        if image:
            return IMAGE
        return TOKENS if takes_indices(getattr(self.model, "network", self.model)) else ARRAY


def _loss_name(loss: object) -> str:
    """Return the name of a loss that is Keras' own; nothing for any other, and for several of them."""
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return ""
    function = getattr(loss, "fn", loss)
    module, name = getattr(function, "__module__", "") or "", getattr(function, "__name__", "")
    return name if module.startswith("keras.") else ""


def _pair(pair: tuple[Any, Any], what: str) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise ReglabError(f"Diagnose: {what} is a pair (x, y) of arrays; given was {type(pair).__name__}.")
    x, y = np.asarray(pair[0]), np.asarray(pair[1])
    if len(x) != len(y) or not len(x):
        raise ReglabError(f"Diagnose: {what} has {len(x)} examples and {len(y)} labels. Give one label each.")
    return x, y


def _labels(y: np.ndarray, task: Task) -> np.ndarray:
    """Return labels as a task has them."""
    if y.dtype.kind in "iu":  # class indices as the loss takes them, not numbered anew
        if task.form == "classes" and y.size == len(y):
            return y.reshape(-1).astype("int32")
        if task.form == "per_position":
            return (y[..., 0] if y.shape[-1] == 1 else y).astype("int32")
    return read_labels(y, "Diagnose", form=task.form).y


def _by_labels(y: np.ndarray, outputs: int | None) -> Task:
    """Return the task that labels tell, where the loss does not."""
    found = read_labels(y, "Diagnose")
    names = tuple(map(str, range(max(outputs or 0, len(found.names), 2))))
    if found.form == "classes":
        return of_classes(np.arange(len(names)), names)
    return task_for(found.form, found.y, names if found.form == "per_position" else found.names)
