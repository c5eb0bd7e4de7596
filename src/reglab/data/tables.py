"""Tables with a target column."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from reglab.data.columns import Column, settled
from reglab.data.dataset import Dataset
from reglab.data.delimited import read_delimited
from reglab.data.labels import Labels, read_labels
from reglab.data.listing import listed
from reglab.data.raw import Raw, RawTable, flag
from reglab.data.table_options import TableOptions, target_columns
from reglab.errors import ReglabError, nearest
from reglab.lazy import pandas
from reglab.rounding import narrowed

__all__ = ["from_table", "load_table"]


def load_table(
    path: Path, *, target: str | None, options: TableOptions | None = None, form: str | None = None
) -> Dataset:
    """Return a CSV or Parquet file: features, and the classes or numbers of the column ``target``.

    Several columns, with commas between their names, are numbers to predict, or say by 0 and 1 which labels a row has.

    Features are float32, or float64 where float32 cannot tell the values of a column apart. Columns of texts become one
    0/1 column a value; ``docs/data.md`` says what else becomes of columns.

    Raises:
        ReglabError: for a file that is no table, a column that is nothing that can be learned from, or missing values
            that nothing was said of.
    """
    options = options or TableOptions()
    return from_table(_read(path, options, target), target=target, options=options, form=form)


def from_table(
    table: RawTable, *, target: str | tuple[str, ...] | None, options: TableOptions, form: str | None = None
) -> Dataset:
    """Return what a table holds, wherever it was read from.

    Args:
        table: as it was read.
        target: the column of labels, several of them with commas between, or the names of those that there are.
        options: what was said of it.
        form: what labels are; by default what they show.

    Raises:
        ReglabError: as :func:`load_table`.
    """
    where, raws, said = table.where, table.columns, list(table.said)
    names = [raw.name for raw in raws]
    if target is None:
        raise ReglabError(
            f"{where}: say which column holds the label: target (--target). The columns are {listed(names)}."
        )
    targets = target if isinstance(target, tuple) else target_columns(target, names)
    _check_names(where, names, targets, options)
    if table.header and _are_values(names):
        said.append(
            f"the first line, {listed(names)}, is taken as names of columns; if it is an example, put names above it"
        )
    columns_of = [raws[names.index(each)] for each in targets]
    if not len(columns_of[0].typed):
        raise ReglabError(f"{where} has names of columns and no rows.")
    what = _quoted(targets)
    left = [raw for raw in raws if raw.name not in {*targets, *options.drop_columns, options.group}]
    if not left:
        raise ReglabError(f"{where} has no column besides {what}. A classifier needs features.")
    columns = settled(
        left, where=where, decimal=options.decimal, categorical=options.categorical, kept=options.keep_columns,
        said=said,
    )  # fmt: skip
    if not columns:
        raise ReglabError(f"{where} has no feature besides {what}: {'; '.join(said)}.")
    found = [_labels(label, options) for label in columns_of]
    unlabelled = np.logical_or.reduce([missing for _, missing in found])
    rows = _complete(where, columns, unlabelled, table.lines, targets, options, said)
    labels = found[0][0] if len(found) == 1 else _beside_each_other(where, targets, [of for of, _ in found], rows)
    read = read_labels(labels[rows], f"{where}, column {what}", form=form, names=targets)
    classes = read.names if read.form == "classes" else ()
    alike = _alike(classes)
    if alike:
        said.append(f"the classes {alike} differ in capital letters alone; make them one if they are")
    columns = [column.only(rows) for column in columns]
    _check_copies(where, columns, read, targets, options.keep_columns, said)
    x, features = _features(columns)
    return Dataset(
        name=table.name, x=x, y=read.y, **read.named, part=None if table.part is None else table.part[rows],
        kind="table", feature_names=features, missing=bool(np.isnan(x).any()),
        notes=tuple(f"{table.short}: {each}." for each in said), group=options.group or "",
        groups=None if options.group is None else _groups(table, raws[names.index(options.group)], options, rows),
    )  # fmt: skip


def _groups(table: RawTable, raw: Raw, options: TableOptions, rows: np.ndarray) -> np.ndarray:
    """Return the group of each row that is used."""
    values, missing = _labels(raw, options)
    missing = missing & rows
    if missing.any():
        raise ReglabError(
            f"{table.where}: {missing.sum()} of {rows.sum()} rows have no group in {raw.name!r}, the first in "
            f"{_place(missing, table.lines)}. Which group a row belongs to has to be known: fill it in, or leave the "
            f"row out; or, if words such as None and NA are a group, say so ({flag('--categorical', raw.name)})."
        )
    return np.asarray(values[rows])


def _place(missing: np.ndarray, lines: np.ndarray | None) -> str:
    """Return where the first missing value of a column is."""
    row = int(missing.argmax())
    return f"row {row} (counted from 0)" if lines is None else f"line {lines[row]}"


def _beside_each_other(where: str, targets: tuple[str, ...], labels: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Return the labels of several columns as one array; each has to hold numbers, or 0 and 1, or yes and no."""
    for name, column in zip(targets, labels, strict=True):
        held = next((value for value in column[rows] if isinstance(value, str)), None)
        if held is not None:
            raise ReglabError(
                f"{where}: column {name!r}, one of {len(targets)} targets, holds texts, such as {held!r}. Several "
                "targets are numbers to predict, or say by 0 and 1 which labels a row has."
            )
    found = np.column_stack([np.where(rows, column, 0) for column in labels])
    return found.astype("float64") if found.dtype == object else found


