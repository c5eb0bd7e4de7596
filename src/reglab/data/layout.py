"""Which class and which part each image of a folder belongs to, by where it lies. Pure: paths in, labels out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from reglab.data.dataset import TEST, TRAIN, VAL
from reglab.data.listing import few, readable
from reglab.errors import ReglabError
from reglab.inert import shortened

__all__ = ["Layout", "laid_out", "tree"]

_WORDS = {
    "train": TRAIN, "training": TRAIN, "trainset": TRAIN, "val": VAL, "valid": VAL, "validation": VAL, "dev": VAL,
    "valset": VAL, "test": TEST, "testing": TEST, "testset": TEST,
}  # fmt: skip
_FILLERS = {"set", "data", "dataset", "images", "image", "imgs", "img", "split", "folder"}  # "training_set"
# Folders of images beside what is to be found in them: data for another task.
_IMAGES = {"images", "image", "imgs", "img", "jpegimages", "photos", "pictures", "input", "inputs"}
_MASKS = {
    "masks", "mask", "labels", "label", "annotations", "annotation", "segmentation", "segmentations", "trimaps",
    "segmentationclass", "segmentationobject", "groundtruth", "ground_truth", "gt", "gts", "target", "targets",
}  # fmt: skip
_PIECE = re.compile(r"(fold|split|part|batch|subset|chunk|shard|cv)[ _-]?\d+", re.IGNORECASE)  # of data: no class
_EXPECTED = (
    "Expected is a folder for each class (class/image), with or without train/, val/ and test/ around them "
    "(train/class/image)."
)


@dataclass
class Layout:
    """Where the images belong.

    Attributes:
        labels: the class of each image that is kept.
        parts: the part of each, or an empty mapping where the source has none.
        notes: what was left out or assumed.
    """

    labels: dict[PurePosixPath, str] = field(default_factory=dict)
    parts: dict[PurePosixPath, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def laid_out(where: str, images: Iterable[PurePosixPath]) -> Layout:
    """Return class and part of each image.

    Args:
        where: what the source is called in errors.
        images: their paths in it.

    Raises:
        ReglabError: for images of which it cannot be said what class they have, with the tree that is seen.
    """
    below = {name: name.parts[:-1] for name in sorted(images)}
    while len({folders[:1] for folders in below.values()}) == 1 and any(len(folders) > 1 for folders in below.values()):
        below = {name: folders[1:] for name, folders in below.items()}  # one folder around everything
    tops = {folders[0] for folders in below.values() if folders}
    parts = _parts(tops)
    found = _by_parts(where, below, parts) if _are_parts(where, below, parts) else _by_classes(where, below)
    _check_classes(where, found)
    return found


def tree(images: Iterable[PurePosixPath], *, most: int = 8) -> str:
    """Return the folders that hold images, with how many and the first of them, a line each."""
    by_folder: dict[PurePosixPath, list[str]] = {}
    for name in sorted(images):
        by_folder.setdefault(name.parent, []).append(name.name)
    lines = [
        f"  {shortened(f'{readable(folder)}/' if folder.parts else './', 60)}  {len(names):,} "
        f"{'image' if len(names) == 1 else 'images'} ({few(names, 2)})"
        for folder, names in list(by_folder.items())[:most]
    ]
    lines += [f"  and {len(by_folder) - most:,} more folders"] if len(by_folder) > most else []
    return "\n".join(lines)


def _parts(tops: Iterable[str]) -> dict[str, int]:
    """Return the folders that are parts by their names, as in ``training_set`` and ``test_set``.

    >>> _parts(["seg_train", "seg_test", "seg_pred"]), _parts(["train station", "test tube"])
    ({'seg_train': 0, 'seg_test': 2}, {})
    """
    found, rests = {}, set()
    for top in tops:
        words = [word for word in re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", top).lower()) if word]
        codes = [_WORDS[word] for word in words if word in _WORDS]
        if len(codes) == 1:
            found[top] = codes[0]
            rests.add(tuple(word for word in words if word not in _WORDS and word not in _FILLERS))
    return found if len(rests) <= 1 else {}


def _are_parts(where: str, below: dict[PurePosixPath, tuple[str, ...]], parts: dict[str, int]) -> bool:
    """Whether the folders called so are parts, and no classes of these names."""
    train = [folders for folders in below.values() if folders and parts.get(folders[0]) == TRAIN]
    classes = {folders[1] for folders in train if len(folders) > 1}
    if not classes:
        return False
    others = {folders[0] for folders in below.values() if folders} - set(parts)
    if len(set(parts.values())) == 1 and others:
        raise ReglabError(
            f"{where}: {few(sorted(parts))} holds folders as training data does ({few(sorted(classes))}), and beside "
            f"it are {few(sorted(others))}. Which are the classes?\n{tree(below)}\n{_EXPECTED} Move elsewhere what is "
            f"neither, or give the folder {few(sorted(parts), 1)} itself."
        )
    return True


def _by_parts(where: str, below: dict[PurePosixPath, tuple[str, ...]], parts: dict[str, int]) -> Layout:
    found = Layout()
    inside: dict[str, dict[PurePosixPath, tuple[str, ...]]] = {top: {} for top in parts}
    beside: list[PurePosixPath] = []
    for name, folders in below.items():
        if folders and folders[0] in parts:
            inside[folders[0]][name] = folders[1:]
        else:
            beside.append(name)
    if beside:
        found.notes.append(_left(beside, "they lie beside the parts"))
    trained: set[str] = set()
    for top in sorted(parts, key=lambda top: (parts[top], top)):
        held = _unwrapped(inside[top], trained)
        loose = [name for name, folders in held.items() if not folders]
        labels = {name: folders[0] for name, folders in held.items() if folders}
        unlabelled = parts[top] != TRAIN and len(set(labels.values())) == 1 and not trained & set(labels.values())
        if unlabelled:
            loose, labels = sorted([*loose, *labels]), {}
        if loose:
            whole = "" if labels else f", so {top}/ is no {_PARTS[parts[top]]} part"
            found.notes.append(_left(loose, f"they lie in no class's folder of {top}/{whole}"))
        if parts[top] == TRAIN:
            trained |= set(labels.values())
        for label in labels.values():
            if label not in trained:
                raise ReglabError(
                    f"{where}: the class {label!r} is in {top}/ and not in {few([t for t in parts if not parts[t]])}/. "
                    f"Every class needs training images.\n{tree(below)}"
                )
        found.labels |= labels
        found.parts |= dict.fromkeys(labels, parts[top])
        found.notes += _deeper({name: held[name] for name in labels})
    return found


_PARTS = {TRAIN: "training", VAL: "validation", TEST: "test"}


def _unwrapped(
    held: dict[PurePosixPath, tuple[str, ...]], trained: set[str]
) -> dict[PurePosixPath, tuple[str, ...]]:  # fmt: skip
    """Take away a folder around all classes of a part, as in ``seg_train/seg_train/class``."""
    nested = {name: folders for name, folders in held.items() if folders}
    while (
        len({folders[0] for folders in nested.values()}) == 1
        and all(len(folders) > 1 for folders in nested.values())
        and not trained & {folders[0] for folders in nested.values()}
    ):
        nested = {name: folders[1:] for name, folders in nested.items()}
    return {**held, **nested}


def _by_classes(where: str, below: dict[PurePosixPath, tuple[str, ...]]) -> Layout:
    loose = [name for name, folders in below.items() if not folders]
    classes = {folders[0] for folders in below.values() if folders}
    if loose and classes:
        raise ReglabError(
            f"{where}: {few(loose)} lies in no class's folder. {_EXPECTED} Move it into one, or elsewhere. What is "
            f"there:\n{tree(below)}"
        )
    codes = _parts(classes)
    if len(classes) < 2 or (TRAIN in codes.values() and len(set(codes.values())) > 1):
        one = f"all {len(below):,} images lie in one folder" if len(classes) < 2 else "images lie loose in the parts"
        raise ReglabError(
            f"{where}: {one}, so nothing says which class they have. What is there:\n{tree(below)}\n"
            f"{_advice(list(below))}"
        )
    unlike = sorted(top for top in classes if _WORDS.get(top.lower(), TRAIN) != TRAIN)
    if unlike:
        raise ReglabError(
            f"{where}: {few(unlike)} is called as a part of the data is, and beside it are "
            f"{few(sorted(classes - set(unlike)))}. Which are the classes?\n{tree(below)}\n{_EXPECTED} If "
            f"{few(unlike, 1)} is a class, give it another name."
        )
    pieces = sorted(top for top in classes if _PIECE.fullmatch(top))
    inner = {folders[1] for folders in below.values() if len(folders) > 1}
    if len(pieces) == len(classes) and len(inner) > 1:
        raise ReglabError(
            f"{where}: {few(pieces)} are called as pieces of the data are, and the folders in them, "
            f"{few(sorted(inner))}, as classes.\n{tree(below)}\n{_EXPECTED} Join the pieces, so that each class is one "
            f"folder; or, if {few(pieces)} are the classes, give them other names."
        )
    return Layout({name: folders[0] for name, folders in below.items()}, notes=_deeper(below))


def _deeper(below: dict[PurePosixPath, tuple[str, ...]]) -> list[str]:
    deeper = [name for name, folders in below.items() if len(folders) > 1]
    if not deeper:
        return []
    return [
        f"{len(deeper):,} images lie in folders within those of the classes ({few(deeper, 1)}); their class is the "
        "outer one."
    ]


def _advice(images: Sequence[PurePosixPath]) -> str:
    """Return how to give labels to images that have none by their folders."""
    starts = Counter(match[0] for name in images if (match := re.match(r"[^\W\d_]+", name.name)))
    often = [start for start, count in starts.most_common(6) if count >= max(2, len(images) // 50)]
    if len(often) > 1:
        return (
            f"Names begin with {', '.join(f'{start} ({starts[start]:,})' for start in often)}. If these are the "
            f"classes, move the images into folders of that name: mkdir {often[0]}; mv {often[0]}*.* {often[0]}/"
        )
    return f"{_EXPECTED} If labels are in a table, move the images by it; or give arrays (x, y) in Python."


def _check_classes(where: str, found: Layout) -> None:
    """Refuse folders that hold images and what is to be found in them, which are no classes."""
    names = {label.lower() for label in found.labels.values()}
    if names & _IMAGES and names <= _MASKS | _IMAGES:
        raise ReglabError(
            f"{where}: {' and '.join(sorted(names))} look like images with masks or annotations, as for segmentation "
            f"or detection. reglab compares classifiers of whole images.\n{tree(found.labels)}\n{_EXPECTED} If these "
            "are classes, give them other names."
        )


def _left(names: Sequence[PurePosixPath], why: str) -> str:
    count = "1 image was" if len(names) == 1 else f"{len(names):,} images were"
    return f"{count} left out ({few(names)}): {why}."
