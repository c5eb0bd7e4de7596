"""``reglab calibrate``."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.text import Text

from reglab import studies
from reglab.analysis.verdict import ENOUGH_SEEDS
from reglab.cli.console import Console
from reglab.cli.define import defined, study_options
from reglab.cli.interrupt import keeping
from reglab.cli.options import Option
from reglab.cli.progress import bars
from reglab.cli.show import show_table
from reglab.experiments import calibrate as experiment
from reglab.experiments.calibrate import Calibration
from reglab.experiments.planning import noise_folder
from reglab.facade import Study
from reglab.report.calibration import sentences
from reglab.report.tables import Table
from reglab.study.storage.owned import given
from reglab.tasks import Metric

__all__ = ["calibrate"]


@click.command()
@study_options(seeds=10)
@click.option("--repetitions", type=click.IntRange(min=2), default=3, show_default=True, help="how often each seed is "
              "trained")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="for machines")
def calibrate(
    study: str | None, recipes: tuple[str, ...], repetitions: int, as_json: bool, out: str | None, **options: Option
) -> None:
    """Compare your baseline with itself: the noise of your set-up, and how often the verdict would be deceived by it.

    Every seed is trained several times, from the same weights on the same split, with other batches and random draws.
    So every difference is noise. The study is given as to reglab compare; of its recipes the baseline counts.
    """
    options.setdefault("seeds", None)
    options["seeds"] = options["seeds"] or (None if study else 10)
    define, execution = defined(study, recipes, options)
    console = Console(stderr=as_json)
    first = define()
    baseline = {first.baseline: first.recipes[first.baseline]}

    def make(**more: Any) -> Study:
        return define(**{"recipes": baseline, "baseline": first.baseline, **more})

    def began(number: int, one: studies.Study) -> None:
        console.print(Text(f"repetition {number + 1} of {repetitions}", style="bold"))

    folder = given(out) if out is not None else noise_folder(first.out)
    with keeping(lambda: folder), bars(console) as (progress, _):
        found = experiment.calibrate(
            make, out=folder, repetitions=repetitions, progress=progress,
            execution=execution, began=began,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps({"folder": str(found.folder), **found.to_dict()}, indent=1))
        return
    _show(found, console)


def _show(found: Calibration, console: Console) -> None:
    console.print()
    console.print(
        Text(f"{found.headline}: {found.recipe} against itself, {found.noise.repetitions} times", style="bold")
    )
    for sentence in sentences(found):
        console.print(Text(sentence))
    if found.bad:
        console.print(Text(f"{found.bad} runs diverged or failed; their seeds are left out.", style="yellow"))
    console.print()
    metric = found.task.decides
    unit = f", in {metric.apart}" if metric.apart else ""
    text = f"Smallest difference of {metric.title} that is shown with a chance of 80 %{unit}, for a recipe as noisy:"
    console.print(Text(text))
    counts = sorted({5, 10, 20, 40, max(ENOUGH_SEEDS, found.noise.seeds)})
    rows = tuple((str(n), *(_cell(found.detectable(n, recipes), metric) for recipes in (1, 3, 9))) for n in counts)
    show_table(Table(("seeds", "1 recipe", "3 recipes", "9 recipes"), rows, (0,) * len(rows)), console)
    console.print(Text("written: ") + Text(str(found.folder / "calibration.json"), style="cyan"))


def _cell(value: float, metric: Metric) -> str:
    return f"{metric.scale * value:{metric.form}}"
