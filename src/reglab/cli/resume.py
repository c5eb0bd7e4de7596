"""``reglab resume``."""

from __future__ import annotations

import click

from reglab.backends import BACKENDS
from reglab.cli.options import Option, StudyFolder, execution_options, split
from reglab.cli.show import run_and_show
from reglab.errors import ReglabError
from reglab.facade import Study
from reglab.study.storage.view import frozen_spec

__all__ = ["resume"]


@click.command()
@click.argument("folder", type=StudyFolder())
@click.option("--data", help="where the data lie now, if elsewhere; their content must be the same")
@click.option("--model", help="where the model is found now, if elsewhere; it must be the same")
@click.option("--backend", type=click.Choice(BACKENDS), help="Keras backend [default: the one the study began with]")
@execution_options
def resume(folder: str, **options: Option) -> None:
    """Go on with the study in FOLDER, however it was stopped, and print its table.

    What is recorded is not trained again; runs that failed are tried again. The table is the one that the study would
    have given without an interruption.
    """
    if (frozen_spec(folder) or {}).get("sealed"):
        raise ReglabError(
            f"The study in {folder} belongs to a search, which decides what is trained in it. Give the command that "
            "began the search once more: it goes on where it stopped."
        )
    elsewhere, execution = split(options)
    run_and_show(Study.resume(folder, **elsewhere), execution=execution)
