"""Ids and masks from outside, checked before anything is computed.

A mask of the wrong length would broadcast, and an id below 0 would be counted from the
end of the table. Each of these is one error here, and it says what to do.
"""

from __future__ import annotations

import numpy as np

from ..shapes import ShapeError


def check_ids(input_ids, vocabulary: int, mark: int | None = None) -> np.ndarray:
    """input_ids as (b, t) int64, each one a token, or the `mark` of a picture."""
    ids = as_array("input_ids", input_ids, "whole numbers (batch, tokens)")
    if ids.ndim != 2 or ids.size == 0 or ids.dtype.kind not in "iu":
        raise ShapeError(
            f"input_ids must be whole numbers (batch, tokens), not {ids.dtype} "
            f"{ids.shape}"
        )
    wrong = (ids < 0) | (ids >= vocabulary)
    besides = ""
    if mark is not None:
        wrong &= ids != mark
        besides = f" (and {mark} for a picture)"
    if wrong.any():
        raise ValueError(
            f"input_ids has {ids[wrong][0]}, but the vocabulary is 0 to "
            f"{vocabulary - 1}{besides}"
        )
    return ids.astype(np.int64, copy=False)


def check_mask(attention_mask, ids) -> np.ndarray:
    """attention_mask as booleans (b, t): True where a token counts."""
    wanted = "booleans, or 0 and 1, one for each of input_ids"
    mask = as_array("attention_mask", attention_mask, wanted)
    if mask.shape != ids.shape or mask.dtype.kind not in "biu":
        raise ShapeError(
            f"attention_mask is {mask.dtype} {mask.shape}, but must be {wanted}, "
            f"{ids.shape}"
        )
    other = mask[(mask != 0) & (mask != 1)]
    if other.size:
        raise ValueError(f"attention_mask holds {other[0]}, but must be {wanted}")
    return mask.astype(bool)


def as_array(name: str, value, wanted: str) -> np.ndarray:
    """An array of what was given; lists of different lengths are none."""
    try:
        return np.asarray(value)
    except (ValueError, TypeError):  # rows of different lengths
        raise ShapeError(f"{name} is no array of {wanted}") from None
