"""What a FastVLM is given, checked before anything is computed.

A mask of the wrong length would broadcast, a picture of bytes would be 255 times too
bright, and a missing picture would be noticed after a minute of work. Each of these is
one error here, and it says what to do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..autodiff import Variable
from ..shapes import ShapeError
from . import fastvlm, qwen2
from .fastvithd import trace_pieces
from .inputs import as_array, check_ids, check_mask

MAX_PIXELS = 1 << 24
"""The largest picture taken: 4096 x 4096, which needs some 2 GB and a minute."""


LARGEST_PIXEL = 16.0
"""Beyond what any normalisation makes of a colour, which is some three deviations."""


class Inputs(NamedTuple):
    """Pictures or None, ids with one place for each picture or many, a mask or None."""

    pixels: np.ndarray | None
    ids: np.ndarray
    mask: np.ndarray | None


def check_inputs(
    pixel_values, input_ids, attention_mask, config, dtype, new_tokens: int = 0
) -> Inputs:
    """The inputs as arrays that fit each other, the model, and its context.

    pixel_values (n, 3, h, w), floating, come out as `dtype`; input_ids (b, t) as
    int64; attention_mask (b, t), of booleans or of 0 and 1, as booleans.
    """
    ids = check_ids(input_ids, config.text.vocab_size, mark=fastvlm.IMAGE)
    mask = None if attention_mask is None else check_mask(attention_mask, ids)
    if pixel_values is None:
        pixels, tokens, places = None, 0, ids
    else:
        pixels = check_pixels(pixel_values, dtype)
        each = image_tokens(config, *pixels.shape[2:])
        tokens = len(pixels) * each
        places, _ = fastvlm.make_room(ids, each)
    _check_places(places, pixels, tokens, config)
    qwen2.check_context(config.text, places.shape[1] + new_tokens)
    return Inputs(pixels, ids, mask)


def check_pixels(pixel_values, dtype):
    """pixel_values as `dtype` (n, 3, h, w), all finite; a Variable stays one."""
    if isinstance(pixel_values, Variable):
        return pixel_values
    pixels = as_array("pixel_values", pixel_values, "floating (pictures, 3, h, w)")
    if pixels.ndim != 4 or pixels.shape[1] != 3 or 0 in pixels.shape:
        raise ShapeError(
            f"pixel_values is {pixels.shape}, but must be (pictures, 3, height, "
            "width): vlm.preprocessor(picture)[None] makes one"
        )
    if pixels.dtype.kind != "f":
        raise ValueError(
            f"pixel_values is {pixels.dtype}, but must be floating, as "
            "vlm.preprocessor(picture) makes it"
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
            "vlm.preprocessor(picture) makes it"
        )
    return pixels


def image_tokens(config, height: int, width: int) -> int:
    """How many tokens a picture becomes; a side that is no multiple of 64 rounds up."""
    _, rows, columns = trace_pieces(config.vision, height, width)[-1].shape
    return rows * columns


def _check_places(ids, pixels, tokens, config):
    """As many places for image tokens as the pictures make, or what is missing."""
    places = int(fastvlm.image_places(ids, config).sum())
    if places == tokens:
        return
    token = config.image_token_id
    mark = f"one {fastvlm.IMAGE}"
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
