"""``reglab report``."""

from __future__ import annotations

import contextlib

import click

from reglab.cli.options import StudyFolder
from reglab.cli.quiet import start_backend
from reglab.cli.say import say
from reglab.data.kinds import are_pictures
from reglab.errors import ReglabError
from reglab.experiments import masks, samples
from reglab.facade import Study
from reglab.recipe import Recipe
from reglab.report.write import watch as watched
from reglab.report.write import write_report
from reglab.results import Results

__all__ = ["report"]


@click.command()
@click.argument("folder", type=StudyFolder())
@click.option("--out", type=click.Path(file_okay=False), help="where to write [default: report/ in FOLDER]")
@click.option("--watch", "-w", is_flag=True, help="write it again every few seconds, until the study ends or Ctrl-C")
@click.option("--open", "opened", is_flag=True, help="show the page in a browser")
@click.option("--samples/--no-samples", default=True, help="show images of the data, where it can be "
              "read: what strategies do to them, and classes of their pixels [default: samples]")  # fmt: skip
def report(folder: str, out: str | None, watch: bool, opened: bool, samples: bool) -> None:
    """Write the report of the study in FOLDER: one HTML page that needs no network, Markdown, LaTeX and CSV.

    It can be made at any time, of a study that still runs too; nothing is trained. With --watch the page shows how far
    the study is and refreshes itself.

    \b
    Examples:
      reglab report reglab-out/demo --open
      reglab report reglab-out/demo --watch
    """  # noqa: D301  # the backspace is click's mark of lines that are not to be filled
    if not watch:
        results = Results.load(folder)
        if samples:
            _make_samples(results)
        paths = write_report(results, out)
        for path in paths:
            say(path)
        if opened:
            click.launch(str(paths[0].resolve()))
        return
    with contextlib.suppress(KeyboardInterrupt):  # how one stops watching
        for number, (paths, status) in enumerate(watched(folder, out)):
            if number == 0:
                say(paths[0])
                if opened:
                    click.launch(str(paths[0].resolve()))
            done = sum(status.counts[state] for state in ("finished", "diverged", "failed"))
            told = f"{done} of {sum(status.counts.values())} runs"
            say(told + ("" if status.active else "; nobody runs it now"))


def _make_samples(results: Results) -> None:
    """Make the samples and masks that the report shows, where they are not there and can be made."""
    if not results.complete or results.spec.get("sealed"):
        return
    try:
        recipes = [Recipe.parse(text) for text in results.spec["recipes"].values()]  # strategies of others are unknown
        changed = any(map(samples.may_change, recipes)) and not samples.load(results.folder)
        labelled = _lacks_masks(results)
        if not (changed or labelled):
            return
        study = Study.resume(results.folder)
        if are_pictures(study.dataset.kind):
            start_backend()
            if labelled:
                masks.masks(study)
            if changed:
                samples.samples(study)
    except ReglabError as error:  # the report does not need them
        say(f"note: no images of the data in the report: {error}", err=True)


def _lacks_masks(results: Results) -> bool:
    """Whether pixels have classes, and the masks of what is compared now are not there."""
    if len(results.task.kept_shape) != 3:  # a class per step or token has no picture
        return False
    made = masks.load(results)
    return made is None or not set(made.predicted) >= set(masks.shown(results))
