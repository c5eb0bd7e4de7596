"""Sparse matrices of SciPy, made dense where they are small: networks and strategies act on dense arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from reglab.errors import ReglabError

__all__ = ["dense", "is_sparse"]

_LARGEST = 2**30  # bytes of a dense array: a gigabyte, of which training, validation and test are copies


def is_sparse(thing: object) -> bool:
    """Whether something is a sparse matrix or array of SciPy.

    >>> from scipy import sparse
    >>> is_sparse(sparse.eye(3)), is_sparse([[1, 0], [0, 1]])
    (True, False)
    """
    return hasattr(thing, "toarray") and hasattr(thing, "nnz")


def dense(thing: Any, where: str, what: str, said: list[str]) -> Any:
    """Return a dense array of a sparse matrix, and say so; anything else, and what several inputs hold of it, as it is.

    Args:
        thing: examples or labels, or a dict of them.
        where: what errors call them.
        what: ``examples`` or ``labels``.
        said: gets what was done.

    Raises:
        ReglabError: for a matrix that is too large.
    """
    if isinstance(thing, Mapping):
        return {name: dense(of, where, f"{what} {name}", said) for name, of in thing.items()}
    if not is_sparse(thing):
        return thing
    size = math.prod(thing.shape)
    told = " x ".join(f"{count:,}" for count in thing.shape)
    if size * thing.dtype.itemsize > _LARGEST:
        raise ReglabError(
            f"{where}{what} are a sparse matrix of {told}, which is {size * thing.dtype.itemsize / 1e9:,.1f} GB as the "
            f"dense array that networks take; at most {_LARGEST / 1e9:,.1f} GB are. Keep fewer columns (max_features, "
            "min_df), or make few of them: sklearn.decomposition.TruncatedSVD."
        )
    said.append(
        f"{where}{what} are a sparse matrix of {told}, {thing.nnz / max(size, 1):.2g} of it not 0, and were made dense."
    )
    return thing.toarray()
