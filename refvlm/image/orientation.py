"""Orientation: cameras store the sensor's rows and say in EXIF how to turn them.

There are eight ways to lay a rectangle on itself, and EXIF numbers them from 1 to 8:
an optional transpose (5 to 8), then no flip, a flip of the columns, of both, or of
the rows.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from .decoding import is_pillows

ORIENTATION_TAG = 0x0112

FORWARD, BACKWARD = slice(None), slice(None, None, -1)
FLIPS = (
    (FORWARD, FORWARD),
    (FORWARD, BACKWARD),
    (BACKWARD, BACKWARD),
    (BACKWARD, FORWARD),
)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The picture as it was meant to be seen, a view of (height, width, ...) pixels.

    Oracle: PIL.ImageOps.exif_transpose.

    >>> upright(np.array([[1, 2, 3], [4, 5, 6]]), 6)
    array([[4, 1],
           [5, 2],
           [6, 3]])
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    return pixels[FLIPS[(orientation - 1) % 4]]


def orientation_of(image: Image.Image) -> int:
    """What the picture's EXIF says, 1 to 8; 1 where it says nothing that makes sense.

    Some programs write 6 as a fraction, 6/1, or as 6.0; it is 6 all the same. As
    browsers do, a damaged EXIF block does not spoil a picture that is whole.

    Oracle: PIL.ImageOps.exif_transpose.
    """
    try:
        said = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception as error:
        if not is_pillows(error):
            raise
        return 1
    return next((number for number in range(1, 9) if number == said), 1)
