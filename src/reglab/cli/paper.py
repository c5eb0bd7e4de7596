"""``reglab paper``."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from reglab import paper as reference
from reglab.cli.console import Console
from reglab.cli.options import Option, execution_options, settings_options, split, where_options
from reglab.cli.show import run_and_show, show_table
from reglab.errors import ReglabError, nearest
from reglab.facade import Study
from reglab.paper import BASELINE
from reglab.report.paper import assumptions, markdown, published_tables
from reglab.study.storage.store import Store

__all__ = ["paper"]

# What the paper says, and our choices where it does not (``reglab.paper.ASSUMPTIONS``).
PAPER = {"seeds": 3, "epochs": 200, "batch_size": 100, "optimizer": "adamax", "learning_rate": 0.002, "validation": 0.1}


@click.command()
@click.argument("table", type=click.Choice(["table2", "table3", "both"]))
@click.option("--data", default="cifar10", show_default=True, help="cifar10, or a folder or archive of images")
@click.option(
    "--model", default="inception", show_default=True, help="the paper's, or 'inception(pooled=true)' on a CPU"
)
@click.option(
    "--arm", "only", multiple=True, metavar="NAME", help="only this arm, beside the baseline; can be given again"
)
@settings_options(**PAPER)
@where_options
@execution_options
def paper(table: str, data: str, model: str, only: tuple[str, ...], **options: Option) -> None:
    """Run the paper's study: TABLE2, the ten strategies, TABLE3, four strengths of L2, or BOTH in one.

    BOTH trains first what a reader learns most from. Prints the published figures beside ours, and what the paper
    does not say with our choice.
    """
    recipes = _chosen(reference.arms(table), only)
    console = Console()
    changes, execution = split(options)
    study = Study(data, model, recipes, baseline=reference.BASELINE, **{**PAPER, **changes})
    study.recipes, notes = reference.without_transforms(study.recipes, study.dataset.label_changing)
    results = run_and_show(study, notes=tuple(notes), execution=execution, console=console)
    with Store(results.folder) as store:
        written = store.write_report(f"paper-{table}.md", markdown(results, table))
    for title, beside in published_tables(results, table).items():
        console.print()
        console.print(Text(f"Beside {title} of the paper (its figures are single runs on CIFAR-10)", style="bold"))
        show_table(beside, console)
    console.print()
    console.print(Text("What the paper does not say, and our choice", style="bold"))
    for what, choice in assumptions():
        console.print(Text(f"- {what}: ", style="") + Text(choice, style="cyan"))
    console.print(Text("written: ") + Text(str(written), style="cyan"))


def _chosen(arms: dict[str, Any], only: tuple[str, ...]) -> dict[str, Any]:
    for name in only:
        if name not in arms:
            raise ReglabError(f"The table has no arm {name!r}.{nearest(name, arms)} It has {', '.join(arms)}.")
    return {name: recipe for name, recipe in arms.items() if not only or name in only or name == BASELINE}
