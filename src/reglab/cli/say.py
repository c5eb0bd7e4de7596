"""Lines that the commands print without a console."""

from __future__ import annotations

import click

from reglab.inert import visible

__all__ = ["say"]


def say(text: object, *, err: bool = False) -> None:
    """Print a text as it is, but for characters that cannot be seen, which steer no terminal here."""
    click.echo(visible(text, lines=True), err=err)
