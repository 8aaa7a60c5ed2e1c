"""The spec of refvlm/image/orientation.py."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from refvlm import image

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
