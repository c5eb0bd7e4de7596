"""The test session: which backend it runs on, how many threads it takes, and a clean Keras for each test.

``KERAS_BACKEND`` chooses the backend, TensorFlow where it is not set. Many tests need none, so nothing here imports
Keras: what has to be said to a backend is said in its environment, before the first test imports it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# What tests of several files share: made.py makes study folders, played.py plays the trainings of studies, small.py has
# small networks of strategies, estimators.py has scikit-learn's checks, small_tasks.py small data of tasks.
sys.path += [str(Path(__file__).parent / folder) for folder in ("report", "strategies", "study", "tasks")]

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

# A shell starts what runs in its background with Ctrl-C ignored, and so would be whatever a test starts and interrupts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The first example of a property compiles a graph, so its time says nothing.
# On a CI server the examples are the same each time; on a desk they are new ones.
settings.register_profile(
    "reglab", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("reglab")


# What differs between backends: gradients, random numbers, tracing, precision, optimizers, checkpoints, files. On JAX
# and PyTorch the fast tests are these; the others that are marked `backend` are slow tests there.
ON_EVERY_BACKEND = (
    "tests/backends/",
    "tests/data/",
    "test_adversarial.py::test_fgsm",
    "test_adversarial.py::test_the_input_gradient",
    "test_attack.py::test_accuracy_of_a_linear_network",
    "test_dropout.py::test_dropout_leaves_out_its_share",
    "test_dropout.py::test_training_is_that_of_a_layer",
    "test_ema.py::test_ema_is_use_ema",
    "test_fit.py::test_a_saved_model_goes_on_where_it_stopped",
    "test_fit.py::test_a_sweep_over_strengths_and_seeds_traces_once",
    "test_fit.py::test_arrays_and_datasets_give_the_same_training",
    "test_fit.py::test_mixed_precision_learns",
    "test_fit.py::test_the_empty_recipe_is_the_model",
    "test_guard.py::test_comparing_leaves_no_trace",
    "test_guard.py::test_difference_is_found_and_its_layer_named",
    "test_head.py::test_every_head_gives_the_same_probabilities",
    "test_keras_internals.py",
    "test_penalties.py::test_activities_train_as_with_keras_regularizers",
    "test_sam.py::test_a_step",
    "test_strategies_conformance.py::test_in_one_program_with_others_each_does_what_it_does_alone[one pass",
    "test_strategies_conformance.py::test_in_one_program_with_others_each_does_what_it_does_alone[two passes-repro",
    "test_study_checkpoint.py::test_going_on_equals_never_having_stopped_and_keeping_checkpoints_changes_nothing[r",
    "test_weight_noise.py::test_the_gradient_is_taken_at_the_noisy_weights",
)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests are slow on this backend, and give those more time before they are taken for hanging."""
    for item in items:
        slow_here = any(BACKEND in mark.args for mark in item.iter_markers("slow_on"))
        if slow_here or (BACKEND != "tensorflow" and not any(name in item.nodeid for name in ON_EVERY_BACKEND)):
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
