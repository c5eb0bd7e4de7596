"""The blocks and the inline code of a document, as a Markdown parser sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
KINDS = ("python", "bash", "yaml", "text")  # a text is shown and not run: what a command printed, a formula, a drawing

_NOT_RUN = re.compile(r"\s*<!-- not run: (.+?) -->\s*", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block, or an indented one, whose kind is ``""``."""

    document: Path
    line: int  # of its first line of text, counted from 1
    kind: str
    text: str
    not_run: str | None = None  # why not, where the comment before it says so

    def __str__(self) -> str:
        return f"{name(self.document)}:{self.line}"


def name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def blocks(document: Path, text: str | None = None) -> list[Block]:
    """Return the blocks of a document in their order."""
    found, reason = [], None
    for token in _parsed(document.read_text(encoding="utf-8") if text is None else text):
        if token.type in ("fence", "code_block"):
            first = token.map[0] + (2 if token.type == "fence" else 1)
            found.append(Block(document, first, token.info.strip(), token.content, reason))
        told = _NOT_RUN.fullmatch(token.content) if token.type == "html_block" else None
        reason = None if told is None else " ".join(told[1].split())
    return found


def inline_code(document: Path) -> list[str]:
    """Return what stands between backticks in the text of a document, in its order."""
    return [
        child.content
        for token in _parsed(document.read_text(encoding="utf-8"))
        for child in token.children or ()
        if child.type == "code_inline"
    ]


def _parsed(text: str):
    return MarkdownIt("commonmark").enable("table").parse(text)
