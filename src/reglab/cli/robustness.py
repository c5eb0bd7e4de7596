"""``reglab robustness``."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.progress import Progress
from rich.text import Text

from reglab.cli.console import Console
from reglab.cli.interrupt import keeping
from reglab.cli.options import Option, StudyFolder, given
from reglab.cli.quiet import start_backend
from reglab.cli.show import show_table
from reglab.experiments import robustness as attacks
from reglab.experiments.robustness import Robustness
from reglab.facade import Study
from reglab.report.tables import Table
from reglab.results import RunResult

__all__ = ["robustness"]


@click.command()
@click.argument("folder", type=StudyFolder())
@click.option("--epsilon", "epsilons", multiple=True, type=click.FLOAT, metavar="X", help="radius of the ball; can be "
              "given again [default: 1/255 to 32/255 of the raw range of images, else 0.01 to 0.5]")  # fmt: skip
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    metavar="N",
    help="test examples, of every class its share where each has one [default: 1000]",
)
@click.option("--seeds", type=click.IntRange(min=1), metavar="N", help="the first N of each recipe [default: all]")
@click.option("--recipe", "recipes", multiple=True, metavar="NAME", help="a recipe's name; can be given again "
              "[default: all]")  # fmt: skip
@click.option("--data", help="where the data lies now, if it lies elsewhere")
@click.option("--model", help="where the model lies now, if it lies elsewhere")
@click.option("--json", "as_json", is_flag=True, help="for machines")
def robustness(folder: str, as_json: bool, **options: Option) -> None:
    """Attack the trained runs of the study in FOLDER by FGSM and PGD, and show what is left of the deciding metric.

    PGD takes 20 steps where FGSM takes one: a model that resists FGSM alone has learned to hide its gradient, and is
    named. Nothing is trained. What is found is kept in the folder (robustness.json) and shown in its report.
    """
    console = Console(stderr=as_json)
    found = given(options)
    study = Study.resume(folder, **{key: found.pop(key) for key in ("data", "model") if key in found})
    start_backend()
    with keeping(lambda: study.out), Progress(console=console, transient=True) as bar:
        task = bar.add_task("attacking", total=None)

        def progress(done: int, total: int, run: RunResult) -> None:
            bar.update(task, completed=done, total=total, description=f"{run.name}, seed {run.seed}"[:40])

        result = attacks.robustness(study, progress=progress, **found)
    if as_json:
        click.echo(json.dumps(_dict(result), indent=1))
        return
    _show(result, console)


def _show(result: Robustness, console: Console) -> None:
    unit = "of the raw range" if result.unit == "pixel" else "in units of the network's input"
    metric = result.metric
    what = f"Test {metric.title}{metric.unit and ' in '}{metric.unit}"
    console.print(Text(f"{what} under attack, {result.examples} examples, epsilon {unit}", style="bold"))
    show_table(_table(result), console)
    for remark in result.remarks():
        console.print(Text("note: ", style="yellow") + Text(remark))
    console.print(Text("FGSM: one step of epsilon. PGD: 20 steps from a random start. Means over seeds.", style="dim"))


def _table(result: Robustness) -> Table:
    columns = ("recipe", "attack", *(result.text(i) for i in range(len(result.epsilons))))
    metric = result.metric
    rows = tuple(
        (
            name if attack == "fgsm" else "", attack.upper(),
            *(f"{metric.scale * value:{metric.rough}}" for value in curve.mean),
        )
        for name, of_name in result.curves.items()
        for attack, curve in of_name.items()
    )  # fmt: skip
    return Table(columns, rows, (0,) * len(rows))


def _dict(result: Robustness) -> dict[str, Any]:
    return {
        "unit": result.unit, "epsilons": list(result.epsilons), "examples": result.examples, "blind": result.blind,
        "metric": result.metric.name,
        "values": {
            name: {attack: curve.values.tolist() for attack, curve in of_name.items()}
            for name, of_name in result.curves.items()
        },
        "remarks": result.remarks(),
    }  # fmt: skip
