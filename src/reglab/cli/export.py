"""``reglab export``."""

from __future__ import annotations

import click

from reglab.cli.console import Console
from reglab.cli.options import Option, StudyFolder, given
from reglab.cli.quiet import start_backend
from reglab.export.write import export as write
from reglab.facade import Study

__all__ = ["export"]


@click.command()
@click.argument("folder", type=StudyFolder())
@click.option("--recipe", "recipe", metavar="NAME", help="a recipe's name [default: the recommended one]")
@click.option("--seed", type=click.INT, metavar="N", help="the run to take [default: the best on validation]")
@click.option("--out", type=click.Path(file_okay=False), help="where to [default: FOLDER/export/NAME]")
@click.option("--no-script", is_flag=True, help="leave out train.py and what it reads")
@click.option("--max-data", type=click.FloatRange(min=0), metavar="MB", help="raw examples that are copied for "
              "train.py, at most [default: 256]")  # fmt: skip
@click.option("--data", help="where the data lies now, if it lies elsewhere")
@click.option("--model", help="where the model lies now, if it lies elsewhere")
def export(folder: str, no_script: bool, **options: Option) -> None:
    """Take a recipe of the study in FOLDER home: recipe.yaml, model.keras, train.py and an example of how to predict.

    Nothing of it needs reglab. model.keras takes raw examples; train.py trains to the study's result in plain Keras, on
    the study's backend. Nothing is trained now.
    """
    console = Console()
    found = given(options)
    study = Study.resume(folder, **{key: found.pop(key) for key in ("data", "model") if key in found})
    start_backend()
    with console.status("exporting") as status:
        out = write(study, script=not no_script, progress=lambda what: status.update(f"exporting {what}"), **found)
    for path in sorted(out.glob("[!.]*")):
        console.print(f"{path}", soft_wrap=True, highlight=False, markup=False)
