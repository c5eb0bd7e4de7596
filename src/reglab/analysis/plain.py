"""Frozen results as JSON holds them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

__all__ = ["plain"]


def plain(value: object) -> Any:
    """Return frozen results as JSON holds them; what is not a number is None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
