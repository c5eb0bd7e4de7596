"""``reglab models``."""

from __future__ import annotations

from collections.abc import Iterable

import click
from rich.text import Text

from reglab.cli.cards import Card, Cards, card_options, columns, tell
from reglab.cli.console import Console
from reglab.data.kinds import plural
from reglab.report.networks import network, networks, networks_markdown

__all__ = ["models"]


@click.command()
@card_options
def models(name: str | None, as_json: bool, as_markdown: bool) -> None:
    """List the networks that --model can name, or say everything about one."""
    cards = Cards(several=networks, one=network, page=networks_markdown, listed=_listed, told=_told)
    tell(cards, name, as_json=as_json, as_markdown=as_markdown)


def _listed(cards: Iterable[Card], console: Console) -> None:
    table = columns("model", "takes", "what it is")
    for card in cards:
        table.add_row(card["name"], ", ".join(map(plural, card["kinds"])), Text(card["summary"].replace("``", "")))
    console.print(table)
    console.print(Text("reglab models NAME says everything about one; your own is file.py:function.", style="dim"))


def _told(card: Card, console: Console) -> None:
    console.print(Text(card["name"], style="bold") + Text(f"  takes {', '.join(map(plural, card['kinds']))}"))
    console.print(Text(card["description"].removeprefix("Return ").replace("``", "")))
    table = columns("option", "default", "meaning")
    for option in card["options"]:
        table.add_row(option["name"], Text(option["default"]), Text(option["doc"].replace("``", "")))
    console.print(table)
    if card["paper"]:
        console.print(Text("paper: ", style="bold") + Text(card["paper"]))
