"""Makes the modules beside it importable from the tests, and trains the study that documents name once a session."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.extend([str(Path(__file__).parent), str(Path(__file__).parents[1] / "report")])  # which has made studies


@pytest.fixture
def in_small(monkeypatch):
    """Trainings, searches and measurements take little here, whoever asks for them."""
    import smaller

    smaller.apply(monkeypatch.setattr)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A study folder as ``reglab demo`` leaves one, of a network that trains at once."""
    import furnished

    return furnished.demo(tmp_path_factory.mktemp("trained") / "demo")
