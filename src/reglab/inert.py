"""Text of others made inert: names of recipes, classes and paths as they stand in each format, shown literally.

HTML is not here: Jinja2 escapes there. What all formats share comes first: characters that are not seen, or that turn
the direction of others, are replaced by what names them, so that no name can look like another one.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["cell", "fenced", "latex", "loss_name", "markdown", "plotly", "shortened", "visible"]

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # spelling needs them in Persian and in Indian scripts
_FORMULA = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")  # a spreadsheet takes the fullwidth forms too
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}",
    "-": r"-{}", "±": r"$\pm$", "\u2212": "$-$", "\u00a0": " ", "[": "{[}", "]": "{]}",
}  # fmt: skip


def visible(text: object, *, lines: bool = False) -> str:
    r"""Return text in which every character can be seen; with ``lines``, line ends stay.

    >>> visible("a\x00b\u202ec"), visible("a\nb"), visible("a\nb", lines=True)
    ('a␀b\\u202ec', 'a␊b', 'a\nb')
    """
    return "".join(
        char if (lines and char in "\n\t") or char in _JOINERS or unicodedata.category(char) not in _UNSEEN
        else _named(char)
        for char in str(text)
    )  # fmt: skip


def _named(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)  # the pictures of control characters
    if code == 0x7F:
        return "\u2421"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shortened(text: str, length: int) -> str:
    """Return text of at most ``length`` characters, its middle left out: names of a sweep differ at their ends."""
    if len(text) <= length:
        return text
    head = (length - 1) * 3 // 5
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def plotly(text: object, *, length: int | None = None) -> str:
    """Return text as Plotly shows it literally, which takes some HTML and entities for formatting.

    >>> plotly("<b>&amp;")
    '&lt;b&gt;&amp;amp;'
    """
    seen = visible(text)
    seen = seen if length is None else shortened(seen, length)
    return seen.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def latex(text: object) -> str:
    r"""Return text as LaTeX sets it literally. Letters of other scripts stay; they need an engine that knows them.

    >>> latex("50% \\of_a")
    '50\\% \\textbackslash{}of\\_a'
    """
    return "".join(_LATEX.get(char, _outside_fonts(char)) for char in visible(text))


def _outside_fonts(char: str) -> str:
    # Pictures of control characters are in no text font.
    return rf"\textlangle{{}}U+{ord(char):04X}\textrangle{{}}" if 0x2400 <= ord(char) <= 0x2426 else char


def markdown(text: object) -> str:
    r"""Return text in one line as Markdown shows it literally, in a table too.

    >>> markdown("a|b <i>*c*"), markdown("+1.5 points"), markdown("- no list")
    ('a\\|b &lt;i>\\*c\\*', '+1.5 points', '\\- no list')
    """
    line = " ".join(visible(text, lines=True).split())
    line = re.sub(r"([\\|*_`~$]|\](?=[(\[:]))", r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))
    return re.sub(r"^(#|>|[-+=](?=\s|$)|\d+(?=[.)]\s))", r"\\\1", line)


def fenced(text: str, language: str = "") -> str:
    """Return text as a block of code that nothing in it can end."""
    seen = visible(text, lines=True)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", seen)), default=0))
    return f"{fence}{language}\n{seen}\n{fence}"


def cell(text: object) -> str:
    """Return text as a cell of a spreadsheet that is not taken for a formula, led by an apostrophe where it would be.

    >>> cell("=1+1"), cell("dropout")
    ("'=1+1", 'dropout')
    """
    raw = str(text)
    seen = visible(raw)
    return (
        f"'{seen}"
        if raw.lstrip(" ").startswith(_FORMULA) or (raw[:1].isspace() and raw.strip()[:1] in _FORMULA)
        else seen
    )


def loss_name(loss: object) -> str:
    """Return what an error calls a loss: the text that it was given as, its name, or that of its function.

    >>> loss_name("mse"), loss_name(loss_name)
    ('mse', 'loss_name')
    """
    if isinstance(loss, str):
        return loss
    return str(getattr(loss, "name", None) or getattr(loss, "__name__", None) or type(loss).__name__)
