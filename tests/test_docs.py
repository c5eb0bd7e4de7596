"""What the documents say is what the program does."""

import re
from pathlib import Path

import pytest

from reglab.cli import cli
from reglab.recipe import Recipe
from reglab.report.catalogue import markdown
from reglab.strategies import CATALOGUE

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_the_page_of_strategies_is_what_the_command_prints():
    assert (ROOT / "docs" / "strategies.md").read_text() == markdown()


def test_the_example_of_every_strategy_is_a_recipe():
    for line in re.findall(r"^Example: `(.*)`$", markdown(), re.MULTILINE):
        name, rest = line.split("(", 1)
        (cls,) = [cls for cls in CATALOGUE.values() if cls.__name__ == name]
        assert isinstance(eval(line, {name: cls}), cls), rest


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documents_have_their_options(page):
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
    for line in re.findall(r"^reglab (.*)$", re.sub(r"\\\n\s*", " ", blocks), re.MULTILINE):
        name, *words = line.split()
        if name.startswith("-"):
            continue
        command = cli.commands.get(name)
        assert command is not None, f"{page.name}: reglab {name}"
        known = {option for parameter in command.params for option in parameter.opts}
        for word in words:
            assert not word.startswith("--") or word.split("=")[0] in known, f"{page.name}: reglab {name} {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_in_the_documents_can_be_read(page):
    for text in re.findall(r"--recipe '([^']+)'", page.read_text()):
        recipe = Recipe.parse(text.split("=", 1)[1] if "=" in text.split("(", 1)[0] else text)
        assert len(recipe) > 0, text


def test_every_command_has_help():
    for name, command in cli.commands.items():
        assert command.help, name
        assert "\\b" not in command.help, f"{name}: click's mark is one character, so its docstring is not raw"
        for parameter in command.params:
            assert getattr(parameter, "help", "") or parameter.param_type_name == "argument", f"{name} {parameter.name}"
