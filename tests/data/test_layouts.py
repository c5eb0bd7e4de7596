"""Folders as people have them: which parts and classes are seen, what is left out and said, and what is refused."""

import os
import socket
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reglab import ReglabError
from reglab.data import load
from reglab.data.dataset import TEST, TRAIN, VAL


def furnish(root, *names):
    """Write an image for each name, different ones; ``class/*3`` stands for three of them."""
    for name in names:
        folder, _, file = name.rpartition("/")
        files = [f"{number}.png" for number in range(int(file[1:]))] if file.startswith("*") else [file]
        for each in files:
            path = root / folder / each
            path.parent.mkdir(parents=True, exist_ok=True)
            shade = sum(map(ord, str(path.relative_to(root)))) % 256
            Image.new("RGB", (4, 3), (shade, len(name), 9)).save(path, format="PNG")
    return root


def notes(data):
    return " ".join(data.notes)


def counts(data):
    part = np.zeros(len(data), int) if data.part is None else data.part
    return {code: int((part == code).sum()) for code in np.unique(part)}


@pytest.mark.parametrize(
    ("names", "classes", "parts"),
    [
        (("train/cat/*3", "train/dog/*3", "test/cat/*2", "test/dog/*2"), ("cat", "dog"), {TRAIN: 6, TEST: 4}),
        (("training_set/cat/*3", "training_set/dog/*3", "test_set/cat/*2", "test_set/dog/*2"), ("cat", "dog"),
         {TRAIN: 6, TEST: 4}),
        (("seg_train/seg_train/sea/*3", "seg_train/seg_train/ice/*3", "seg_test/seg_test/sea/*2",
          "seg_test/seg_test/ice/*2", "seg_pred/seg_pred/*3"), ("ice", "sea"), {TRAIN: 6, TEST: 4}),
        (("data/Train/cat/*3", "data/Train/dog/*3", "data/valid/cat/*2", "data/valid/dog/*2"), ("cat", "dog"),
         {TRAIN: 6, VAL: 4}),
        (("train/cat/*3", "train/dog/*3", "dev/cat/*2", "dev/dog/*2", "test/cat/*1", "test/dog/*1"), ("cat", "dog"),
         {TRAIN: 6, VAL: 4, TEST: 2}),
        (("train/cat/*3", "train/dog/*3", "test/*4"), ("cat", "dog"), {TRAIN: 6}),
        (("train/cat/*3", "train/dog/*3", "test1/unknown/*4"), ("cat", "dog"), {TRAIN: 6}),
        (("train/cat/*3", "train/dog/*3", "train/stray.png", "test/cat/*2", "test/dog/*2"), ("cat", "dog"),
         {TRAIN: 6, TEST: 4}),
        (("train/cat/*3", "train/dog/*3", "test/cat/*2", "test/dog/*2", "docs/*2"), ("cat", "dog"),
         {TRAIN: 6, TEST: 4}),
        (("train/*3", "car/*3", "plane/*2"), ("car", "plane", "train"), {0: 8}),  # vehicles
        (("train station/*3", "test tube/*3"), ("test tube", "train station"), {0: 6}),
        (("cat/young/*2", "cat/old/*2", "dog/*3"), ("cat", "dog"), {0: 7}),
    ],
)  # fmt: skip
def test_parts_and_classes_are_recognized(tmp_path, names, classes, parts):
    root = furnish(tmp_path / "pets", *names)
    data = load(root)
    assert data.class_names == classes
    assert counts(data) == parts
    with tarfile.open(tmp_path / "pets.tar", "w") as archive:  # whose members come in another order
        for file in sorted(root.rglob("*.png"), reverse=True):
            archive.add(file, file.relative_to(tmp_path).as_posix())
    archived = load(tmp_path / "pets.tar")
    assert archived.fingerprint == data.fingerprint
    assert len(archived.notes) == len(data.notes)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("test/*4",), "4 images were left out (test/0.png, test/1.png, test/2.png and 1 more): they lie in no class's "
                       "folder of test/, so test/ is no test part."),
        (("train/stray.png", "test/cat/*2"), "1 image was left out (train/stray.png): they lie in no class's folder of "
                                             "train/."),
        (("docs/fig.png", "test/cat/*2"), "1 image was left out (docs/fig.png): they lie beside the parts."),
        (("test/cat/old/*2",), "2 images lie in folders within those of the classes (test/cat/old/0.png and 1 more); "
                               "their class is the outer one."),
    ],
)  # fmt: skip
def test_what_is_left_out_or_assumed_is_said(tmp_path, names, said):
    data = load(furnish(tmp_path, "train/cat/*3", "train/dog/*3", *names))
    assert data.notes == (said,)


