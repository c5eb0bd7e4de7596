"""The smaller form in which the documents' commands and programs are run: a rule for all of them, in this place.

Whoever asks for a training, be it Python, YAML or the command line, does so through the same few declarations. They are
capped here, after their own checks, so that nothing of what a document says is rewritten. As a program,
``python smaller.py ARGUMENTS`` is ``reglab ARGUMENTS`` in its smaller form.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

SETTINGS = {"seeds": 2, "epochs": 2, "train_size": 40}
SEARCH = {"trials": 3, "batch": 2}
WAYS = {"workers": 0, "timeout": None}  # in this process: starting another one costs more than the training
SECONDS = 0.05  # of training on each backend that is measured
FOLDS = 2  # of a cross-validation


def apply(patch: Callable[[Any, str, Any], None] = setattr) -> None:
    import webbrowser

    import plotly.basedatatypes
    from sklearn.model_selection import _search, _validation, check_cv

    from reglab.cli import backends
    from reglab.experiments import speed
    from reglab.study.executors.choice import Execution
    from reglab.study.spec import Settings
    from reglab.tuning.budget import Budget

    _after_checks(Settings, lambda key, value: min(value or SETTINGS[key], SETTINGS[key]), SETTINGS, patch)
    _after_checks(Budget, lambda key, value: min(value or SEARCH[key], SEARCH[key]), SEARCH, patch)
    _after_checks(Execution, lambda key, value: WAYS[key], WAYS, patch)
    measure, is_number = speed.measure, lambda cv: cv is None or isinstance(cv, int)
    for module in (speed, backends):  # the command has it by name
        patch(module, "measure", lambda *args, **kwargs: measure(*args, **{**kwargs, "seconds": SECONDS}))
    patch(speed, "_WARM_S", SECONDS)
    for module in (_validation, _search):
        patch(module, "check_cv", lambda cv, *args, **kwargs: check_cv(FOLDS if is_number(cv) else cv, *args, **kwargs))
    patch(plotly.basedatatypes.BaseFigure, "show", lambda figure, *args, **kwargs: None)
    patch(webbrowser, "open", lambda url, *args, **kwargs: bool(url))
    _without_downloads(patch)


def _after_checks(owner: Any, cap: Callable[[str, Any], Any], names: Any, patch: Callable) -> None:
    check = owner.__post_init__

    def checked(self: Any) -> None:
        check(self)
        for key in names:
            object.__setattr__(self, key, cap(key, getattr(self, key)))

    patch(owner, "__post_init__", checked)


def _without_downloads(patch: Callable) -> None:
    """CIFAR-10 is some images of noise: nothing is downloaded."""
    import numpy as np

    from reglab.data import builtin

    random = np.random.default_rng(0)
    parts = [
        (random.integers(0, 256, (count, 32, 32, 3), "uint8"), np.arange(count)[:, None] % 10) for count in (120, 40)
    ]
    cifar10 = SimpleNamespace(load_data=lambda: tuple(parts))
    patch(builtin, "keras", SimpleNamespace(datasets=SimpleNamespace(cifar10=cifar10)))


if __name__ == "__main__":
    from reglab.cli import main

    apply()
    main()
