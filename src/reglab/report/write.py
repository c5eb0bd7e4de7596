"""The report of a study, written into its folder: once, or again and again while it runs."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from reglab.errors import ReglabError
from reglab.report import latex, markdown, spreadsheet
from reglab.report.page import page
from reglab.results import Results
from reglab.study.plan import as_text
from reglab.study.storage import disk, owned
from reglab.study.storage.view import Status, View

__all__ = ["FILES", "watch", "write_report"]

#: What :func:`write_report` writes, in its order.
FILES = ("index.html", "report.md", "table.tex", "table.csv", "runs.csv", "classes.csv")
REFRESH_S = 5.0


def write_report(
    results: Results, out: str | Path | None = None, *, status: Status | None = None, refresh: float | None = None
) -> list[Path]:
    """Write the report: ``index.html``, ``report.md``, ``table.tex``, ``table.csv``, ``runs.csv`` and ``classes.csv``.

    Each file is whole or as it was before.

    Args:
        results: of a study.
        out: the folder, a new one, an empty one, or one with a report of this study; by default ``report`` in the
            study's.
        status: how far the study is, where it goes on.
        refresh: seconds after which the page loads itself again.

    Raises:
        ReglabError: if the folder cannot be written, or holds something else.
    """
    folder, mark = _target(results, out)
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    texts = (
        page(results, made=made, status=status, refresh=refresh), markdown.report(results, made=made),
        latex.table(results), spreadsheet.recipes(results), spreadsheet.runs(results),
        spreadsheet.classes(results),
    )  # fmt: skip
    with disk.errors_named(folder, "write"):
        folder.mkdir(parents=True, exist_ok=True)
        if mark is not None:
            owned.mark(folder, owned.REPORT, study=mark)
        for name, text in zip(FILES, texts, strict=True):
            disk.write(folder / name, text.encode())
    return [folder / name for name in FILES]


def _target(results: Results, out: str | Path | None) -> tuple[Path, str | None]:
    """Return where the report goes, and what that folder is marked with where it is not a study's own."""
    own = results.folder / "report"
    folder = own if out is None else owned.given(out)
    if folder.resolve() == own.resolve():
        return folder, None
    owned.check(folder, owned.REPORT)
    mark = hashlib.sha256(as_text({"spec": results.spec, "facts": results.facts}).encode()).hexdigest()[:16]
    if owned.marked(folder).get("study", mark) != mark:
        raise ReglabError(f"{folder} holds the report of another study. Give another folder with --out.")
    return folder, mark


def watch(
    folder: str | Path, out: str | Path | None = None, *, every: float = REFRESH_S,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[tuple[list[Path], Status]]:  # fmt: skip
    """Write the report every few seconds while the study runs, and a last time when it does not.

    Yields the files and how far the study was. The page refreshes itself until the last one. A study that has just
    begun and has no plan yet is waited for.
    """
    try:
        while True:
            with View(folder) as view:
                status = view.status()
            try:
                results = Results.load(folder)
            except ReglabError:
                if not status.active:
                    raise
            else:
                yield write_report(results, out, status=status, refresh=every if status.active else None), status
            if not status.active:
                return
            sleep(every)
    except KeyboardInterrupt:
        write_report(Results.load(folder), out)  # nobody writes the page any more, so it must not load itself again
        raise
