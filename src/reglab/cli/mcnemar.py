"""``reglab mcnemar``."""

from __future__ import annotations

import json

import click

from reglab.cli.options import StudyFolder
from reglab.cli.say import say
from reglab.results import Results

__all__ = ["mcnemar"]


@click.command()
@click.argument("folder", type=StudyFolder())
@click.argument("one")
@click.argument("other")
@click.option("--seed", type=click.INT, metavar="N", help="the runs of this seed [default: of each recipe the one that "
              "is best on validation]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="for machines")
def mcnemar(folder: str, one: str, other: str, seed: int | None, as_json: bool) -> None:
    """Compare two trained models of the study in FOLDER, as they are: recipe ONE against recipe OTHER.

    The exact McNemar test on the test examples that only one of them classifies rightly. It is for choosing between two
    models to ship; of the recipes that made them it says nothing, for that there are seeds.
    """
    results = Results.load(folder)
    runs = results.shipped(one, seed), results.shipped(other, seed)
    found = results.mcnemar(*runs)
    if as_json:
        keys = ("name", "seed", "id")
        told = {
            side: {key: getattr(run, key) for key in keys} for side, run in zip(("one", "other"), runs, strict=True)
        }
        click.echo(json.dumps({**told, **found}, indent=1))
        return
    names = [f"{run.name} (seed {run.seed})" for run in runs]
    say(
        f"Of {found['examples']:,} test examples both are right on {found['both']:,}; only {names[0]} on "
        f"{found['only_one']:,}, only {names[1]} on {found['only_other']:,}; neither on {found['neither']:,}."
    )
    more = names[0] if found["only_one"] > found["only_other"] else names[1]
    sure = f"{more} is right more often" if found["p"] <= 0.05 else "The two models cannot be told apart"
    say(f"{sure}: exact McNemar test, p = {found['p']:.3g}.")
