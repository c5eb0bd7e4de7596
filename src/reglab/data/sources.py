"""From what a user calls data to a :class:`Dataset`: the only place that reads it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from reglab.data.arrays import from_arrays, load_npz, pairs_of
from reglab.data.builtin import BUILT_IN
from reglab.data.dataset import Dataset
from reglab.data.delimited import DELIMITED
from reglab.data.frames import Frame, hold_frames, load_frames
from reglab.data.images import CHANNELS, load_images, parse_size
from reglab.data.labels import SaidForm
from reglab.data.members import ARCHIVES, is_archive
from reglab.data.pipelines import Pipeline, Steps, are_pipelines, read_pipelines
from reglab.data.reading import announce
from reglab.data.table_options import TableOptions
from reglab.data.tables import load_table
from reglab.errors import ReglabError, nearest

__all__ = ["Source", "load"]

Source: TypeAlias = "str | os.PathLike[str] | Sequence[Any] | Mapping[str, Any] | Frame | Pipeline | Steps | Dataset"
"""What :func:`load` reads: a name or a path, arrays, a data frame, a pipeline, or what was read already."""

_TABLES = (*DELIMITED, ".parquet")
_SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers")


def load(
    source: Source,
    *,
    image_size: int | str | tuple[int, int] | None = None,
    color_mode: str = "rgb",
    target: str | None = None,
    form: SaidForm = None,
    ignore_class: int | None = None,
    kind: str | None = None,
    taken_by: tuple[str, Collection[str]] | None = None,
    skip_broken: bool = False,
    memory_limit: int | None = None,
    cache: str | Path | None = None,
    groups: Any = None,
    **table: Any,
) -> Dataset:
    """Read labelled data, and tell what was read (:mod:`reglab.data.reading`).

    Args:
        source: ``"digits"``, ``"cifar10"``, ``"breast_cancer"``, ``"diabetes"``, ``"iris"``, ``"wine"``; a path: a
            directory or archive with a folder per class (with or without ``train/``, ``val/`` and ``test/``), a
            ``.npz``, ``.csv`` or ``.parquet`` file; arrays ``(x, y)`` or ``((x_train, y_train), (x_test, y_test))``, or
            a mapping of them by these names; a data frame of pandas, polars or pyarrow with its ``target``, frames
            ``(train, test)`` with their ``target``, or a frame and labels in place of the arrays; a finite
            ``tf.data.Dataset`` or ``keras.utils.PyDataset`` of ``(x, y)``, in batches or not, or ``(train, test)`` of
            them; or a :class:`Dataset`.
        image_size: resize images to this: ``64``, ``"64x48"`` (height x width).
        color_mode: ``rgb``, ``grayscale`` or ``rgba``.
        skip_broken: leave out image files that cannot be read; by default they are an error that names all of them.
        target: the column of a table that holds the label, or those that do, with commas between.
        form: what labels are: ``classes``, ``numbers`` to predict, label ``sets``, columns of 0 and 1, or classes of
            ``per_position``; of several outputs one of these by name; by default what they show
            (:func:`reglab.data.labels.read_labels`).
        ignore_class: of labels per position, the one that counts neither in the loss nor in metrics; by default -1.
        kind: what one example is (:mod:`reglab.data.kinds`); by default what the source or the number of axes shows.
        taken_by: the name of a network and the kinds that it takes, where ``kind`` is not said and the arrays can be
            taken for one of them (:meth:`Dataset.taken_for`).
        memory_limit: bytes of decoded images that are kept in memory; more are kept in a file and streamed from it. Of
            a pipeline that does not say where it ends, after how many it is given up. By default a quarter of the
            machine's memory.
        cache: the folder of that file; by default the system's for temporary files.
        groups: which examples belong together, as an array with a value per example of all parts in their order:
            examples of the same value lie in one part. Of a table, ``group`` names a column that says so.
        **table: how a table is read: :class:`reglab.data.table_options.TableOptions`.

    Raises:
        ReglabError: for data that cannot be read or learned from, naming the file or row.

    Example:
        >>> load("digits").describe()
        'digits: 1797 examples of 8x8x1, 10 classes'
    """
    if color_mode not in CHANNELS:
        raise ReglabError(f"color_mode={color_mode!r} is not possible. Expected one of {', '.join(CHANNELS)}.")
    size = parse_size(image_size)
    if isinstance(source, Dataset):
        if ignore_class is not None:
            raise ReglabError(
                f"ignore_class={ignore_class}: in a Dataset, -1 stands for what counts nowhere. Leave it out."
            )
        if table.get("group") is not None and source.groups is None and groups is None:
            raise ReglabError(
                f"group={table['group']!r} names a column of a table, and {source.name} is a Dataset. Give it groups, "
                "an array with a value per example."
            )
        return _fitting(_grouped(source, groups), form, kind, taken_by)
    data = _read(
        source, size=size, color_mode=color_mode, target=target, form=form, kind=kind, ignore_class=ignore_class,
        options=TableOptions.of(table), skip_broken=skip_broken, memory_limit=memory_limit, cache=cache,
    )  # fmt: skip
    if groups is not None and are_pipelines(source):
        raise ReglabError(
            "groups say of each example, in its order, which it belongs with, and a pipeline may give examples in "
            "another one. Read it into arrays, with the groups beside them, and give those."
        )
    data = _fitting(_grouped(data, groups), form, kind, taken_by)
    announce(data)
    return data


def _grouped(data: Dataset, groups: Any) -> Dataset:
    """Return the data with the groups that were given."""
    if groups is None:
        return data
    if data.group:
        raise ReglabError(
            f"{data.name}: groups are of the column {data.group!r}, and an array of groups is given too. Give one."
        )
    return replace(data, groups=groups)


def _fitting(data: Dataset, form: SaidForm, kind: str | None, taken_by: tuple[str, Collection[str]] | None) -> Dataset:
    """Return the data as the kind that was said, if its labels have the form that was said."""
    if kind is not None:
        data = data.of_kind(kind)
    elif taken_by is not None:
        data = data.taken_for(taken_by[1], by=taken_by[0])
    if form is not None and data.outputs:
        forms = form if isinstance(form, Mapping) else dict.fromkeys(data.outputs, form)
        for name in forms:
            if name not in data.outputs:
                raise ReglabError(
                    f"A task is named of the output {name!r}, and {data.name} has labels of {', '.join(data.outputs)}. "
                    "Name those."
                )
            _fitting(data.of_output(name), forms[name], None, None)
        return data
    if isinstance(form, Mapping):
        raise ReglabError(
            f"{data.name}: tasks are named of the outputs {', '.join(form)}, and labels are {_WORDS[data.form]}. Name "
            "one task, or none."
        )
    if form in (None, data.form):
        return data
    wanted = _WORDS[form or ""]
    raise ReglabError(
        f"{data.name}: the labels are {_WORDS[data.form]}, and the task predicts {wanted}. Name another task, or none."
    )


_WORDS = {"classes": "classes", "numbers": "numbers", "sets": "sets of labels", "per_position": "classes per position",
          "outputs": "labels of several outputs"}  # fmt: skip


def _read(
    source: Source, *, size: tuple[int, int] | None, color_mode: str, target: str | None, form: SaidForm,
    ignore_class: int | None, kind: str | None, options: TableOptions, skip_broken: bool, memory_limit: int | None,
    cache: str | Path | None,
) -> Dataset:  # fmt: skip
    if isinstance(source, Mapping):
        source = pairs_of(source)
    framed = hold_frames(source)
    found = framed or _is_table(source)
    if not found and options.changed():
        raise ReglabError(
            f"{', '.join(options.changed())}: said of a table, and {_short(source)} is none. Leave that out"
            + ("; groups, an array with a value per example, says the same of other data." if options.group else ".")
        )
    piped = are_pipelines(source)
    arrays_given = piped or (not framed and (isinstance(source, tuple | list) or str(source).lower().endswith(".npz")))
    if ignore_class is not None and not arrays_given:
        raise ReglabError(
            f"ignore_class={ignore_class} is said of labels per position, which arrays and .npz files have."
        )
    if framed:
        return load_frames(source, target=target, options=options, form=form if isinstance(form, str) else None)
    limit = _quarter_of_memory() if memory_limit is None else memory_limit
    if piped:
        pairs, assumed = read_pipelines(source, memory_limit=limit)
        return from_arrays(pairs, name="pipeline", form=form, kind=kind, ignore_class=ignore_class, assumed=assumed)
    if isinstance(source, tuple | list):
        return from_arrays(source, form=form, kind=kind, ignore_class=ignore_class)
    if not isinstance(source, str | os.PathLike):
        what = "a data frame: .collect() makes one of it" if hasattr(source, "collect") else "a data frame"
        raise ReglabError(
            f"{type(source).__name__} is not data. Give a name, a path, arrays (x, y), {what}, or a reglab.Dataset."
        )
    if str(source) in BUILT_IN and not Path(source).is_dir():
        return BUILT_IN[str(source)]()
    path = _existing(source)
    if path.suffix.lower() == ".npz":
        return load_npz(path, form=form, kind=kind, ignore_class=ignore_class)
    if found:
        return load_table(path, target=target, options=options, form=form if isinstance(form, str) else None)
    if path.is_dir() or is_archive(path):
        folder = None if cache is None else Path(cache)
        return load_images(
            path, image_size=size, color_mode=color_mode, memory_limit=limit, cache=folder, skip_broken=skip_broken
        )
    raise _unreadable(path)


def _existing(source: str | os.PathLike[str]) -> Path:
    """Return the path of a file or folder that is there."""
    path = Path(source)
    if not path.exists():
        raise ReglabError(
            f"There is no data {str(source)!r}.{nearest(str(source), BUILT_IN)} Give one of {', '.join(BUILT_IN)}, or "
            f"the path of a folder or archive ({', '.join(ARCHIVES)}) with a folder a class, or of a .npz, .csv or "
            ".parquet file."
        )
    if not path.is_file() and not path.is_dir():  # a pipe would be waited for
        raise ReglabError(f"{path} is a pipe or a device. Give a file or a folder.")
    return path


def _unreadable(path: Path) -> ReglabError:
    """Return why a file is no data."""
    if path.suffix.lower() in _SPREADSHEETS:
        return ReglabError(f"{path} is a spreadsheet, which reglab does not read. Save the sheet as CSV or Parquet.")
    single = " One array has no labels: save x and y with numpy.savez." if path.suffix.lower() == ".npy" else ""
    return ReglabError(
        f"{path} is no data that can be read.{single} Expected a folder, an archive ({', '.join(ARCHIVES)}), .npz, "
        ".csv or .parquet."
    )


def _is_table(source: object) -> bool:
    return isinstance(source, str | os.PathLike) and Path(source).name.lower().endswith(_TABLES)


def _short(source: object) -> str:
    return repr(str(source)) if isinstance(source, str | os.PathLike) else f"a {type(source).__name__}"


def _quarter_of_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (AttributeError, ValueError, OSError):  # not on Windows
        return 2 * 2**30
