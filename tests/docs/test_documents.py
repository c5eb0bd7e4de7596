"""What the documents tell a reader to do, done: their Python, shell and YAML, in order, in the folder of a reader."""

from __future__ import annotations

import ast
import os
import re
import subprocess

import pytest
from blocks import DOCUMENTS, KINDS, ROOT, blocks, name
from furnished import furnish, names
from reader import Reader, file_of

import reglab
from reglab.data.kinds import KINDS as OF_INPUT
from reglab.study.executors.choice import Execution
from reglab.study.spec import Settings
from reglab.tasks import KINDS as TASKS
from reglab.tuning.budget import Budget

pages = pytest.mark.parametrize("document", DOCUMENTS, ids=name)
WITH_BLOCKS = [document for document in DOCUMENTS if any(block.kind != "text" for block in blocks(document))]


@pages
def test_every_block_says_what_it_is(document):
    for block in blocks(document):
        if name(document) == "docs/strategies.md" and block.kind == "":
            continue  # formulas, which the page's generator indents
        assert block.kind in KINDS, f"{block}: a fence says which of {', '.join(KINDS)} follows"


@pages
def test_blocks_that_are_run_can_be_read(document):
    for block in blocks(document):
        if block.kind == "python":
            ast.parse(block.text, str(block))
        elif block.kind == "bash":
            subprocess.run(["bash", "-n", "-c", block.text], check=True)
        elif block.kind == "yaml":
            assert file_of(block)


@pages
def test_what_is_shown_as_text_is_nothing_to_run(document):
    for block in blocks(document):
        if block.kind == "text":
            assert not re.search(r"^(reglab|pip|make|python|import|from) ", block.text, re.MULTILINE), block


def test_few_blocks_are_not_run_and_say_why():
    left_out = {str(block): block.not_run for document in DOCUMENTS for block in blocks(document) if block.not_run}
    assert len(left_out) <= 2, left_out


@pytest.mark.slow
@pytest.mark.timeout(1800)  # the README alone is some twenty commands
@pytest.mark.parametrize("document", WITH_BLOCKS, ids=name)
def test_a_document_works_as_it_says(document, tmp_path, trained, in_small, monkeypatch):
    opened: list[str] = []
    monkeypatch.setattr("click.launch", opened.append)
    for catalogue in (TASKS, OF_INPUT):
        monkeypatch.setattr(catalogue, "_added", {})  # what a document registers is for its reader alone
    text = document.read_text(encoding="utf-8")
    (tmp_path / "commands").mkdir()
    folder = tmp_path / "reader"
    folder.mkdir()
    furnish(folder, text, trained)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    reader = Reader(folder, tmp_path / "commands", names())
    found = blocks(document)
    for block in found:
        if block.kind == "yaml":  # a document may speak of the file before it shows it
            (folder / file_of(block)).write_text(block.text, encoding="utf-8")
    for block in found:
        reader.read(block)
    assert ("--open" in text) <= bool(opened)


def read(tmp_path, text):
    (tmp_path / "commands").mkdir(exist_ok=True)
    reader = Reader(tmp_path, tmp_path / "commands", {})
    for block in blocks(ROOT / "page.md", text):
        if block.kind == "yaml":
            (tmp_path / file_of(block)).write_text(block.text, encoding="utf-8")
        reader.read(block)


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ("```python\nimport reglab\nreglab.Recipe.parse('l3')\n```", "Unknown strategy 'l3'"),
        ("```bash\nreglab strategies l3\n```", "Unknown strategy"),
        ("```bash\nreglab compare --epoch 3 | cat\n```", "No such option '--epoch'"),
        ("```bash\nnothing-of-the-name\n```", "ended with 127"),
        ("```bash\nmake no-such-target\n```", "No rule to make target"),
        ("```bash\npip install 'reglab[no-such-extra]'\n```", "no-such-extra is no extra"),
        ("```yaml\n# study.yaml\nepoch: 3\n```", "unknown key 'epoch'"),
    ],
)
def test_a_block_that_does_not_work_is_found(tmp_path, monkeypatch, block, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, reglab.ReglabError)) as error:
        read(tmp_path, block)
    assert told in str(error.value)


def test_blocks_share_names_and_the_folder(tmp_path):
    read(tmp_path, "```python\nx = 1\n```\n```bash\necho 1 > 1\n```\n```python\nx = str(x)\n```\n```bash\nls 1\n```")
    with pytest.raises(AssertionError, match="No such file"):
        read(tmp_path, "```bash\nls 2\n```")


def test_python_in_a_shell_is_the_one_that_has_keras(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)  # make calls pytest by its path and puts nothing of .venv there
    found = "import importlib.util as u, sys; sys.exit(u.find_spec('keras') is None)"
    read(tmp_path, f'```bash\npython -c "{found}"\n```')


def test_a_block_that_is_not_run_says_why_in_the_comment_before_it():
    text = "<!-- not run: it takes\na week -->\n```bash\nfalse\n```\n\n```bash\ntrue\n```"
    assert [block.not_run for block in blocks(ROOT / "page.md", text)] == ["it takes a week", None]


def test_what_documents_train_is_small_and_still_checked(in_small):
    settings = Settings(seeds=50, epochs=400)
    assert (settings.seeds, settings.epochs, settings.train_size) == (2, 2, 40)
    assert Settings(seeds=1, train_size=20) == Settings(seeds=1, train_size=20, epochs=2)
    assert Budget(minutes=30).trials == 3
    assert Execution(workers=4, timeout=60) == Execution(workers=0)
    for wrong in (lambda: Settings(seeds=0), lambda: Budget(), lambda: Execution(timeout=-1)):
        with pytest.raises(reglab.ReglabError):
            wrong()
