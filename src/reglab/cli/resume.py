"""``reglab resume``."""

from __future__ import annotations

from typing import Any

import click

from reglab.backends import BACKENDS
from reglab.cli.options import split, ways_options

__all__ = ["resume"]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--data", help="where the data lie now, if elsewhere; their content must be the same")
@click.option("--model", help="where the model is found now, if elsewhere; it must be the same")
@click.option("--backend", type=click.Choice(BACKENDS), help="Keras backend [default: the one the study began with]")
@ways_options
def resume(folder: str, **options: Any) -> None:
    """Go on with the study in FOLDER, however it was stopped, and print its table.

    What is recorded is not trained again; runs that failed are tried again. The table is the one that the study would
    have given without an interruption.
    """
    from reglab.cli.show import run_and_show
    from reglab.laboratory import Study

    elsewhere, ways = split(options)
    run_and_show(Study.resume(folder, **elsewhere), ways=ways)
