"""docs/results/paper.md says what the records beside it give."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reglab.analysis.paired import mcnemar
from reglab.facade import Results
from reglab.report.paper import published_tables
from reglab.study.storage.packed import unpack

RESULTS = Path(__file__).parents[2] / "docs" / "results"
PAGE = (RESULTS / "paper.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("paper_script", RESULTS / "paper.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def series(script, tmp_path_factory):
    """The folder of each series that is recorded."""
    out = tmp_path_factory.mktemp("paper")
    names = [name for name in script.SERIES if (RESULTS / "paper" / name).exists()]
    for name in names:
        unpack(RESULTS / "paper" / name, out / f"paper-{name}")
    return {name: out / f"paper-{name}" for name in names}


def test_its_tables_are_those_of_the_records(script, series):
    assert series
    for name, folder in series.items():
        assert script.filled(PAGE, name, folder) == PAGE


def test_networks_are_told_apart_by_what_they_predict(series):
    runs = Results.load(series["full"]).runs
    rows = re.findall(r"^\| ([^|]+) \| ([\d,]+) \| ([\d,]+) \| ([\de.-]+) \|$", PAGE, flags=re.MULTILINE)
    assert len(rows) == 7
    base = runs["no regularization"][0].right
    for name, won, lost, p in rows:
        other = runs[name][0].right
        assert (f"{(other & ~base).sum():,}", f"{(base & ~other).sum():,}") == (won, lost), name
        assert mcnemar(base, other) == pytest.approx(float(p), rel=0.5), name


def test_the_full_series_lacks_nothing_and_is_shown_without_data(tmp_path):
    ran = subprocess.run(
        [sys.executable, str(RESULTS / "paper.py"), "--series", "full", "--out", str(tmp_path)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "13 runs are recorded, trained on NVIDIA H100" in ran.stdout
    assert "Nothing is left to train." in ran.stdout
    assert "Beside Table 3 of the paper" in ran.stdout


def test_the_readme_has_the_same_figures(series):
    readme = (RESULTS.parents[1] / "README.md").read_text(encoding="utf-8")
    (table, *_) = published_tables(Results.load(series["full"]), "both").values()
    for row in table.rows:
        assert f"| {' | '.join(row[:5])} |" in readme
