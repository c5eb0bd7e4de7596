"""Examples that belong together, such as those of one patient: whole groups are held out, none on two sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reglab.data.listing import listed
from reglab.errors import ReglabError
from reglab.lazy import model_selection, pandas

if TYPE_CHECKING:
    from reglab.data.dataset import Dataset
    from reglab.data.splits import Split

__all__ = ["by_group", "check_parts", "checked_groups", "told_of_groups"]

_DRAWS = 40  # of each number of groups
_COUNTS = (1.0, 0.75, 1.25, 0.5, 1.5, 2.0)  # numbers of groups that are drawn, as multiples of the share that is wanted
_NEAR = 0.05  # of a share: a draw that is as near as the nearest but for this is taken, so that seeds differ
_NAMED = 5  # groups that an error names


def checked_groups(given: object, count: int, *, name: str, of: str) -> np.ndarray:
    """Return the group of each example as an array of whole numbers or texts.

    Args:
        given: a value per example.
        count: how many examples there are.
        name: of the data.
        of: what groups are called, such as the column that holds them; can be empty.

    Raises:
        ReglabError: for missing values, another number of them, one group for all, or a group per example.

    >>> checked_groups(["b", "a", "b"], 3, name="visits", of="patient").tolist()
    ['b', 'a', 'b']
    """
    what = f"{name}: groups{f' of {of}' if of else ''}"
    groups = np.asarray(given)
    if groups.ndim != 1 or len(groups) != count:
        raise ReglabError(
            f"{what} have shape {groups.shape}, and there are {count} examples, all parts together. Give one value per "
            "example, in their order."
        )
    missing = np.asarray(pandas.isna(groups))
    if groups.dtype.kind in "OU":
        missing |= np.array([isinstance(value, str) and not value.strip() for value in groups], bool)
    if missing.any():
        raise ReglabError(
            f"{what} are missing in {missing.sum()} of {count} examples, the first of which is {int(missing.argmax())} "
            "(counted from 0). Which group an example belongs to has to be known: fill it in, or leave the example out."
        )
    if groups.dtype.kind not in "iu":
        groups = groups.astype("int64") if _are_whole(groups) else groups.astype(str)
    different = len(np.unique(groups))
    if different == 1:
        raise ReglabError(f"{what}: all examples are of one, {groups[0]}, so there is none to hold out. Leave it out.")
    if different == count:
        raise ReglabError(
            f"{what}: each of the {count} examples is a group of its own, which is a split without groups. Leave it "
            "out, or name what examples have in common."
        )
    return groups


def _are_whole(groups: np.ndarray) -> bool:
    """Whether these are whole numbers of another type, such as 3.0."""
    return groups.dtype.kind in "bf" and bool((groups == np.round(groups)).all())


def check_parts(data: Dataset, train: np.ndarray, val: np.ndarray, test: np.ndarray) -> None:
    """Raise a ReglabError if a group lies in two parts that the source itself gives.

    Args:
        data: the data, which have groups.
        train: positions of its examples.
        val: positions of those of validation.
        test: positions of those of test.
    """
    groups = data.groups
    assert groups is not None
    parts = {"training": groups[train], "validation": groups[val], "test": groups[test]}
    for one, other in (("test", "training"), ("test", "validation"), ("validation", "training")):
        both = np.intersect1d(parts[one], parts[other])
        if len(both):
            inside = int(np.isin(parts[one], both).sum())
            raise ReglabError(
                f"{data.name}: {len(both)} of the {len(np.unique(parts[one]))} groups{_of(data)} of the {one} part lie "
                f"in {other} too, with {inside} of its {len(parts[one])} examples: "
                f"{listed([str(each) for each in both], _NAMED)}. That is a leak: a network can know them again. Give "
                "the data without parts, so that groups are held out whole, or mend the parts."
            )


def by_group(
    groups: np.ndarray, strata: np.ndarray, size: float | int, *, seed: int, all_stay: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions that stay and those that are held out, whole groups, both with the strata in proportion.

    Groups are drawn as scikit-learn's ``GroupShuffleSplit`` draws them, some number of times and of several numbers of
    groups. Of these draws the first one is taken whose shares are as near to what is wanted as those of the nearest, to
    within 5 points: the distance is that of the share of the examples, and the mean one of the shares of the strata.
    Draws that leave a stratum out of what stays come last.

    Args:
        groups: the group of each example.
        strata: ``(N,)``, the stratum of each example, or ``(N, strata)`` of 0 and 1, which it has.
        size: a share of the examples, or their number.
        seed: of the draws.
        all_stay: whether what stays has to have every stratum: a group that alone has one is not held out.

    Raises:
        ValueError: if there are too few groups for it.

    >>> kept, held = by_group(np.repeat([0, 1, 2, 3], 3), np.tile([0, 1, 1], 4), 0.25, seed=0, all_stay=True)
    >>> len(kept), len(held), bool(np.ptp(held) == 2)
    (9, 3, True)
    """
    names, of = np.unique(groups, return_inverse=True)
    table = _counted(of, strata, len(names))  # of each group: its examples, and those of each stratum
    share = size / len(groups) if isinstance(size, int) else size
    alone = ((table[:, 1:] > 0).sum(axis=0) == 1) & all_stay
    pinned = (table[:, 1:][:, alone] > 0).any(axis=1)
    free = np.flatnonzero(~pinned)
    if len(free) < (1 if pinned.any() else 2):
        raise ValueError(
            f"a part has whole groups, of which {len(names)} {'is' if len(names) == 1 else 'are'} left"
            + (f", and {pinned.sum()} that alone have a class have to stay" if pinned.any() else "")
        )
    draws = [free[draw] for draw in _draws(len(free), share * len(names), seed)]
    far = np.array([_distance(table, draw, share) for draw in draws])
    held = draws[int((far <= far.min() + _NEAR).argmax())]
    there = np.isin(of, held)
    return np.flatnonzero(~there), np.flatnonzero(there)


