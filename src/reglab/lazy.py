"""Packages that take long to load, imported when they are first used.

Keras 3 binds itself to a backend at import, and TensorFlow takes seconds to load; scikit-learn, SciPy's statistics and
pandas take two more. A recipe can be written, parsed, checked and printed, a folder looked at and a worker started
without them, so modules of reglab take them from here::

    from reglab.lazy import keras, stats
    keras.ops.sum(x)          # the first attribute access chooses the backend and imports Keras

Modules that define subclasses of Keras classes are the exception: they import Keras in the usual way, after calling
:func:`reglab.backends.require`, and are themselves imported late.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from reglab import backends

__all__ = [
    "datasets", "dummy", "ensemble", "imported", "keras", "linear_model", "metrics", "model_selection", "multioutput",
    "optimize", "pandas", "special", "stats",
]  # fmt: skip


class _Late:
    """Stands for a module until somebody asks it for something."""

    def __init__(self, name: str, before: Callable[[], object] = lambda: None) -> None:
        self._name, self._before = name, before
        self._module: ModuleType | None = None

    def __getattr__(self, name: str) -> Any:
        if self._module is None:
            self._before()
            self._module = importlib.import_module(self._name)
        return getattr(self._module, name)

    def __reduce__(self) -> str:
        return self._name.rpartition(".")[2]  # its name in this module: a class that is sent by value takes it along


def imported(value: object) -> str | None:
    """Return the statement that imports the package that a value stands for, if it does.

    >>> imported(metrics), imported(3)
    ('from sklearn import metrics', None)
    """
    if not isinstance(value, _Late):
        return None
    package, _, module = value._name.rpartition(".")
    return f"from {package} import {module}" if package else f"import {module}"


if TYPE_CHECKING:
    import keras
    import pandas
    from scipy import optimize, special, stats
    from sklearn import datasets, dummy, ensemble, linear_model, metrics, model_selection, multioutput
else:
    keras = _Late("keras", backends.require)
    pandas = _Late("pandas")
    optimize, special, stats = (_Late(f"scipy.{name}") for name in ("optimize", "special", "stats"))
    datasets, dummy, ensemble, linear_model = (
        _Late(f"sklearn.{name}") for name in ("datasets", "dummy", "ensemble", "linear_model")
    )
    metrics, model_selection, multioutput = (
        _Late(f"sklearn.{name}") for name in ("metrics", "model_selection", "multioutput")
    )