def test_images_that_are_left_out_may_be_of_any_size_and_broken(tmp_path):
    root = furnish(tmp_path, "train/cat/*3", "train/dog/*3", "test/cat/*2")
    (root / "docs").mkdir()
    Image.new("RGB", (50, 60)).save(root / "docs" / "figure.png")
    (root / "docs" / "broken.png").write_bytes(b"")
    assert load(root).input_shape == (3, 4, 3)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cat.0.png", "cat.1.png", "dog.0.png"),
         r"all 3 images lie in one folder.*\./  3 images \(cat\.0\.png.*Expected is a folder"),
        (("train/cat.0.png", "train/cat.1.png", "train/dog.0.png", "train/dog.1.png"),
         r"all 4 images lie in one folder.*\n  train/  4 images .*begin with cat \(2\), dog \(2\).*mkdir cat; mv cat"),
        (("train/*3", "test/*3"), r"images lie loose in the parts.*\n  test/  3 images.*\n  train/  3 images"),
        (("train/cat/*2", "train/dog/*2", "docs/*2"), r"beside it are docs\. Which are the classes\?.*train/cat/  2"),
        (("images/*3", "masks/*3"), r"images and masks look like images with masks.*for segmentation"),
        (("train/images/*3", "valid/images/*3"), r"images look like images with masks or annotations"),
        (("cat/*3", "dog/*3", "test/*3"), r"test is called as a part.* beside it are cat, dog.*test/  3"),
        (("train/images/*3", "train/masks/*3", "test/images/*2"), r"look like images with masks"),
        (("cat/*3", "dog/*3", "a.png", "b.png"), r"a\.png, b\.png lies in no class's folder"),
        (("train/cat/*2", "train/dog/*2", "test/cat/*2", "test/fox/*2"), r"'fox' is in test/ and not in train/"),
    ],
)  # fmt: skip
def test_what_nothing_says_is_refused_with_the_tree_that_is_seen(tmp_path, names, message):
    with pytest.raises(ReglabError, match=f"(?s){message}"):
        load(furnish(tmp_path, *names))


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def pets(tmp_path):
    return furnish(tmp_path / "pets", "cat/*3", "dog/*3")


def test_pieces_of_the_data_are_no_classes(tmp_path):
    pieces = furnish(tmp_path / "pieces", *(f"fold{k}/{kind}/*2" for k in (1, 2, 3) for kind in ("cat", "dog")))
    with pytest.raises(ReglabError, match=r"(?s)fold1, fold2, fold3 are called as pieces.*cat, dog.*Join the pieces"):
        load(pieces)
    kinds = furnish(tmp_path / "kinds", "part1/*3", "part2/*3")  # of a machine, say: nothing in them looks as classes
    assert load(kinds).class_names == ("part1", "part2")


@pytest.mark.parametrize("suffix", [".jfif", "", ".JPG", ".bin"])
def test_images_of_any_suffix_are_read_by_their_content(pets, suffix):
    before = load(pets).x
    for file in pets.rglob("[01].png"):
        file.rename(file.with_name(f"{file.stem}{suffix}"))
    np.testing.assert_array_equal(load(pets).x, before)


@pytest.mark.parametrize(("kind", "end"), [("JPEG", ".jpg"), ("GIF", ".gif"), ("BMP", ".bmp"), ("WEBP", ".webp"),
                                           ("TIFF", ".tif"), ("JPEG2000", ".jp2")])  # fmt: skip
def test_the_first_bytes_tell_a_format(tmp_path, kind, end):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new("RGB", (8, 8), (number * 90, 7, 30)).save(tmp_path / name / f"{number}{end}", format=kind)
    before = load(tmp_path, skip_broken=False) if end != ".jp2" else None
    for file in tmp_path.rglob("*.*"):
        file.rename(file.with_suffix(""))
    data = load(tmp_path)
    assert len(data) == 4
    if before is not None:
        np.testing.assert_array_equal(data.x, before.x)


