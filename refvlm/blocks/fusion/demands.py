"""Demands: what every way of joining asks of what it joins."""

from __future__ import annotations

import numpy as np

from ...shapes import ShapeError


def features_fit(function: str, argument: str, array, weight: str, matrix) -> None:
    """The features of an array are the columns of the matrix that reads them."""
    width, columns = array.shape[-1], matrix.shape[-1]
    if width != columns:
        raise ShapeError(
            f"{function}: {argument} is {array.shape}, but {weight} reads {columns} "
            f"features, not {width}: bring {argument} to that width by a linear map"
        )


def as_many(function: str, **arrays) -> None:
    """Two batches are joined row by row, so they have as many rows."""
    (first, a), (second, b) = arrays.items()
    if len(a) != len(b):
        raise ShapeError(
            f"{function}: {first} has {len(a)} rows and {second} has {len(b)}: give "
            "one picture for each text, repeating it where several ask about it"
        )


def mask_fits(function: str, argument: str, mask, scores: tuple[int, ...]) -> None:
    """A mask broadcasts to the scores (b, heads, asking, answering); None does."""
    if mask is None:
        return
    try:
        fits = np.broadcast_shapes(mask.shape, scores) == scores
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{function}: {argument} is {mask.shape}, but the scores are {scores}, "
            "(batch, heads, asking, answering): a mask of keys is "
            "mask[:, None, None, :]"
        )


def of_one_shape(function: str, *arrays) -> None:
    """Modalities that are joined number by number have one shape, and are several."""
    several = {array.shape for array in arrays}
    if len(arrays) < 2:
        raise ValueError(f"{function}: two or more modalities are joined, not 1")
    if len(several) > 1:
        listed = ", ".join(str(array.shape) for array in arrays)
        raise ShapeError(
            f"{function}: the modalities are {listed}, but they are joined number by "
            "number: bring them to one shape by pooling and a linear map"
        )
