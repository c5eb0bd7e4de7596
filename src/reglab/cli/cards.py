"""What ``reglab models`` and ``reglab strategies`` share: a list of cards, or one card, for people or machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

import click
from rich.table import Table

from reglab.cli.console import Console
from reglab.cli.options import Command

__all__ = ["Card", "Cards", "card_options", "columns", "tell"]

Card: TypeAlias = "dict[str, Any]"


class Cards(NamedTuple):
    """A catalogue.

    Attributes:
        several: gives all cards.
        one: gives the card of a name.
        page: gives all of them as Markdown.
        listed: prints a line for each of some cards.
        told: prints a card.
    """

    several: Callable[[], list[Card]]
    one: Callable[[str], Card]
    page: Callable[[], str]
    listed: Callable[[Iterable[Card], Console], None]
    told: Callable[[Card, Console], None]


def card_options(function: Command) -> Command:
    """Add the argument and the options of a command that shows cards."""
    function = click.option("--markdown", "as_markdown", is_flag=True, help="all of them, as a page")(function)
    function = click.option("--json", "as_json", is_flag=True, help="for machines")(function)
    return click.argument("name", required=False)(function)


def tell(cards: Cards, name: str | None, *, as_json: bool, as_markdown: bool) -> None:
    """Print all cards or, given its name, one; a page holds all of them."""
    if as_markdown:
        click.echo(cards.page(), nl=False)
    elif as_json:
        json.dump(cards.several() if name is None else cards.one(name), sys.stdout, indent=1)
        click.echo()
    elif name is None:
        cards.listed(cards.several(), Console())
    else:
        cards.told(cards.one(name), Console())


def columns(first: str, *others: str) -> Table:
    """Return a table without lines, whose first column is not broken."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for column in others:
        table.add_column(column)
    return table
