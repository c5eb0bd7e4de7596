"""``reglab ablate``."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from reglab.cli.console import Console
from reglab.cli.interrupt import keeping
from reglab.cli.options import Option, execution_options, settings_options, split, where_options
from reglab.cli.progress import bars
from reglab.cli.show import show_table
from reglab.experiments import ablation
from reglab.experiments.ablation import Ablation
from reglab.facade import Study
from reglab.report.ablation import ingredient_table, interaction_table, legend, sentences

__all__ = ["ablate"]


@click.command()
@click.argument("recipe")
@click.option("--data", required=True, help="as for reglab compare")
@click.option("--model", help="as for reglab compare")
@settings_options()
@where_options
@execution_options
def ablate(recipe: str, **options: Option) -> None:
    """Take a combination apart: what each ingredient of RECIPE contributes, and which to drop.

    The combination is trained whole, without each ingredient, with each alone and with each pair, under identical
    conditions: for three ingredients eight recipes.

    \b
    Example:
      reglab ablate 'l2(kernel=1e-3) + dropout(rate=0.3) + mixup' --data digits --model mlp --seeds 10
    """  # noqa: D301  # the backspace is click's mark of lines that are not to be filled
    study, execution = split(options)
    console = Console()

    made: list[Study] = []

    def make(**more: Any) -> Study:
        made.append(Study(**{**study, **more}))
        return made[-1]

    with keeping(lambda: made[-1].out if made else None), bars(console) as (progress, _):
        found = ablation.ablate(recipe, make, progress=progress, execution=execution)
    _show(found, console)


def _show(found: Ablation, console: Console) -> None:
    console.print()
    console.print(Text(found.results.headline, style="bold"))
    for table in (ingredient_table(found), interaction_table(found)):
        show_table(table, console)
        console.print()
    for sentence in sentences(found):
        console.print(Text(sentence))
    console.print(Text(legend(found), style="dim"))
    console.print(Text("written: ") + Text(str(found.results.folder / "results.json"), style="cyan"))
