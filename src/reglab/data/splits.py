"""Which examples are trained on, which choose, and which are kept for the end. Pure: labels in, indices out.

How labels are held out in proportion is asked of whoever knows what they are, a task of :mod:`reglab.tasks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from reglab.data.dataset import TEST, TRAIN, VAL, Dataset
from reglab.data.groups import by_group, check_parts
from reglab.errors import ReglabError
from reglab.seeds import derive

__all__ = ["HoldsOut", "Split", "split", "test_part"]


class HoldsOut(Protocol):
    """Whoever knows what labels are: how examples are held out so that each part has its share of everything."""

    def hold_out(self, y: np.ndarray, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions that stay and those that are held out.

        Raises:
            ValueError: if there are too few examples for it, saying of what.
        """

    def strata(self, y: np.ndarray) -> np.ndarray:
        """Return what parts have their share of: the stratum of each example, or those it has, of 0 and 1."""

    def fewest(self, y: np.ndarray) -> int:
        """Return how many examples a part needs to have a share of everything."""

    def counted(self, y: np.ndarray) -> str:
        """Return how many kinds of labels there are, after "examples": `` of 3 classes``, or nothing."""


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of examples, disjoint (but for the protocol test-as-validation, whose ``val`` is ``test``)."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def test_part(data: Dataset, labels: HoldsOut, *, fraction: float = 0.2) -> np.ndarray:
    """Return the examples that are test in a whole study, for every seed: the source's own, else a stratified part.

    Of data with groups (:attr:`Dataset.groups`), parts have whole groups.

    Raises:
        ReglabError: if there are too few examples for it, or a group lies in two parts that the source gives.
    """
    if data.groups is not None and data.part is not None:
        check_parts(data, *(np.flatnonzero(data.part == code) for code in (TRAIN, VAL, TEST)))
    if data.part is not None and (data.part == TEST).any():
        return np.flatnonzero(data.part == TEST)
    candidates = np.arange(len(data)) if data.part is None else np.flatnonzero(data.part == TRAIN)
    _, test = _held_out(data, labels, candidates, size=fraction, seed=derive(0, "test part"), what="test")
    return test


def split(
    data: Dataset,
    labels: HoldsOut,
    *,
    test: np.ndarray,
    seed: int,
    train_size: int | None = None,
    validation: float = 0.2,
    protocol: str = "honest",
) -> Split:
    """Return the split of one seed.

    Args:
        data: the data.
        labels: what its labels are, a task.
        test: what :func:`test_part` returned.
        seed: decides what is validation, unless the source has a validation part, and which ``train_size`` examples
            train.
        train_size: how many examples train, a stratified part of what is neither test nor validation; with groups as
            near to it as whole groups allow.
        validation: the share of what is not test that is validation.
        protocol: ``honest``, or ``test-as-validation``: validation is the test part, and all the rest can train.

    Raises:
        ReglabError: if there are too few examples for it.
    """
    rest = np.setdiff1d(np.arange(len(data)), test)
    if protocol == "test-as-validation":
        pool, val = rest, test
    elif data.part is not None and (data.part == VAL).any():
        val = np.flatnonzero(data.part == VAL)
        pool = np.setdiff1d(rest, val)
    else:
        pool, val = _held_out(data, labels, rest, size=validation, seed=derive(seed, "validation"), what="validation")
    if train_size is not None:
        pool = _subset(data, labels, pool, train_size, seed=derive(seed, "train size"))
    return Split(train=np.sort(pool), val=np.sort(val), test=np.sort(test))


def drawn(labels: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Return the positions of ``count`` examples in which every class has its share, drawn from a stream of the seed.

    Data often lie sorted by class, so that the first examples would be of one class. Any beginning of what is returned
    has the shares too. Of labels that are several numbers each, or of several outputs, it is a draw like any other.

    >>> labels = np.array([0] * 60 + [1] * 30)
    >>> np.bincount(labels[drawn(labels, 9, seed=0)]).tolist()
    [6, 3]
    """
    labels = np.asarray(labels)
    labels = np.zeros(len(labels)) if labels.ndim > 1 or labels.dtype.names else labels
    random = np.random.default_rng(derive(seed, "drawn"))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        of_class = random.permutation(np.flatnonzero(labels == label))
        place[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return np.lexsort((random.random(len(labels)), place))[:count]


def _subset(data: Dataset, labels: HoldsOut, pool: np.ndarray, size: int, *, seed: int) -> np.ndarray:
    if size > len(pool):
        raise ReglabError(
            f"train_size={size} is more than the {len(pool)} examples that are neither test nor validation. Ask for "
            f"fewer."
        )
    if size == len(pool):
        return pool
    if data.groups is not None:
        kept, _ = _held_out(data, labels, pool, size=len(pool) - size, seed=seed, what="training")
        return min(pool, kept, key=lambda part: abs(len(part) - size))
    fewest = labels.fewest(data.y[pool])
    if size < fewest:
        raise ReglabError(
            f"train_size={size} is too few for a part of examples{labels.counted(data.y[pool])}. Ask for {fewest} or "
            "more."
        )
    if len(pool) - size < fewest:  # too few left over to stratify both sides
        random = np.random.default_rng(seed)
        return np.sort(random.choice(pool, size=size, replace=False))
    kept, _ = _held_out(data, labels, pool, size=len(pool) - size, seed=seed, what="training")
    return kept


def _held_out(
    data: Dataset, labels: HoldsOut, candidates: np.ndarray, *, size: float | int, seed: int, what: str
) -> tuple[np.ndarray, np.ndarray]:
    """Split candidates in two, each with its share of everything; ``size``, of the second, is a share or a number."""
    of_candidates = data.y[candidates]
    try:
        if data.groups is None:
            kept, held = labels.hold_out(of_candidates, size, seed=seed)
        else:
            kept, held = by_group(
                data.groups[candidates], labels.strata(of_candidates), size, seed=seed,
                all_stay=labels.fewest(of_candidates) > 1,
            )  # fmt: skip
    except ValueError as error:
        raise ReglabError(
            f"{data.name}: {len(candidates)} examples{labels.counted(of_candidates)} cannot be split into a {what} "
            f"part of {size}: {error}. Add examples{'' if data.groups is None else ' of other groups'}, or change the "
            "shares."
        ) from None
    return candidates[kept], candidates[held]
