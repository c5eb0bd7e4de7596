"""Dies at every write in turn: ``python sweep.py FOLDER SEEDS CHECKPOINT_EVERY`` prints what came of it as JSON.

A child process runs the played study and ends without a word at its k-th write: before and after each file operation,
in the middle of a file's content, before and after each statement of SQLite. Another one resumes. Then k + 1, until a
child lives to the end.
"""

from __future__ import annotations

import io
import json
import os
import pathlib
import shutil
import sqlite3
import sys
from pathlib import Path

from played import Player, play, results

DIED = 77


class Fuse:
    """Counts down to the write that this process does not survive."""

    def __init__(self, count: int) -> None:
        self.left = count

    def burn(self) -> bool:
        self.left -= 1
        return self.left == 0

    def tick(self) -> None:
        if self.burn():
            os._exit(DIED)


def arm(fuse: Fuse) -> None:
    """Let every write of this process burn the fuse."""
    for name in ("replace", "rename", "fsync", "mkdir", "unlink", "remove", "rmdir"):
        setattr(os, name, _around(getattr(os, name), fuse))

    class Dying(io.BufferedWriter):
        def write(self, content):
            if fuse.burn():  # half of it reaches the disk
                super().write(bytes(content)[: len(content) // 2])
                self.flush()
                os._exit(DIED)
            return super().write(content)

    opened = pathlib.Path.open

    def open_(self, mode="r", *arguments, **options):
        if mode == "wb":
            fuse.tick()
            return Dying(io.FileIO(self, "w"))
        return opened(self, mode, *arguments, **options)

    pathlib.Path.open = open_

    class Connection(sqlite3.Connection):
        def execute(self, *arguments):
            return _around(super().execute, fuse)(*arguments)

        def executemany(self, *arguments):
            return _around(super().executemany, fuse)(*arguments)

        def executescript(self, *arguments):
            return _around(super().executescript, fuse)(*arguments)

    connect = sqlite3.connect
    sqlite3.connect = lambda *arguments, **options: connect(*arguments, factory=Connection, **options)


def _around(function, fuse):
    def call(*arguments, **options):
        fuse.tick()
        result = function(*arguments, **options)
        fuse.tick()
        return result

    return call


def in_child(function) -> int:
    """Run a function in a child process and return its exit code."""
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
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def sweep(folder: Path, seeds: int, every: int | None) -> dict:
    """Die at every write in turn; return how many there were, and what went wrong."""
    study_of = {"seeds": seeds, "checkpoint_every": every}
    expected, _ = play(folder / "whole", **study_of)
    everything = {run.name for run in (folder / "whole" / "runs").iterdir()}
    wrong: list[str] = []
    count = 0
    while True:
        count += 1
        study = folder / f"dies-at-{count}"

        def die(study=study, count=count):
            arm(Fuse(count))
            play(study, **study_of)

        code = in_child(die)
        if code == 0:
            break
        if code != DIED:
            wrong.append(f"{count}: exit code {code}")
        done = accepted(study)

        def resume(study=study, done=done, count=count):
            trained: list[str] = []

            class Watched(Player):
                def __init__(self, *arguments, **options):
                    super().__init__(*arguments, **options)
                    self.trained = trained

            play(study, player=Watched, **study_of)
            again = sorted(set(trained) & done)
            assert not again, f"{count}: recorded and trained again: {again}"
            assert len(trained) == len(set(trained)), f"{count}: trained twice"

        if in_child(resume) != 0:
            wrong.append(f"{count}: resuming failed")
        elif results(study) != expected:
            wrong.append(f"{count}: other results")
        elif {run.name for run in (study / "runs").iterdir()} != everything:
            wrong.append(f"{count}: other runs on disk")
        elif leftovers(study):
            wrong.append(f"{count}: left behind {leftovers(study)}")
        shutil.rmtree(study)
    return {"crash_points": count - 1, "wrong": wrong}


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
    hidden = [str(p.relative_to(study)) for p in study.rglob(".*") if p.name != ".lock"]
    return [*hidden, *(str(p.relative_to(study)) for p in (study / "checkpoints").iterdir())]


if __name__ == "__main__":
    folder, seeds, every = sys.argv[1:]
    print(json.dumps(sweep(Path(folder), int(seeds), int(every) or None)))
