"""Text files of columns (CSV and its kin): from bytes to a table, and what had to be assumed on the way."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reglab.data.table_options import SEPARATORS, separator_of, target_columns
from reglab.errors import ReglabError
from reglab.lazy import pandas

__all__ = ["DELIMITED", "Delimited", "read_delimited"]

DELIMITED = (".csv", ".tsv", ".tab", ".csv.gz", ".tsv.gz", ".csv.bz2", ".csv.xz", ".tsv.bz2", ".tsv.xz")
_UNPACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_SNIFFED = 500  # rows that are looked at to find the separator; all are checked with it


@dataclass(eq=False)
class Delimited:
    """A table of texts.

    Attributes:
        typed: a pandas frame in which pandas found the types, with decimal points.
        lines: for each row, the line of the file that it ends in.
        said: what was assumed.
    """

    typed: Any
    lines: np.ndarray
    said: list[str]
    _text: str = field(repr=False)
    _options: dict[str, Any] = field(repr=False)

    def texts(self, position: int) -> np.ndarray:
        """Return a column as it is written, without spaces around, by its position."""
        found = _frame(self._text, self._options, usecols=[position], dtype=str, keep_default_na=False, na_filter=False)
        return np.array([str(value).strip() for value in found.iloc[:, 0]], dtype=object)


def read_delimited(path: Path, *, separator: str | None, encoding: str | None, target: str | None) -> Delimited:
    """Read a file of columns.

    Args:
        path: of the file, packed or not.
        separator: what stands between columns; by default what fits.
        encoding: of the text; by default UTF-8, else UTF-16 if it says so, else Windows-1252 if that gives words.
        target: a column that there has to be, which tells one separator from another.

    Raises:
        ReglabError: if it is no such file, or can be read in more than one way.
    """
    said: list[str] = []
    text = _decoded(path, _unpacked(path), encoding, said)
    text, declared = _without_declaration(_without_comments(text.rstrip(" \r\n") + "\n", said))
    sign = separator_of(separator) if separator is not None else declared or _recognized(path, text, target)
    if separator is None and sign != ",":
        said.append(f"columns are separated by {_called(sign)} (--separator says otherwise)")
    width, widths, lines = _shape(path, text, sign)
    options: dict[str, Any] = {
        "sep": sign, "skipinitialspace": sign != "\t", "low_memory": False, "index_col": False,
    }  # fmt: skip
    if widths == width + 1:
        # pandas would take the first column for row names: right for R's files, wrong where lines end in a separator.
        if _all_end_empty(text, sign):
            said.append(f"each line but the first ends in {_called(sign)}, behind which there is no column")
        else:
            options |= {"header": 0, "names": ["Unnamed: 0", *_header(text, sign)]}
    try:
        frame = _frame(text, options)
    except Exception as error:  # parser errors of many kinds
        raise ReglabError(f"{path} cannot be read as a table: {error}") from None
    if len(frame) != len(lines):
        raise ReglabError(
            f"{path} cannot be read as a table: it has {len(lines)} or {len(frame)} rows, as quotes are read in one "
            "way or another. Mend the quotes."
        )
    twice = [
        name for name, count in Counter(name.strip() for name in _header(text, sign)).items() if count > 1 and name
    ]
    if twice:
        said.append(f"several columns are called {' and '.join(map(repr, twice))}; the later ones have a number added")
    return Delimited(frame, np.asarray(lines), said, text, options)


def _frame(text: str, options: dict[str, Any], **more: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pandas.errors.ParserWarning)  # the length of every line was checked
        return pandas.read_csv(io.StringIO(text, newline=""), **{**options, **more})


# --- from bytes to text ----------------------------------------------------------------------------------------------


def _unpacked(path: Path) -> bytes:
    try:
        held = path.read_bytes()
    except OSError as error:
        raise ReglabError(f"{path} cannot be read as a table: {error.strerror}.") from None
    unpack = _UNPACKED.get(path.suffix.lower())
    if unpack is None:
        return held
    try:
        return unpack(held)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise ReglabError(f"{path} cannot be unpacked: {error}. Pack it again, or give the file unpacked.") from None


def _decoded(path: Path, held: bytes, encoding: str | None, said: list[str]) -> str:
    if encoding is not None:
        return _as(path, held, encoding)
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if held.startswith(mark):
            if name == "utf-16":
                said.append("the text is UTF-16, as its first bytes say")
            return _as(path, held, name)
    way_out = "Say which encoding it has (--encoding), or save it as UTF-8."
    if b"\0" in held:
        raise ReglabError(f"{path} cannot be read as a table: it is not text. Expected is a CSV file. {way_out}")
    try:
        return held.decode("utf-8")
    except UnicodeDecodeError as error:
        line, broken = held.count(b"\n", 0, error.start) + 1, error
    replaced = held.decode("utf-8", errors="replace")
    bad = replaced.count("\ufffd")
    if sum(letter > "\x7f" for letter in replaced) - bad > bad:
        byte = held[broken.start]
        raise ReglabError(f"{path}, line {line}: byte 0x{byte:02x} is no UTF-8, and the rest of the file is. {way_out}")
    try:
        text = held.decode("cp1252")
    except UnicodeDecodeError:
        raise ReglabError(f"{path}, line {line}: this is neither UTF-8 nor Windows-1252 (Latin-1). {way_out}") from None
    shown = _example(text)
    if not _western(text):
        raise ReglabError(
            f"{path}, line {line}: this is not UTF-8, and as Windows-1252 (Latin-1) it would read {shown!r}. {way_out}"
        )
    said.append(f"the text is not UTF-8 and was read as Windows-1252, as in {shown!r} (--encoding says otherwise)")
    return text


def _as(path: Path, held: bytes, encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        return held.decode("utf-8-sig" if name == "utf-8" else name)
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        if isinstance(error, UnicodeError) and not isinstance(error, UnicodeDecodeError):
            raise ReglabError(f"{path} is not {encoding} text: {error}. Give another encoding (--encoding).") from None
        if not isinstance(error, UnicodeDecodeError):
            raise ReglabError(
                f"There is no encoding {encoding!r}. Expected one that Python knows, such as utf-8, cp1252, utf-16."
            ) from None
        line = held.count(b"\n", 0, error.start) + 1
        raise ReglabError(
            f"{path}, line {line}: byte 0x{held[error.start]:02x} is not {encoding}. Give another encoding "
            "(--encoding), or leave it out to have it recognized."
        ) from None


_WORD = re.compile(r"[^\W\d_]{3,}")
_BROKEN_WORD = re.compile(
    r"[^\W\d_][\u00a1-\u00bf\u0080-\u009f\u00d7\u00f7\u201a\u201e\u2020\u2021\u2030\u2039\u203a\u02c6\u02dc]+[^\W\d_]"
)


def _western(text: str) -> bool:
    """Whether words look as those of languages that Windows-1252 is for: mostly plain letters, no signs inside."""
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    letters = sum(map(len, words))
    return not _BROKEN_WORD.search(text) and sum(letter > "\x7f" for w in words for letter in w) <= 0.6 * letters


def _example(text: str) -> str:
    found = next((word for word in re.findall(r"[^\s,;|\"]+", text) if not word.isascii()), "")
    return found if len(found) <= 30 else f"{found[:27]}..."


# --- from text to columns --------------------------------------------------------------------------------------------


def _without_comments(text: str, said: list[str]) -> str:
    """Return the text with empty lines in place of comments above the header, so that lines keep their numbers.

    A line that begins with ``#`` and has as many values as the line below is a header (``#id,width,label``).
    """
    above = re.match(r"(?:[ \t]*(?:#[^\n]*)?\n)*", text)
    assert above is not None
    comments = above[0].splitlines(keepends=True)
    below = text[above.end() :].partition("\n")[0]
    if comments and any(0 < below.count(sign) == comments[-1].count(sign) for sign in SEPARATORS):
        comments.pop()
    count = sum(bool(line.strip()) for line in comments)
    if count:
        said.append(f"comments above the names of columns were left out ({count} of its lines begin with '#')")
    return "\n" * len(comments) + text[sum(map(len, comments)) :]


def _without_declaration(text: str) -> tuple[str, str | None]:
    """Return the text with an empty line in place of Excel's, which says what separates columns, and that sign."""
    found = re.match(r"\n*sep=(.)\r?(?=\n)", text)
    return (text, None) if found is None else ("\n" * found[0].count("\n") + text[found.end() :], found[1])


