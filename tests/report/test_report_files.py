"""The files of a report: which are written, what they say, and that no name in them does anything."""

import csv
import io
import json
import re
import time
from html.parser import HTMLParser

import made
import numpy as np
import pytest
from click.testing import CliRunner

from reglab import inert
from reglab.cli import cli
from reglab.facade import Results
from reglab.report import latex, markdown, sections, spreadsheet, words
from reglab.report.page import page
from reglab.report.write import FILES, watch, write_report
from reglab.study.storage.store import Store

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    '=HYPERLINK("http://evil.example","x")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+1",
    "-2",
    "\t=1",
    "a\x00b\x1b[31m\x07",
    "\u202efdp.exe",
    "$\\input{/etc/passwd}$ %_^~#&{}",
    "[x](javascript:alert(3)) | `code` *b*",
    "%{x} %{customdata[0]}",
    "<b>bold</b> &amp; <a href='http://evil.example'>",
    "{{ 7 * 7 }} {% raw %}",
    "line\nbreak\r\nand \u2028 more",
    "\ud800 lone",
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A study whose recipes, classes, notes, errors and folder have names that would do something."""
    recipes = {name: f"l2(kernel={0.001 * (i + 1):g})" if i else "none" for i, name in enumerate(HOSTILE[:-1])}
    where = tmp_path_factory.mktemp("hostile") / "<script>alert(4)<" / "$(touch x)"
    where.parent.mkdir()
    found = Results.load(
        made.study(where, recipes, seeds=5, classes=HOSTILE[:4], failed={(HOSTILE[1], 0): f"Traceback:\n{HOSTILE[0]}"})
    )
    made.with_robustness(where, found)
    made.with_samples(where, recipe=HOSTILE[0], labels=HOSTILE[:2])
    made.with_masks(where, recipes=HOSTILE[:2], classes=4)
    # A lone surrogate cannot stand in a table of SQLite; it can in what Python holds.
    return type(found)(**{**vars_of(found), "notes": tuple(HOSTILE), "headline": HOSTILE[0],
                          "data": {"read": HOSTILE}})  # fmt: skip


def vars_of(results):
    return {name: getattr(results, name) for name in results.__dataclass_fields__}


class Elements(HTMLParser):
    """The elements of a page, and the text of each script."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self.attributes, self.text = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data):
        self.text.append(data)
        if self.found[-1:] == ["script"]:
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)


@pytest.fixture(scope="module")
def html(hostile):
    return page(hostile, made="today")


@pytest.mark.slow
def test_no_name_becomes_an_element_or_an_attribute_of_the_page(html, results):
    tame = Elements(page(results, made="today"))
    found = Elements(html)
    assert set(found.found) <= set(tame.found)
    assert not [name for name in found.attributes if name.startswith("on") or name == "style"]
    running = [text for kind, text in found.scripts if kind.get("type") != "application/json"]
    assert running == [text for kind, text in tame.scripts if kind.get("type") != "application/json"]


@pytest.mark.slow
def test_data_of_the_page_is_json_and_names_in_it_are_literal_for_plotly(html):
    held = [json.loads(text) for kind, text in Elements(html).scripts if kind.get("type") == "application/json"]
    texts = json.dumps(held)
    for name in HOSTILE[:-1]:
        assert json.dumps(inert.plotly(name, length=24))[1:-1] in texts or json.dumps(inert.plotly(name))[1:-1] in texts
    for figure in held[:-1]:
        for trace in figure["data"]:
            told = str(trace.get("hovertext", "")) + str(trace.get("name", ""))
            assert "<" not in told
            assert "%{x} %{customdata[0]}" not in str(trace.get("hovertemplate", ""))


@pytest.mark.slow
def test_templates_in_names_are_not_filled(html):
    assert "{{ 7 * 7 }}" in html
    assert "Recipes against &lt;/script&gt;" in html


@pytest.mark.slow
def test_the_policy_names_every_script_and_style_by_hash_and_nothing_else(html):
    import base64
    import hashlib

    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1].replace("&#39;", "'")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for kind, pattern in (("script-src", r"<script>(.*?)</script>"), ("style-src", r"<style>(.*?)</style>")):
        digests = {
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            for text in re.findall(pattern, html, re.DOTALL)
        }
        assert digests <= set(rules[kind].split())
    assert "unsafe" not in policy
    assert "http" not in policy


def own(html):
    """The page without Plotly and the script that draws."""
    return re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)


@pytest.mark.slow
def test_nothing_in_the_page_that_is_loaded_from_elsewhere(html):
    assert not re.findall(r'(?:src|href)="(?!data:|#)', own(html))
    assert "url(" not in own(html)


@pytest.mark.slow
def test_control_characters_are_seen_in_every_format(hostile, html):
    texts = [own(html), markdown.report(hostile, made="today"), latex.table(hostile), spreadsheet.recipes(hostile),
             spreadsheet.runs(hostile), spreadsheet.classes(hostile)]  # fmt: skip
    for text in texts:
        assert not re.findall(
            r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2066-\u2069\ud800-\udfff]", text
        )
        text.encode()


