"""Colour: the many ways of storing a pixel, brought to RGB with 8 bits each.

- Palette, 1-bit, grey, CMYK, YCbCr, LAB, HSV: as Pillow's `convert("RGB")` has it.
- Transparency, in an alpha channel or as a transparent colour: the picture is laid
  on white, $c = \\alpha\\,c + (1 - \\alpha)\\,255$. Dropping alpha would bring out
  whatever happens to be stored in invisible pixels, often black; white is the page
  that most transparent pictures were drawn for, and what transformers does.
- 16-bit grey: the high byte is kept, as Pillow itself does for 16-bit colour.
  Pillow's own conversion of grey cuts everything above 255 off, to plain white.
  Where no level is above 255 it may be a picture of 8 bits in a wider coat: it would
  come out black, and is refused.
- Floating grey: from [0, 1], refused otherwise.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from .limits import ImageError

WHITE = (255, 255, 255, 255)
BAND = (
    2**22
)  # pixels converted at a time: a large picture is held twice, not five times


def rgb_pixels(image: Image.Image) -> np.ndarray:
    """RGB pixels, (height, width, 3) uint8, of a PIL image of any mode.

    Oracle: transformers.image_transforms.convert_to_rgb, except for 16 bits and for
    an alpha palette made in memory, which it overlooks.
    """
    image.load()
    if image.mode.startswith("I"):
        return _gray(_high_byte(image))
    if image.mode == "F":
        return _gray(bytes_from_unit(np.asarray(image)))
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, BAND // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        band = image.crop((0, top, image.width, bottom))
        pixels[top:bottom] = np.asarray(_opaque(band))
    return pixels


def _opaque(image):
    """The image in RGB, on white where it is transparent."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "La":  # its grey was multiplied with alpha; there is no short way
        image = image.convert("LA")
    image = image.convert("RGBA")
    page = Image.new("RGBA", image.size, WHITE)
    return Image.alpha_composite(page, image).convert("RGB")


def bytes_from_unit(values: np.ndarray) -> np.ndarray:
    r"""Pixels from intensities: $\operatorname{round}(255\,v)$ for $v$ in [0, 1].

    >>> bytes_from_unit(np.array([0.0, 0.2, 1.0]))
    array([  0,  51, 255], dtype=uint8)
    """
    if not (values.min() >= 0 and values.max() <= 1):
        nans = int(np.isnan(values).sum())
        wrong = (
            f"{nans:,} of these {values.size:,} are NaN"
            if nans
            else f"these go from {values.min():g} to {values.max():g}: rescale them"
        )
        raise ImageError(f"floating pixels must lie in [0, 1], without NaN; {wrong}")
    return np.rint(values * np.float32(255)).astype(np.uint8)


def _high_byte(image):
    """Grey of 8 bits from grey of 16; Pillow holds it as I;16 or as 32-bit I."""
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65535:
        raise ImageError(
            f"grey levels go from {levels.min()} to {levels.max()}, but 16 bits hold "
            "0 to 65535: save the picture with 8 or 16 bits"
        )
    if 0 < levels.max() < 256:
        raise ImageError(
            f"grey levels end at {levels.max()}, which is black where white is 65535 "
            "(16 bits): if white is 255, give the picture with 8 bits, "
            "PIL.Image.fromarray(numpy.asarray(picture).astype('uint8'))"
        )
    gray = (levels >> 8).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        gray[levels == transparent] = 255
    return gray


def _gray(levels):
    return np.repeat(levels[..., None], 3, axis=-1)
