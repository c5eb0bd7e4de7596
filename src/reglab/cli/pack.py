"""``reglab pack``."""

from __future__ import annotations

import click

from reglab.cli.options import StudyFolder
from reglab.cli.say import say
from reglab.study.storage.packed import pack as packed

__all__ = ["pack"]


@click.command()
@click.argument("folder", type=StudyFolder())
@click.argument("target", type=click.Path(file_okay=False))
def pack(folder: str, target: str) -> None:
    """Pack the records of the study in FOLDER into TARGET, small enough for a repository.

    Weights and checkpoints are left out, and probabilities of classes are rounded where accuracy decides. Give the
    same TARGET again, and what has come since is added. reglab unpack makes a study folder of it.
    """
    added = packed(folder, target)
    say(f"{len(added)} run{'s' * (len(added) != 1)} packed into {target}.")
