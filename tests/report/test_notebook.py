"""What a prompt and a notebook show of results and diagnoses: a line, and the words and the table of the terminal."""

from __future__ import annotations

import html
import io
import re

import made
import pandas
import pytest

import reglab
from reglab.analysis.diagnose import diagnose
from reglab.errors import ReglabError
from reglab.facade import Results
from reglab.logs import read_log
from reglab.report import spreadsheet
from reglab.report.diagnosis import lines
from reglab.report.tables import comparison_table, conclusion

HOSTILE = "<img src=x onerror='window.hit = 2'>\u202e"
CURVES = {"accuracy": [0.5, 0.7, 0.9, 1.0, 1.0, 1.0], "val_accuracy": [0.5, 0.6, 0.7, 0.7, 0.7, 0.7]}


def texts(page, tag):
    """The texts of the elements of a page, as a browser shows them."""
    return [html.unescape(re.sub("<[^>]+>", "", found)) for found in re.findall(f"<{tag}>(.*?)</{tag}>", page)]


def test_results_and_runs_say_in_a_line_what_they_are(results):
    assert repr(results) == f"Results('{results.folder}': {results.headline}; runs: 18 finished, 1 diverged, 1 failed)"
    run = next(iter(results.runs["dropout"].values()))
    assert "array(" not in repr(run)
    assert run.id in repr(run)


def test_a_study_and_a_row_say_in_a_line_what_they_are(results):
    study = reglab.Study("digits", "mlp", ["l2(kernel=0.1)", "close=sam"], seeds=3)
    assert repr(study) == "Study(digits, mlp: recipes none, l2(kernel=0.1), close; seeds: 3)"
    assert "values" not in repr(results.comparison.row("l2"))


def test_a_notebook_shows_the_table_of_the_terminal(results):
    page, table = results._repr_html_(), comparison_table(results)
    assert texts(page, "th") == list(table.columns)
    assert texts(page, "td") == [cell for row in table.rows for cell in row]
    assert conclusion(results) in texts(page, "p")


def test_names_do_nothing_in_a_notebook(tmp_path):
    found = Results.load(made.study(tmp_path / "s", {"none": "none", HOSTILE: "l2(kernel=0.1)"}, seeds=2, epochs=3))
    page = found._repr_html_()
    assert "<img" not in page
    assert "\u202e" not in page
    assert HOSTILE.replace("\u202e", "\\u202e") in texts(page, "td")


def test_the_data_frame_of_results_is_the_table_of_runs(results):
    expected = pandas.read_csv(io.StringIO(spreadsheet.runs(results)))
    pandas.testing.assert_frame_equal(results.to_frame(), expected, check_dtype=False)


def test_a_diagnosis_is_printed_and_shown_in_the_words_of_the_terminal(results):
    found = results.diagnose("dropout")
    said = [line for line in lines(found, ()) if line.text][: len(found.evidence) + 1]
    assert " ".join(str(found).split()).startswith(" ".join(f"{line.lead}{line.text}" for line in said))
    assert texts(found._repr_html_(), "p")[: len(said)] == [f"{line.lead}{line.text}" for line in said]
    assert len(repr(found)) < 80
    assert repr(found).startswith(f"Diagnosis({found.word}")
    with pytest.raises(ReglabError, match=r"has no recipe 'drop'\. It has none, l2, dropout"):
        results.diagnose("drop")


def test_a_log_is_diagnosed_in_words_with_what_has_to_be_said_of_it():
    histories = [{**CURVES, "loss": [2.0, 1.5, 1.0, 0.5, 0.3, 0.2]}] * 3
    found, log = reglab.diagnose(histories, classes=10), read_log(histories, outputs=10)
    assert found.evidence == diagnose(log.histories, log.task, clean=log.clean).evidence
    assert found.notes == log.notes
    assert str(found).startswith("Overfitting: ")
    assert all(" ".join(note.split()) in " ".join(str(found).split()) for note in found.notes)
