"""``reglab resume``."""

from __future__ import annotations

import click

from reglab.backends import BACKENDS
from reglab.cli.console import Console
from reglab.cli.options import Option, StudyFolder, execution_options, split
from reglab.cli.say import say
from reglab.cli.show import run_and_show, show_results
from reglab.errors import ReglabError
from reglab.facade import Results, Study
from reglab.study.storage.store import Store
from reglab.study.storage.view import View, frozen_spec

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
    have given without an interruption. A study that lacks nothing needs neither its data nor its model.
    """
    if (frozen_spec(folder) or {}).get("sealed"):
        raise ReglabError(
            f"The study in {folder} belongs to a search, which decides what is trained in it. Give the command that "
            "began the search once more: it goes on where it stopped."
        )
    elsewhere, execution = split(options)
    if not elsewhere and (results := _complete(folder)) is not None:
        console = Console()
        console.print("Nothing is left to train.\n")
        show_results(results, console)
        return
    run_and_show(Study.resume(folder, **elsewhere), execution=execution)


def _complete(folder: str) -> Results | None:
    """Return the results of a study whose runs all have one, or None; what is damaged is mended or planned again."""
    with Store(folder) as store:
        for note in store.notes:
            say(f"note: {note}")
        with View(folder) as view:
            status = view.status()
            if view.about is None or not status.complete or status.failed:
                return None
        results = Results.load(folder)
        store.write_results(results.to_dict())
        return results
