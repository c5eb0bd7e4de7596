"""``reglab unpack``."""

from __future__ import annotations

import click

from reglab.cli.say import say
from reglab.study.storage.packed import unpack as unpacked

__all__ = ["unpack"]


@click.command()
@click.argument("packed", type=click.Path(exists=True, file_okay=False))
@click.argument("out", type=click.Path(file_okay=False))
def unpack(packed: str, out: str) -> None:
    """Make the study folder OUT of the packed study in PACKED, or add what it lacks.

    It can be looked at and gone on with like any other study. What needs trained weights, as export does, cannot be
    done with the runs that come from there.
    """
    added = unpacked(packed, out)
    say(f"{len(added)} run{'s' * (len(added) != 1)} unpacked into {out}.")
