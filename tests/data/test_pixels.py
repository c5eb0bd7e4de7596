"""Pixels of every kind as 8 bits: against values worked by hand, and against Pillow alone."""

import io

import numpy as np
import pytest
from PIL import Image

from reglab import ReglabError
from reglab.data import load


def folder(root, *images, **saving):
    """Two classes that hold these images each, a little different ones."""
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number, image in enumerate(images):
            image.save(root / name / f"{number}.{saving.get('end', 'png')}")
    return root


def deep(*rows):
    return Image.fromarray(np.array(rows, "uint16"))


@pytest.mark.parametrize("end", ["png", "tif"])
def test_sixteen_bits_are_scaled_to_eight(tmp_path, end):
    data = load(folder(tmp_path / "d", deep([0, 128, 129, 257], [32768, 65278, 65406, 65535]), deep([1] * 4, [2] * 4),
                       end=end), color_mode="grayscale")  # fmt: skip
    assert data.x.dtype == np.uint8
    np.testing.assert_array_equal(data.x[0, ..., 0], [[0, 0, 1, 1], [128, 254, 254, 255]])
    assert data.notes == ("4 images have 16 bits, with values up to 65,535; 0 to 65,535 became 0 to 255.",)


@pytest.mark.parametrize(("largest", "white"), [(200, 255), (700, 1023), (4095, 4095), (5000, 16383), (20000, 65535)])
def test_bits_that_are_not_used_are_said_and_do_not_make_images_black(tmp_path, largest, white):
    data = load(folder(tmp_path / "d", deep([0, largest // 2, largest]), deep([0, 0, 1])))
    expected = np.round(np.array([0, largest // 2, largest]) / white * 255)
    np.testing.assert_allclose(data.x[0, 0, :, 0], expected, atol=0.5)
    assert data.notes == (f"4 images have 16 bits, with values up to {largest:,}; 0 to {white:,} became 0 to 255.",)


@pytest.mark.parametrize("first", ["deep", "shallow"])
def test_eight_and_sixteen_bits_together(tmp_path, first):
    shallow = Image.fromarray(np.array([[0, 7, 255]], "uint8"))
    images = [deep([0, 7 * 257, 300]), shallow]
    data = load(folder(tmp_path / "d", *(images if first == "deep" else images[::-1])), color_mode="grayscale")
    one, other = (0, 1) if first == "deep" else (1, 0)
    assert data.x[one, 0, :, 0].tolist() == [0, 7, 1]
    assert data.x[other, 0, :, 0].tolist() == [0, 7, 255]


def test_sixteen_bits_resized_and_streamed(tmp_path):
    rows = np.random.default_rng(0).integers(0, 65536, (8, 6), dtype="uint16")
    root = folder(tmp_path / "d", deep(*rows), deep(*rows[::-1]))
    data = load(root, image_size="4x3")
    by_eight = Image.fromarray(np.round(rows / 257).astype("uint8")).resize((3, 4), Image.Resampling.BILINEAR)
    assert np.abs(data.x[0, ..., 0].astype(int) - np.asarray(by_eight)).max() <= 1
    np.testing.assert_array_equal(load(root, image_size="4x3", memory_limit=30, cache=tmp_path / "c").x, data.x)
    assert load(root, color_mode="rgba").x[..., 3].min() == 255


@pytest.mark.parametrize("pixels", [np.array([[0.0, 0.5, 1.0]], "float32"), np.array([[0, 70000, 5]], "int32"),
                                    np.array([[0, -5, 5]], "int32")])  # fmt: skip
def test_values_without_a_known_range_are_refused(tmp_path, pixels):
    root = folder(tmp_path / "d", Image.fromarray(pixels), end="tif")
    with pytest.raises(
        ReglabError, match=r"0\.tif has pixels of (floats|whole numbers beyond 16 bits) \(.*nothing says which"
    ):
        load(root, skip_broken=True)


def transparent():
    """Red that is seen, red half seen, and green that is not seen at all."""
    return Image.fromarray(np.array([[[200, 0, 0, 255], [200, 0, 0, 128], [0, 255, 0, 0]]], "uint8"))


def test_transparent_images_are_composed_on_white_and_hidden_colours_are_not_seen(tmp_path):
    plain = Image.new("RGB", (3, 1), (9, 8, 7))
    root = folder(tmp_path / "d", transparent(), plain)
    data = load(root)
    np.testing.assert_allclose(data.x[0, 0], [[200, 0, 0], [227, 127, 127], [255, 255, 255]], atol=1)
    assert data.x[1, 0].tolist() == [[9, 8, 7]] * 3
    assert data.notes == (
        "2 images have transparent pixels; they were composed on white. color_mode (--color-mode) rgba keeps "
        "transparency as a channel.",
    )
    assert load(root, color_mode="grayscale").x[0, 0, 2, 0] == 255
    rgba = load(root, color_mode="rgba")
    assert rgba.x[0, 0].tolist() == [[200, 0, 0, 255], [200, 0, 0, 128], [255, 255, 255, 0]]
    assert "made white" in rgba.notes[0]


@pytest.mark.parametrize("mode", ["LA", "PA", "P"])
def test_transparency_of_every_kind(tmp_path, mode):
    image = Image.fromarray(np.array([[[50, 50, 50, 255], [50, 50, 50, 0]]], "uint8")).convert(
        "RGBA" if mode == "P" else mode
    )
    if mode == "P":
        image = Image.fromarray(np.array([[0, 1]], "uint8"))
        image.putpalette([50, 50, 50, 50, 50, 50])
        image.info["transparency"] = 1
    data = load(folder(tmp_path / "d", image, Image.new("L", (2, 1), 3), end="tif" if mode == "PA" else "png"))
    assert data.x[0, 0].tolist() == [[50] * 3, [255] * 3]


def test_a_picture_that_is_in_the_alpha_channel_is_seen(tmp_path):
    alpha = np.zeros((2, 2, 4), "uint8")
    alpha[0, 0, 3] = 255
    other = alpha[::-1].copy()
    assert load(folder(tmp_path / "d", Image.fromarray(alpha), Image.fromarray(other))).x[:2, 0, 0, 0].tolist() == [
        0,
        255,
    ]


def test_images_that_are_all_alike_are_said(tmp_path):
    alike = load(folder(tmp_path / "d", Image.new("RGB", (3, 3)), Image.new("RGB", (3, 3))))
    assert alike.notes[0].startswith("All 4 images are alike")


@pytest.mark.parametrize("color_mode", ["rgb", "grayscale", "rgba"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr"])
def test_what_is_opaque_is_what_pillow_converts(tmp_path, mode, color_mode):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype="uint8")
    image = Image.fromarray(pixels).convert("L" if mode == "LA" else "RGB").convert(mode)
    root = folder(tmp_path / "d", image, image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
                  end="tif" if mode in ("CMYK", "YCbCr") else "png")  # fmt: skip
    target = {"rgb": "RGB", "grayscale": "L", "rgba": "RGBA"}[color_mode]
    with Image.open(next(root.rglob("0.*"))) as saved:
        np.testing.assert_array_equal(
            load(root, color_mode=color_mode).x[0].squeeze(), np.asarray(saved.convert(target))
        )
    assert load(root, color_mode=color_mode).notes == ()


@pytest.mark.parametrize("end", ["tif", "gif", "webp"])
def test_further_pages_and_frames_are_said(tmp_path, end):
    frames = [Image.fromarray(np.full((4, 4, 3), value, "uint8")) for value in (10, 200)]
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        frames[0].save(tmp_path / name / f"0.{end}", save_all=True, append_images=frames[1:])
        frames[1].save(tmp_path / name / f"1.{end}")
    data = load(tmp_path)
    assert np.abs(data.x[0].astype(int) - 10).max() <= 2
    assert data.notes == ("2 images have several pages or frames, of which the first was read.",)


def test_an_image_of_a_kind_that_pillow_does_not_read_is_told_as_that(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.tif").write_bytes(b"II*\0" + bytes(60))
    with pytest.raises(
        ReglabError, match=r"0\.tif: its header is damaged, or it is of a kind that Pillow does not read"
    ):
        load(tmp_path)


def test_a_file_of_another_kind_starts_no_other_program(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        drawing = io.BytesIO()
        Image.new("RGB", (4, 4)).save(drawing, "EPS")
        (tmp_path / name / "0.jpg").write_bytes(drawing.getvalue())
    with pytest.raises(ReglabError, match="no known format"):
        load(tmp_path)
