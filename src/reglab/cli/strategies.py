"""``reglab strategies``."""

from __future__ import annotations

from collections.abc import Iterable

import click
from rich.text import Text

from reglab.cli.cards import Card, Cards, card_options, columns, tell
from reglab.cli.console import Console
from reglab.report import catalogue

__all__ = ["strategies"]


@click.command()
@card_options
def strategies(name: str | None, as_json: bool, as_markdown: bool) -> None:
    """List the strategies, or say everything about one.

    What is printed is generated from the declarations that also check the values.
    """
    cards = Cards(several=catalogue.cards, one=catalogue.card, page=catalogue.markdown, listed=_listed, told=_told)
    tell(cards, name, as_json=as_json, as_markdown=as_markdown)


def _listed(cards: Iterable[Card], console: Console) -> None:
    table = columns("strategy", "what it does")
    for card in cards:
        table.add_row(card["name"], Text(card["formula"]))
    console.print(table)
    console.print(Text("reglab strategies NAME says everything about one.", style="dim"))


def _told(card: Card, console: Console) -> None:
    console.print(Text(card["name"], style="bold") + Text(f"  {card['summary']}"))
    console.print(Text(card["formula"], style="cyan"))
    table = columns("hyperparameter", "default", "range", "search", "meaning")
    for parameter in card["hyperparameters"]:
        table.add_row(*(Text(str(parameter[key])) for key in ("name", "default", "range", "search", "doc")))
    console.print(table)
    for key in ("paper", "zero", "stage", "example"):
        if card[key]:
            console.print(Text(f"{key}: ", style="bold") + Text(str(card[key])))
    for other, reason in card["conflicts"].items():
        console.print(Text("not with ", style="bold") + Text(f"{other}: {reason}"))
