"""What a study tells while it runs; how it looks is the command line's business."""

from __future__ import annotations

from reglab.study.records import Record

__all__ = ["Progress"]


class Progress:
    """Hears of everything and says nothing. Override what is of interest."""

    def started(self, *, runs: int, trainings: int, reused: int, epochs: int) -> None:
        """``runs`` in all, of which ``reused`` are recorded already and the others take ``trainings``."""

    def training(self, names: list[str], seed: int) -> None:
        """A training begins, from which the runs of these recipes come."""

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """An epoch of the current training ended, counted from 0."""

    def training_ended(self) -> None:
        """The current training ended, well or not."""

    def recorded(self, record: Record) -> None:
        """A run is on disk."""

    def finished(self) -> None:
        """The study has ended."""