def _counted(of: np.ndarray, strata: np.ndarray, groups: int) -> np.ndarray:
    """Return how many examples each group has, and of each stratum, ``(groups, 1 + strata)``."""
    if strata.ndim == 1:
        kinds, codes = np.unique(strata, return_inverse=True)
        each = np.bincount(of * len(kinds) + codes, minlength=groups * len(kinds)).reshape(groups, len(kinds))
    else:
        there = strata[:, strata.any(axis=0)]
        each = np.array([np.bincount(of, weights=column, minlength=groups) for column in there.T]).reshape(-1, groups).T
    return np.column_stack([np.bincount(of, minlength=groups), each]).astype("float64")


def _draws(free: int, wanted: float, seed: int) -> list[np.ndarray]:
    """Return draws of some of so many groups, about as many as are wanted, in an order that the seed decides."""
    if free == 1:
        return [np.arange(1)]
    counts = [min(max(round(factor * wanted), 1), free - 1) for factor in _COUNTS]
    return [
        held
        for count in dict.fromkeys(counts)
        for _, held in model_selection.ShuffleSplit(_DRAWS, test_size=count, random_state=seed).split(np.empty(free))
    ]


def _distance(table: np.ndarray, held: np.ndarray, share: float) -> float:
    """Return how far the shares of what is held out are from the one that is wanted; strata that are lost count 10."""
    found = table[held].sum(axis=0) / table.sum(axis=0)
    off = np.abs(found - share)
    return float(off[0] + (off[1:].mean() if len(off) > 1 else 0.0) + 10 * (found[1:] == 1).sum())


def told_of_groups(data: Dataset, parts: Split, *, seed: int) -> tuple[str, ...]:
    """Return what has to be said of a split by group: how many each part has, and classes that one group alone has."""
    if data.groups is None:
        return ()
    sizes = [
        f"{name} {len(np.unique(data.groups[indices]))} ({len(indices)} examples)"
        for name, indices in (("test", parts.test), ("validation", parts.val), ("training", parts.train))
    ]
    said = [
        f"The split is by group: each of the {len(np.unique(data.groups))} groups{_of(data)} lies in one part as a "
        f"whole. Of seed {seed}, groups of {', '.join(sizes)}."
    ]
    if data.form == "classes":
        pairs = np.unique(np.stack([data.y, np.unique(data.groups, return_inverse=True)[1]]), axis=1)[0]
        alone = np.flatnonzero(np.bincount(pairs, minlength=data.num_classes) == 1)
        if len(alone):
            named = listed([repr(data.class_names[index]) for index in alone], _NAMED)
            said.append(
                f"A single group has all examples of {named}, so it stays in training: how well "
                f"{'that class is' if len(alone) == 1 else 'those classes are'} predicted, neither validation nor test "
                "can say."
            )
    return tuple(said)


def _of(data: Dataset) -> str:
    return f" of {data.group}" if data.group else ""
