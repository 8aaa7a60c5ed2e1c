"""Decoding: the bytes of a file become a picture of Pillow's, or one error.

Bytes from outside are hostile: the size in the header is checked before a pixel is
decoded, only a few well-worn formats are tried, and whatever Pillow makes of damage
comes out as one `ImageError`. What goes wrong in our own code is no damage, and comes
out as it is. No setting of Pillow's is changed, for other threads use it too.
"""

from __future__ import annotations

import contextlib
import io
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import BinaryIO

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from .containers import JPEG_START, PNG_START, jpeg_scans, without_notes
from .limits import ImageError, check_claim, check_scans

# Opened by their classes: Image.open warns beyond 89 megapixels and refuses 179,
# counts the scans of no JPEG, and takes a photograph with an odd note for an MPO.
READERS: dict[str, Callable[[BinaryIO], Image.Image]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}
FORMATS = tuple(READERS)

# What people take for one of these, by how it begins: (place, bytes) -> its name.
OTHERS = {
    (4, b"ftyphei"): "HEIC, as phones write it",
    (4, b"ftypmif1"): "HEIC, as phones write it",
    (4, b"ftypavif"): "AVIF",
    (4, b"ftyp"): "a film",
    (0, b"%PDF"): "a PDF",
    (0, b"<svg"): "SVG, a drawing",
    (0, b"<?xml"): "XML, perhaps a drawing",
    (0, b"<!DOCTYPE html"): "a page of the web",
    (0, b"<html"): "a page of the web",
    (0, b"version https://git-lfs"): "a Git LFS pointer: git lfs pull fetches the file",
}


def open_picture(data: bytes, name: str) -> Image.Image:
    """The picture in a file's bytes, not decoded yet; its size is known and allowed."""
    if data.startswith(PNG_START):
        data = without_notes(data)
    picture = _reader(data, name)
    check_claim(picture.height, picture.width, len(data), name)
    if data.startswith(JPEG_START):
        check_scans(jpeg_scans(data), picture.height, picture.width, name)
    return picture


def _reader(data, name):
    start = data[:16].ljust(16, b"\0")
    for kind, reader in READERS.items():
        accepts = Image.OPEN[kind][1]
        with contextlib.suppress(SyntaxError):  # so Pillow says: it is of another kind
            if accepts and accepts(start) is True:
                return reader(io.BytesIO(data))
    kinds = ", ".join(FORMATS)
    for (place, start), kind in OTHERS.items():
        if data[place : place + len(start)].lower() == start.lower():
            raise ImageError(f"{name} is {kind}; what can be read is {kinds}")
    raise ImageError(
        f"{name} is not a picture that can be read here, or its beginning is "
        f"damaged: use one of {kinds}"
    )


@contextlib.contextmanager
def one_error(name: str):
    """What Pillow raises or warns of is said as one thing, whatever it is.

    It tells damage by any exception that there is, so they are told apart by place: an
    error that did not pass through Pillow is ours.
    """
    try:
        with QUIET:
            yield
    except ImageError:
        raise
    except MemoryError:
        raise ImageError(
            f"{name} needs more memory than there is: scale it down first"
        ) from None
    except Exception as error:
        if not is_pillows(error):
            raise
        raise ImageError(
            f"{name} is damaged or cut short, or of a kind that Pillow cannot decode "
            f"({type(error).__name__}: {str(error)[:120]}): save or copy it again"
        ) from error


def is_pillows(error: BaseException) -> bool:
    """Whether an exception passed through Pillow on its way."""
    frames = traceback.walk_tb(error.__traceback__)
    names = (frame.f_globals.get("__name__", "") for frame, _ in frames)
    return any(name.startswith("PIL.") for name in names)


class _Quiet:
    """Silence for Pillow's warnings, which several threads may want at a time.

    The filters are the whole program's: the first to come adds to them and the last to
    go restores them, so that no thread brings back what another one has set.
    """

    def __init__(self):
        self.lock, self.guests = threading.Lock(), 0

    def __enter__(self):
        with self.lock:
            if not self.guests:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self.guests += 1

    def __exit__(self, *error):
        with self.lock:
            self.guests -= 1
            if not self.guests:
                self.filters.__exit__(*error)


QUIET = _Quiet()
