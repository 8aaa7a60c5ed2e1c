"""What the image rooms refuse: one error, and bounds checked before any work.

A picture is a guest from outside. Its header is a claim, not a fact: a file of 100
bytes may say that it holds ten thousand million pixels. A photograph of 200 megapixels
is a fact, and its file has tens of megabytes. So a large claim needs a large file.
"""

from __future__ import annotations

import numpy as np

from ..arguments import is_whole

MAX_BYTES = 2**28
"""The largest file that is read: 256 MiB."""

MAX_PIXELS = 2**28
"""The largest picture that is decoded or made: 16384 x 16384. Decoding takes up to 8
bytes a pixel (2 GiB at the limit, 0.8 GiB for 108 megapixels), of which 3 stay; a
progressive JPEG takes up to 6 more, and a preprocessor 10 to 14 in all."""

EASY_PIXELS = 2**26
"""What a file of any length may claim: 8192 x 8192, 192 MiB as RGB."""

LARGEST_GROWTH = 4
"""Beyond `EASY_PIXELS`, how many times larger a picture may become."""

PIXELS_A_BYTE = 256
"""Beyond `EASY_PIXELS`, how many pixels each byte of a file may claim. A JPEG of one
colour has 64, a photograph 3 to 10; a PNG made to harm has up to 1,000."""

MAX_SCANS = 100
"""The most passes over the picture that a progressive JPEG may make; ten are usual.
Beyond `EASY_PIXELS` it may make fewer, so that the work is the same."""

MAX_EDGE = 2**13
"""The largest edge that a preprocessor may ask for: 8192 pixels."""


class ImageError(ValueError):
    """A picture that cannot be used; the message says what to do about it."""


def check_size(height: int, width: int, name: str, most: int = MAX_PIXELS) -> None:
    """Refuse an empty picture, and one of more than `most` pixels."""
    if not (is_whole(height) and is_whole(width)):
        raise ImageError(f"{name} is {width!r} x {height!r}: give whole numbers")
    if height < 1 or width < 1:
        raise ImageError(f"{name} is {width} x {height} pixels: it is empty")
    if height * width > most:
        raise ImageError(
            f"{name} is {width} x {height} pixels, more than the limit of "
            f"{most:,}: scale it down or crop it first"
        )


def check_made(height: int, width: int, source: np.ndarray, name: str) -> None:
    """Refuse to make a huge picture out of a small one: a thread is no photograph."""
    room = max(EASY_PIXELS, LARGEST_GROWTH * source.shape[0] * source.shape[1])
    check_size(height, width, name, min(room, MAX_PIXELS))


def check_claim(height: int, width: int, length: int, name: str) -> None:
    """Refuse a size that so short a file has no business to claim."""
    check_size(height, width, name)
    if height * width > max(EASY_PIXELS, PIXELS_A_BYTE * length):
        raise ImageError(
            f"{name} has {length:,} bytes and claims {width} x {height} pixels, more "
            f"than {EASY_PIXELS:,} and than {PIXELS_A_BYTE} for each byte: if it is "
            "no trap, scale it down first"
        )


def check_scans(scans: int, height: int, width: int, name: str) -> None:
    """Refuse a JPEG that would be gone over again and again."""
    most = min(MAX_SCANS, MAX_SCANS * EASY_PIXELS // (height * width))
    if scans > most:
        raise ImageError(
            f"{name} is a JPEG of more than {most} scans, each of which costs a pass "
            "over the whole picture: save it again, as a baseline JPEG"
        )
