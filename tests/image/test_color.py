"""The spec of refvlm/image/color.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from refvlm import image
from refvlm.image.color import bytes_from_unit, rgb_pixels

from ..spec import contract, example, law, oracle
from .pictures import file_of, in_mode, png, transforms


@example
def test_rgb_pixels_lays_transparency_on_white():
    """Clear is white, opaque is itself, and half of black is grey."""
    levels = [[[9, 9, 9, 0], [9, 9, 9, 255], [0, 0, 0, 51]]]
    picture = Image.fromarray(np.array(levels, np.uint8), "RGBA")
    np.testing.assert_array_equal(
        rgb_pixels(picture), [[[255, 255, 255], [9, 9, 9], [204, 204, 204]]]
    )


@example
def test_rgb_pixels_keeps_the_high_byte_of_sixteen():
    """Pillow's own conversion would make white of everything above 255."""
    levels = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    gray = rgb_pixels(Image.fromarray(levels))
    np.testing.assert_array_equal(gray[0, :, 0], [0, 0, 1, 128, 255])


@law
@given(st.just(0) | st.integers(256, 65535))
def test_rgb_pixels_is_the_same_for_grey_and_colour_of_16_bits(level):
    """A grey picture saved as colour is the same picture."""
    sample = level.to_bytes(2, "big")
    gray = image.load(png(1, 1, 16, 0, b"\0" + sample))
    color = image.load(png(1, 1, 16, 2, b"\0" + sample * 3))
    np.testing.assert_array_equal(gray, color)


@law
@given(st.integers(0, 255))
def test_rgb_pixels_is_the_same_for_8_and_16_bits(level):
    """257 k of 65535 is k of 255."""
    wide = Image.fromarray(np.full((1, 1), 257 * level, np.uint16))
    np.testing.assert_array_equal(rgb_pixels(wide), np.full((1, 1, 3), level))


