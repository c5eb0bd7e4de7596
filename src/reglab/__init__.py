"""reglab: a laboratory for regularization on Keras 3.

The public names are loaded when they are first used, so that ``import reglab`` imports neither Keras nor a backend.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from reglab.announced import announce
from reglab.version import __version__

_HOME = {
    "Recipe": "reglab.recipe",
    "ReglabError": "reglab.errors",
    "regularize": "reglab.regularized",
    "Dataset": "reglab.data",
    "load": "reglab.data",
    "Study": "reglab.facade",
    "Results": "reglab.facade",
    "Diagnosis": "reglab.facade",
    "diagnose": "reglab.facade",
    "Diagnose": "reglab.callbacks",
    "RegularizedClassifier": "reglab.sklearn",
    "RegularizedRegressor": "reglab.sklearn",
}

_MODULES = {"figures": "reglab.report.figures", "strategies": "reglab.strategies"}

__all__ = ["__version__", *sorted({**_HOME, **_MODULES})]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = importlib.import_module(_MODULES[name])
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'reglab' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


announce()


if TYPE_CHECKING:
    from reglab import strategies
    from reglab.callbacks import Diagnose
    from reglab.data import Dataset, load
    from reglab.errors import ReglabError
    from reglab.facade import Diagnosis, Results, Study, diagnose
    from reglab.recipe import Recipe
    from reglab.regularized import regularize
    from reglab.report import figures
    from reglab.sklearn import RegularizedClassifier, RegularizedRegressor
