"""Which backend is fastest for a model on this machine: measured, by training a little of it on each.

Every backend gets a process of its own, which lives from the first step to the end of the measurement. They train one
at a time, in turns, forwards and backwards: a machine that is slow for a while is slow for whatever runs then. What is
compared are the visits, by their ranks, so one that was disturbed decides nothing.
"""

from __future__ import annotations

import queue
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from reglab import backends
from reglab.analysis.speed import Speed, Speeds, Visit
from reglab.errors import ReglabError
from reglab.models import resolve
from reglab.recipe import Recipe, RecipeLike
from reglab.studies import Study
from reglab.study import naming
from reglab.study.executors.shipment import pack
from reglab.study.executors.wire import Answer, Ask, Refused
from reglab.study.executors.worker_handle import Exit, WorkerHandle, cores
from reglab.study.records import reason
from reglab.study.spec import Assignment

__all__ = ["VISITS", "measure"]

VISITS = 7  # of each backend: the fewest of which ranks tell as much with one that was disturbed, however badly
_WARM_S = 0.3  # of training between the first step and the visits
_PATIENCE_S = 600.0  # for any answer, compiling included


def measure(
    study: Study,
    *,
    recipe: RecipeLike = None,
    only: Sequence[str] = backends.BACKENDS,
    seconds: float = 3.0,
    threads: int | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Speeds:
    """Train a little of a study on each backend, and return how fast they are.

    Nothing is written, and the test set is not read. Beside ``seconds`` a backend takes the time to start and to
    compile.

    Args:
        study: says data, model, batch size, optimizer and precision.
        recipe: what the model is trained with: the name of one of the study's recipes, or a recipe; by default the
            study's baseline.
        only: the backends to measure.
        seconds: of training on each.
        threads: processor threads of each; by default those of a study's single worker, which is one for each core.
        tell: hears what is being done.

    Raises:
        ReglabError: for what cannot work on any backend, before anything is measured.
    """
    for name in only:
        if name not in backends.BACKENDS:
            raise ReglabError(f"Unknown backend {name!r}; one of {', '.join(backends.BACKENDS)}.")
    if not seconds > 0:
        raise ReglabError(f"seconds={seconds}: the time of training on each backend, larger than 0.")
    if threads is not None and threads < 1:
        raise ReglabError(f"threads={threads}: processor threads, 1 or more.")
    name, chosen = _recipe(study, recipe)
    _check_model(study)
    threads = threads or cores()
    settings = replace(study.settings, sealed=True)
    assignment = Assignment(study.dataset, study.model, settings, {name: chosen}, given=study.assignment.given)
    headline = f"{_headline(study, name)}, {threads} thread{'s' if threads > 1 else ''}"
    with ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="reglab-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        packed = pack(assignment, scratch)
        seats: list[_Seat] = []
        for backend in dict.fromkeys(only):
            seats.append(_Seat(backend))
            if seats[-1].speed.installed:
                tell(f"{backend}: importing, building and compiling")
                stack.callback(seats[-1].end)
                seats[-1].start(packed, scratch, threads)
        _check_not_all_refused(seats)
        for number in range(VISITS):
            for seat in seats if number % 2 == 0 else seats[::-1]:
                if seat.going:
                    tell(f"{seat.speed.backend}: training, visit {number + 1} of {VISITS}")
                    seat.visit(seconds / VISITS)
    steps, examples = max((seat.steps, seat.examples) for seat in seats)  # the same wherever there was a first step
    return Speeds(headline, threads, steps, examples, tuple(seat.speed for seat in seats))


def _headline(study: Study, recipe: str) -> str:
    settings = study.settings
    return (
        f"{study.dataset.name}, {naming.text(study.model)}, {recipe}, batch {settings.batch_size}, "
        f"{study.trained}, {settings.precision}"
    )


def _recipe(study: Study, wanted: RecipeLike) -> tuple[str, Recipe]:
    if wanted is None:
        return study.baseline, study.recipes[study.baseline]
    if isinstance(wanted, str) and wanted in study.recipes:
        return wanted, study.recipes[wanted]
    recipe = Recipe.of(wanted)
    return recipe.to_text(), recipe


def _check_model(study: Study) -> None:
    """Refuse a built-in model that is not there; models in files are for the processes, which import a backend."""
    if isinstance(study.model, str) and ":" not in study.model:
        task = study.task
        data = study.dataset
        resolve(
            study.model, input_shape=data.input_shape, num_classes=task.units, ending=task.ending, kind=data.kind,
            vocabulary=data.vocabulary, per_position=task.per_position,
        )  # fmt: skip


def _check_not_all_refused(seats: Sequence[_Seat]) -> None:
    """Raise what every backend says that was tried: then it is not about backends."""
    tried = [seat for seat in seats if seat.speed.installed]
    refusals = {seat.refusal for seat in tried}
    if len(refusals) == 1 and None not in refusals:
        raise ReglabError(str(refusals.pop()))


def _in_a_line(detail: str) -> str:
    """Return why a backend was not measured: of a traceback its exception, of a process that ended its last words."""
    if detail.startswith("Traceback"):
        return reason(detail)
    told, *more = [line.strip() for line in detail.splitlines() if line.strip()]
    if told.endswith("Its last output:") and more:
        return f"{told.removesuffix('. Its last output:')}: {more[-1]}"
    before, wrapped, _ = told.partition("Exception encountered when calling")  # Keras' page around what a layer raised
    return f"{before}{more[0]}" if wrapped and more else told


class _FailedError(Exception):
    """A process gave no answer, but this reason; ``expected`` where it is a sentence for the user."""

    def __init__(self, detail: str, *, expected: bool = False) -> None:
        super().__init__(detail)
        self.expected = expected


class _Seat:
    """A backend, its process, and what is known of its speed so far."""

    def __init__(self, backend: str) -> None:
        installed = backend in backends.installed()
        problem = None if installed else f"not installed: pip install 'reglab[{backend}]'"
        self.speed = Speed(backend, installed=installed, problem=problem)
        self.refusal: str | None = None
        self.steps, self.examples = 0, 0  # of an epoch, and measured after it; known with the first step
        self._worker: WorkerHandle | None = None
        self._inbox: queue.SimpleQueue[tuple[WorkerHandle, Any]] = queue.SimpleQueue()

    @property
    def going(self) -> bool:
        return self._worker is not None

    def start(self, assignment: bytes, scratch: Path, threads: int) -> None:
        """Start the process and do the first step."""
        began = time.perf_counter()
        name = self.speed.backend
        self._worker = WorkerHandle(
            name, self._inbox, assignment=assignment, scratch=scratch, threads=threads, backend=name, alone=False
        )  # fmt: skip
        found = self._ask("first")
        if found is not None:
            taken, (version, device, self.steps, self.examples) = time.perf_counter() - began, found
            self.speed = replace(self.speed, version=version, device=device, first_step=taken)
            self._ask("visit", _WARM_S)

    def visit(self, seconds: float) -> None:
        """Train, and note how long a step took."""
        found = self._ask("visit", seconds)
        if found is not None:
            epochs, memory = found
            step, measuring = (statistics.median(values) for values in zip(*epochs, strict=True))
            seen = Visit(step, measuring, self.steps * step + measuring)
            self.speed = replace(self.speed, visits=(*self.speed.visits, seen), memory=memory)

    def _ask(self, function: str, *arguments: object) -> Any:
        """Return the answer of the process; None if it gave none, and then its measurement is over."""
        try:
            return self._answer(Ask(f"reglab.experiments.steps:{function}", arguments))
        except _FailedError as failed:
            self.refusal = str(failed) if failed.expected else None
            self.speed = replace(self.speed, problem=_in_a_line(str(failed)), visits=(), memory=None)
            self.end()
            return None

    def _answer(self, ask: Ask) -> Any:
        assert self._worker is not None
        self._worker.tell(ask)
        while True:
            try:
                _, message = self._inbox.get(timeout=_PATIENCE_S)
            except queue.Empty:
                raise _FailedError(f"no answer within {_PATIENCE_S:.0f} s") from None
            match message:
                case Answer(value):
                    return value
                case Refused(text, expected):
                    raise _FailedError(text, expected=expected)
                case Exit(_, detail):
                    raise _FailedError(detail)

    def end(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None
