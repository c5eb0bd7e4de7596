"""The command line: a thin face of the Python API, one file per command, imported when the command is called."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator, MutableMapping

import click

from reglab.cli.heard import heard
from reglab.cli.say import say
from reglab.errors import ReglabError
from reglab.version import __version__

__all__ = ["COMMANDS", "cli", "main"]

#: Each command with what `reglab --help` says of it; `reglab.cli.<name>` holds it.
COMMANDS = {
    "demo": "Compare the paper's ten arms on scikit-learn's digits, in a few minutes.",
    "compare": "Train recipes under identical conditions and compare them.",
    "tune": "Look for a recipe, and confirm it on seeds that the search has not seen.",
    "race": "Find a good recipe with a quarter of the epochs of a full grid.",
    "sweep": "Show how one hyperparameter of one strategy matters.",
    "ablate": "Take a combination apart: what each ingredient contributes.",
    "diagnose": "Say whether a model overfits, since when and by how much, and what to do.",
    "report": "Write the report of a study: one HTML page, Markdown, LaTeX, CSV.",
    "export": "Take a recipe home: the trained network, a script, an example.",
    "plan": "Say which differences a study could show, and what it would cost.",
    "calibrate": "Compare the baseline with itself: the noise of a set-up.",
    "robustness": "Attack the trained runs of a study by FGSM and PGD.",
    "mcnemar": "Compare two trained models of a study, as they are.",
    "status": "Show how far a study is.",
    "resume": "Go on with a study, however it was stopped, and finish it.",
    "pack": "Pack the records of a study, small enough for a repository.",
    "unpack": "Make a study folder of packed records.",
    "runs": "List the runs of a study: how each ended, and its metrics.",
    "log": "Hand the runs of a study to TensorBoard or MLflow.",
    "models": "List the networks that --model can name, or say everything about one.",
    "strategies": "List the strategies, or say everything about one.",
    "backends": "Measure which backend is fastest for a model on this machine.",
    "paper": "Run the paper's study: its ten strategies, its strengths of L2, or both.",
}


class _Commands(MutableMapping[str, click.Command]):
    """The commands by name, each imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        if name not in COMMANDS:
            raise KeyError(name)
        command: click.Command = getattr(importlib.import_module(f"reglab.cli.{name}"), name)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __setitem__(self, name: str, command: click.Command) -> None:
        raise TypeError("A command is a file in reglab/cli and a line in COMMANDS.")

    def __delitem__(self, name: str) -> None:
        raise TypeError("A command is a file in reglab/cli and a line in COMMANDS.")


class _Group(click.Group):
    """A group that lists its commands without importing them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(
    cls=_Group, commands=_Commands(), context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="reglab")
@click.pass_context
def cli(context: click.Context) -> None:
    """A laboratory for regularization: compare strategies for a Keras model under identical conditions."""
    context.with_resource(heard())


def main() -> None:
    """Run the command line; bad input is told in a sentence, without a traceback."""
    try:
        code = cli.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt) as error:
        say(f"\n{str(error) or 'Interrupted.'}", err=True)
        code = 130
    except click.ClickException as error:
        told = io.StringIO()
        error.show(told)
        say(told.getvalue().rstrip("\n"), err=True)
        code = error.exit_code
    except ReglabError as error:
        click.secho("error: ", fg="red", bold=True, err=True, nl=False)
        say(str(error), err=True)
        code = 2
    sys.exit(code or 0)
