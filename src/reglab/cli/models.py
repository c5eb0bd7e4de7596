"""``reglab models``."""

from __future__ import annotations

import json
import sys

import click
from rich.table import Table
from rich.text import Text

from reglab.cli.console import Console
from reglab.data.kinds import plural
from reglab.report.networks import network, networks, networks_markdown

__all__ = ["models"]


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="for machines")
@click.option("--markdown", "as_markdown", is_flag=True, help="all of them, as a page")
def models(name: str | None, as_json: bool, as_markdown: bool) -> None:
    """List the networks that --model can name, or say everything about one."""
    if as_markdown:
        click.echo(networks_markdown(), nl=False)
    elif as_json:
        json.dump(networks() if name is None else network(name), sys.stdout, indent=1)
        click.echo()
    else:
        _print(name)


def _print(name: str | None) -> None:
    console = Console()
    if name is None:
        table = _table("model", "takes", "what it is")
        for card in networks():
            table.add_row(card["name"], ", ".join(map(plural, card["kinds"])), Text(card["summary"].replace("``", "")))
        console.print(table)
        console.print(Text("reglab models NAME says everything about one; your own is file.py:function.", style="dim"))
        return
    card = network(name)
    console.print(Text(card["name"], style="bold") + Text(f"  takes {', '.join(map(plural, card['kinds']))}"))
    console.print(Text(card["description"].removeprefix("Return ").replace("``", "")))
    table = _table("option", "default", "meaning")
    for option in card["options"]:
        table.add_row(option["name"], Text(option["default"]), Text(option["doc"].replace("``", "")))
    console.print(table)
    if card["paper"]:
        console.print(Text("paper: ", style="bold") + Text(card["paper"]))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column in ("model", "option"))
    return table
