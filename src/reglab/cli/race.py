"""``reglab race``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.text import Text

from reglab.cli.console import Console
from reglab.cli.interrupt import keeping
from reglab.cli.options import Option, execution_options, settings_options, split, where_options
from reglab.cli.progress import bars
from reglab.cli.show import show_results
from reglab.cli.trials import Checking
from reglab.facade import Study
from reglab.recipe import spoken
from reglab.tuning.raced import Raced, families_of, run_race

__all__ = ["race"]


@click.command()
@click.option("--data", required=True, help="as for reglab compare")
@click.option("--model", help="as for reglab compare")
@click.option("--strategy", "strategies", multiple=True, required=True, metavar="NAME", help="a strategy that takes "
              "part; can be given again")  # fmt: skip
@click.option("--values", type=click.IntRange(min=2), default=5, show_default=True, help="strengths of each, over its "
              "search range")  # fmt: skip
@click.option("--epoch-budget", type=click.IntRange(min=1), metavar="N", help="epochs of the race [default: a quarter "
              "of the full grid's]")  # fmt: skip
@click.option("--search-seeds", type=click.IntRange(min=2), default=10, show_default=True, help="the most seeds that a "
              "recipe gets in the race")  # fmt: skip
@click.option("--rivals", type=click.IntRange(min=0), default=3, show_default=True, help="recipes that are trained "
              "afresh with other seeds; 0 for none")  # fmt: skip
@settings_options(seeds=10)
@where_options
@execution_options
def race(
    strategies: tuple[str, ...], values: int, epoch_budget: int | None, search_seeds: int, rivals: int, out: str | None,
    **options: Option,
) -> None:  # fmt: skip
    """Find a good recipe with a quarter of the epochs that a full grid takes.

    Strengths of one strategy are compared early, and the hopeless ones are dropped. Strategies meet only when they are
    fully trained, since strong ones learn slower; then seeds are added to those in doubt. Validation alone is looked
    at, and what is left is trained afresh with new seeds (--seeds).

    \b
    Example:
      reglab race --data digits --model mlp --train-size 200 --strategy l2 --strategy dropout --strategy mixup
    """  # noqa: D301  # the backspace is click's mark of lines that are not to be filled
    options["seeds"] = options["seeds"] or 10
    study, execution = split(options)
    families, recipes = families_of(strategies, values)

    def make(**more: Any) -> Study:
        return Study(**{**study, **more})

    console, folders = Console(), list[Path]()
    budget = epoch_budget or len(recipes) * search_seeds * make(recipes=["none"]).settings.epochs // 4
    told = f"Racing {len(recipes)} recipes in at most {budget:,} epochs ..."
    with keeping(lambda: folders[-1] if folders else None), bars(console) as (progress, check), console.status(told):
        waiting = Checking(check, progress)
        found = run_race(
            make, families, recipes, epoch_budget=budget, out=out, search_seeds=search_seeds, rivals=rivals,
            progress=waiting, confirmation=progress if not console.is_terminal else waiting, execution=execution,
            began=folders.append,
        )  # fmt: skip
    _show(found, console)


def _show(found: Raced, console: Console) -> None:
    for stage in found.race.stages:
        names = ", ".join(stage.left[:6]) + (f" and {len(stage.left) - 6} more" if len(stage.left) > 6 else "")
        console.print(
            Text(f"{stage.spent:,} epochs: {stage.epochs} epochs with {stage.seeds} seeds leave ", style="dim")
            + Text(names)
        )
    pick = found.recipes[found.race.pick].to_text()

    said = spoken(found.race.pick, "") if pick == "none" else f"{found.race.pick}: {pick}"
    console.print(Text(f"The race picks {said}", style="bold"))
    console.print()
    if found.results is not None:
        show_results(found.results, console)
