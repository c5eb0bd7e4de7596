"""Ctrl-C at a safe point."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interruption", "interruptible"]


class Interruption:
    """Whether Ctrl-C was pressed, and where it takes effect."""

    def __init__(self) -> None:
        self.asked = False

    def check(self) -> None:
        """Raise KeyboardInterrupt here, if it was asked for."""
        if self.asked:
            raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Let the first Ctrl-C wait for the next ``check()``; the second takes effect at once.

    Python raises KeyboardInterrupt wherever it happens to be, and in the callbacks of compiled libraries it is lost:
    the study would go on as if nothing had been pressed.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def handle(signum: int, frame: Any) -> None:
        if interruption.asked:
            raise KeyboardInterrupt
        interruption.asked = True
        os.write(2, b"\nStopping; what has finished is kept. Ctrl-C again stops at once.\n")

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)
