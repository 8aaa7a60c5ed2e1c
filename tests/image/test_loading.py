"""The spec of refvlm/image/loading.py."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from refvlm import image
from refvlm.image import loading

from ..spec import contract, example, law
from .pictures import file_of, in_mode, noise, png

PIXELS = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))
)

SEEDS = {
    "png": file_of(in_mode("RGBA"), "PNG"),
    "png, palette": file_of(in_mode("P"), "PNG", transparency=3),
    "png, 16 bits": file_of(np.arange(42, dtype=np.uint16).reshape(6, 7), "PNG"),
    "jpeg": file_of(noise(9, 8), "JPEG"),
    "jpeg, progressive": file_of(noise(9, 8), "JPEG", progressive=True),
    "webp": file_of(noise(9, 8), "WEBP"),
    "webp, lossless": file_of(in_mode("RGBA"), "WEBP", lossless=True),
    "gif": file_of(noise(9, 8), "GIF"),
    "bmp": file_of(noise(9, 8), "BMP"),
    "tiff": file_of(noise(9, 8), "TIFF"),
    "ppm": file_of(noise(9, 8), "PPM"),
}


@example
def test_load_reads_a_file_of_two_pixels():
    """A plain-text PPM can be written by hand: one red pixel, one blue."""
    pixels = image.load(b"P3 2 1 255  255 0 0  0 0 255")
    np.testing.assert_array_equal(pixels, [[[255, 0, 0], [0, 0, 255]]])


@law
def test_load_gives_the_same_pixels_whatever_holds_them(tmp_path):
    """A path, bytes, a stream, a PIL image and an array are five doors to one room."""
    pixels = noise(4, 5)
    data = file_of(pixels, "PNG")
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    doors = (path, str(path), data, bytearray(data), io.BytesIO(data))
    for source in (*doors, Image.open(path), Image.fromarray(pixels), pixels):
        np.testing.assert_array_equal(image.load(source), pixels)
    assert image.load(pixels) is pixels  # as its docstring warns


@law
@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
@given(pixels=PIXELS)
def test_load_returns_what_was_saved(format, pixels):
    """Formats that lose nothing give every pixel back."""
    options = {"lossless": True} if format == "WEBP" else {}
    loaded = image.load(file_of(pixels, format, **options))
    assert loaded.dtype == np.uint8 and loaded.flags.c_contiguous
    np.testing.assert_array_equal(loaded, pixels)


@law
@given(pixels=PIXELS, dtype=st.sampled_from([np.float16, np.float32, np.float64]))
def test_load_takes_intensities_for_bytes(pixels, dtype):
    """A floating picture in [0, 1] is the same picture: 255 v, rounded."""
    intensities = (pixels / 255).astype(dtype)
    np.testing.assert_array_equal(image.load(intensities), pixels)


@law
@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_load_takes_the_first_picture_of_several(format):
    """Of an animation, or of a document of many pages, the first is meant."""
    black, white = (np.full((4, 4, 3), level, np.uint8) for level in (0, 255))
    rest = [Image.fromarray(white)]
    data = file_of(black, format, save_all=True, append_images=rest)
    np.testing.assert_array_equal(image.load(data), black)


@law
def test_load_reads_a_pipe_to_its_end():
    """A pipe hands over what it has, and one read is not the whole file."""

    class Pipe(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 7))

    pixels = noise(6, 6)
    np.testing.assert_array_equal(image.load(Pipe(file_of(pixels, "PNG"))), pixels)


@law
@pytest.mark.parametrize("name", SEEDS)
@given(data=st.data())
def test_load_of_damaged_bytes_gives_pixels_or_an_image_error(name, data):
    """Whatever happens to a file on its way, nothing but ImageError comes out."""
    damaged = bytearray(SEEDS[name])
    place = st.integers(0, len(damaged) - 1)
    for start, byte in data.draw(st.lists(st.tuples(place, st.integers(0, 255)))):
        damaged[start] = byte
    damaged = damaged[: data.draw(st.one_of(st.just(len(damaged)), place))]
    try:
        pixels = image.load(bytes(damaged))
    except image.ImageError:
        return
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3


@contract
@pytest.mark.parametrize("name", SEEDS)
def test_load_refuses_half_a_file(name):
    """A picture that is cut short is an error, not a picture that is half grey."""
    data = SEEDS[name]
    with pytest.raises(image.ImageError, match="cut short|damaged"):
        image.load(data[: len(data) // 2])


@contract
@pytest.mark.parametrize("edge", [2**13 + 1, 2**14])
def test_load_refuses_a_bomb_before_it_decodes(edge):
    """A hundred bytes may claim a million million pixels; the claim is checked."""
    bomb = png(edge, edge, 8, 2)
    assert len(bomb) < 100
    with pytest.raises(image.ImageError, match="claims .* scale it down first"):
        image.load(bomb)


@contract
@pytest.mark.parametrize("edge", [2**14 + 1, 2**20, 2**31 - 1])
def test_load_refuses_what_no_file_may_be(edge):
    """Beyond the limit it does not matter how long the file is."""
    bomb = png(edge, edge, 8, 2) + bytes(2**21)
    with pytest.raises(image.ImageError, match="more than the limit of 268,435,456"):
        image.load(bomb)


@contract
@pytest.mark.parametrize(
    "source, message",
    [
        (b"", "empty"),
        (b"GET / HTTP/1.1", "not a picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is HEIC, as phones write it; .* PNG, JPEG"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "is a film"),
        (b"<SVG xmlns='http://www.w3.org/2000/svg'/>", "is SVG, a drawing"),
        (b"%PDF-1.7", "is a PDF"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (file_of(noise(4, 4), "ICO"), "use one of PNG, JPEG"),
        (file_of(noise(4, 4), "JPEG2000"), "use one of PNG, JPEG"),
        ("no/such/file.png", "there is no file 'no/such/file.png'"),
        ("https://a.org/b.png", "download it first"),
        (".", "is a directory"),
        (Path("/"), "is a directory"),
        ("a\0b", "cannot be read"),
        (io.StringIO("text"), "binary mode"),
        (io.TextIOWrapper(io.BytesIO(SEEDS["png"]), "utf-8"), "binary mode"),
        (None, "cannot be loaded from NoneType"),
        (Image.new("RGB", (0, 3)), "empty"),
        (np.zeros((0, 3, 3), np.uint8), "empty"),
        (np.zeros((3, 4, 5), np.uint8), "to_channels_last"),
        (np.zeros((4, 5), np.uint8), "np.repeat"),
        (np.zeros((4, 5, 3), np.int64), "int64"),
        (np.full((4, 5, 3), 255.0), r"from 255 to 255: rescale them"),
        (np.full((4, 5, 3), np.nan), "without NaN; 60 of these 60 are NaN"),
        (np.array([[[0.5, np.nan, 1.0]]]), "1 of these 3 are NaN"),
        (np.broadcast_to(np.uint8(0), (2**15, 2**14, 3)), "scale it down"),
    ],
)
def test_load_says_what_to_do(source, message):
    """One kind of error, and each says which picture it is and what would help."""
    with pytest.raises(image.ImageError, match=message):
        image.load(source)


@contract
def test_load_stops_reading_an_endless_stream(monkeypatch):
    """Standard input may never end; what is read of it does."""

    class Endless:
        def read(self, size):
            return b"\0" * size

    monkeypatch.setattr(loading, "MAX_BYTES", 2**21)
    with pytest.raises(image.ImageError, match="larger than the limit"):
        image.load(Endless())


@contract
def test_load_raises_one_error_for_a_stream_that_fails():
    """A closed stream is a picture that cannot be read, like any other."""
    stream = io.BytesIO(b"data")
    stream.close()
    with pytest.raises(image.ImageError, match="cannot be read"):
        image.load(stream)


@contract
def test_load_lets_no_warning_out():
    """Pillow warns of large pictures and odd palettes; here it is yes or no."""
    palette = in_mode("P")
    palette.info["transparency"] = bytes(range(256))
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        image.load(palette)
        with pytest.raises(image.ImageError):
            image.load(png(10_000, 10_000, 8, 2))
    assert not leaked
