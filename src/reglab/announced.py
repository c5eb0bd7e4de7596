"""What Keras has to know before anything of reglab is used: that a file may hold a regularized model."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["announce"]


class _Announced:
    """Stands for ``RegularizedModel`` until a file has one, and makes it."""

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        from reglab.regularized.model import RegularizedModel

        return RegularizedModel.from_config(config, custom_objects)


def announce() -> None:
    """Let ``keras.models.load_model`` read regularized models, if Keras is imported already."""
    saving = getattr(sys.modules.get("keras"), "saving", None)
    if saving is not None:
        saving.get_custom_objects().setdefault("reglab>RegularizedModel", _Announced)
