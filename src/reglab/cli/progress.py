"""A study on the terminal while it runs: a bar for each training, one for the whole, and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from reglab.cli.console import Console
from reglab.cli.interrupt import interruptible
from reglab.study.progress import Progress as StudyProgress
from reglab.study.records import FINISHED, Record, reason
from reglab.tasks import Metric

__all__ = ["TerminalProgress", "bars"]

_NAME = 24  # characters of a recipe's name beside a bar


@contextmanager
def bars(console: Console) -> Iterator[tuple[TerminalProgress, Callable[[], None]]]:
    """Show trainings as bars meanwhile; also give what is to be called where Ctrl-C may take effect."""
    with interruptible() as interruption:
        progress = TerminalProgress(console, check=interruption.check)
        try:
            yield progress, interruption.check
        finally:
            progress.close()


class TerminalProgress(StudyProgress):
    """Bars in a terminal; one line a run where the output is not one."""

    def __init__(self, console: Console, *, check: Callable[[], None] = lambda: None) -> None:
        self._console = console
        self._check = check  # called between epochs; may raise KeyboardInterrupt
        self._bars: Progress | None = None
        self._whole: Any = None
        self._rows: dict[str, Any] = {}  # a bar for each worker
        self._jobs: dict[int, tuple[str, int]] = {}  # which worker's bar, and how far it is
        self._said: set[str] = set()
        self._metric: Metric | None = None
        self._epochs = 0
        self._trainings = 0
        self._done = 0
        self._began = time.perf_counter()

    def note(self, text: str) -> None:
        if text in self._said:  # as of repetitions of one study
            return
        self._said.add(text)
        self._console.print(Text("note: ", style="yellow") + Text(text))

    def started(self, *, runs: int, trainings: int, reused: int, epochs: int, workers: str, metric: Metric) -> None:
        self._metric = metric
        self._epochs, self._trainings, self._began = epochs, trainings, time.perf_counter()
        self._done, self._jobs, self._rows = 0, {}, {}
        kept = f", of which {reused} are recorded already" if reused else ""
        who = f", {workers}" if workers and trainings else ""
        text = f"{runs} runs{kept}; {trainings} trainings of up to {epochs} epochs{who}."
        self._console.print(text, highlight=False, markup=False)
        if trainings and self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                TimeRemainingColumn(compact=True),
                console=self._console,
                expand=True,
                transient=True,
            )
            self._whole = self._bars.add_task("whole study".ljust(_NAME), total=trainings * epochs, note="epochs")
            self._bars.start()

    def training(self, job: int, names: list[str], seed: int, worker: str) -> None:
        self._jobs[job] = (worker, 0)
        self._check()
        if self._bars is None:
            return
        title = f"{names[0]}" + (f" +{len(names) - 1}" if len(names) > 1 else "")
        if worker not in self._rows:
            self._rows[worker] = self._bars.add_task("", total=self._epochs, note="")
        self._bars.reset(self._rows[worker], description=f"{_short(title)} s{seed}".ljust(_NAME), note="compiling")

    def epoch(self, job: int, epoch: int, metrics: dict[str, float]) -> None:
        worker, _ = self._jobs[job]
        self._jobs[job] = (worker, epoch + 1)
        self._check()
        if self._bars is None:
            return
        self._bars.update(self._rows[worker], completed=epoch + 1, note=self._level(metrics))
        self._advance()

    def _level(self, metrics: dict[str, float]) -> str:
        """Return where validation is, as a bar shows it."""
        metric = self._metric
        return f"val {metric.shown(metrics[f'val_{metric.name}'], metric.rough)}" if metrics and metric else ""

    def _advance(self) -> None:
        if self._bars is not None:
            going = sum(epochs for _, epochs in self._jobs.values())
            self._bars.update(self._whole, completed=self._done * self._epochs + going)

    def tried_again(self, names: list[str], seed: int, why: str) -> None:
        self._done -= 1
        self._advance()
        self._console.print(Text("again ", style="yellow") + Text(f"{', '.join(names)}, seed {seed}: {why}"))

    def recorded(self, record: Record) -> None:
        if record.status != FINISHED:
            told = f" {record.name}, seed {record.seed}: {reason(record.error)}"
            self._console.print(Text(record.status, style="red") + Text(told, style=""))
        elif self._bars is None and self._metric is not None:
            metrics, metric = record.metrics, self._metric
            level = metrics.get(metric.name, metrics[f"val_{metric.name}"])  # a search reads no test set
            self._console.print(
                f"{record.name}, seed {record.seed}: {metric.title} {metric.shown(level)}, gap "
                f"{metric.differs(metrics['gap'], metric.rough)}, {metrics['epochs']:.0f} epochs, "
                f"{metrics['seconds']:.1f} s",
                highlight=False,
                markup=False,
            )

    def training_ended(self, job: int) -> None:
        self._jobs.pop(job, None)
        self._done += 1
        self._advance()

    def waiting(self) -> None:
        self._check()

    def finished(self) -> None:
        self.close()
        if self._trainings:
            seconds = time.perf_counter() - self._began
            self._console.print(f"Trained {self._done} models in {seconds:.0f} s.", highlight=False)

    def close(self) -> None:
        """Take the bars away."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def _short(name: str) -> str:
    limit = _NAME - 5
    return name if len(name) <= limit else name[: limit - 1] + "…"
