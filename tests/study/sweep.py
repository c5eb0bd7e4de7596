"""Dies at writes in turn, and goes on: ``python sweep.py FOLDER WHAT SEEDS CHECKPOINT_EVERY`` prints what came of it.

A child process runs the played study and ends without a word at its k-th write: before and after each file operation,
in the middle of a file's content, before and after each statement of SQLite. Another one resumes. ``WHAT`` is ``1/1``
for each state that the disk can be left in, ``2/10`` for the second tenth of them, or ``kinds`` for one of each kind:
after writes that come about by the same calls. With ``kills=N`` children are killed N times at random moments instead.
Children are forked, so that they need no time to import anything.
"""

from __future__ import annotations

import io
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import sys
import time
from pathlib import Path

from played import Player, play, results

DIED = 77


class Fuse:
    """Counts down to the write that this process does not survive; with a count of 0 it survives all and lists them."""

    def __init__(self, count: int = 0) -> None:
        self.left = count
        self.kinds: list[str] = []

    def burn(self, kind: str) -> bool:
        self.left -= 1
        if self.left < 0:
            self.kinds.append(f"{kind} {_calls()}")
        return self.left == 0

    def tick(self, kind: str) -> None:
        if self.burn(kind):
            os._exit(DIED)


def _calls() -> str:
    """The innermost functions of reglab that are being called, each with its line."""
    frame, calls = sys._getframe(), []
    while frame is not None and len(calls) < 2:
        if f"{os.sep}reglab{os.sep}" in frame.f_code.co_filename:
            calls.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
        frame = frame.f_back
    return " ".join(calls)


