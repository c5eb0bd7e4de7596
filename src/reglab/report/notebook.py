"""What a notebook shows of results and diagnoses: the words and the table of the terminal, as HTML without scripts."""

from __future__ import annotations

from collections.abc import Sequence

from reglab.analysis.diagnosis import Diagnosis
from reglab.report.diagnosis import Line, found
from reglab.report.escaping import environment
from reglab.report.tables import Table, comparison_table, conclusion, legend
from reglab.results import Results

__all__ = ["of_diagnosis", "of_results"]


def of_results(results: Results) -> str:
    """Return the table of a study with its headline, notes, conclusion and legend."""
    lines = [Line(conclusion(results)), Line(legend(results), look="dim")]
    return _html(lines, table=comparison_table(results), headline=results.headline, notes=results.notes)


def of_diagnosis(diagnosis: Diagnosis, *, notes: Sequence[str] = ()) -> str:
    """Return verdict and evidence."""
    return _html(found(diagnosis, notes=notes))


def _html(lines: Sequence[Line], *, table: Table | None = None, headline: str = "", notes: Sequence[str] = ()) -> str:
    template = environment().get_template("notebook.html")
    return template.render(lines=lines, table=table, headline=headline, notes=notes)
