"""Images in folders and archives: the same data whatever they are packed in, and a clear error for what is broken."""

import io
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from reglab import ReglabError
from reglab.data import load
from reglab.data.dataset import TEST, TRAIN, VAL

CLASSES = ("ant", "bee")


def pixels(seed, height=6, width=5, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype="uint8")


def write_png(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array.squeeze()).save(path)


@pytest.fixture
def folder(tmp_path):
    """A folder per class with four images each, one of them a grey one."""
    root = tmp_path / "insects"
    for index, name in enumerate(CLASSES):
        for number in range(4):
            channels = 1 if (index, number) == (1, 2) else 3
            write_png(root / name / f"{number}.png", pixels(10 * index + number, channels=channels))
    return root


@pytest.fixture
def parts(tmp_path):
    root = tmp_path / "parted"
    for position, part in enumerate(("train", "val", "test")):
        for index, name in enumerate(CLASSES):
            for number in range(2):
                write_png(root / part / name / f"{number}.png", pixels(100 * position + 10 * index + number))
    return root


def packed(folder, kind):
    """Pack a folder; the order of members is reversed, as archives promise none."""
    target = folder.parent / f"{folder.name}{kind}"
    files = sorted((f for f in folder.rglob("*") if f.is_file()), reverse=True)
    if kind == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(folder.parent))
    else:
        with tarfile.open(target, {".tar": "w", ".tar.gz": "w:gz", ".tar.xz": "w:xz"}[kind]) as archive:
            for file in files:
                archive.add(file, file.relative_to(folder.parent).as_posix())
    return target


def test_a_folder_per_class(folder):
    data = load(folder)
    assert data.describe() == "insects: 8 examples of 6x5x3, 2 classes"
    assert data.class_names == CLASSES
    assert data.part is None
    assert data.y.tolist() == [0] * 4 + [1] * 4
    np.testing.assert_array_equal(data.x[1], pixels(1))
    grey = np.broadcast_to(pixels(12, channels=1), (6, 5, 3))
    np.testing.assert_array_equal(data.x[6], grey)


def test_train_val_and_test_folders(parts):
    data = load(parts)
    assert sorted(data.part.tolist()) == sorted([TRAIN] * 4 + [VAL] * 4 + [TEST] * 4)
    np.testing.assert_array_equal(data.x[data.part == TEST][3], pixels(211))


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz", ".tar.xz"])
@pytest.mark.parametrize("source", ["folder", "parts"])
def test_an_archive_is_its_folder(request, source, kind):
    root = request.getfixturevalue(source)
    plain, archived = load(root), load(packed(root, kind))
    assert archived.fingerprint == plain.fingerprint
    assert archived.name == plain.name
    np.testing.assert_array_equal(archived.x, plain.x)
    np.testing.assert_array_equal(archived.y, plain.y)


def test_what_does_not_fit_in_memory_is_streamed_from_a_file_and_is_the_same(folder, tmp_path):
    cache = tmp_path / "cache"
    for source in (folder, packed(folder, ".tar")):
        streamed = load(source, memory_limit=200, cache=cache)
        assert isinstance(streamed.x, np.memmap)
        assert streamed.fingerprint == load(folder).fingerprint
        np.testing.assert_array_equal(streamed.x, load(folder).x)
        assert list(cache.iterdir()) == []  # the file has no name, so nothing is left behind


def test_sizes_and_colours(folder):
    write_png(folder / "ant" / "large.png", pixels(50, 12, 10))
    with pytest.raises(ReglabError, match=r"images differ in size: .*6x5.*12x10.*--image-size"):
        load(folder)
    assert load(folder, image_size="4x7").input_shape == (4, 7, 3)
    assert load(folder, image_size=8).input_shape == (8, 8, 3)
    assert load(folder, image_size=8, color_mode="grayscale").input_shape == (8, 8, 1)
    assert load(folder, image_size=(8, 4), color_mode="rgba").input_shape == (8, 4, 4)


@pytest.mark.parametrize("size", ["0", "4x5x6", "large", -3, 2.5])
def test_a_size_that_is_none_is_an_error(folder, size):
    with pytest.raises(ReglabError, match=r"image_size=.* is not possible.*64x48"):
        load(folder, image_size=size)


def test_a_turned_photograph_is_turned_back(tmp_path):
    upright = pixels(1, 6, 4)
    for name in CLASSES:
        for number in range(2):
            file = tmp_path / "photos" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(np.rot90(upright))
            exif = image.getexif()
            exif[0x0112] = 6  # to be turned a quarter clockwise
            image.save(file, exif=exif)
    np.testing.assert_array_equal(load(tmp_path / "photos").x[0], upright)


def test_files_that_are_no_images_and_hidden_ones_are_passed_over(folder):
    before = load(folder).fingerprint
    (folder / "ant" / "notes.txt").write_text("about ants")
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "__MACOSX").mkdir()
    write_png(folder / "__MACOSX" / "0.png", pixels(3))
    assert load(folder).fingerprint == before


# --- what is wrong with it -------------------------------------------------------------------------------------------