def stem(path: Path) -> str:
    """Return a file's name without what says its format.

    >>> stem(Path("a/wine.csv.gz"))
    'wine'
    """
    return Path(path.stem).stem if path.suffix.lower() in (".gz", ".bz2", ".xz") else path.stem


# --- tables ----------------------------------------------------------------------------------------------------------


def _read(path: Path, options: TableOptions, target: str | None) -> RawTable:
    """Return a file's columns, the line that each row ends in if it is of text, and what was assumed."""
    if path.suffix.lower() == ".parquet":
        return RawTable.of(_read_parquet(path), where=str(path), short=path.name, name=stem(path))
    found = read_delimited(path, separator=options.separator, encoding=options.encoding, target=target)
    raws = [
        Raw(str(name).strip(), found.typed.iloc[:, i], functools.partial(found.texts, i))
        for i, name in enumerate(found.typed.columns)
    ]
    return RawTable(str(path), path.name, stem(path), raws, tuple(found.said), lines=found.lines)


def _read_parquet(path: Path) -> Any:
    try:
        return pandas.read_parquet(path)
    except ImportError:
        raise ReglabError(
            "Reading Parquet needs pyarrow: pip install 'reglab[parquet]'; or save the table as CSV."
        ) from None
    except Exception as error:  # parser and OS errors
        raise ReglabError(f"{path} cannot be read as a table: {error}") from None


def _check_names(where: str, names: list[str], targets: tuple[str, ...], options: TableOptions) -> None:
    asked = [*(("target", name) for name in targets), *(("drop_columns", name) for name in options.drop_columns)]
    asked += [("keep_columns", name) for name in options.keep_columns]
    asked += [("categorical", name) for name in options.categorical]
    asked += [("group", options.group)] if options.group is not None else []
    for option, name in asked:
        if name not in names:
            alone = " Is it separated by another sign (--separator)?" if len(names) == 1 else ""
            if _are_values(names):
                alone = " These look as values: the first line of a table holds the names of its columns."
            given = "" if option == "target" else f" ({option})"
            raise ReglabError(
                f"{where} has no column {name!r}{given}.{nearest(name, names)} It has {listed(names)}.{alone}"
            )
        if names.count(name) > 1:
            raise ReglabError(f"{where} has {names.count(name)} columns called {name!r}. Give each a name of its own.")
    if options.group in targets:
        raise ReglabError(f"{where}: {options.group!r} holds the label (target), so it cannot be the group.")
    for name in targets:
        if name in options.drop_columns:
            raise ReglabError(f"{where}: {name!r} holds the label (target), so it cannot be left out (drop_columns).")
        if targets.count(name) > 1:
            raise ReglabError(f"{where}: {name!r} appears twice among the targets. Name each column once.")


