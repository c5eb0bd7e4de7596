"""Keras, imported when it is first used.

Keras 3 binds itself to a backend at import, and TensorFlow takes seconds to load. A recipe can be written, parsed,
checked and printed without either, so every module of reglab takes Keras from here::

    from reglab.lazy import keras
    keras.ops.sum(x)          # the first attribute access chooses the backend and imports Keras

Modules that define subclasses of Keras classes are the exception: they import Keras in the usual way, after calling
:func:`reglab.backends.require`, and are themselves imported late.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from reglab import backends

__all__ = ["keras"]


class _LazyKeras:
    """Stands for the ``keras`` module until somebody asks it for something."""

    _module: ModuleType | None = None

    def __getattr__(self, name: str) -> Any:
        if self._module is None:
            backends.require()
            type(self)._module = importlib.import_module("keras")
        return getattr(self._module, name)


if TYPE_CHECKING:
    import keras
else:
    keras = _LazyKeras()
