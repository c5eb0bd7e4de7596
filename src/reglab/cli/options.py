"""Command-line options made from declarations, so that name, help and range are written once."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from reglab.backends import BACKENDS
from reglab.cli.say import say
from reglab.declare import Param, params
from reglab.study.executors.choice import Execution
from reglab.study.spec import Settings
from reglab.study.storage.view import study_in

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "Command",
    "Option",
    "StudyFolder",
    "declared_options",
    "execution_options",
    "given",
    "settings_options",
    "split",
    "where_options",
]

Command: TypeAlias = "Callable[..., Any] | click.Command"
"""What a decorator of click's is put on: a function, or the command that it has become."""
Option: TypeAlias = "str | int | float | bool | tuple[str, ...] | None"
"""What click reads of an option; None where it was not given."""
_TYPES = {"int": click.INT, "float": click.FLOAT, "text": click.STRING}


class StudyFolder(click.Path):
    """The folder of a study; of one that holds a search, its confirmation is taken, and that is said."""

    def __init__(self) -> None:
        super().__init__(exists=True, file_okay=False)

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> str:
        given = str(super().convert(value, param, ctx))
        found = str(study_in(given))
        if Path(found) != Path(given):
            say(f"note: {given} holds several studies or a search; this is the one in {found}.", err=True)
            return found
        return given


def settings_options(**defaults: object) -> Callable[[Command], Command]:
    """Add an option for every setting of a study; ``defaults`` are shown in place of the settings' own."""
    return declared_options(Settings, defaults)


def execution_options(function: Command) -> Command:
    """Add an option for each way of training a study."""
    return declared_options(Execution, {})(function)


def declared_options(
    owner: type[DataclassInstance],
    defaults: Mapping[str, Any] = MappingProxyType({}),
    *,
    only: Container[str] | None = None,
) -> Callable[[Command], Command]:
    """Add an option for every field that ``owner`` declares, or for some of them."""

    def decorate(function: Command) -> Command:
        for name, declared in reversed(params(owner).items()):
            if name == "sealed":  # which is a command of its own and no option
                continue
            if only is not None and name not in only:
                continue
            default = defaults.get(name, owner.__dataclass_fields__[name].default)
            if declared.kind == "bool":
                flag = f"--{name.replace('_', '-')}"
                function = click.option(flag, name, is_flag=True, default=None, help=declared.doc)(function)
                continue
            function = click.option(
                f"--{name.replace('_', '-')}", name, type=_type(declared), help=_help(declared, default), default=None,
                metavar=None if declared.kind == "choice" else {"int": "N", "float": "X"}.get(declared.kind, "TEXT"),
            )(function)  # fmt: skip
        return function

    return decorate


def where_options(function: Command) -> Command:
    """Add the options that say where a study runs and where it is written."""
    function = click.option(
        "--backend", type=click.Choice(BACKENDS), help="Keras backend; reglab backends says which is fastest [default: "
        "KERAS_BACKEND, or the first installed]",
    )(function)  # fmt: skip
    function = click.option(
        "--reuse", type=click.Path(exists=True, file_okay=False), multiple=True,
        help="folder of another study, whose results that are this study's too are taken over; can be given again",
    )(function)  # fmt: skip
    return click.option(
        "--out", type=click.Path(file_okay=False),
        help="study folder; runs it has are not trained again [default: reglab-out/DATA-MODEL, or that with a number]",
    )(function)  # fmt: skip


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given on the command line."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def split(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options that were given, in two: what the study is, and how it is trained."""
    known = params(Execution)
    found = given(options)
    study = {name: value for name, value in found.items() if name not in known}
    return study, {name: value for name, value in found.items() if name in known}


def _type(declared: Param) -> Any:
    return click.Choice(declared.choices) if declared.kind == "choice" else _TYPES[declared.kind]


def _help(declared: Param, default: object) -> str:
    text = declared.doc
    return text if default is None else f"{text} [default: {default}]"
