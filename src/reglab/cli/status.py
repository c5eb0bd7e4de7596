"""``reglab status``."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reglab.cli.console import Console
from reglab.cli.options import StudyFolder
from reglab.report.units import duration
from reglab.study.records import reason
from reglab.study.storage.view import Status, View

__all__ = ["duration", "status"]

_REFRESH_S = 1.0
_FAILURES = 10  # failed runs that are listed; reglab runs --failed lists all
_STATES = ("finished", "running", "planned", "diverged", "failed")
_STYLES = {"finished": "green", "running": "cyan", "failed": "red", "diverged": "yellow", "planned": ""}


@click.command()
@click.argument("folder", type=StudyFolder())
@click.option("--watch", "-w", is_flag=True, help="look again every second, until the study ends or Ctrl-C")
@click.option("--json", "as_json", is_flag=True, help="for machines; with --watch, a line each time")
def status(folder: str, watch: bool, as_json: bool) -> None:
    """Show how far the study in FOLDER is: what is done, what is running, what failed and why.

    It can be asked at any time, from any machine that sees the folder; it changes nothing.
    """
    console = Console()
    if not watch:
        found = _look(folder)
        click.echo(json.dumps(found.to_dict(), indent=1)) if as_json else console.print(_page(found))
        return
    with contextlib.suppress(KeyboardInterrupt):  # how one stops watching
        if as_json:
            for found in _looks(folder):
                click.echo(json.dumps(found.to_dict()))
            return

        with Live(console=console, auto_refresh=False) as live:
            for found in _looks(folder):
                live.update(_page(found), refresh=True)


def _look(folder: str) -> Status:
    with View(folder) as view:
        return view.status()


def _looks(folder: str) -> Any:
    while True:
        found = _look(folder)
        yield found
        if not found.active:
            return
        time.sleep(_REFRESH_S)


def _page(found: Status) -> Any:
    total = sum(found.counts.values())
    counts = Text(f"{total} runs: ", style="bold")
    shown = [(state, found.counts[state]) for state in _STATES if found.counts[state] or state == "finished"]
    for position, (state, count) in enumerate(shown):
        counts += Text(", " if position else "") + Text(f"{count} {state}", style=_STYLES[state])
    parts: list[Any] = [Text(str(found.folder), style="bold"), counts, _activity(found)]
    if found.running:
        parts.append(_running(found))
    for run in found.failed[:_FAILURES]:
        told = f"{run['name']}, seed {run['seed']}: {reason(run['error'])}"
        parts.append(Text("failed ", style="red") + Text(told, overflow="fold"))
    if found.failed:
        more = len(found.failed) - _FAILURES
        text = f"{f'and {more} more; ' if more > 0 else ''}reglab runs {found.folder} --failed shows what is known"
        parts.append(Text(text, style="dim"))
    return Group(*parts)


def _activity(found: Status) -> Any:
    if found.active:
        left = "" if found.seconds_left is None else f"about {duration(found.seconds_left)} left; "
        return Text(f"{left}{found.where}")
    if found.complete and not found.failed:
        return Text("complete", style="green")
    silent = "" if found.silent_for is None else f", and its last sign of life was {duration(found.silent_for)} ago"
    what = "failed runs are tried again" if found.complete else "it goes on"
    return Text(f"nobody runs it now{silent}; with reglab resume {found.folder} {what}", style="yellow")


def _running(found: Status) -> Any:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("running", "seed", "epoch", "for", "worker"):
        table.add_column(column, justify="left" if column in ("running", "worker") else "right", overflow="fold")
    for run in found.running:
        epochs = f"{run['epoch']}" + (f" of {found.epochs}" if found.epochs else "")
        names = Text(", ".join(run["names"]))
        table.add_row(names, str(run["seed"]), epochs, duration(run["seconds"]), Text(run["worker"]))
    return table