def _are_values(names: list[str]) -> bool:
    return sum(map(_is_number, names)) > len(names) / 2


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _labels(label: Raw, options: TableOptions) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels, and where there is none."""
    if label.name in options.categorical:
        texts = label.written()
        return texts, np.array([not text for text in texts])
    missing = label.typed.isna().to_numpy()
    values = label.typed.to_numpy()
    if values.dtype == object or values.dtype.kind not in "iufb":
        values = label.typed.astype(object).to_numpy()
        held = next((value for value, gone in zip(values, missing, strict=True) if not gone), None)
        if isinstance(held, str):
            values = np.array(
                ["" if gone else value.strip() for value, gone in zip(values, missing, strict=True)], object
            )
    return values, missing


def _alike(classes: tuple[str, ...]) -> str:
    """Return classes whose names differ in capital letters alone; an empty text if there are none."""
    plain = Counter(name.casefold() for name in classes)
    return listed([repr(name) for name in classes if plain[name.casefold()] > 1])


def _complete(
    where: str, columns: list[Column], unlabelled: np.ndarray, lines: np.ndarray | None,
    targets: tuple[str, ...], options: TableOptions, said: list[str],
) -> np.ndarray:  # fmt: skip
    """Return which rows are used: all, or those without missing values, as the policy says."""
    gaps = {column.name: column.missing for column in columns}
    gaps = {name: missing for name, missing in gaps.items() if missing.any()}

    if unlabelled.any() and options.missing != "drop":
        raise ReglabError(
            f"{where}: {unlabelled.sum()} of {len(unlabelled)} rows have no label in {_quoted(targets)}, the first in "
            f"{_place(unlabelled, lines)}. Leave such rows out (--missing drop); or, if words such as None and NA are "
            f"a class, say so ({flag('--categorical', *targets)})."
        )
    if gaps and options.missing == "refuse":
        by_name = {column.name: column for column in columns}
        found = [
            f"{name!r} in {missing.sum()} of {len(missing)} rows ({_written(by_name[name])}; the first is "
            f"{_place(missing, lines)})"
            for name, missing in gaps.items()
        ]
        rows = np.logical_or.reduce(list(gaps.values()))
        raise ReglabError(
            f"{where}: values are missing: {listed(found, 5)}. Leave such rows out, {rows.sum()} of {len(rows)} "
            "(--missing drop), put the mean of the training split in their place (--missing mean), or leave columns "
            f"out ({flag('--drop-columns', *gaps)})."
        )
    if options.missing == "mean":
        if gaps:
            names = listed([repr(name) for name in gaps], 5)
            said.append(f"missing values of {names} are replaced by the mean of the training split")
        return np.ones(len(unlabelled), bool)
    incomplete = np.logical_or.reduce([unlabelled, *gaps.values()])
    if incomplete.all():
        raise ReglabError(
            f"{where}: each row has a missing value, so none is left. Leave columns out (--drop-columns)."
        )
    if incomplete.any():
        said.append(f"{incomplete.sum()} of {len(incomplete)} rows were left out, for they have missing values")
    return ~incomplete


def _quoted(names: tuple[str, ...]) -> str:
    return listed([repr(name) for name in names], 4)


def _written(column: Column) -> str:
    """Return what stands in place of missing values, and how often."""
    found = [f"{repr(text) if text else 'nothing'} {count} times" for text, count in column.absent]
    return listed([each.replace(" 1 times", " once") for each in found], 4)


def _check_copies(
    where: str, columns: list[Column], read: Labels, targets: tuple[str, ...], kept: tuple[str, ...], said: list[str]
) -> None:
    """Raise a ReglabError for a column that is the label; say which tell the class of each row."""
    classes, y = read.names, read.y
    for column in columns:
        if read.form != "classes":
            of_each = zip(targets, y.reshape(len(y), -1).T, strict=True)
            copied = next((name for name, label in of_each if _is_copy(column, label)), None)
            if copied is not None and column.name not in kept:
                raise ReglabError(
                    f"{where}: column {column.name!r} is {copied!r} once more, so every model would be right. Leave it "
                    f"out ({flag('--drop-columns', column.name)}), or say that it is meant "
                    f"({flag('--keep-columns', column.name)})."
                )
            continue
        values = column.numbers if column.numbers is not None else column.names
        codes, different = pandas.factorize(values)
        if (
            column.name in kept
            or len(different) != len(classes)
            or len(set(zip(codes, y, strict=True))) != len(classes)
        ):
            continue
        if _is_label(different, classes, codes, y):
            raise ReglabError(
                f"{where}: column {column.name!r} is the label {targets[0]!r} once more, so every model would be right."
                f" Leave it out ({flag('--drop-columns', column.name)}), or say that it is meant "
                f"({flag('--keep-columns', column.name)})."
            )
        said.append(
            f"{column.name!r} tells the class of each row, as a copy of {targets[0]!r} would "
            f"({flag('--drop-columns', column.name)} leaves it out)"
        )


def _is_copy(column: Column, label: np.ndarray) -> bool:
    return column.numbers is not None and np.array_equal(column.numbers, label)


def _is_label(different: Iterable[str | float], classes: tuple[str, ...], codes: np.ndarray, y: np.ndarray) -> bool:
    for code, value in enumerate(different):
        name = classes[y[int(np.argmax(codes == code))]]
        try:
            same = str(value) == name or float(value) == float(name)
        except ValueError:
            same = False
        if not same:
            return False
    return True


def _features(columns: list[Column]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return all features, numbers first, then a 0/1 column a text; NaN where a value is missing."""
    found: list[np.ndarray] = []
    names: list[str] = []
    for column in columns:
        if column.numbers is not None:
            found.append(column.numbers)
            names.append(column.name)
    for column in columns:
        if column.names is not None:
            missing = column.missing
            for level in column.levels or sorted({text for text in column.names if text is not None}):
                found.append(np.where(missing, np.nan, column.names == level))
                names.append(f"{column.name}_{level}")
    x = np.column_stack(found)
    missing = np.isnan(x)
    if not missing.any():
        return narrowed(x), tuple(names)
    whole = narrowed(np.where(missing, _means(x, missing), x))  # a gap says nothing of what float32 can tell apart
    whole[missing] = np.nan
    return whole, tuple(names)


def _means(x: np.ndarray, missing: np.ndarray) -> np.ndarray:
    counts = (~missing).sum(axis=0)
    return np.where(missing, 0.0, x).sum(axis=0) / np.maximum(counts, 1)
