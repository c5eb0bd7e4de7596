"""Data: reading it, splitting it, and what is fitted to its training part."""

from __future__ import annotations

from reglab.data.dataset import Dataset
from reglab.data.kinds import Kind, register_kind
from reglab.data.preprocess import Preprocess
from reglab.data.sources import Source, load
from reglab.data.splits import Split, split, test_part

__all__ = [
    "Dataset",
    "Kind",
    "Preprocess",
    "Source",
    "Split",
    "load",
    "register_kind",
    "split",
    "test_part",
]
