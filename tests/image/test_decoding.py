"""The spec of refvlm/image/decoding.py."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from refvlm import image
from refvlm.image.decoding import QUIET, open_picture
from refvlm.image.limits import EASY_PIXELS, PIXELS_A_BYTE, check_made

from ..spec import contract, example, law
from .pictures import file_of, in_mode, noise, png

MEGAPIXELS = {"108": (12000, 9000), "200": (16320, 12240)}  # as phones have them


def jpeg_claiming(width, height, length):
    """A JPEG whose header has another size, and which is so many bytes long."""
    data = bytearray(file_of(noise(8, 8), "JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data).ljust(length, b"\0")


@example
def test_load_reads_a_photograph_of_108_megapixels():
    """Phones take them; all of it is there, and not a reduced copy."""
    data = file_of(Image.new("L", MEGAPIXELS["108"], 77), "JPEG")
    pixels = image.load(data)
    assert pixels.shape == (9000, 12000, 3)
    assert pixels[0, 0, 0] == pixels[-1, -1, 2] == 77


@law
@pytest.mark.parametrize("name", MEGAPIXELS)
@pytest.mark.parametrize("bytes_a_pixel", [1 / 64, 1 / 10])
def test_open_picture_takes_phones_photographs(name, bytes_a_pixel):
    """Of one colour (a lens cap) or of a meadow, their size is no reason to refuse."""
    width, height = MEGAPIXELS[name]
    length = int(width * height * bytes_a_pixel)
    picture = open_picture(jpeg_claiming(width, height, length), "photo")
    assert picture.size == (width, height)


@law
def test_open_picture_wants_a_long_file_for_a_large_claim():
    """Up to 67 million pixels anything goes; beyond it each byte may claim 256."""
    easy, edge = 2**13, 2**14
    assert open_picture(png(easy, easy, 8, 2), "a").size == (easy, easy)
    assert easy * easy == EASY_PIXELS
    long = edge * edge // PIXELS_A_BYTE
    assert open_picture(jpeg_claiming(edge, edge, long), "a").size == (edge, edge)
    with pytest.raises(image.ImageError, match=r"claims 16384 x 16384 pixels"):
        open_picture(jpeg_claiming(edge, edge, long - 1), "a")


@contract
def test_open_picture_counts_notes_for_nothing():
    """A gigapixel is not more likely for the text that is written on its back."""
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "x" * 2**21)
    short = file_of(Image.new("1", (2**14, 2**13 + 1)), "PNG", pnginfo=info)
    assert len(short) > 2**21
    with pytest.raises(image.ImageError, match="claims 16384 x 8193 pixels"):
        image.load(short)


@contract
def test_open_picture_lets_a_large_jpeg_make_fewer_scans():
    """Scans times pixels is the work, and it is the same for the largest."""
    base = file_of(noise(8, 8), "JPEG", progressive=True)
    last = base.rindex(b"\xff\xda")
    data = bytearray(base[:-2] + base[last:-2] * 20 + base[-2:])
    place = data.index(b"\xff\xc2") + 5
    for edge, refused in ((8, False), (2**13, False), (2**14, True)):
        data[place : place + 4] = edge.to_bytes(2, "big") * 2
        long = bytes(data).ljust(edge * edge // PIXELS_A_BYTE, b"\0")
        if refused:
            with pytest.raises(image.ImageError, match="more than 25 scans"):
                open_picture(long, "a")
        else:
            assert open_picture(long, "a").size == (edge, edge)


@contract
def test_made_pictures_grow_out_of_large_ones_only():
    """A photograph may be padded to a square, a thread may not."""
    photo = np.broadcast_to(np.uint8(0), (9000, 12000, 3))
    check_made(12000, 12000, photo, "the padded picture")
    with pytest.raises(image.ImageError, match="crop it first"):
        check_made(12000, 12000, photo[:2], "the padded picture")
    with pytest.raises(image.ImageError, match="limit of 268,435,456"):
        check_made(2**14, 2**14 + 1, photo, "the padded picture")


def broken(*arguments):
    raise AttributeError("a mistake of our own")


@contract
@pytest.mark.parametrize(
    "place", ["loading.upright", "loading.rgb_pixels", "decoding.check_claim"]
)
@pytest.mark.parametrize("source", ["bytes", "a PIL image"])
def test_load_never_calls_our_own_mistakes_damage(monkeypatch, place, source):
    """Whoever has a whole picture is not told to save it again."""
    data = file_of(noise(4, 4), "PNG")
    given = data if source == "bytes" else Image.fromarray(noise(4, 4))
    monkeypatch.setattr(f"refvlm.image.{place}", broken)
    if place == "decoding.check_claim" and source == "a PIL image":
        assert image.load(given).shape == (4, 4, 3)
        return
    with pytest.raises(AttributeError, match="a mistake of our own"):
        image.load(given)


@contract
@pytest.mark.parametrize("missing", ["has_transparency_data", "convert", "crop"])
def test_load_says_which_attribute_an_old_pillow_lacks(monkeypatch, missing):
    """An older Pillow lacks what is asked of it: that is no damage either."""
    monkeypatch.delattr(Image.Image, missing)
    with pytest.raises(AttributeError, match=missing):
        image.load(file_of(noise(4, 4), "BMP"))


@contract
@pytest.mark.parametrize("kind", [AttributeError, TypeError, KeyError, AssertionError])
def test_load_calls_whatever_pillow_raises_damage(monkeypatch, kind):
    """Pillow trips over hostile bytes with any exception, and it is one here."""
    names = {"__name__": "PIL.ImageFile", "kind": kind}  # as if it were Pillow's own
    exec("def load(*arguments): raise kind('what Pillow says')", names)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", names["load"])
    with pytest.raises(image.ImageError, match="damaged or cut .*what Pillow says"):
        image.load(file_of(noise(4, 4), "PNG"))


@contract
def test_load_says_when_memory_is_short(monkeypatch):
    """A picture that does not fit is not damaged."""

    def full(*arguments):
        raise MemoryError

    monkeypatch.setattr("refvlm.image.loading.rgb_pixels", full)
    with pytest.raises(image.ImageError, match="needs more memory than there is"):
        image.load(file_of(noise(4, 4), "PNG"))


@law
def test_load_leaves_pillow_and_the_warnings_as_they_were():
    """Eight threads load at once, of which each would warn; no setting has changed."""
    palette = in_mode("P")
    palette.info["transparency"] = bytes(range(256))
    before = warnings.filters[:], Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
    expected = image.load(palette.copy())

    def load(number):
        picture = palette.copy()
        return [image.load(picture) for _ in range(5)]

    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(8) as pool:
            for pictures in pool.map(load, range(16)):
                for pixels in pictures:
                    np.testing.assert_array_equal(pixels, expected)
    assert not leaked
    after = warnings.filters[:], Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
    assert before == after


@law
def test_quiet_ends_with_the_last_guest():
    """Whoever leaves first takes nothing with him, and the last leaves nothing."""
    before = warnings.filters[:]
    second_is_in, first_is_out = threading.Event(), threading.Event()

    def second():
        with QUIET:
            second_is_in.set()
            first_is_out.wait(10)

    other = threading.Thread(target=second)
    with QUIET:
        other.start()
        second_is_in.wait(10)
    within = warnings.filters[:]
    first_is_out.set()
    other.join()
    assert within != before and warnings.filters[:] == before


@contract
def test_quiet_silences_nobody_but_pillow():
    """A warning of somebody else's, raised while a picture is decoded, is heard."""
    with pytest.warns(UserWarning, match="hello"), QUIET:
        warnings.warn("hello", UserWarning, stacklevel=1)
