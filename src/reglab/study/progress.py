"""What a study tells while it runs; how it looks is the command line's business."""

from __future__ import annotations

from reglab.study.records import Record
from reglab.tasks import Metric

__all__ = ["Progress"]


class Progress:
    """Hears of everything and says nothing. Override what is of interest.

    A training is known by its number. Any method may raise KeyboardInterrupt to stop the study.
    """

    def note(self, text: str) -> None:
        """Something has to be said that changes no result."""

    def started(self, *, runs: int, trainings: int, reused: int, epochs: int, workers: str, metric: Metric) -> None:
        """``runs`` in all, of which ``reused`` are recorded already and the others take ``trainings``.

        ``metric`` is the one that decides, to tell how a training goes.
        """

    def training(self, job: int, names: list[str], seed: int, worker: str) -> None:
        """A training begins, from which the runs of these recipes come."""

    def epoch(self, job: int, epoch: int, metrics: dict[str, float]) -> None:
        """An epoch of a training ended, counted from 0."""

    def training_ended(self, job: int) -> None:
        """A training ended, well or not."""

    def tried_again(self, names: list[str], seed: int, why: str) -> None:
        """A training was lost with its worker, and will be done again."""

    def recorded(self, record: Record) -> None:
        """A run is on disk."""

    def waiting(self) -> None:
        """Time passes; called several times a second."""

    def finished(self) -> None:
        """The study has ended."""
