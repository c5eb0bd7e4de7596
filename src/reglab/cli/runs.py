"""``reglab runs``."""

from __future__ import annotations

import json
from typing import Any

import click

__all__ = ["runs"]

_STYLES = {"finished": "green", "failed": "red", "diverged": "yellow"}


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--failed", is_flag=True, help="only those that failed or diverged, each with what is known of it")
@click.option("--json", "as_json", is_flag=True, help="for machines")
def runs(folder: str, failed: bool, as_json: bool) -> None:
    """List the runs of the study in FOLDER: how each ended, its metrics, and how often it was tried."""
    from reglab.study.records import DIVERGED, FAILED
    from reglab.study.view import View

    with View(folder) as view:
        found = [run for run in view.runs() if not failed or run["status"] in (FAILED, DIVERGED)]
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        _print(found, with_errors=failed)


def _print(found: list[dict[str, Any]], *, with_errors: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not found:
        console.print("No run failed or diverged." if with_errors else "No runs are planned yet.")
        return
    if with_errors:
        for run in found:
            head = Text(f"{run['status']} ", style=_STYLES[run["status"]])
            tries = f"{run['attempts']} attempt{'' if run['attempts'] == 1 else 's'}"
            console.print(head + Text(f"{run['name']}, seed {run['seed']} ({tries}, run {run['id']})", style="bold"))
            console.print(Text(run["error"].strip() or "no reason is known"))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("recipe", "seed", "status", "accuracy", "gap", "epochs", "s", "tries", "run"):
        text = column in ("recipe", "status", "run")
        table.add_column(column, justify="left" if text else "right", overflow="fold", no_wrap=column == "run")
    for run in found:
        metrics = run["metrics"]
        numbers = (
            [f"{100 * metrics['accuracy']:.2f}", f"{100 * metrics['gap']:.1f}", f"{metrics['epochs']:.0f}",
             f"{metrics['seconds']:.1f}"] if metrics else ["", "", "", ""]
        )  # fmt: skip
        table.add_row(
            Text(run["name"]), str(run["seed"]), Text(run["status"], style=_STYLES.get(run["status"], "")), *numbers,
            str(run["attempts"]), run["id"],
        )  # fmt: skip
    console.print(table)