@pytest.mark.slow
def test_no_cell_of_a_csv_file_is_a_formula_and_numbers_are_numbers(hostile):
    for text in (spreadsheet.recipes(hostile), spreadsheet.runs(hostile), spreadsheet.classes(hostile)):
        head, *rows = csv.reader(io.StringIO(text))
        assert all(len(row) == len(head) for row in rows)
        for row in rows:
            for value in row:
                if value.lstrip()[:1] in tuple("=+-@") and value:
                    float(value)
    head, *rows = csv.DictReader(io.StringIO(spreadsheet.runs(hostile))), *()
    values = {(row["recipe"], row["seed"]): row for row in csv.DictReader(io.StringIO(spreadsheet.runs(hostile)))}
    run = hostile.runs["+1"][2]
    assert float(values["'+1", "2"]["accuracy"]) == run.metrics["accuracy"]
    assert values["'-2", "0"]["status"] == "finished"


@pytest.mark.parametrize("lead", ["=", "+", "-", "@", "\t", "\r", " =", "\n=", "\uff1d", "\u00a0="])
def test_text_that_a_spreadsheet_takes_for_a_formula_is_led_by_an_apostrophe(lead):
    assert inert.cell(f"{lead}1").startswith("'")
    assert inert.cell("1 = 1") == "1 = 1"


@pytest.mark.slow
def test_latex_has_no_command_of_a_name(hostile):
    body = latex.table(hostile).split(r"\midrule")[1].split(r"\bottomrule")[0]
    allowed = {"textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater", "textbar", "textbf",
               "textquotedbl", "textquotesingle", "textasciigrave", "textlangle", "textrangle", "pm"}  # fmt: skip
    assert set(re.findall(r"\\([a-z]+)", body)) <= allowed
    assert body.count(r"\\") == len(HOSTILE) - 1
    plain = re.sub(r"\\[{}$&#%_]|\\[a-z]+(\{\})?", "", body)
    assert set("#%~^_") & set(plain) == set()
    for row in body.strip().split("\\\\\n"):
        assert len(re.findall(r"(?<!\\)&", row)) == 8
        assert len(re.findall(r"(?<!\\)\$", row)) % 2 == 0


