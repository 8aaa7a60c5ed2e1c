"""What a model that sees is given, checked before anything is computed.

A mask of the wrong length would broadcast, a picture of bytes would be 255 times too
bright, and a missing picture would be noticed after a minute of work. Each of these is
one error here, and it says what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..autodiff import Variable
from ..shapes import ShapeError
from .inputs import as_array, check_ids, check_mask
from .splicing import IMAGE, image_places, make_room

MAX_PIXELS = 1 << 24
"""The largest picture taken: 4096 x 4096, which needs some 2 GB and a minute."""


LARGEST_PIXEL = 16.0
"""Beyond what any normalisation makes of a colour, which is some three deviations."""


class Inputs(NamedTuple):
    """Pictures or None, ids with one place for each picture or many, a mask or None."""

    pixels: np.ndarray | None
    ids: np.ndarray
    mask: np.ndarray | None


def check_spliced(
    pixel_values,
    input_ids,
    attention_mask,
    vocabulary: int,
    dtype,
    image_token_id: int | None,
    image_grid: Callable[[int, int], tuple[int, int]],
) -> tuple[Inputs, int]:
    """The inputs as arrays that fit each other and the model, and how many tokens a row
    has once its pictures are among them.

    pixel_values (n, 3, h, w), floating, come out as `dtype`; input_ids (b, t) as
    int64; attention_mask (b, t), of booleans or of 0 and 1, as booleans. A picture of
    height x width becomes `image_grid(height, width)`, rows and columns of tokens.
    """
    ids = check_ids(input_ids, vocabulary, mark=IMAGE)
    mask = None if attention_mask is None else check_mask(attention_mask, ids)
    if pixel_values is None:
        pixels, tokens, places = None, 0, ids
    else:
        pixels = check_pixels(pixel_values, dtype)
        rows, columns = image_grid(*pixels.shape[2:])
        tokens = len(pixels) * rows * columns
        places, _ = make_room(ids, rows * columns)
    _check_places(places, pixels, tokens, image_token_id)
    return Inputs(pixels, ids, mask), places.shape[1]


def check_crossed(
    pixel_values,
    input_ids,
    attention_mask,
    vocabulary: int,
    dtype,
    image_grid: Callable[[int, int], tuple[int, int]],
) -> Inputs:
    """The same, where the decoder looks at the picture from the side: ids have no place
    for it, and each row has one picture of its own."""
    ids = check_ids(input_ids, vocabulary)
    mask = None if attention_mask is None else check_mask(attention_mask, ids)
    if pixel_values is None:
        raise ShapeError(
            "this model answers about a picture, and pixel_values is None: "
            "vlm.preprocessor(picture)[None] makes one"
        )
    pixels = check_pixels(pixel_values, dtype)
    image_grid(*pixels.shape[2:])  # refuses a picture that the tower can't see
    if len(pixels) != len(ids):
        raise ShapeError(
            f"pixel_values has {len(pixels)} pictures, but input_ids {len(ids)} rows: "
            "each row has one picture of its own"
        )
    return Inputs(pixels, ids, mask)


def check_pixels(pixel_values, dtype, face: str = "vlm"):
    """pixel_values as `dtype` (n, 3, h, w), all finite; a Variable stays one. `face` is
    what an error calls the model whose preprocessor makes them."""
    if isinstance(pixel_values, Variable):
        return pixel_values
    pixels = as_array("pixel_values", pixel_values, "floating (pictures, 3, h, w)")
    if pixels.ndim != 4 or pixels.shape[1] != 3 or 0 in pixels.shape:
        raise ShapeError(
            f"pixel_values is {pixels.shape}, but must be (pictures, 3, height, "
            f"width): {face}.preprocessor(picture)[None] makes one"
        )
    if pixels.dtype.kind != "f":
        raise ValueError(
            f"pixel_values is {pixels.dtype}, but must be floating, as "
            f"{face}.preprocessor(picture) makes it"
        )
    height, width = pixels.shape[2:]
    if height * width > MAX_PIXELS:
        raise ShapeError(
            f"pixel_values has pictures of {width} x {height}, more than the "
            f"{MAX_PIXELS:,} pixels that are taken here: scale them down"
        )
    with np.errstate(over="ignore"):
        pixels = pixels.astype(dtype, copy=False)
    if not np.isfinite(pixels).all():
        raise ValueError(f"pixel_values has NaN, or numbers too large for {dtype}")
    low, high = float(pixels.min()), float(pixels.max())
    if max(-low, high) > LARGEST_PIXEL:
        raise ValueError(
            f"pixel_values goes from {low:g} to {high:g}, as bytes do, but must be as "
            f"{face}.preprocessor(picture) makes it"
        )
    return pixels


def _check_places(ids, pixels, tokens, token):
    """As many places for image tokens as the pictures make, or what is missing."""
    places = int(image_places(ids, token).sum())
    if places == tokens:
        return
    mark = f"one {IMAGE}"
    if token is not None:
        mark += f", or {token} for each of its tokens"
    if pixels is None:
        problem = f"marks {places} places for image tokens, but there is no picture"
    elif not places:
        problem = f"has no place for the picture: mark it with {mark}"
    else:
        problem = (
            f"marks {places} places for image tokens, but the pictures make {tokens}: "
            f"a picture is {mark}"
        )
    raise ShapeError(f"input_ids {problem}")
