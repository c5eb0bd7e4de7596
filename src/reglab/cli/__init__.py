"""The command line: a thin face of the Python API, one file a command."""

from __future__ import annotations

import io
import sys

import click

import reglab
from reglab.cli.ablate import ablate
from reglab.cli.backends import backends
from reglab.cli.calibrate import calibrate
from reglab.cli.compare import compare
from reglab.cli.demo import demo
from reglab.cli.diagnose import diagnose
from reglab.cli.export import export
from reglab.cli.heard import heard
from reglab.cli.log import log
from reglab.cli.mcnemar import mcnemar
from reglab.cli.paper import paper
from reglab.cli.plan import plan
from reglab.cli.race import race
from reglab.cli.report import report
from reglab.cli.resume import resume
from reglab.cli.robustness import robustness
from reglab.cli.runs import runs
from reglab.cli.say import say
from reglab.cli.status import status
from reglab.cli.strategies import strategies
from reglab.cli.sweep import sweep
from reglab.cli.tune import tune
from reglab.errors import ReglabError

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(reglab.__version__, prog_name="reglab")
@click.pass_context
def cli(context: click.Context) -> None:
    """A laboratory for regularization: compare strategies for a Keras classifier under identical conditions."""
    context.with_resource(heard())


COMMANDS = (
    demo, compare, tune, race, sweep, ablate, diagnose, report, export, plan,
    calibrate, robustness, mcnemar, status, resume, runs, log, strategies, backends, paper,
)  # fmt: skip
for command in COMMANDS:
    cli.add_command(command)


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