def _rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=separator != "\t")
    for row in reader:
        if row:
            yield reader.line_num, row


def _recognized(path: Path, text: str, target: str | None) -> str:
    """Return the separator with which all lines have as many values as the first has names."""
    headers: dict[str, list[str]] = {}
    fitting = []
    for sign in SEPARATORS:
        try:
            rows = [row for _, row in _first(_rows(text, sign), _SNIFFED)]
        except csv.Error:
            continue
        headers[sign] = [name.strip() for name in rows[0]] if rows else []
        widths = {len(row) for row in rows[1:]}
        if len(headers[sign]) > 1 and len(widths) <= 1 and widths <= {len(headers[sign]), len(headers[sign]) + 1}:
            fitting.append(sign)
    if target is not None:
        fitting = [
            sign for sign in fitting if set(target_columns(target, headers[sign])) <= set(headers[sign])
        ] or fitting
    if len(fitting) > 1:
        ways = " or ".join(f"{_called(sign)} ({', '.join(headers[sign][:4])}...)" for sign in fitting)
        raise ReglabError(f"{path}: its columns can be separated by {ways}. Say which (--separator).")
    if fitting:
        return fitting[0]
    return max(headers, key=lambda sign: len(headers[sign]), default=",")


def _first(rows: Iterator[Any], count: int) -> Iterator[Any]:
    for _, row in zip(range(count), rows, strict=False):
        yield row


def _shape(path: Path, text: str, separator: str) -> tuple[int, int, list[int]]:
    """Return how many names there are, how many values in each line, and the line each row ends in.

    Raises:
        ReglabError: for a line with more or fewer values than the others.
    """
    try:
        rows = _rows(text, separator)
        _, header = next(rows, (0, []))
        width = len(header)
        expected = 0
        lines: list[int] = []
        for line, row in rows:
            if not lines:
                expected = len(row) if len(row) == width + 1 else width
            if len(row) != expected:
                raise ReglabError(
                    f"{path}, line {line}: {_values(len(row))} for {expected} columns separated by {_called(separator)}"
                    ". Mend that line, or say what separates the columns (--separator)."
                )
            lines.append(line)
    except csv.Error as error:
        raise ReglabError(f"{path} cannot be read as a table: {error}") from None
    return width, expected, lines


def _header(text: str, separator: str) -> list[str]:
    _, header = next(_rows(text, separator))
    return header


def _values(count: int) -> str:
    return f"{count} value{'' if count == 1 else 's'}"


def _all_end_empty(text: str, separator: str) -> bool:
    rows = _rows(text, separator)
    next(rows)
    return all(not row[-1].strip() for _, row in rows)


def _called(separator: str) -> str:
    word = {"\t": "tab", " ": "space"}.get(separator)
    return f"{separator!r}" if word is None else f"a {word}"
