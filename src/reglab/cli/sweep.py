"""``reglab sweep``."""

from __future__ import annotations

from typing import Any

import click

from reglab.cli.options import Option, execution_options, settings_options, split, where_options
from reglab.cli.show import run_and_show
from reglab.errors import ReglabError
from reglab.experiments.sweep import grid, spaced
from reglab.expressions import parse_sum
from reglab.facade import Study

__all__ = ["sweep"]


@click.command()
@click.option("--data", required=True, help="as for reglab compare")
@click.option("--model", help="as for reglab compare")
@click.option("--strategy", required=True, metavar="NAME", help="the strategy, such as l2")
@click.option("--param", "parameter", metavar="NAME", help="its hyperparameter [default: the first one]")
@click.option("--values", metavar="X,X,...", help="its values, or low:high:number, spaced by a factor, or "
              "low:high:number:linear [default: the strategy's search range]")  # fmt: skip
@click.option("--beside", metavar="RECIPE", default="none", show_default=True, help="the recipe it is added to; a "
              "strategy of the same name there keeps its other hyperparameters")  # fmt: skip
@settings_options()
@where_options
@execution_options
def sweep(
    strategy: str, parameter: str | None, values: str | None, beside: str, **options: Option
) -> None:  # fmt: skip
    """Show how one hyperparameter of one strategy matters.

    Every value is trained under identical conditions, in one compiled program, and compared with the recipe without the
    strategy.

    \b
    The paper's Table 3:
      reglab sweep --data cifar10 --strategy l2 --param kernel --values 1e-1,1e-2,1e-3,1e-4 \\
                   --beside 'l2(bias=1e-4, activity=1e-5)'
    """  # noqa: D301  # the backspace is click's mark of lines that are not to be filled
    study, execution = split(options)
    swept = grid(strategy, parameter, None if values is None else _read(values), beside=beside)
    run_and_show(Study(recipes=swept.recipes, baseline=swept.baseline, **study), execution=execution)


def _read(text: str) -> list[Any]:
    """Return the values that a text names: a list, or a range."""
    if ":" in text:
        try:
            low, high, num, *scale = text.split(":")
            (ends,) = parse_sum(f"values({low}, {high})")
            first, last = map(float, ends.args)
            return spaced(first, last, int(num), log=scale != ["linear"])
        except (ValueError, TypeError, ReglabError):
            pass
        raise click.UsageError(f"--values {text}: a range is low:high:number or low:high:number:linear.")
    try:
        (listed,) = parse_sum(f"values({text})")
    except (ReglabError, ValueError):
        listed = None
    if listed is None or listed.kwargs or not listed.args:
        raise click.UsageError(
            f"--values {text}: values are written as in recipes, with commas between them: 1e-3,1e-2 or 2/255,8/255 or "
            "'(1e-4,1e-3),(1e-3,1e-2)'."
        )
    return list(listed.args)
