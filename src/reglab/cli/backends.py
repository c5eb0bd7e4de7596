"""``reglab backends``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from reglab.analysis.speed import Speed, Speeds, advice
from reglab.backends import BACKENDS, installed
from reglab.cli.console import Console
from reglab.cli.define import data_options
from reglab.cli.demo import DEMO
from reglab.cli.options import Option, declared_options, given
from reglab.cli.say import say
from reglab.cli.show import show_table
from reglab.experiments.speed import VISITS, measure
from reglab.facade import Study
from reglab.report.tables import Table
from reglab.study.spec import TABLE, Settings

__all__ = ["backends"]

# What a step, or the first one, can depend on; and how the data is read.
_SETTINGS = (
    "batch_size", "train_size", "optimizer", "learning_rate", "precision", "preprocess", "image_size", "color_mode",
    "skip_broken", *TABLE,
)  # fmt: skip


@click.command()
@click.argument("what", required=False)
@data_options
@click.option("--recipe", metavar="RECIPE", help="what the model is trained with, as 'dropout(rate=0.3)'; of a study's "
              "file, also the name of one of its recipes [default: none, or the study's baseline]")  # fmt: skip
@click.option("--backend", "only", multiple=True, type=click.Choice(BACKENDS), help="backend to measure; can be given "
              "again [default: all]")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=3.0, show_default=True, metavar="X",
              help="of training on each backend, beside the time to start and to compile")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="processor threads of each [default: those of "
              "a single worker, one for each core]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="for machines")
@declared_options(Settings, only=_SETTINGS)
def backends(
    what: str | None, recipe: str | None, only: tuple[str, ...], seconds: float, threads: int | None, as_json: bool,
    **options: Option,
) -> None:  # fmt: skip
    """Measure which backend is fastest for your model on this machine.

    WHAT is data, as --data takes it, or a study's YAML file. Without it, data, model and settings are those of reglab
    demo. Each backend trains a little in a process of its own, in turns; nothing is written.

    \b
    Examples:
      reglab backends
      reglab backends digits --model mlp --batch-size 128
      reglab backends study.yaml --recipe 'adversarial(epsilon=0.1)'
    """  # noqa: D301  # the backspace is click's mark of lines that are not to be filled
    console = Console(stderr=as_json)
    study = _study(what, given(options))
    with console.status("Starting ...") as status:
        try:
            found = measure(
                study, recipe=recipe, only=only or BACKENDS, seconds=seconds, threads=threads,
                tell=lambda text: status.update(f"{text} ..."),
            )  # fmt: skip
        except KeyboardInterrupt:
            status.stop()
            say("\nInterrupted; nothing was written.", err=True)
            raise click.exceptions.Exit(130) from None
    if as_json:
        click.echo(json.dumps(_dict(found), indent=1))
    else:
        _show(found, console)
    if not found.ranked():
        raise click.exceptions.Exit(1)


def _study(what: str | None, changes: dict[str, Any]) -> Study:
    # No backend is used here, so one that KERAS_BACKEND names and that is not installed is a row and no error.
    changes["backend"] = next(iter(installed()), None)
    if what is not None and Path(what).suffix.lower() in (".yaml", ".yml"):
        return Study.from_yaml(what, **changes)
    if what is not None:
        if "data" in changes:
            raise click.UsageError(f"{what} and --data {changes['data']}: give the data once.")
        changes["data"] = what
    if "data" not in changes:
        changes = {**DEMO, **changes}
    return Study(**changes)


def _show(found: Speeds, console: Console) -> None:
    console.print(Text(found.headline, style="bold"))
    show_table(_table(found), console)
    for speed in found.backends:
        if speed.problem is not None:
            console.print(Text(f"{speed.backend}: ", style="yellow") + Text(speed.problem))
    console.print(Text(advice(found), style="bold"))
    ranked = found.ranked()
    if not ranked:
        return
    if len(ranked) > 1:
        it, name = ("it", ranked[0].backend) if len(found.leading()) == 1 else ("one", "NAME")
        console.print(Text(f"Choose {it} with KERAS_BACKEND={name} reglab compare ..., or with --backend {name}."))
    console.print(Text(_legend(found), style="dim"))


def _legend(found: Speeds) -> str:
    return (
        f"ms/epoch: an epoch of a study, which is {found.steps} steps and measuring {found.examples} examples. Median "
        f"of {VISITS} visits in turn; spread: half of what lies between the fastest and the slowest. start: from the "
        "start of the process until the first step is done, with import, building and compiling. MB: memory of the "
        "process, at most."
    )


def _table(found: Speeds) -> Table:
    leading = found.leading()
    columns = ("backend", "ms/epoch", "spread", "ms/step", "measuring", "start", "MB", "device")
    rows = tuple(_cells(speed) for speed in found.backends)
    return Table(columns, rows, tuple(int(len(leading) == 1 and speed in leading) for speed in found.backends))


def _cells(speed: Speed) -> tuple[str, ...]:
    name = f"{speed.backend} {speed.version or ''}".rstrip()
    start = "" if speed.first_step is None else f"{speed.first_step:.1f} s"
    if not speed.visits:
        return name, "", "", "", "", start, "", "failed" if speed.installed else "missing"
    memory = "" if speed.memory is None else f"{speed.memory / 1e6:,.0f}"
    times = (_ms(seconds) for seconds in (speed.epoch, speed.step, speed.measuring))
    epoch, step, measuring = times
    return name, epoch, f"±{100 * speed.spread:.1f} %", step, measuring, start, memory, speed.device or ""


def _ms(seconds: float) -> str:
    value = 1000 * seconds
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _dict(found: Speeds) -> dict[str, Any]:
    medians = {
        speed.backend: {"epoch": speed.epoch, "step": speed.step, "measuring": speed.measuring}
        for speed in found.ranked()
    }
    rows = [{**dataclasses.asdict(speed), "median": medians.get(speed.backend)} for speed in found.backends]
    leading = [speed.backend for speed in found.leading()]
    return {**dataclasses.asdict(found), "backends": rows, "leading": leading, "advice": advice(found)}
