"""What the documents say is what the program does, as far as it can be seen without running it."""

from __future__ import annotations

import contextlib
import importlib
import re
import shlex

import click
import pytest
from blocks import DOCUMENTS, ROOT, blocks, inline_code, name

import reglab
from reglab.cli import COMMANDS, cli
from reglab.data.kinds import KINDS
from reglab.recipe import Recipe
from reglab.report.catalogue import markdown
from reglab.report.networks import networks_markdown
from reglab.strategies import CATALOGUE
from reglab.study.spec import named_recipes
from reglab.tasks import KINDS as TASKS

GROUPS = {catalogue.group for catalogue in (CATALOGUE, TASKS, KINDS)}  # of entry points, which are called like modules
pages = pytest.mark.parametrize("document", DOCUMENTS, ids=name)


def commands(text: str) -> list[list[str]]:
    """Return the calls of reglab in shell text, each without what comes before it, and without pipes and comments."""
    found = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words = list(lexer)
        while "reglab" in words:
            words = words[words.index("reglab") + 1 :]
            end = next((at for at, word in enumerate(words) if set(word) & set("|&;<>")), len(words))
            found.append(words[:end])
    return found


def of_blocks(document):
    return [words for block in blocks(document) if block.kind == "bash" for words in commands(block.text)]


def context(words: list[str]) -> click.Context:
    """Return a command's context with its arguments read and checked."""
    return cli.commands[words[0]].make_context(words[0], words[1:])


@pytest.fixture
def any_path(monkeypatch):
    """Files that commands name are looked for when the documents are run."""
    monkeypatch.setattr(click.Path, "convert", lambda self, value, param, ctx: value)


@pages
def test_commands_in_blocks_take_their_arguments(document, any_path):
    for words in of_blocks(document):
        try:
            context(words)
        except (click.UsageError, KeyError) as error:
            pytest.fail(f"{name(document)}: reglab {shlex.join(words)}: {getattr(error, 'message', error)}")


@pages
def test_commands_in_the_text_have_their_options(document):
    """They may leave something out, or name what a reader puts in: ``reglab export DIR``."""
    for code in inline_code(document):
        for words in commands(code) if code.startswith("reglab ") else ():
            if words and words[0].islower() and not words[0].startswith("-"):
                command = cli.commands.get(words[0])
                assert command is not None, f"{name(document)}: {code}"
                try:
                    command.make_parser(click.Context(command)).parse_args(words[1:])
                except click.UsageError as error:
                    if getattr(error, "option_name", None) != words[-1]:  # an option named without its value
                        pytest.fail(f"{name(document)}: {code}: {error.message}")


@pages
def test_recipes_in_commands_can_be_read(document, any_path):
    for words in of_blocks(document):
        for text in recipes(context(words)):
            assert named_recipes([text]), text


def recipes(found: click.Context) -> list[str]:
    """Return the values of options and arguments that are recipes and not names of them."""
    given = {p.name: found.params[p.name] for p in found.command.params if p.make_metavar(found) == "RECIPE"}
    return [text for value in given.values() for text in ([value] if isinstance(value, str) else value or ())]


@pages
def test_recipes_in_the_text_can_be_read(document):
    for code in inline_code(document):
        if re.match(r"(\w+)\(", code) and code.split("(")[0] in CATALOGUE and "..." not in code:
            assert len(Recipe.parse(code)) > 0, code


@pages
def test_names_in_the_text_are_there(document):
    """``reglab.logs.read_log`` can be imported; ``tests/export/test_scripts.py`` exists."""
    for code in inline_code(document):
        for dotted in re.findall(r"\breglab((?:\.[A-Za-z]\w*)+)", code):
            known = f"reglab{dotted}" in GROUPS or there(dotted.split(".")[1:])
            assert known, f"{name(document)}: reglab{dotted}"
        for path in re.findall(r"(?:tests/|benchmarks/)[\w/]*\w+\.py|test_\w+\.py", code):
            assert any(ROOT.glob(f"**/{path}")), f"{name(document)}: {path}"


def there(names: list[str]) -> bool:
    value = reglab
    for at, each in enumerate(names):
        with contextlib.suppress(ImportError):
            importlib.import_module(".".join(["reglab", *names[: at + 1]]))
        if not hasattr(value, each):
            return False
        value = getattr(value, each)
    return True


@pages
def test_links_between_pages_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
        assert target.startswith("http") or (document.parent / target).exists(), f"{name(document)} links to {target}"


def test_the_page_of_strategies_is_what_the_command_prints():
    assert (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8") == markdown()


def test_the_page_of_models_is_what_the_command_prints():
    assert (ROOT / "docs" / "models.md").read_text(encoding="utf-8") == networks_markdown()


def test_the_example_of_every_strategy_is_a_recipe():
    for line in re.findall(r"^Example: `(.*)`$", markdown(), re.MULTILINE):
        called, rest = line.split("(", 1)
        (cls,) = [cls for cls in CATALOGUE.values() if cls.__name__ == called]
        assert isinstance(eval(line, {called: cls}), cls), rest


def test_every_command_has_help_and_is_listed():
    files = (ROOT / "src/reglab/cli").glob("*.py")
    assert set(COMMANDS) == {path.stem for path in files if f'"""``reglab {path.stem}``' in path.read_text()}
    for called, command in cli.commands.items():
        assert command.help, called
        assert command.name == called
        assert "\\b" not in command.help, f"{called}: click's mark is one character, so its docstring is not raw"
        for parameter in command.params:
            assert getattr(parameter, "help", "") or parameter.param_type_name == "argument", parameter.name
