"""A reader who does what a document says: its blocks in order, in one folder, with one set of names."""

from __future__ import annotations

import contextlib
import io
import linecache
import os
import re
import shutil
import subprocess
import sys
import tomllib
import traceback
import types
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import smaller
from blocks import ROOT, Block

from reglab.cli import main

# What `reglab`, `make` and `pip` are in the reader's shell: they hand the call to the process that reads, which has
# Keras at hand, and say and return what it answers.
_CALL = f"""#!{sys.executable} -S
import os, sys
from multiprocessing.connection import Client
with Client(os.environ["READER"]) as reader:
    reader.send((os.path.basename(sys.argv[0]), sys.argv[1:], os.getcwd(), dict(os.environ)))
    code, out, err = reader.recv()
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


class Call(NamedTuple):
    """A command as the reader's shell was about to run it."""

    command: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]


class Reader:
    """Runs blocks, and raises an AssertionError that says which of them does not work and why."""

    def __init__(self, folder: Path, commands: Path, names: dict[str, Any]) -> None:
        self.folder = folder
        self._program = types.ModuleType("__main__")
        vars(self._program).update(names)
        self._commands = commands
        for command in _COMMANDS:
            (commands / command).write_text(_CALL, encoding="utf-8")
            (commands / command).chmod(0o755)

    def read(self, block: Block) -> None:
        if block.not_run is None and block.kind not in ("text", ""):
            getattr(self, f"_{block.kind}")(block)

    def _python(self, block: Block) -> None:
        lines = block.text.splitlines(keepends=True)
        linecache.cache[str(block)] = len(block.text), None, lines, str(block)  # as IPython does: models have a source
        try:
            with contextlib.chdir(self.folder), mock.patch.dict(sys.modules, {"__main__": self._program}):
                exec(compile(block.text, str(block), "exec"), vars(self._program))
        except Exception as error:
            raise AssertionError(f"{block}, a block of Python, does not work: {error!r}") from error

    def _yaml(self, block: Block) -> None:
        """A study: it is read, and its data and its model are found."""
        from reglab import Study
        from reglab.models import resolve

        study = Study.from_yaml(self.folder / file_of(block))
        data = study.dataset
        resolve(study.model, input_shape=data.input_shape, num_classes=data.num_classes)()

    def _bash(self, block: Block) -> None:
        with Listener(family="AF_UNIX") as listener, ThreadPoolExecutor(1) as pool:
            shell = pool.submit(self._shell, block, listener.address)
            while True:
                with listener.accept() as caller:
                    call = caller.recv()
                    if call is None:
                        break
                    caller.send(_answer(Call(*call)))
            code, told = shell.result()
        assert code == 0, f"{block}, a block of commands, ended with {code}:\n{told}"

    def _shell(self, block: Block, address: str) -> tuple[int, str]:
        """Run a block in bash, which stops at the first command that fails, and say so to who waits for calls."""
        try:
            done = subprocess.run(
                ["bash", "-xeuo", "pipefail", "-c", block.text], cwd=self.folder, text=True, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "READER": address, "PATH": os.pathsep.join(self._path())},
            )  # fmt: skip
            return done.returncode, done.stdout
        finally:
            with Client(address) as reader:
                reader.send(None)

    def _path(self) -> list[str]:
        """Return where the reader's shell looks: what asks this process, then what is installed beside this Python."""
        return [str(self._commands), str(Path(sys.executable).parent), os.environ["PATH"]]


def file_of(block: Block) -> str:
    """Return the name of the file that a block of YAML stands for: a comment in its first line."""
    named = re.match(r"# ([\w./-]+\.ya?ml)\n", block.text)
    assert named, f"{block}: a block of YAML begins with the name of its file, as in '# study.yaml'."
    return named[1]


def _answer(call: Call) -> tuple[int, str, str]:
    """Return the exit code, the output and the errors of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(call.folder):
        try:
            code = _COMMANDS[call.command](call)
        except Exception:  # what the user would see of a fault of the program
            traceback.print_exc()
            code = 1
    return code, out.getvalue(), err.getvalue()


def _reglab(call: Call) -> int:
    """Run a command of reglab in this process; with another backend, which a process has one of, in a new one."""
    wanted = call.environment.get("KERAS_BACKEND")
    if "--backend" in call.arguments and call.arguments[0] != "backends":
        wanted = call.arguments[call.arguments.index("--backend") + 1]
    if wanted != os.environ["KERAS_BACKEND"]:
        return _process([sys.executable, smaller.__file__, *call.arguments], call)
    with mock.patch.object(sys, "argv", ["reglab", *call.arguments]):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def _make(call: Call) -> int:
    """Ask make whether it knows how, without doing it."""
    return _process([str(shutil.which("make")), "--dry-run", "-C", str(ROOT), *call.arguments], call)


def _pip(call: Call) -> int:
    """Look whether the extras that would be installed are declared."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for requirement in call.arguments[1:]:
        wanted = re.fullmatch(r"(?:reglab|\.)\[([\w,-]+)\]", requirement)
        unknown = set(wanted[1].split(",")) - set(declared) if wanted else {requirement}
        if unknown:
            print(f"pip install: {', '.join(sorted(unknown))} is no extra of reglab", file=sys.stderr)
            return 1
    return 0


def _process(words: list[str], call: Call) -> int:
    done = subprocess.run(words, capture_output=True, text=True, env=call.environment)
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    return done.returncode


_COMMANDS = {"reglab": _reglab, "make": _make, "pip": _pip}
