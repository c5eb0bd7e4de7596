"""A model and a recipe in, a ``keras.Model`` out whose ``compile()`` and ``fit()`` work as usual."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from reglab import backends
from reglab.recipe import Recipe, RecipeLike

if TYPE_CHECKING:
    import keras

    from reglab.regularized.model import RegularizedModel

__all__ = ["regularize"]


def regularize(
    model: keras.Model | Callable[[], keras.Model], recipe: RecipeLike, *, seed: int | None = None
) -> RegularizedModel:
    """Return a Keras model that trains ``model`` with the regularization of ``recipe``.

    ``compile()``, ``fit()``, ``evaluate()`` and ``predict()`` work as for any Keras model. The given model is cloned
    with its weights and never touched; the trained clone is ``.network`` of the result, and ``export_network()`` gives
    it as plain Keras.

    Args:
        model: a ``keras.Model`` (Sequential, Functional or subclassed; built or not), or a function without arguments
            that returns one.
        recipe: a :class:`reglab.Recipe`, a strategy, or text such as ``"l2(kernel=1e-3)+dropout(rate=0.1)"``.
        seed: decides all random streams, the model's own random layers included. By default it is drawn from
            Python's ``random``, which ``keras.utils.set_random_seed`` seeds.

    Raises:
        ReglabError: if the model cannot be cloned, or the recipe cannot act on it, naming the layer and the way out.

    Example:
        >>> import keras, reglab
        >>> model = keras.Sequential(
        ...     [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax")]
        ... )
        >>> regularized = reglab.regularize(model, "l2(kernel=1e-3) + dropout(rate=0.1)")
        >>> regularized.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> from sklearn.datasets import load_iris
        >>> x, y = load_iris(return_X_y=True)
        >>> history = regularized.fit(x, y, epochs=2, verbose=0)
        >>> regularized.export_network().predict(x[:5], verbose=0).shape
        (5, 3)
    """
    recipe = Recipe.of(recipe)
    backends.adapter()
    from reglab.regularized.model import RegularizedModel

    return RegularizedModel.around(model, recipe, seed=random.getrandbits(31) if seed is None else int(seed))
