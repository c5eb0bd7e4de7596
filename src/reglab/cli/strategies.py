"""``reglab strategies``."""

from __future__ import annotations

import json
import sys

import click
from rich.table import Table
from rich.text import Text

from reglab.cli.console import Console
from reglab.report.catalogue import card, cards, markdown

__all__ = ["strategies"]


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="for machines")
@click.option("--markdown", "as_markdown", is_flag=True, help="all of them, as a page")
def strategies(name: str | None, as_json: bool, as_markdown: bool) -> None:
    """List the strategies, or say everything about one.

    What is printed is generated from the declarations that also check the values.
    """
    if as_markdown:
        click.echo(markdown(), nl=False)
    elif as_json:
        json.dump(cards() if name is None else card(name), sys.stdout, indent=1)
        click.echo()
    else:
        _print(name)


def _print(name: str | None) -> None:
    console = Console()
    if name is None:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("strategy", no_wrap=True)
        table.add_column("what it does")
        for entry in cards():
            table.add_row(entry["name"], Text(entry["formula"]))
        console.print(table)
        console.print(Text("reglab strategies NAME says everything about one.", style="dim"))
        return
    entry = card(name)
    console.print(Text(entry["name"], style="bold") + Text(f"  {entry['summary']}"))
    console.print(Text(entry["formula"], style="cyan"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("hyperparameter", "default", "range", "search", "meaning"):
        table.add_column(column, no_wrap=column == "hyperparameter")
    for parameter in entry["hyperparameters"]:
        table.add_row(*(Text(str(parameter[key])) for key in ("name", "default", "range", "search", "doc")))
    console.print(table)
    for key in ("paper", "zero", "stage", "example"):
        if entry[key]:
            console.print(Text(f"{key}: ", style="bold") + Text(str(entry[key])))
    for other, reason in entry["conflicts"].items():
        console.print(Text("not with ", style="bold") + Text(f"{other}: {reason}"))
