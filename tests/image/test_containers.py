"""The spec of refvlm/image/containers.py."""

import io
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from refvlm import image
from refvlm.image.containers import jpeg_scans, without_notes

from ..spec import contract, example, law, oracle
from .pictures import chunk, file_of, noise

PIXELS = noise(9, 8)
PNG = file_of(PIXELS, "PNG")
BASELINE = file_of(PIXELS, "JPEG")
PROGRESSIVE = file_of(PIXELS, "JPEG", progressive=True)
SCAN = b"\xff\xda"
MEBIBYTE = 2**20
FILM = b"\0\0\0\x18ftypmp42" + np.random.default_rng(0).bytes(9 * MEBIBYTE)


def with_chunk(kind, data, behind=b"IHDR"):
    """The PNG with one chunk more, behind the first of that kind."""
    place = PNG.index(behind)
    end = place + 8 + int.from_bytes(PNG[place - 4 : place], "big")
    return PNG[:end] + chunk(kind, data) + PNG[end:]


def xmp(orientation, length=0):
    """XMP as cameras and editors write it, with so many bytes of other things."""
    return f'<x tiff:Orientation="{orientation}"/>'.encode() + b" " * length


def international(text, packed):
    packing = b"\1\0" if packed else b"\0\0"
    return b"XML:com.adobe.xmp\0" + packing + b"\0\0" + text


@example
def test_jpeg_scans_are_one_or_ten():
    """A baseline JPEG is one pass over the picture, a progressive one usually ten."""
    assert jpeg_scans(BASELINE) == 1
    assert jpeg_scans(PROGRESSIVE) == 10


@law
def test_jpeg_scans_are_counted_where_the_format_has_them():
    """FF DA in a note, in a thumbnail or behind the end begins no scan."""
    note = b"\xff\xe5" + (2 + 2 * 500).to_bytes(2, "big") + SCAN * 500
    for data, scans in ((BASELINE, 1), (PROGRESSIVE, 10)):
        assert jpeg_scans(data[:2] + note + data[2:]) == scans
        assert jpeg_scans(data + SCAN * 500) == scans
        assert jpeg_scans(data + FILM) == scans
    thumbnail = file_of(noise(20, 20), "JPEG", progressive=True)
    exif = Image.Exif()
    exif[0x927C] = thumbnail * 20
    assert thumbnail.count(SCAN) * 20 > 100
    assert jpeg_scans(file_of(PIXELS, "JPEG", exif=exif)) == 1


@law
@pytest.mark.parametrize(
    "format, options",
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("MPO", {"save_all": True, "append_images": [Image.fromarray(PIXELS)]}),
        ("PNG", {}),
        ("GIF", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
        ("PPM", {}),
    ],
)
def test_load_does_not_mind_what_follows_a_picture(format, options):
    """A phone's photograph with a film behind it, in whatever format it is."""
    data = file_of(PIXELS, format, **options)
    np.testing.assert_array_equal(image.load(data + FILM), image.load(data))


@contract
def test_load_refuses_a_jpeg_of_endless_scans():
    """Each scan of a progressive JPEG costs a pass over all pixels, in a few bytes."""
    last = PROGRESSIVE.rindex(SCAN)
    scan, end = PROGRESSIVE[last:-2], PROGRESSIVE[-2:]
    at_most = PROGRESSIVE[:-2] + scan * 90 + end
    assert image.load(at_most).shape == PIXELS.shape
    for data in (PROGRESSIVE[:-2] + scan * 91 + end, PROGRESSIVE[:-2] + scan * 10_000):
        with pytest.raises(image.ImageError, match="more than 100 scans"):
            image.load(data)
        with pytest.raises(image.ImageError, match="more than 100 scans"):
            image.load(data + FILM)


@contract
def test_load_refuses_a_jpeg_of_endless_segments():
    """What costs nothing to write costs time to read: a million empty segments."""
    data = BASELINE[:-2] + b"\xff\xe5\0\2" * 70_000 + BASELINE[-2:]
    with pytest.raises(image.ImageError, match="more than 100 scans"):
        image.load(data)


