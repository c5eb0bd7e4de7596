"""Reference lines of a study of a table: what guessing and scikit-learn's standard models have on the same splits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from reglab.data import Preprocess, split, test_part
from reglab.data.kinds import TABLE
from reglab.studies import Study
from reglab.study.storage import answers

__all__ = ["MOST_EXAMPLES", "load", "references"]

STEM = "references"  # of ``references.json``
MOST_EXAMPLES = 100_000  # of a table that lines are computed for unasked; boosting takes minutes of more

Lines = dict[str, dict[int, float]]


def references(study: Study, *, progress: Callable[[str, int], None] = lambda name, seed: None) -> Lines:
    """Return what reference models have on the test part, and keep it in the study's folder.

    Each is trained on the training split of each seed, standardized as it is for the networks, with scikit-learn's
    defaults: nothing is tuned, and validation is not looked at. Which models they are is the task's to say
    (:meth:`reglab.tasks.Task.references`).

    Args:
        study: whose data is a table; of others, and of sealed studies, there are none.
        progress: hears of each model and seed before it is trained.

    Returns:
        for each line, by its name, the deciding metric of each seed.
    """
    data, task, settings = study.dataset, study.task, study.settings
    makers = task.references()
    if data.kind != TABLE or settings.sealed or not makers:
        return {}
    question = {"metric": task.deciding, "seeds": settings.seed_list(), "data": data.fingerprint}
    if (held := answers.find(study.out, STEM, question)) is not None:
        return _lines(held)
    test = test_part(data, task, fraction=settings.test)
    found: Lines = {name: {} for name in makers}
    for seed in settings.seed_list():
        parts = split(
            data, task, test=test, seed=seed, train_size=settings.train_size, validation=settings.validation,
            protocol=settings.protocol,
        )  # fmt: skip
        train, held_out = np.sort(parts.train), np.sort(parts.test)
        prepared = Preprocess.fit(
            data.x[train], settings.preprocess, value_range=data.value_range, missing=data.missing
        )
        for name, make in makers.items():
            progress(name, seed)
            predicted = _predicted(make(seed), prepared(data.x[train]), data.y[train], prepared(data.x[held_out]))
            found[name][seed] = task.decides(data.y[held_out], predicted)
    answers.keep(study.out, STEM, question, {"lines": found})
    return found


def load(folder: str | Path) -> Lines:
    """Return the reference lines that a study folder has, or none."""
    held = answers.latest(folder, STEM)
    return {} if held is None else _lines(held)


def _lines(held: dict[str, Any]) -> Lines:
    return {name: {int(seed): float(value) for seed, value in of.items()} for name, of in held["lines"].items()}


def _predicted(model: Any, x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return probabilities of a model that gives any, else what it predicts."""
    # More threads than one are no faster on tables, and many times slower where others need the processor too.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # that an optimizer was stopped: it is a reference and no result
        model.fit(x, y)
    predict = getattr(model, "predict_proba", model.predict)
    return np.asarray(predict(new))
