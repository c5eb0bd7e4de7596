"""Ctrl-C at a safe point, and what is said of it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from reglab.study.storage.view import holds_study, studies_in

__all__ = ["Interruption", "Stopped", "interruptible", "keeping"]


class Stopped(click.exceptions.Abort):
    """Ctrl-C, with what is true of the folder that was being written."""


@contextmanager
def keeping(folder: Callable[[], Path | None]) -> Iterator[None]:
    """Say, if Ctrl-C ends what is done meanwhile, what ``folder`` has then and how to go on.

    Args:
        folder: gives the folder of a study, or of several, that is written to; None where that is not known yet.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(_what_is_kept(folder())) from None


def _what_is_kept(folder: Path | None) -> str:
    if folder is not None and holds_study(folder):
        return (
            f"Interrupted. What had finished is kept in {folder}; the same command goes on from there, and so does "
            f"reglab resume {folder}."
        )
    if folder is not None and studies_in(folder):
        return f"Interrupted. What had finished is kept in {folder}; the same command goes on from there."
    return "Interrupted before anything was written."


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

    def handle(signum: int, frame: FrameType | None) -> None:
        if interruption.asked:
            raise KeyboardInterrupt
        interruption.asked = True
        os.write(2, b"\nStopping; what has finished is kept. Ctrl-C again stops at once.\n")

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)