NOTES = {
    "a text": chunk(b"tEXt", b"workflow\0" + b"x" * 2 * MEBIBYTE),
    "a packed text": chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * 2**21)),
    "an international text": chunk(
        b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(2**21))
    ),
    "a profile": chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2 * MEBIBYTE))),
    "a profile that is none": chunk(b"iCCP", b"icc"),
    "EXIF": chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0" + bytes(2 * MEBIBYTE)),
    "XMP": chunk(b"iTXt", international(zlib.compress(xmp(6, 2**21)), packed=True)),
    "XMP, not packed": chunk(b"iTXt", international(xmp(6, 2**21), packed=False)),
    "XMP that is damaged": chunk(b"iTXt", international(b"nonsense", packed=True)),
    "old EXIF": chunk(
        b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(2**21))
    ),
    "a private note": chunk(b"prVt", bytes(2 * MEBIBYTE)),
}


@law
@pytest.mark.parametrize("behind", [b"IHDR", b"IDAT"])
@pytest.mark.parametrize("note", NOTES)
def test_load_reads_a_png_whatever_is_written_on_its_back(note, behind):
    """A workflow, a profile, EXIF of megabytes: the picture is whole, and is loaded."""
    kind, data = NOTES[note][4:8], NOTES[note][8:-4]
    np.testing.assert_array_equal(image.load(with_chunk(kind, data, behind)), PIXELS)


@law
@pytest.mark.parametrize("written", ["EXIF", "XMP", "packed XMP", "old EXIF"])
def test_load_turns_a_png_as_its_notes_say(written):
    """The notes that say which side is up are kept: four ways, as Pillow has them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    old = b"\nexif\n 26\n" + exif.tobytes().hex().encode()
    data = {
        "EXIF": with_chunk(b"eXIf", exif.tobytes()[6:]),
        "XMP": with_chunk(b"iTXt", international(xmp(6), False)),
        "packed XMP": with_chunk(b"iTXt", international(zlib.compress(xmp(6)), True)),
        "old EXIF": with_chunk(
            b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(old)
        ),
    }[written]
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert expected.size == (9, 8)
    np.testing.assert_array_equal(image.load(data), np.asarray(expected))


@law
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_load_unpacks_no_bomb_of_a_note(kind):
    """A note of a megabyte that would be a gigabyte is not unpacked to see it."""
    bomb = zlib.compress(bytes(2**28)) * 4
    start = {
        b"zTXt": b"Raw profile type exif\0\0",
        b"iTXt": b"XML:com.adobe.xmp\0\1\0\0\0",
        b"iCCP": b"icc\0\0",
    }[kind]
    data = with_chunk(kind, start + bomb)
    tracemalloc.start()
    try:
        np.testing.assert_array_equal(image.load(data), PIXELS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEBIBYTE


@law
def test_without_notes_keeps_a_plain_png_as_it_is():
    """Where there is nothing to leave out, nothing is copied."""
    assert without_notes(PNG) is PNG


@oracle
def test_without_notes_keeps_what_makes_the_picture():
    """A palette with transparency, an animation, a text: the same first picture."""
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "b")
    palette = Image.fromarray(PIXELS).convert("P")
    moving = {"save_all": True, "append_images": [Image.new("RGB", (8, 9))]}
    for data in (
        file_of(palette, "PNG", transparency=bytes(range(256)), pnginfo=info),
        file_of(PIXELS, "PNG", pnginfo=info, **moving),
        file_of(PIXELS, "PNG", pnginfo=info, default_image=True, **moving),
    ):
        bare = without_notes(data)
        assert len(bare) < len(data)
        before, after = (Image.open(io.BytesIO(some)) for some in (data, bare))
        before, after = before.convert("RGBA"), after.convert("RGBA")
        np.testing.assert_array_equal(np.asarray(before), np.asarray(after))


@contract
@given(
    st.sampled_from(
        [PNG, BASELINE, PROGRESSIVE, *map(with_chunk, [b"tEXt"], [b"a\0b"])]
    ),
    st.integers(0, 2000),
    st.binary(max_size=40),
)
def test_containers_survive_any_bytes(data, place, junk):
    """Whatever a length claims, reading it ends, and invents nothing."""
    damaged = data[:place] + junk + data[place + len(junk) :]
    assert 0 <= jpeg_scans(damaged) <= damaged.count(b"\xff")
    assert len(without_notes(damaged)) <= len(damaged)
    assert len(without_notes(damaged[:place])) <= len(damaged)