@pytest.mark.slow
def test_markdown_stays_a_table_and_makes_no_link_or_element(hostile):
    text = markdown.report(hostile, made="today")
    table = [line for line in text.split("## The table")[1].split("\n## ")[0].splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(HOSTILE) - 1
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    outside = re.sub(r"^(```+)\w*\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<" not in outside
    assert not re.search(r"(?<!\\)\]\(", outside)


def test_a_fence_is_longer_than_any_in_the_code():
    assert inert.fenced("a\n````\nb", "sh") == "`````sh\na\n````\nb\n`````"


@pytest.mark.slow
def test_folders_stand_quoted_in_commands(hostile):
    for command, _ in sections.commands(hostile):
        assert "'" in command
        assert re.search(r"'[^']*\$\(touch x\)[^']*'", command)


def test_the_report_is_these_files_whole_and_alone(results, folder, tmp_path):
    paths = results.report(tmp_path / "out")
    assert [path.name for path in paths] == list(FILES)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([".reglab", *FILES])
    write_report(results)
    assert {path.name for path in (folder / "report").iterdir()} >= {*FILES, "samples.npz"}


def test_the_page_has_every_section_that_there_is_data_for(results, swept):
    ids = set(re.findall(r'<section id="([a-z-]+)"', page(results, made="today")))
    assert ids == {
        "use", "table", "differences", "diagnosis", "curves", "gap-section", "classes-section", "calibration",
        "attack", "masks", "samples", "failures", "again",
    }  # fmt: skip
    others = set(re.findall(r'<section id="([a-z-]+)"', page(swept, made="today")))
    assert others == ids - {"attack", "masks", "samples", "failures"} | {"sensitivity"}


def test_a_study_of_which_nothing_has_finished_has_a_report(tmp_path):
    where = made.study(tmp_path / "s", seeds=2, missing={(name, seed) for name in made.RECIPES for seed in range(2)})
    paths = Results.load(where).report()
    assert "No run has finished yet" in paths[0].read_text()
    assert "8 runs to come" in paths[0].read_text()


def test_one_seed_and_many_classes_have_a_report(tmp_path):
    where = made.study(tmp_path / "s", seeds=1, classes=[f"class {i}" for i in range(40)], examples=400)
    text = Results.load(where).report()[0].read_text()
    assert "1 seed is screening" in text
    assert "Most frequent confusions" in text
    assert "Confusion matrices of all recipes" not in text


def test_csv_files_hold_what_results_hold(results):
    rows = {row["recipe"]: row for row in csv.DictReader(io.StringIO(spreadsheet.recipes(results)))}
    for row in results.comparison.rows:
        assert float(rows[row.name]["accuracy_mean"]) == row.mean("accuracy")
        if row.verdict:
            assert rows[row.name]["verdict"] == row.verdict.word
            assert float(rows[row.name]["low"]) == row.verdict.low
    runs = list(csv.DictReader(io.StringIO(spreadsheet.runs(results))))
    assert len(runs) == 20
    assert {run["status"] for run in runs} == {"finished", "failed", "diverged"}
    assert [run["error"] for run in runs if run["status"] == "failed"] == ["ValueError: no luck"]


def test_the_verdict_is_told_the_best_first(tmp_path):
    recipes = {"none": "none", "little": "l2", "much": "dropout", "less": "l1", "broken": "mixup"}
    where = made.study(
        tmp_path / "s", recipes, seeds=8, effects={"little": (0.05, 1.0), "much": (0.1, 1.0), "less": (-0.2, 1.0)},
        failed={("broken", 0): "not a number in epoch 2: loss"},
    )  # fmt: skip
    found = Results.load(where)
    first, *others = words.verdict(found)
    gain = np.mean([found.runs["much"][s].metrics["accuracy"] - found.runs["none"][s].metrics["accuracy"]
                    for s in range(8)])  # fmt: skip
    assert first.startswith("much is better than ")
    assert f"by {100 * gain:.2f} points of test accuracy" in first
    assert "little is better too." in others
    assert "less is worse." in others
    assert "broken is unreliable, for runs diverged or failed." in others


def test_where_no_recipe_is_better_that_is_told_first(tmp_path):
    where = made.study(
        tmp_path / "s", {"none": "none", "less": "l1", "as good": "l2"}, seeds=8,
        effects={"less": (-0.2, 1.0)},
    )  # fmt: skip
    first, *others = words.verdict(Results.load(where))
    assert first.startswith("No recipe is shown to be better than ")
    assert "less is worse." in others


def test_confusions_are_ordered_by_the_baselines_and_stand_beside_the_recommended(results):
    sheet = sections.confused(results)
    shares = [row[2].value for row in sheet.rows]
    assert shares == sorted(shares, reverse=True)
    counts = np.sum([run.details["confusion"] for run in results.runs["none"].values()], axis=0)
    off = 100 * counts * (1 - np.eye(3)) / counts.sum(axis=1, keepdims=True)
    assert shares[0] == pytest.approx(off.max())
    assert sheet.columns[3] == results.comparison.choice.recommended


@pytest.mark.slow
def test_a_watched_report_follows_the_study_and_ends_without_refreshing(tmp_path):
    where = made.study(tmp_path / "s", seeds=2, missing={("dropout", 1)})
    store = Store(where)
    live = {"at": time.time(), "pid": 1, "host": "here", "workers": "1 worker", "epochs": 12, "seconds_left": 60,
            "running": [{"names": ["dropout"], "seed": 1, "worker": "w", "epoch": 3, "seconds": 5.0}]}  # fmt: skip
    store.write_live(live)
    pages = []

    def finish(_):
        store.close()

    for paths, status in watch(where, sleep=finish):
        pages.append((paths[0].read_text(), status.active))
    assert [active for _, active in pages] == [True, False]
    first, last = (text for text, _ in pages)
    assert "The study is running." in first
    assert "dropout, seed 1: epoch 3 of 12" in first
    assert "1 run is still to come" in first
    assert 'name="reglab-refresh"' in first
    assert "reglab-refresh" not in own(last)
    assert "The study is running." not in last


@pytest.mark.slow
def test_a_watch_that_is_interrupted_leaves_a_page_that_does_not_refresh(tmp_path):
    where = made.study(tmp_path / "s", seeds=2)
    store = Store(where)
    store.write_live({"at": time.time(), "pid": 1, "host": "here", "running": []})

    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(watch(where, sleep=interrupted))
    store.close()
    text = (where / "report" / "index.html").read_text()
    assert "The study is running." not in text


@pytest.mark.slow
def test_the_command_prints_what_it_wrote(folder, tmp_path):
    done = CliRunner().invoke(cli, ["report", str(folder), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert done.output.split() == [str(tmp_path / "out" / name) for name in FILES]
    watched = CliRunner().invoke(cli, ["report", str(folder), "--out", str(tmp_path / "out"), "--watch"])
    assert watched.output.splitlines()[1:] == ["20 of 20 runs; nobody runs it now"]


def test_a_folder_without_a_study_is_told(tmp_path):
    done = CliRunner().invoke(cli, ["report", str(tmp_path)])
    assert done.exit_code != 0
    assert "There is no study in" in str(done.exception)


def test_the_scores_of_classes_are_scikit_learns_on_all_seeds_together(results):
    from sklearn.metrics import precision_recall_fscore_support

    rows = list(csv.DictReader(io.StringIO(spreadsheet.classes(results))))
    name = results.baseline
    counts = sum(run.details["confusion"] for run in results.runs[name].values() if run.details)
    true, given = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    precision, recall, f1, _ = precision_recall_fscore_support(true, given, zero_division=0.0)
    found = [row for row in rows if row["recipe"] == name]
    assert [float(row["precision"]) for row in found] == pytest.approx(precision.tolist())
    assert [float(row["recall"]) for row in found] == pytest.approx(recall.tolist())
    assert [float(row["f1"]) for row in found] == pytest.approx(f1.tolist())
    sheet = sections.by_class(results)
    assert [float(row[2].text) for row in sheet.rows] == pytest.approx(100 * precision, abs=0.051)
