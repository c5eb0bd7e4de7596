"""``reglab report``."""

from __future__ import annotations

import click

__all__ = ["report"]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--out", type=click.Path(file_okay=False), help="where to write [default: report/ in FOLDER]")
@click.option("--watch", "-w", is_flag=True, help="write it again every few seconds, until the study ends or Ctrl-C")
@click.option("--open", "opened", is_flag=True, help="show the page in a browser")
def report(folder: str, out: str | None, watch: bool, opened: bool) -> None:
    r"""Write the report of the study in FOLDER: one HTML page that needs no network, Markdown, LaTeX and CSV.

    It can be made at any time, of a study that still runs too; nothing is trained. With --watch the page shows how far
    the study is and refreshes itself.

    \b
    Examples:
      reglab report reglab-out/demo --open
      reglab report reglab-out/demo --watch
    """
    from reglab.report.write import watch as watched
    from reglab.report.write import write_report
    from reglab.results import Results

    if not watch:
        paths = write_report(Results.load(folder), out)
        for path in paths:
            click.echo(path)
        if opened:
            click.launch(str(paths[0].resolve()))
        return
    for number, (paths, status) in enumerate(watched(folder, out)):
        if number == 0:
            click.echo(paths[0])
            if opened:
                click.launch(str(paths[0].resolve()))
        done = sum(status.counts[state] for state in ("finished", "diverged", "failed"))
        click.echo(f"{done} of {sum(status.counts.values())} runs" + ("" if status.active else "; nobody runs it now"))
