"""The environment in which templates of HTML are filled: text of others is shown literally, and can be seen."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from reglab.inert import visible

__all__ = ["environment"]


@cache
def environment() -> Environment:
    """Return the environment: Jinja2 escapes in it, and characters that are not seen are replaced by ones that are."""
    return Environment(
        loader=PackageLoader("reglab.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_finalized,
    )  # fmt: skip


def _finalized(value: object) -> object:
    return visible(value, lines=True) if isinstance(value, str) and not hasattr(value, "__html__") else value