@law
@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_rgb_pixels_reads_grey_of_16_bits_in_every_format(format):
    """Pillow has four modes for 16 bits of grey, one for each way of storing them."""
    levels = np.arange(0, 65536, 1311, np.uint16).reshape(5, 10)
    loaded = image.load(file_of(levels, format))
    np.testing.assert_array_equal(loaded[..., 1], levels // 256)


@law
def test_rgb_pixels_takes_one_grey_for_transparent():
    """A PNG may call one level of 16-bit grey transparent: it becomes white."""
    levels = np.array([[1000, 2000]], np.uint16)
    data = file_of(levels, "PNG", transparency=1000)
    np.testing.assert_array_equal(image.load(data)[0, :, 0], [255, 2000 // 256])


@law
def test_rgb_pixels_of_floating_grey_are_its_intensities():
    """Floating grey in [0, 1], as scientific TIFFs hold it, is 255 times as much."""
    values = np.array([[0, 0.2, 1]], np.float32)
    loaded = image.load(file_of(values, "TIFF"))
    np.testing.assert_array_equal(loaded[0, :, 2], [0, 51, 255])


# Pillow's modes, and what each can hold of a colour: all, its grey, or whether it is.
MODES = {
    **dict.fromkeys(("RGB", "RGBX", "RGBA", "RGBa", "CMYK", "HSV", "P", "PA"), "all"),
    **dict.fromkeys(("YCbCr", "LAB"), "all, rounded"),
    **dict.fromkeys(("L", "LA", "La"), "grey"),
    **dict.fromkeys(("I", "I;16", "I;16B", "I;16L", "I;16N"), "8 bits in 16"),
    "F": "255 for 1",
    "1": "black or white",
}
WHAT_TO_DO = {"8 bits in 16": "with 8 bits", "255 for 1": "from .* to .*: rescale them"}
COLORS = {"grey": (128, 128, 128), "red": (255, 0, 0), "dark": (3, 3, 3)}


def plain(color, mode):
    """A picture of one colour in one of Pillow's modes."""
    picture = Image.new("RGB", (5, 4), color)
    if mode in ("P", "PA"):
        picture = picture.convert("P", palette=Image.Palette.ADAPTIVE)
    return (picture.convert("LA") if mode == "La" else picture).convert(mode)


@law
def test_rgb_pixels_knows_every_mode_of_pillow():
    """A mode that Pillow has and this spec does not name would be a mode untested."""
    assert set(Image.MODES) <= set(MODES)


@law
@pytest.mark.parametrize("name", COLORS)
@pytest.mark.parametrize("mode", MODES)
def test_rgb_pixels_gives_every_mode_its_colour_or_says_why_not(mode, name):
    """Mid-grey is grey and red is red, in whatever a picture is held; or, where
    nobody can know which level is white, an error says so. Nothing turns black."""
    picture, holds = plain(COLORS[name], mode), MODES[mode]
    if holds in WHAT_TO_DO:
        with pytest.raises(image.ImageError, match=WHAT_TO_DO[holds]):
            rgb_pixels(picture)
        return
    expected = COLORS[name]
    if holds == "grey":
        expected = (round(np.dot(expected, (0.299, 0.587, 0.114))),) * 3
    if holds == "black or white":
        levels = rgb_pixels(Image.new("L", (5, 4), 255 * (name != "dark")).convert("1"))
        np.testing.assert_array_equal(levels, 255 * (name != "dark"))
        return
    off = 5 if holds == "all, rounded" else 0
    far = np.abs(rgb_pixels(picture) - np.array(expected, float)).max()
    assert far <= off


@law
@pytest.mark.parametrize("mode", [m for m in MODES if MODES[m] == "8 bits in 16"])
def test_rgb_pixels_of_8_bits_in_16_follow_the_advice(mode):
    """What the error says to do is done, and the picture is there."""
    picture = plain((128, 128, 128), mode)
    advised = Image.fromarray(np.asarray(picture).astype("uint8"))
    np.testing.assert_array_equal(image.load(advised), np.full((4, 5, 3), 128))
    black = plain((0, 0, 0), mode)
    np.testing.assert_array_equal(image.load(black), np.zeros((4, 5, 3)))


@law
@pytest.mark.parametrize("mode", ["RGB", "P", "LA", "CMYK", "RGBA"])
def test_rgb_pixels_do_not_show_the_bands(monkeypatch, mode):
    """A large picture is converted some rows at a time, which nobody can see."""
    picture = in_mode(mode, 9, 5)
    if mode == "P":
        picture.info["transparency"] = bytes(range(256))
    whole = rgb_pixels(picture)
    monkeypatch.setattr("refvlm.image.color.BAND", 10)
    np.testing.assert_array_equal(rgb_pixels(picture), whole)


@oracle
def test_rgb_pixels_equals_transformers(compare):
    """Every mode comes out as transformers has it, transparent colours too."""
    pictures = {m: in_mode(m) for m in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")}
    pictures["YCbCr"] = in_mode("YCbCr")
    clear = {"P": 7, "L": 30, "RGB": tuple(in_mode("RGB").getpixel((2, 2)))}
    for mode, color in clear.items():
        pictures[f"{mode}, clear"] = in_mode(mode)
        pictures[f"{mode}, clear"].info["transparency"] = color
    pictures["P, clear by degrees"] = in_mode("P")
    pictures["P, clear by degrees"].info["transparency"] = bytes(range(256))

    def ask(torch):
        convert = transforms().convert_to_rgb
        return {k: convert(p, return_numpy=True) for k, p in pictures.items()}

    answers = compare.answers(ask, {k: np.array(p) for k, p in pictures.items()})
    for name, answer in answers.items():
        np.testing.assert_array_equal(rgb_pixels(pictures[name]), answer, name)


@contract
@pytest.mark.parametrize("level", [-1, 65536])
def test_rgb_pixels_refuses_grey_beyond_16_bits(level):
    """32-bit counts have no white: where to cut is for the sender to say."""
    with pytest.raises(image.ImageError, match="16 bits hold"):
        rgb_pixels(Image.fromarray(np.full((2, 2), level, np.int32)))


@contract
def test_bytes_from_unit_refuses_what_is_not_an_intensity():
    """Floating pixels of 0 to 255 are a common slip; they are not clipped to white."""
    with pytest.raises(image.ImageError, match="from 0 to 255: rescale"):
        bytes_from_unit(np.array([0.0, 255.0]))
