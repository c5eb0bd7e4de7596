"""The test session: which backend it runs on, how many threads it takes, and a clean Keras for each test.

``KERAS_BACKEND`` chooses the backend, TensorFlow where it is not set. Many tests need none, so nothing here imports
Keras: what has to be said to a backend is said in its environment, before the first test imports it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# What tests of several folders share: made.py makes study folders, played.py plays the trainings of studies.
sys.path += [str(Path(__file__).parent / folder) for folder in ("report", "study")]

BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# With pytest-xdist the processes share the cores; alone, two threads are what small convolutions make use of.
THREADS = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", THREADS)
os.environ.setdefault("TF_NUM_INTEROP_THREADS", THREADS)
os.environ.setdefault("OMP_NUM_THREADS", THREADS)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
if BACKEND == "jax":
    # Programs here run a few steps, so most of the time goes into making them fast.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

# The first example of a property compiles a graph, so its time says nothing.
# On a CI server the examples are the same each time; on a desk they are new ones.
settings.register_profile(
    "reglab", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("reglab")


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests five times the time of others before they are taken for hanging."""
    for item in items:
        if any(BACKEND in mark.args for mark in item.iter_markers("slow_on")):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(600))


def pytest_report_header() -> str:
    return f"Keras backend: {BACKEND}, {THREADS} thread(s)"


@pytest.fixture(autouse=True)
def _clean_keras() -> Iterator[None]:
    """Give the next test automatic layer names that start anew, and float32."""
    yield
    keras = sys.modules.get("keras")
    if keras is not None:
        keras.config.set_dtype_policy("float32")
        keras.utils.clear_session(free_memory=False)


@pytest.fixture
def stage() -> Iterator[list]:
    """Play the trainings of the studies that a test runs; the players, which know what they trained."""
    from played import stage

    with stage() as players:
        yield players