def test_a_corrupt_image_is_named(folder):
    (folder / "bee" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    with pytest.raises(
        ReglabError, match=r"cannot be read as an image:\n.*bee.2\.png: .*\nRepair them or leave them out"
    ):
        load(folder)


def test_a_truncated_image_is_named(folder):
    content = (folder / "bee" / "2.png").read_bytes()
    (folder / "bee" / "2.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ReglabError, match=r"cannot be read as an image:\n.*bee.2\.png: image file is truncated"):
        load(folder)


def test_a_huge_image_is_refused_before_it_is_decoded(folder):
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 10**6
    (folder / "bee" / "2.png").write_bytes(buffer.getvalue())
    with pytest.raises(ReglabError, match=r"bee.2\.png: Image size \(900000000 pixels\) exceeds limit"):
        load(folder)


def test_a_folder_without_images(tmp_path):
    with pytest.raises(ReglabError, match=r"holds no images\. Expected is a folder per class"):
        load(tmp_path)


def test_images_outside_of_class_folders(folder):
    write_png(folder / "stray.png", pixels(1))
    with pytest.raises(ReglabError, match=r"stray\.png lies in no class's folder"):
        load(folder)


def test_one_class(folder):
    shutil.rmtree(folder / "bee")
    with pytest.raises(ReglabError, match=r"all 4 images lie in one folder.*\n  ant/  4 images"):
        load(folder)


def test_a_class_with_one_image(folder):
    write_png(folder / "cicada" / "0.png", pixels(1))
    with pytest.raises(ReglabError, match=r"the label 'cicada' appears once"):
        load(folder)


def test_a_class_that_is_only_in_test(parts):
    write_png(parts / "test" / "cicada" / "0.png", pixels(1))
    write_png(parts / "test" / "cicada" / "1.png", pixels(2))
    with pytest.raises(ReglabError, match=r"the class 'cicada' is in test/ and not in train/"):
        load(parts)


@pytest.mark.parametrize("name", ["../outside.png", "/etc/outside.png", "ant/../../outside.png"])
@pytest.mark.parametrize("kind", [".zip", ".tar"])
def test_a_member_that_leads_outside_is_refused_and_nothing_is_written(tmp_path, name, kind):
    target = tmp_path / "inner" / f"evil{kind}"
    target.parent.mkdir()
    if kind == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr(name, b"content")
    else:
        with tarfile.open(target, "w") as archive:
            entry = tarfile.TarInfo(name)
            entry.size = 7
            archive.addfile(entry, io.BytesIO(b"content"))
    with pytest.raises(ReglabError, match=r"evil.*leads outside the archive"):
        load(target)
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == [target.name]


def test_a_link_in_an_archive_is_refused(tmp_path):
    target = tmp_path / "links.tar"
    with tarfile.open(target, "w") as archive:
        entry = tarfile.TarInfo("ant/0.png")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(ReglabError, match=r"'ant/0\.png' is a link or a device"):
        load(target)


@pytest.mark.parametrize("kind", [".zip", ".tar.xz"])
def test_a_decompression_bomb_is_refused(folder, kind, monkeypatch):
    monkeypatch.setattr("reglab.data.members.LARGEST_FREE", 10**6)
    monkeypatch.setattr("reglab.data.members.LARGEST_FILE", 2**22)
    for number in range(4):
        (folder / "ant" / f"zeros{number}.txt").write_bytes(bytes(2**21))
    target = folder.parent / f"bomb{kind}"
    if kind == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*.*")):
                archive.write(file, file.relative_to(folder))
    else:
        with tarfile.open(target, "w:xz") as archive:
            archive.add(folder, "insects")
    with pytest.raises(ReglabError, match=r"bomb.*unpacks to more than 200 times its size"):
        load(target)


def test_a_member_that_is_too_large_is_refused(folder, monkeypatch):
    monkeypatch.setattr("reglab.data.members.LARGEST_FILE", 1000)
    (folder / "ant" / "large.png").write_bytes(os.urandom(2000))
    for source in (folder, packed(folder, ".zip"), packed(folder, ".tar")):
        with pytest.raises(ReglabError, match=r"large\.png is larger than .* too large for an image"):
            load(source)


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz", ".tar.xz"])
def test_an_archive_that_breaks_off_is_said_to_be_incomplete(folder, kind):
    target = packed(folder, kind)
    content = target.read_bytes()
    target.write_bytes(content[: len(content) // 3])
    with pytest.raises(ReglabError, match=rf"insects{kind} is not a readable (zip|tar) archive"):
        load(target)


def test_something_else_that_is_called_an_archive(tmp_path):
    for kind in (".zip", ".tar", ".tar.gz"):
        target = tmp_path / f"text{kind}"
        target.write_text("this is not an archive")
        with pytest.raises(ReglabError, match="is not a readable"):
            load(target)


@pytest.mark.slow
def test_an_archive_of_sixty_thousand_images_is_read():
    archive = os.environ.get("REGLAB_CIFAR_ARCHIVE")
    if archive is None:
        pytest.skip("set REGLAB_CIFAR_ARCHIVE to an archive of CIFAR-10 as images, with train/ and test/")
    data = load(archive)
    assert data.describe() == "cifar10-images: 60000 examples of 32x32x3, 10 classes"
    assert (data.part == TEST).sum() == 10_000
