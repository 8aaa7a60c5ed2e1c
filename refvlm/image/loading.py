"""Loading: whatever holds a picture becomes RGB pixels, (height, width, 3) uint8.

This is the door of the house. Pillow decodes; everything behind works on arrays.
Bytes are counted before they are read; `decoding` says what else is not trusted.
"""

from __future__ import annotations

import io
import os
from typing import BinaryIO

import numpy as np
from PIL import Image

from .color import bytes_from_unit, rgb_pixels
from .decoding import one_error, open_picture
from .limits import MAX_BYTES, ImageError, check_size
from .orientation import orientation_of, upright

Source = str | os.PathLike | bytes | BinaryIO | Image.Image | np.ndarray


def load(source: Source) -> np.ndarray:
    """RGB pixels, (height, width, 3) uint8, from anything that holds a picture.

    `source` is a path, the bytes of a file, a binary stream such as
    `sys.stdin.buffer`, a PIL image, or an array (height, width, 3): uint8, or
    floating in [0, 1]. Of an animation or a document, the first picture is taken.
    EXIF's orientation is applied; transparency is laid on white (see `color`). An array
    of uint8 is returned itself, not a copy.

    A photograph of 200 megapixels is loaded whole: `MAX_PIXELS` says how large a
    picture may be and what memory it takes, `PIXELS_A_BYTE` what a file may claim.

    Raises `ImageError` for whatever cannot be read, with what to do.

    >>> load(np.ones((2, 2, 3)))[0, 0]
    array([255, 255, 255], dtype=uint8)
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        check_size(source.height, source.width, "the PIL image")
        with one_error("the PIL image"):
            return _pixels(source)
    data, name = _read(source)
    if not data:
        raise ImageError(f"{name} is empty (0 bytes)")
    with one_error(name):
        return _pixels(open_picture(data, name))


def _pixels(image):
    pixels = rgb_pixels(image)
    # Pillow turns a TIFF upright while decoding, so EXIF is read after.
    return np.ascontiguousarray(upright(pixels, orientation_of(image)))


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
    except (TypeError, UnicodeDecodeError):
        raise ImageError(f"{name} is text: open it in binary mode") from None
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{name} cannot be read: {error}") from None
    return bytes(data), name
