"""Made studies, once a session."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A finished study of four recipes, one of which fails, with robustness, samples and masks."""
    import made

    from reglab.facade import Results

    where = made.study(
        tmp_path_factory.mktemp("made") / "study",
        failed={("too much", 1): "not a number in epoch 2: loss", ("too much", 2): "Traceback:\nValueError: no luck"},
    )
    made.with_robustness(where, Results.load(where))
    made.with_samples(where, magnified=7)
    made.with_masks(where)
    return where


@pytest.fixture(scope="session")
def results(folder):
    from reglab.facade import Results

    return Results.load(folder)


@pytest.fixture(scope="session")
def swept(tmp_path_factory):
    """A study that sweeps the coefficient of L2."""
    import made

    from reglab.facade import Results

    effects = {name: (0.01 * i, 1.0) for i, name in enumerate(made.SWEEP)}
    return Results.load(made.study(tmp_path_factory.mktemp("swept") / "study", made.SWEEP, effects=effects))
