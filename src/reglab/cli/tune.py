"""``reglab tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.text import Text

from reglab.cli.console import Console
from reglab.cli.interrupt import keeping
from reglab.cli.options import (
    Option,
    declared_options,
    execution_options,
    given,
    settings_options,
    split,
    where_options,
)
from reglab.cli.progress import bars
from reglab.cli.show import show_table
from reglab.cli.trials import Checking, Trials
from reglab.declare import params
from reglab.facade import Study
from reglab.report.tables import Table, comparison_table, conclusion, legend
from reglab.tuning.budget import Budget
from reglab.tuning.confirm import Tuned
from reglab.tuning.confirm import tune as tuned

__all__ = ["tune"]


@click.command()
@click.option("--data", required=True, help="as for reglab compare")
@click.option("--model", help="as for reglab compare")
@click.option("--strategy", "strategies", multiple=True, metavar="NAME", help="a strategy that is looked for; can be "
              "given again [default: all that fit the data]")  # fmt: skip
@click.option("--all-on", is_flag=True, help="every strategy is part of every recipe; by default each may be left out")
@click.option("--tune-learning-rate", is_flag=True, help="look for the learning rate too, in every recipe")
@click.option("--beside", metavar="RECIPE", default="none", show_default=True, help="what every recipe has besides")
@click.option("--rivals", type=click.IntRange(min=0), default=3, show_default=True, help="best trials that are trained "
              "afresh with other seeds; 0 for none")  # fmt: skip
@declared_options(Budget)
@settings_options(seeds=10)
@where_options
@execution_options
def tune(
    strategies: tuple[str, ...], all_on: bool, tune_learning_rate: bool, beside: str, rivals: int, out: str | None,
    **options: Option,
) -> None:  # fmt: skip
    """Look for a recipe, and confirm it on seeds that the search has not seen.

    The search looks at validation alone. Its best trials are then trained afresh with new seeds (--seeds), and only
    those numbers are an estimate: what a search saw of its winner is too good. The same command again goes on where it
    was interrupted.

    \b
    Example:
      reglab tune --data digits --model mlp --train-size 200 --strategy l2 --strategy dropout --trials 40
    """  # noqa: D301  # the backspace is click's mark of lines that are not to be filled
    options["seeds"] = options["seeds"] or 10
    budget = Budget(**given({key: options.pop(key) for key in list(options) if key in params(Budget)}))
    study, execution = split(options)
    console, folders = Console(), list[Path]()

    def make(**more: Any) -> Study:
        return Study(**{**study, **more})

    with keeping(lambda: folders[-1] if folders else None), bars(console) as (progress, check):
        found = tuned(
            make, budget, out=out, strategies=strategies, optional=not all_on,
            learning_rate=tune_learning_rate, beside=beside, rivals=rivals,
            progress=Checking(check, progress), confirmation=progress, execution=execution,
            on_trial=Trials(console).print, began=folders.append,
        )  # fmt: skip
    _show(found, console)


def _show(found: Tuned, console: Console) -> None:
    console.print()
    if found.results is None:
        what = f"validation {found.trials[0].metric.title} of the search's own seeds" if found.trials else "validation"
        console.print(Text(f"Best trials, by {what}, which is too good an estimate:"))
        for trial in found.trials[:5]:
            console.print(Text(f"  {trial.metric.shown(trial.value)}  {trial.recipe.to_text()}"))
        console.print(Text("written: ") + Text(str(found.folder), style="cyan"))
        return
    console.print(Text(f"{found.results.headline}, which the search had not seen", style="bold"))
    columns = show_table(comparison_table(found.results), console)
    metric = found.results.metric
    rows = tuple(
        (name, metric.shown(trial.value), metric.shown(found.now(name)), trial.recipe.to_text())
        for name, trial in found.names.items()
    )
    console.print()
    show_table(Table(("recipe", "search saw", "validation now", "what it is"), rows, (0,) * len(rows)), console)
    console.print(Text(conclusion(found.results)))
    console.print(Text(f"To use: {found.recipe.to_text()}", style="bold"))
    console.print(Text(legend(found.results, columns), style="dim"))
    console.print(Text("written: ") + Text(str(found.folder), style="cyan"))
