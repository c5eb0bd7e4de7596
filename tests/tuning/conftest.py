"""Makes ``played.py`` importable, and lets searches be played: what they cost is training, and what they do is not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "study"))


@pytest.fixture
def stage():
    """Play the trainings of a test; see ``played.stage``."""
    from played import stage

    with stage() as players:
        yield players
