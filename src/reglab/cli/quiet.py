"""Starting the backend without its chatter."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["start_backend"]


def start_backend() -> None:
    """Import Keras and the backend it runs on; what C++ libraries say of themselves meanwhile is not shown.

    TensorFlow writes a few lines to the standard error before any setting of its log is in force, and they would stand
    above every table. Exceptions are Python's and come through.
    """
    with _silent_stderr():
        import keras

        keras.ops.zeros(())


@contextmanager
def _silent_stderr() -> Iterator[None]:
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
