"""``reglab compare``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from reglab.cli.console import Console
from reglab.cli.define import defined, study_options
from reglab.cli.interrupt import keeping
from reglab.cli.options import Option
from reglab.cli.progress import bars
from reglab.cli.show import run_and_show, show_results, show_table
from reglab.cli.trials import Checking, Trials
from reglab.facade import Study
from reglab.recipe import Recipe
from reglab.report.tuning import effort_table
from reglab.strategies import CATALOGUE
from reglab.tuning.each import Tuning, tune_each

__all__ = ["compare"]


@click.command()
@study_options()
@click.option("--tune-each", type=click.IntRange(min=2), metavar="N", help="give every strategy N random trials on "
              "seeds of their own, and compare the best of each")  # fmt: skip
@click.option("--references/--no-references", default=True, help="for tables, show what guessing and scikit-learn's "
              "standard models have on the same splits [default: references]")  # fmt: skip
def compare(
    study: str | None, recipes: tuple[str, ...], tune_each: int | None, references: bool, **options: Option
) -> None:  # fmt: skip
    """Train recipes under identical conditions and compare them.

    Every recipe gets, for each seed, the same split, the same initial weights and the same batches. STUDY is a YAML
    file that holds the same as the options; options that are given too go before it.

    With --tune-each, strategies are compared and not settings: a recipe that is one strategy at its defaults, such as
    l2, is tuned; others, and those with a name of their own ('name=l2'), are taken as they are.

    \b
    Examples:
      reglab compare --data digits --model mlp --recipe 'l2(kernel=1e-3)' --recipe 'dropout(rate=0.3)'
      reglab compare --data photos/ --image-size 64 --model my_models.py:build --recipe mixup --seeds 5
      reglab compare study.yaml --epochs 100
      reglab compare --data digits --model mlp --recipe l2 --recipe dropout --tune-each 20
    """  # noqa: D301  # the backspace is click's mark of lines that are not to be filled
    make, execution = defined(study, recipes, options)
    if tune_each is None:
        run_and_show(make(), execution=execution, seen_beside=references)
        return
    out = options["out"]
    _tuned(make, execution, tune_each, None if out is None else f"{out}-tuned")


def _tuned(make: Callable[..., Study], execution: dict[str, Any], trials: int, out: str | None) -> None:
    first = make()
    tuned = {name: next(iter(recipe)).name for name, recipe in first.recipes.items() if _is_bare(name, recipe)}
    fixed = {
        name: recipe for name, recipe in first.recipes.items()
        if name not in tuned and name != "none" and (len(recipe) or name == first.baseline)
    }  # fmt: skip
    console, folders = Console(), list[Path]()
    lines = Trials(console)
    with keeping(lambda: folders[-1] if folders else None), bars(console) as (progress, check):
        found: Tuning = tune_each(
            make, tuple(tuned.values()), trials, out=out, beside=fixed, baseline=first.baseline,
            progress=Checking(check, progress), confirmation=progress, execution=execution,
            on_trial=lambda name, trial: lines.print(trial, name), began=folders.append,
        )  # fmt: skip
    console.print()
    metric = found.results.metric
    unit = f", in {metric.unit}," if metric.unit else ""
    text = f"Expected best {metric.title} on validation{unit} after n of {trials} random trials on the search's seeds:"
    console.print(Text(text, style="bold"))
    show_table(effort_table(found), console)
    console.print(Text("The best of each, which are compared on other seeds:", style="bold"))
    for name in found.trials:
        console.print(Text(f"{name}: {found.best(name).to_text()}"))
    console.print()
    show_results(found.results, console)


def _is_bare(name: str, recipe: Recipe) -> bool:
    """Whether a recipe is one strategy at its defaults, without a name of its own."""
    return len(recipe) == 1 and next(iter(recipe)) == CATALOGUE[next(iter(recipe)).name]() and name == recipe.to_text()
