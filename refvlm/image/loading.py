"""Loading: whatever holds a picture becomes RGB pixels, (height, width, 3) uint8.

This is the door of the house. Pillow decodes; everything behind works on arrays.
Bytes from outside are hostile: they are counted before they are read, the size in
the header is checked before a pixel is decoded, only a few well-worn formats are
tried, and whatever goes wrong comes out as one `ImageError`.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from .color import bytes_from_unit, rgb_pixels
from .limits import MAX_BYTES, MAX_SCANS, ImageError, check_size
from .orientation import orientation_of, upright

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")

JPEG_START, JPEG_SCAN = b"\xff\xd8", b"\xff\xda"

Source = str | os.PathLike | bytes | BinaryIO | Image.Image | np.ndarray


def load(source: Source) -> np.ndarray:
    """RGB pixels, (height, width, 3) uint8, from anything that holds a picture.

    `source` is a path, the bytes of a file, a binary stream such as
    `sys.stdin.buffer`, a PIL image, or an array (height, width, 3): uint8, or
    floating in [0, 1]. Of an animation or a document, the first picture is taken.
    EXIF's orientation is applied; transparency is laid on white (see `colour`).

    Raises `ImageError` for whatever cannot be read, with what to do.

    >>> load(np.ones((2, 2, 3)))[0, 0]
    array([255, 255, 255], dtype=uint8)
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        with _one_error("the PIL image"):
            return _decode(source, "the PIL image")
    data, name = _read(source)
    if not data:
        raise ImageError(f"{name} is empty (0 bytes)")
    if data.startswith(JPEG_START) and data.count(JPEG_SCAN) > MAX_SCANS:
        raise ImageError(f"{name} is a JPEG of more than {MAX_SCANS} scans: refused")
    with _one_error(name):
        return _decode(Image.open(io.BytesIO(data), formats=FORMATS), name)


def _decode(image, name):
    check_size(image.height, image.width, name)
    pixels = rgb_pixels(image)
    # Pillow turns a TIFF upright while decoding, so EXIF is read after.
    return np.ascontiguousarray(upright(pixels, orientation_of(image)))


@contextlib.contextmanager
def _one_error(name):
    """A decoder on hostile bytes may raise anything, or warn; say one thing."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(
            f"{name} is not a picture that can be read here, or its beginning is "
            f"damaged: use one of {', '.join(FORMATS)}"
        ) from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} is too large: {error} Scale it down first") from None
    except Exception as error:
        raise ImageError(
            f"{name} is damaged or cut short, or of a kind that Pillow cannot decode "
            f"({type(error).__name__}: {str(error)[:120]}): save or copy it again"
        ) from error


def _from_array(array):
    if array.ndim != 3 or array.shape[-1] != 3:
        raise ImageError(
            f"the array has shape {array.shape}, but a picture is (height, width, 3): "
            "to_channels_last brings (3, height, width) there, and "
            "np.repeat(grey[..., None], 3, axis=-1) a grey one"
        )
    check_size(array.shape[0], array.shape[1], "the array")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "f":
        return bytes_from_unit(array)
    raise ImageError(
        f"the array is {array.dtype}, but pixels are uint8, or floating in [0, 1]"
    )


def _read(source):
    """The bytes of `source`, and what to call it in an error."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _bounded(io.BytesIO(source), "the image data")
    if isinstance(source, (str, os.PathLike)):
        name = repr(os.fspath(source))
        try:
            with open(source, "rb") as file:
                return _bounded(file, name)
        except FileNotFoundError:
            advice = "download it first" if "://" in name else "check the path"
            raise ImageError(f"there is no file {name}: {advice}") from None
        except IsADirectoryError:
            raise ImageError(f"{name} is a directory: name a picture in it") from None
        except (OSError, ValueError) as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError(f"{name} cannot be read: {error}") from None
    if hasattr(source, "read"):
        return _bounded(source, "the image stream")
    raise ImageError(
        f"a picture cannot be loaded from {type(source).__name__}: give a path, "
        "bytes, a binary stream, a PIL image or an array"
    )


def _bounded(stream, name):
    """Everything in the stream, unless that is more than `MAX_BYTES`."""
    data = bytearray()
    try:
        # A pipe gives what it has, not what was asked for.
        while part := stream.read(min(2**20, MAX_BYTES + 1 - len(data))):
            data += part
            if len(data) > MAX_BYTES:
                raise ImageError(
                    f"{name} is larger than the limit of {MAX_BYTES:,} bytes: "
                    "scale the picture down first"
                )
    except TypeError:
        raise ImageError(f"{name} is text: open it in binary mode") from None
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{name} cannot be read: {error}") from None
    return bytes(data), name