def arm(fuse: Fuse) -> None:
    """Let every write of this process burn the fuse."""
    for name in ("replace", "rename", "fsync", "mkdir", "unlink", "remove", "rmdir"):
        setattr(os, name, _around(getattr(os, name), fuse, name))

    class Dying(io.BufferedWriter):
        def write(self, content):
            if fuse.burn("write"):  # half of it reaches the disk
                super().write(bytes(content)[: len(content) // 2])
                self.flush()
                os._exit(DIED)
            return super().write(content)

    opened = pathlib.Path.open

    def open_(self, mode="r", *arguments, **options):
        if mode == "wb":
            fuse.tick("open")
            return Dying(io.FileIO(self, "w"))
        return opened(self, mode, *arguments, **options)

    pathlib.Path.open = open_

    class Connection(sqlite3.Connection):
        def execute(self, *arguments):
            return _around(super().execute, fuse, "execute")(*arguments)

        def executemany(self, *arguments):
            return _around(super().executemany, fuse, "executemany")(*arguments)

        def executescript(self, *arguments):
            return _around(super().executescript, fuse, "executescript")(*arguments)

    connect = sqlite3.connect
    sqlite3.connect = lambda *arguments, **options: connect(*arguments, factory=Connection, **options)


def _around(function, fuse, kind):
    def call(*arguments, **options):
        fuse.tick(f"before {kind}")
        result = function(*arguments, **options)
        read = kind == "execute" and arguments[0].startswith(("SELECT", "PRAGMA"))
        fuse.tick(f"after {'reading' if read else kind}")
        return result

    return call


class Study:
    """The played study that children run in folders of their own, and what it gives when nothing stops it."""

    def __init__(self, folder: Path, seeds: int, every: int | None) -> None:
        self.folder = folder
        self._of = {"seeds": seeds, "checkpoint_every": every}
        self.expected, _ = play(folder / "whole", **self._of)
        self._runs = {run.name for run in (folder / "whole" / "runs").iterdir()}

    def writes(self) -> list[str]:
        """The kind of each of its writes, in their order."""
        listed = self.folder / "writes"

        def run() -> None:
            fuse = Fuse()
            arm(fuse)
            play(self.folder / "counted", **self._of)
            kinds = fuse.kinds[:]  # to write them down is no write of the study
            listed.write_text(json.dumps(kinds))

        assert in_child(run) == 0
        return json.loads(listed.read_text())

    def dies(self, study: Path, count: int) -> int:
        """Run it in a child that dies at its ``count``-th write; return the child's exit code."""

        def die() -> None:
            arm(Fuse(count))
            play(study, **self._of)

        return in_child(die)

    def killed(self, study: Path, seconds: float) -> int:
        """Run it in a child that is killed after some time; return the child's exit code."""
        return in_child(lambda: play(study, **self._of), seconds=seconds)

    def resumed(self, study: Path) -> str:
        """Run it to its end in another child; return what was wrong then, or nothing."""
        done = accepted(study)

        def resume() -> None:
            trained: list[str] = []

            class Watched(Player):
                def __init__(self, *arguments, **options):
                    super().__init__(*arguments, **options)
                    self.trained = trained

            play(study, player=Watched, **self._of)
            again = sorted(set(trained) & done)
            assert not again, f"{study.name}: recorded and trained again: {again}"
            assert len(trained) == len(set(trained)), f"{study.name}: trained twice"

        if in_child(resume) != 0:
            return "resuming failed"
        if results(study) != self.expected:
            return "other results"
        if {run.name for run in (study / "runs").iterdir()} != self._runs:
            return "other runs on disk"
        return f"left behind {leftovers(study)}" if leftovers(study) else ""


def in_child(function, *, seconds: float | None = None) -> int:
    """Run a function in a child process, which is killed after ``seconds``; return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)  # it is ours until it is waited for, even if it has ended
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def sweep(study: Study, what: str) -> dict:
    """Die at each write in turn, or at some of them; return how many there were, and what went wrong."""
    kinds = study.writes()
    # What is before a write, or after reading, is after the write before it.
    states = [n for n, kind in enumerate(kinds, 1) if not kind.startswith(("before", "open", "after reading"))]
    if what == "kinds":
        places: dict[str, list[int]] = {}
        for number in states:
            places.setdefault(kinds[number - 1], []).append(number)
        # One in the middle of the study, where there is something to lose and something left to do.
        counts = sorted(numbers[len(numbers) // 2] for numbers in places.values())
    else:
        share, shares = map(int, what.split("/"))
        counts = states[share - 1 :: shares]
    wrong: list[str] = []
    for count in counts:
        folder = study.folder / f"dies-at-{count}"
        code = study.dies(folder, count)
        if code != DIED:
            wrong.append(f"{count}: exit code {code}")
        fault = study.resumed(folder)
        if fault:
            wrong.append(f"{count} ({kinds[count - 1]}): {fault}")
        shutil.rmtree(folder)
    return {"states": len(states), "deaths": len(counts), "wrong": wrong}


def kills(study: Study, number: int) -> dict:
    """Kill studies at random moments until there were so many kills, resuming each in a loop until it gets through."""
    moment = random.Random(1)
    began = time.perf_counter()
    in_child(lambda: play(study.folder / "timed"))
    whole = time.perf_counter() - began
    killed, finished, wrong = 0, 0, []
    while killed < number:
        folder = study.folder / f"study-{finished}"
        recorded: set[str] = set()
        while study.killed(folder, moment.uniform(0, 0.8 * whole)) != 0 and killed < number:
            killed += 1
            now = accepted(folder)
            if recorded - now:
                wrong.append(f"{finished}: lost {recorded - now}")
            recorded = now
        fault = study.resumed(folder)
        if fault:
            wrong.append(f"{finished}: {fault}")
        finished += 1
    return {"killed": killed, "studies": finished, "wrong": wrong}


def accepted(study: Path) -> set[str]:
    """The runs that the table has a result of, read as any other program would."""
    if not (study / "study.sqlite").exists():
        return set()
    database = sqlite3.connect(study / "study.sqlite")
    try:
        return {row[0] for row in database.execute("SELECT id FROM runs WHERE status IN ('finished', 'diverged')")}
    except sqlite3.OperationalError:  # it died before there was a table
        return set()
    finally:
        database.close()


def leftovers(study: Path) -> list[str]:
    """Temporary files and folders, and checkpoints that nobody needs any more."""
    hidden = [str(p.relative_to(study)) for p in study.rglob(".*") if p.name not in (".lock", ".reglab")]
    return [*hidden, *(str(p.relative_to(study)) for p in (study / "checkpoints").iterdir())]


if __name__ == "__main__":
    folder, what, seeds, every = sys.argv[1:]
    study = Study(Path(folder), int(seeds), int(every) or None)
    print(json.dumps(kills(study, int(what[6:])) if what.startswith("kills=") else sweep(study, what)))
