"""``reglab plan``."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import click
from rich.text import Text

from reglab.analysis.verdict import ENOUGH_SEEDS
from reglab.cli.console import Console
from reglab.cli.define import defined, study_options
from reglab.cli.options import Option
from reglab.cli.show import show_table
from reglab.cli.status import duration
from reglab.experiments.planning import Outlook, look_ahead
from reglab.report.tables import Table

__all__ = ["plan"]

_SPREADS = (0.005, 0.01, 0.02, 0.04)  # of what a metric can differ by: shown where nothing is known


@click.command()
@study_options()
@click.option("--spread", type=click.FLOAT, metavar="X", help="standard deviation over seeds of a recipe's difference "
              "from the baseline, in the unit of the deciding metric: points of accuracy")  # fmt: skip
@click.option("--from", "source", type=click.Path(exists=True, file_okay=False), help="folder of a study or of an A/A "
              "study (reglab calibrate) that tells it [default: what lies beside the study]")  # fmt: skip
@click.option("--measure/--no-measure", default=True, help="train a few epochs of every recipe to know the cost "
              "[default: measure]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="for machines")
def plan(
    study: str | None, recipes: tuple[str, ...], spread: float | None, source: str | None, measure: bool, as_json: bool,
    **options: Option,
) -> None:  # fmt: skip
    """Say which differences a study could show, and what it would cost, before it is run.

    The study is given as to reglab compare. Nothing is kept but what is printed.
    """
    make, execution = defined(study, recipes, options)
    console = Console(stderr=as_json)
    planned = make()
    with console.status("Training a few epochs of every recipe ..." if measure else "Looking ahead ..."):
        found = look_ahead(planned, spread=spread, source=source, measure=measure, execution=execution)
    if as_json:
        click.echo(json.dumps(_dict(found), indent=1))
        return
    _show(found, console)


def _show(found: Outlook, console: Console) -> None:
    console.print(Text(found.headline, style="bold"))
    metric = found.metric
    recipes = f"{found.recipes} recipe{'s' if found.recipes != 1 else ''} beside the baseline"
    console.print(Text(f"{found.runs} runs: {recipes}, {found.seeds} seeds. {_cost(found)}".rstrip()))
    console.print()
    what = f"Smallest difference of {metric.title} that is shown with a chance of 80 %"
    if found.spread is None:
        text = f"{what}, for spreads of differences of:"
    else:
        text = f"{what}, at a spread of differences of {metric.differs(found.spread.value)} ({found.spread.source}):"
    console.print(Text(text))
    show_table(_table(found), console)
    console.print()
    if found.seeds < ENOUGH_SEEDS:
        console.print(Text(f"{found.seeds} seeds are screening: fewer than {ENOUGH_SEEDS} get no verdict."))
    if found.seeds_needed is not None and found.margin is not None:
        size = metric.differs(found.margin, "g")
        text = f"A difference of {size} needs about {found.seeds_needed} seeds; the spread is an estimate."
        console.print(Text(text, style="bold"))
    if found.spread is None:
        console.print(
            Text(
                "Nothing is known of the spread of your set-up. reglab calibrate measures it on the baseline; give its "
                "folder with --from, or a spread with --spread."
            )
        )
    count = f"{found.recipes} recipe{'s' if found.recipes != 1 else ''}"
    told = f"Holm over {count}: fewer recipes show smaller differences."
    if metric.counts:
        told += f" One test example of {found.test_examples:,} is {metric.differs(1 / found.test_examples, '.2g')}."
    console.print(Text(told, style="dim"))


def _cost(found: Outlook) -> str:
    cost = found.cost
    if cost is None:
        return ""

    each = cost.seconds / cost.trainings
    workers = f"{cost.workers} worker{'s' if cost.workers > 1 else ''}"
    size = cost.run_bytes * found.runs / 1e6
    disk = f"{size:,.0f} MB" if size >= 1 else "under 1 MB"
    return f"About {duration(cost.of(found.seeds))} with {workers} ({each:.2g} s a training), {disk} on disk."


def _table(found: Outlook) -> Table:
    metric = found.metric
    if found.spread is not None:
        spreads, shown = [found.spread.value], ["shows from"]
    elif math.isfinite(metric.span):
        spreads = [share * metric.span for share in _SPREADS]
        shown = [metric.differs(value, "g") for value in spreads]
    else:  # nothing to take a share of: as multiples of the spread, whatever it is
        spreads, shown = [1.0 / metric.scale], ["in spreads"]
    columns = ("seeds", *shown, *(["time"] if found.cost else []))
    rows = []
    for seeds in found.choices():
        cells = [found.detectable(seeds, spread) for spread in spreads]
        texts = ["no verdict" if value is None else f"{metric.scale * value:{metric.form}}" for value in cells]
        time = [duration(found.cost.of(seeds))] if found.cost else []
        rows.append((f"{seeds}{' (planned)' if seeds == found.seeds else ''}", *texts, *time))
    return Table(columns, tuple(rows), (0,) * len(rows))


def _dict(found: Outlook) -> dict[str, Any]:
    held = dataclasses.asdict(dataclasses.replace(found, metric=None))  # type: ignore[arg-type]
    return {
        **held,
        "metric": found.metric.name,
        "seeds_needed": found.seeds_needed,
        "by_seeds": [
            {
                "seeds": seeds,
                "detectable": found.detectable(seeds),
                "seconds": None if found.cost is None else found.cost.of(seeds),
            }
            for seeds in found.choices()
        ],
    }
