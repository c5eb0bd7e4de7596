"""Which of Keras' backends is used, and the few lines in which they differ.

``require`` runs before Keras is imported; ``adapter`` gives the module of this package written for the backend that
Keras was imported with.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType

from reglab.errors import ReglabError, nearest

__all__ = ["BACKENDS", "adapter", "device", "installed", "loaded", "name", "on_processor", "require", "version"]

# Without a choice of the user's, the first that is installed. The order says nothing of their speed, which depends on
# model and machine: ``reglab backends`` measures it.
BACKENDS = ("tensorflow", "jax", "torch")


def installed() -> tuple[str, ...]:
    """Return the backends that can be imported here, without importing them."""
    return tuple(backend for backend in BACKENDS if importlib.util.find_spec(backend) is not None)


def require(backend: str | None = None) -> str:
    """Make sure that Keras has a backend to bind to, and return its name.

    ``backend`` asks for one by name. Otherwise ``KERAS_BACKEND`` decides as it does for Keras, and without it the
    first of TensorFlow, JAX and PyTorch that is installed; ``reglab backends`` says which is fastest. Call it before
    Keras is imported; afterwards only the backend in use can be asked for.
    """
    if "keras" in sys.modules:
        return _require_in_use(backend)
    here = installed()
    if not here:
        raise ReglabError(
            "No Keras backend is installed. Install one of: pip install 'reglab[tensorflow]', "
            "pip install 'reglab[jax]', pip install 'reglab[torch]'."
        )
    wanted = backend or os.environ.get("KERAS_BACKEND") or here[0]
    if wanted not in BACKENDS:
        raise ReglabError(f"Unknown backend {wanted!r}; one of {', '.join(BACKENDS)}.{nearest(wanted, BACKENDS)}")
    if wanted not in here:
        raise ReglabError(
            f"The backend {wanted!r} is not installed (installed: {', '.join(here)}). "
            f"Run pip install 'reglab[{wanted}]' or choose another."
        )
    os.environ["KERAS_BACKEND"] = wanted
    # TensorFlow's start-up chatter would bury the tables; a user who set the variable is left alone.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return wanted


def _require_in_use(backend: str | None) -> str:
    in_use = name()
    if backend is not None and backend != in_use:
        raise ReglabError(
            f"Keras is already running on {in_use!r} in this process, so {backend!r} cannot be used. "
            f"Start a new process with KERAS_BACKEND={backend}."
        )
    return in_use


def loaded() -> str | None:
    """Return the backend that Keras runs on in this process, or None if Keras was not imported yet."""
    return name() if "keras" in sys.modules else None


def name() -> str:
    """Return the backend that Keras runs on in this process."""
    return sys.modules["keras"].backend.backend()


def adapter() -> ModuleType:
    """Return ``reglab.backends.<backend>`` for the backend that Keras runs on."""
    require()
    import keras

    backend = keras.backend.backend()
    if backend not in BACKENDS:
        raise ReglabError(f"reglab runs on {', '.join(BACKENDS)}; Keras runs on {backend!r} here. Set KERAS_BACKEND.")
    return importlib.import_module(f"reglab.backends.{backend}")


def version() -> str:
    """Return the version of the backend that Keras runs on in this process."""
    return importlib.import_module(name()).__version__


def device() -> str:
    """Return what the backend computes on in this process: CPU, or the name of its first accelerator."""
    return str(adapter().device())


def on_processor() -> AbstractContextManager[object]:
    """Return a scope in which the processor computes; where the backend was told to use no processor, as elsewhere."""
    import keras

    if device() == "CPU":
        return nullcontext()
    try:
        return keras.device("cpu:0")
    except RuntimeError:  # JAX_PLATFORMS=cuda
        return nullcontext()
