"""``reglab log``."""

from __future__ import annotations

import time

import click

from reglab.cli.options import StudyFolder
from reglab.cli.say import say
from reglab.results import Results
from reglab.study.storage.view import View
from reglab.trackers import TRACKERS, tracker

__all__ = ["log"]

_REFRESH_S = 5.0


@click.command()
@click.argument("folder", type=StudyFolder())
@click.option("--to", "name", type=click.Choice(TRACKERS), required=True, help="the tool that gets the runs")
@click.option("--where", help="TensorBoard: the log folder [default: FOLDER/tensorboard]; MLflow: the tracking URI "
              "[default: MLFLOW_TRACKING_URI]")  # fmt: skip
@click.option("--watch", "-w", is_flag=True, help="go on while the study runs")
def log(folder: str, name: str, where: str | None, watch: bool) -> None:
    """Hand the runs of the study in FOLDER to TensorBoard or MLflow.

    Runs that are there already are left as they are, so it can be called at any time, and again.
    """
    hand_over, count = tracker(name), 0
    try:
        while True:
            with View(folder) as view:  # before the runs are read, so that the last ones are not missed
                active = view.status().active
            count += len(hand_over(Results.load(folder), where))
            if not (watch and active):
                break
            time.sleep(_REFRESH_S)
    except KeyboardInterrupt:
        if watch:  # how one stops watching
            return
        raise
    say(f"{count} runs handed to {name}." if count else f"All runs that have ended are in {name} already.")
