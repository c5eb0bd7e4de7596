"""``reglab runs``."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.text import Text

from reglab.cli.console import Console
from reglab.cli.options import StudyFolder
from reglab.cli.show import show_table
from reglab.report.tables import Table
from reglab.study.records import DIVERGED, FAILED
from reglab.study.storage.view import View
from reglab.tasks import Metric, Task, read_task

__all__ = ["runs"]

_STYLES = {"failed": "red", "diverged": "yellow"}


@click.command()
@click.argument("folder", type=StudyFolder())
@click.option("--failed", is_flag=True, help="only those that failed or diverged, each with what is known of it")
@click.option("--json", "as_json", is_flag=True, help="for machines")
def runs(folder: str, failed: bool, as_json: bool) -> None:
    """List the runs of the study in FOLDER: how each ended, its metrics, and how often it was tried."""
    with View(folder) as view:
        found = [run for run in view.runs() if not failed or run["status"] in (FAILED, DIVERGED)]
        task = None if view.about is None else read_task(view.about["task"])
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        _print(found, task, with_errors=failed)


def _print(found: list[dict[str, Any]], task: Task | None, *, with_errors: bool) -> None:
    console = Console()
    if not found or task is None:
        console.print("No run failed or diverged." if with_errors else "No runs are planned yet.")
    elif not with_errors:
        show_table(_table(found, task.decides), console)
    else:
        for run in found:
            head = Text(f"{run['status']} ", style=_STYLES[run["status"]])
            tries = f"{run['attempts']} attempt{'' if run['attempts'] == 1 else 's'}"
            console.print(head + Text(f"{run['name']}, seed {run['seed']} ({tries}, run {run['id']})", style="bold"))
            console.print(Text(run["error"].strip() or "no reason is known"))


def _table(found: list[dict[str, Any]], metric: Metric) -> Table:
    columns = ("recipe", "status", "seed", metric.title, "gap", "epochs", "s/run", "tries", "run")
    emphasis = tuple(-1 if run["status"] in _STYLES else 0 for run in found)
    return Table(columns, tuple(_cells(run, metric) for run in found), emphasis)


def _cells(run: dict[str, Any], metric: Metric) -> tuple[str, ...]:
    metrics = run["metrics"]
    numbers = ["", "", "", ""]
    if metrics:
        forms = {
            metric.name: (metric.scale, metric.form),
            "gap": (metric.scale, metric.rough),
            "epochs": (1.0, ".0f"),
            "seconds": (1.0, ".1f"),
        }
        numbers = [
            format(unit * metrics[key], form) if metrics.get(key) is not None else ""  # a search reads no test set
            for key, (unit, form) in forms.items()
        ]
    return (run["name"], run["status"], str(run["seed"]), *numbers, str(run["attempts"]), run["id"])
