"""A study on the command line: the options that say what it is, and the study they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from reglab.cli.options import Command, execution_options, settings_options, split, where_options
from reglab.facade import Study
from reglab.models import MODELS

__all__ = ["MODEL_HELP", "data_options", "defined", "study_options"]


MODEL_HELP = (
    f"{', '.join(sorted(MODELS))}, with options as in 'inception(pooled=true)' (reglab models says more); or "
    "module:function, file.py:function"
)


def study_options(**defaults: object) -> Callable[[Command], Command]:
    """Add the argument and the options that say what a study is and how it is trained."""

    def decorate(function: Command) -> Command:
        function = settings_options(**defaults)(where_options(execution_options(function)))
        function = click.option("--baseline", help="name of the recipe the others are compared with [default: none]")(
            function
        )
        function = click.option(
            "--recipe", "recipes", multiple=True, metavar="RECIPE", help="for example "
            "'l2(kernel=1e-3)+dropout(rate=0.1)', none, or 'name=RECIPE'; can be given again",
        )(function)  # fmt: skip
        function = data_options(function)
        return click.argument("study", required=False, type=click.Path(exists=True, dir_okay=False))(function)

    return decorate


def data_options(function: Command) -> Command:
    """Add the options that say which data and which model."""
    function = click.option(
        "--model", help=MODEL_HELP,
    )(function)  # fmt: skip
    return click.option(
        "--data", help="digits, cifar10, breast_cancer, wine, iris, diabetes; a folder or archive with a folder a "
        "class; a .npz, .csv or .parquet file",
    )(function)  # fmt: skip


def defined(study: str | None, recipes: tuple[str, ...], options: dict[str, Any]) -> tuple[Callable[..., Study], dict]:
    """Return a function that makes the study, with further changes to it, and how it is trained.

    Args:
        study: path of a YAML file, or None.
        recipes: as given; where there are some, the file's own do not count.
        options: all other options; those that were given go before the file's.
    """
    changes, execution = split(options)
    if recipes:
        changes["recipes"] = list(recipes)
    if study is not None:
        return lambda **more: Study.from_yaml(study, **{**changes, **more}), execution
    if "data" not in changes:
        raise click.UsageError(
            "Say which data: --data digits, a folder of images, a table; or give a study's YAML file."
        )
    return lambda **more: Study(**{**changes, **more}), execution
