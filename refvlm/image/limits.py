"""What the image rooms refuse: one error, and bounds checked before any work.

A picture is a guest from outside. Its header is a claim, not a fact: a file of 100
bytes may say that it holds ten thousand million pixels.
"""

from __future__ import annotations

from ..arguments import is_whole

MAX_BYTES = 2**28
"""The largest file that is read: 256 MiB."""

MAX_PIXELS = 2**26
"""The largest picture that is decoded or made: 8192 x 8192, 192 MiB as RGB."""

MAX_SCANS = 100
"""The most passes over the picture that a progressive JPEG may make; ten are usual."""

MAX_EDGE = 2**13
"""The largest edge that a preprocessor may ask for: 8192 pixels."""


class ImageError(ValueError):
    """A picture that cannot be used; the message says what to do about it."""


def check_size(height: int, width: int, name: str) -> None:
    """Refuse an empty picture, and one beyond `MAX_PIXELS`."""
    if not (is_whole(height) and is_whole(width)):
        raise ImageError(f"{name} is {width!r} x {height!r}: give whole numbers")
    if height < 1 or width < 1:
        raise ImageError(f"{name} is {width} x {height} pixels: it is empty")
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{name} is {width} x {height} pixels, more than the limit of "
            f"{MAX_PIXELS:,}: scale it down or crop it first"
        )
