"""The trained network for use: raw inputs in, what the task keeps of its outputs out, in layers of Keras' own."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from reglab.data.dataset import Dataset
from reglab.data.kinds import SEVERAL
from reglab.data.preprocess import Preprocess, PreprocessEach
from reglab.data.several import by_input, fed, numbers
from reglab.errors import ReglabError
from reglab.models import by_output
from reglab.recipe import Recipe
from reglab.study.targets import Scale, units_layer
from reglab.tasks import Head, Task

__all__ = ["ZCA_LIMIT", "check", "deployed"]

ZCA_LIMIT = 4096  # numbers in an example that is whitened: the matrix is their square, 64 MiB at the limit


def deployed(
    network: keras.Model,
    *,
    data: Dataset,
    preprocess: Preprocess | PreprocessEach,
    task: Task,
    head: Head,
    recipe: Recipe,
    target_scale: Scale | None = None,
) -> keras.Model:
    """Return a model that takes raw examples as the data set has them.

    Args:
        network: the trained network as plain Keras, with what the recipe fitted as layers in it.
        data: whose examples it takes.
        preprocess: what is done to them first.
        task: what it predicts.
        head: what the network gives.
        recipe: what it was trained with.
        target_scale: mean and deviation that labels were standardized by for training, if they were.

    Raises:
        ReglabError: if a whitening is too large to be a layer, or float32 is too coarse for the raw examples.
    """
    size = numbers(data.input_shape)
    whitened = [strategy for strategy in recipe if getattr(strategy, "zca_whitening", False)]
    if whitened and size > ZCA_LIMIT:
        raise ReglabError(
            f"ZCA whitening of {size} numbers an example is a matrix of {size} x {size}, {4e-9 * size**2:.1f} GB; up "
            f"to {ZCA_LIMIT} are exported. Use smaller images, or a recipe without zca_whitening."
        )
    named = preprocess.of if isinstance(preprocess, PreprocessEach) else {"": preprocess}
    inputs = {name: _raw(x, named[name], name or "raw") for name, x in by_input(data.x).items()}
    ready = dict(inputs)
    for name, of_input in named.items():
        for layer in of_input.as_layers(name):
            ready[name] = layer(ready[name])
    given = network(ready if data.kind == SEVERAL else ready[""])
    outputs = task.finish(by_output(network, given) if task.outputs else given, head)
    if target_scale is not None:
        outputs = units_layer(target_scale)(outputs)
    return keras.Model(inputs if data.kind == SEVERAL else inputs[""], outputs, name=f"{network.name}_on_raw_inputs")


def _raw(x: np.ndarray, preprocess: Preprocess, name: str) -> keras.KerasTensor:
    """Return the symbolic input of raw examples: indices are integers of at most 32 bits, all else float32."""
    indices = preprocess.mode == "none" and x.dtype.kind in "iu" and x.dtype != np.uint8
    # Indices fit into 32 bits; JAX has no wider integers as it is set by default.
    dtype = "float32" if not indices else x.dtype.name if x.dtype.itemsize <= 4 else "int32"
    return keras.Input(x.shape[1:], dtype=dtype, name=name)


def check(path: Path, *, x: np.ndarray, predictions: np.ndarray, tolerance: float) -> float:
    """Load a saved model as users will, and return how far its predictions are from those of the run.

    Args:
        path: of the ``.keras`` file.
        x: raw examples.
        predictions: what the run predicted for them.
        tolerance: how far they may be, as a share of the largest number that was predicted, or of 1.

    Raises:
        ReglabError: if it cannot be loaded with ``safe_mode=True``, or predicts something else.
    """
    try:
        model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:
        said = " ".join(str(error).split()).split(". ")[0]
        raise ReglabError(
            f"The network cannot be loaded with safe_mode=True: {said}. A Lambda layer holds Python code, and a layer "
            "of your own has to be registered (keras.saving.register_keras_serializable). Make it one of Keras' layers."
        ) from error
    given = model.predict(fed(x), verbose=0)
    named = given if isinstance(given, dict) else {"": given}
    far, kept = [], by_input(predictions)
    for name, expected in kept.items():
        found = keras.ops.convert_to_numpy(named[name]).reshape(expected.shape)
        far.append((float(np.abs(found - expected).max()), max(1.0, float(np.abs(expected).max()))))
    off = max(by for by, _ in far)
    if not all(by <= tolerance * largest for by, largest in far):
        raise ReglabError(
            f"The exported network predicts something else than the run did (by {off:.2g}), so it is not handed out. "
            "Was the study trained by other versions of Keras or of the backend?"
        )
    return off