def test_other_files_and_empty_folders_are_counted_and_said(pets):
    (pets / "cat" / "notes.txt").write_text("about cats")
    (pets / "cat" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (pets / "fox" / "deeper").mkdir(parents=True)
    (pets / ".cache").mkdir()
    furnish(pets, ".cache/hidden.png")
    (pets / "Thumbs.db").write_bytes(b"\0")
    assert load(pets).notes == (
        "2 files (1 .txt, 1 .heic) left out, which are no images or in a format that is not known: cat/notes.txt, "
        "cat/phone.heic.",
        "Hidden images were left out (.cache/hidden.png).",
        "Folders that hold no images were left out (fox/).",
    )


def test_names_that_are_no_text_are_written_as_what_they_are(pets):
    os.rename(pets / "cat", os.fsencode(pets) + b"/c\xe9t")
    (pets / "dog" / "note.txt").write_text("")
    os.rename(pets / "dog" / "note.txt", os.fsencode(pets) + b"/dog/n\xff.txt")
    data = load(pets)
    assert data.class_names == ("c\\udce9t", "dog")
    assert "dog/n\\udcff.txt" in data.notes[0]
    "".join((*data.class_names, *data.facts, *data.notes)).encode("utf-8")  # as the folder of a study holds them


def test_only_regular_files_are_opened(pets, monkeypatch):
    os.mkfifo(pets / "cat" / "pipe.png")
    os.symlink(pets, pets / "cat" / "around")
    monkeypatch.chdir(pets / "dog")  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.png")
        data = load(pets)
    assert len(data) == 6
    assert data.notes == (
        "Pipes, sockets, devices or links to a folder around them were left out (cat/around, cat/pipe.png, "
        "dog/socket.png).",
    )


def test_a_folder_that_cannot_be_read_is_refused(pets, monkeypatch):
    whole = os.scandir

    def scandir(path):
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(ReglabError, match=r"Cannot read the folder .*dog: Permission denied\. Make it readable"):
        load(pets)


def test_a_link_to_a_folder_elsewhere_is_followed(pets, tmp_path):
    (pets / "cat").rename(tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", pets / "cat")
    assert len(load(pets)) == 6


@pytest.fixture
def broken(pets):
    whole = (pets / "dog" / "0.png").read_bytes()
    (pets / "cat" / "empty.jpg").write_bytes(b"")
    (pets / "cat" / "page.jpg").write_text("<!DOCTYPE html><html>404</html>")
    (pets / "dog" / "cut.png").write_bytes(whole[: len(whole) * 2 // 3])
    (pets / "dog" / "text.gif").write_text("no image at all")
    return pets


def packed(folder):
    target = folder.parent / "packed.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    return target


@pytest.mark.parametrize("archived", [False, True])
def test_all_broken_files_are_named_at_once(broken, archived):
    source = packed(broken) if archived else broken
    with pytest.raises(ReglabError) as caught:
        load(source)
    told = str(caught.value)
    assert "4 of 10 files cannot be read as an image" in told
    for name, why in (("empty.jpg", "it is empty"), ("page.jpg", "a page of HTML"), ("cut.png", "truncated"),
                      ("text.gif", "no known format")):  # fmt: skip
        assert any(name in line and why in line for line in told.splitlines()), (name, told)
    assert "--skip-broken" in told
    assert "object at 0x" not in told


def test_skip_broken_leaves_them_out_and_says_so(broken, pets):
    data = load(broken, skip_broken=True)
    assert len(data) == 6
    assert data.notes[0].startswith("4 broken files were left out, as skip_broken says (cat/empty.jpg, cat/page.jpg,")
    for name in ("cat/empty.jpg", "cat/page.jpg", "dog/cut.png", "dog/text.gif"):
        (broken / name).unlink()
    assert load(broken).fingerprint == data.fingerprint
    for file in pets.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(ReglabError, match="6 of 6 files cannot be read"):
        load(pets, skip_broken=True)


def test_a_link_to_nothing_is_a_broken_file(pets):
    os.symlink(pets / "nowhere.png", pets / "cat" / "9.png")
    with pytest.raises(ReglabError, match=r"9\.png: No such file or directory"):
        load(pets)


def test_the_spec_records_that_broken_files_are_skipped(tmp_path, pets):
    import reglab

    plain = reglab.Study(pets, "mlp")
    skipping = reglab.Study(pets, "mlp", skip_broken=True)
    assert skipping.spec() == {**plain.spec(), "skip_broken": True}
    (tmp_path / "study.yaml").write_text(f"data: {pets}\nmodel: mlp\nrecipes: [l2]\nskip_broken: true\n")
    assert reglab.Study.from_yaml(tmp_path / "study.yaml").settings.skip_broken is True
    with pytest.raises(ReglabError, match="skip_broken"):
        reglab.Study(pets, "mlp", skip_broken="perhaps")
