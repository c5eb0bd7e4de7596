"""Makes ``played.py`` and ``stage_bench.py`` importable from the tests beside it, and from processes they start."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where the system has one: a process that dies loses nothing there that a disk would keep."""
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="reglab-test-", dir=shared if os.access(shared, os.W_OK) else None))
    yield folder
    shutil.rmtree(folder)
