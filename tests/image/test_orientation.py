"""The spec of refvlm/image/orientation.py."""

import io
import struct
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps

from refvlm import image
from refvlm.image.orientation import orientation_of

from ..spec import contract, example, law, oracle
from .pictures import file_of, noise

TAG = 0x0112
ALL = pytest.mark.parametrize("orientation", range(1, 9))


def tagged(orientation):
    exif = Image.Exif()
    exif[TAG] = orientation
    return exif


@example
def test_upright_turns_a_portrait():
    """6 is a camera held with its right side down: turn the rows clockwise."""
    stored = np.array([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(image.upright(stored, 6), [[4, 1], [5, 2], [6, 3]])


@law
def test_upright_has_eight_different_ways():
    """A rectangle can be laid on itself in eight ways: four turns, two sides."""
    stored = np.arange(9).reshape(3, 3)
    ways = {image.upright(stored, number).tobytes() for number in range(1, 9)}
    assert len(ways) == 8


@law
@ALL
def test_upright_twice_is_nothing_but_for_quarter_turns(orientation):
    """Flips and half turns undo themselves; 6 and 8 undo each other."""
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    stored = noise(3, 5)
    back = image.upright(image.upright(stored, orientation), undo)
    np.testing.assert_array_equal(back, stored)


@oracle
@ALL
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_upright_equals_pillow(format, orientation):
    """Files of every format come out as Pillow turns them, and only once."""
    options = {"lossless": True} if format == "WEBP" else {}
    data = file_of(noise(6, 4), format, exif=tagged(orientation), **options)
    plain = file_of(noise(6, 4), format, **options)
    picture = Image.fromarray(image.load(plain))
    picture.getexif()[TAG] = orientation
    expected = np.array(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(image.load(data), expected)


@contract
@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_upright_ignores_orientations_that_do_not_exist(orientation):
    """A number that EXIF does not define says nothing."""
    data = file_of(noise(6, 4), "PNG", exif=tagged(orientation))
    np.testing.assert_array_equal(image.load(data), noise(6, 4))


@contract
@pytest.mark.parametrize(
    "block", [b"II", b"II*\0", b"II*\0\x08\0\0\0\x05", b"nonsense"]
)
def test_upright_ignores_a_damaged_exif_block(block):
    """A whole picture with a damaged note on its back is a whole picture."""
    data = file_of(noise(6, 4), "PNG", exif=b"Exif\0\0" + block)
    np.testing.assert_array_equal(image.load(data), noise(6, 4))


def file_saying(kind, count, value, orientation_bytes=b"\0\0\0\0"):
    """A JPEG whose EXIF gives the orientation as some type of TIFF's."""
    tag = struct.pack("<IHHHI", 8, 1, TAG, kind, count)
    block = b"II*\0" + tag + orientation_bytes + struct.pack("<I", 0) + value
    picture = Image.fromarray(noise(6, 4))
    return file_of(picture, "JPEG", exif=b"Exif\0\0" + block)


HERE = struct.pack("<I", 26)  # where a value that is longer than four bytes begins
STORED = {
    "a short": (3, 1, b"", b"\6\0\0\0"),
    "a long": (4, 1, b"", b"\6\0\0\0"),
    "a byte": (1, 1, b"", b"\6\0\0\0"),
    "a text": (2, 2, b"", b"6\0\0\0"),
    "bytes": (7, 4, b"", b"\6\0\0\0"),
    "a signed long": (9, 1, b"", struct.pack("<i", -6)),
    "a fraction": (5, 1, struct.pack("<II", 6, 1), HERE),
    "a fraction not in lowest terms": (5, 1, struct.pack("<II", 12, 2), HERE),
    "a fraction of no whole": (5, 1, struct.pack("<II", 13, 2), HERE),
    "a fraction over nothing": (5, 1, struct.pack("<II", 6, 0), HERE),
    "a signed fraction": (10, 1, struct.pack("<ii", 6, 1), HERE),
    "a float": (11, 1, b"", struct.pack("<f", 6)),
    "a float that is none": (11, 1, b"", struct.pack("<f", np.nan)),
    "a double": (12, 1, struct.pack("<d", 6), HERE),
    "two shorts": (3, 2, b"", b"\6\0\1\0"),
    "two fractions": (5, 2, struct.pack("<IIII", 6, 1, 6, 1), HERE),
    "no value": (3, 0, b"", b"\0\0\0\0"),
    "a type that is none": (99, 1, b"", b"\6\0\0\0"),
    "a place beyond the end": (5, 1, b"", struct.pack("<I", 1 << 30)),
}

TURNED = {
    *("a short", "a long", "a fraction", "a fraction not in lowest terms"),
    *("a signed fraction", "a float", "a double"),
}


@oracle
@pytest.mark.parametrize("how", STORED)
def test_upright_equals_pillow_however_the_number_is_stored(how):
    """A fraction of 6/1 is six, and what is no number says nothing: never an error."""
    kind, count, value, here = STORED[how]
    data = file_saying(kind, count, value, here)
    with warnings.catch_warnings(action="ignore"):
        expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(image.load(data), np.asarray(expected))
    assert how not in TURNED or expected.size == (6, 4)


@contract
def test_orientation_of_hides_no_error_of_ours(monkeypatch):
    """Only what went wrong inside Pillow is a damaged note."""
    monkeypatch.delattr(Image.Image, "getexif")
    with pytest.raises(AttributeError):
        orientation_of(Image.new("RGB", (2, 2)))
