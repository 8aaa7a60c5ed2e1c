"""The k largest of many, of which only k are ever sorted."""

from __future__ import annotations

import numpy as np

from ..variable import value_of

FEW = 2048


def topk_indices(x, k, dim, largest):
    """The places of the k largest entries, or of the k smallest, in their order.

    Whatever lies strictly beyond the k-th value is in, and of those equal to it as
    many as there is room for, from the left. nan is beyond nothing: that is left to the
    definition, and so are few entries, which are sorted sooner.
    """
    if x.size < FEW or not k:
        return NotImplemented
    x = np.moveaxis(value_of(x), dim, -1)
    if largest:
        beyond = np.partition(x, -k, axis=-1)[..., -k:]
        border = beyond[..., :1]
    else:
        beyond = np.partition(x, k - 1, axis=-1)[..., :k]
        border = beyond[..., -1:]
    if x.dtype.kind == "f" and np.isnan(beyond).any():
        return NotImplemented
    chosen = x >= border if largest else x <= border
    if np.count_nonzero(chosen) > beyond.size:  # more at the border than have room
        inside = x > border if largest else x < border
        room = k - inside.sum(axis=-1, keepdims=True)
        level = x == border
        chosen = inside | (level & (np.cumsum(level, axis=-1) <= room))
    places = np.flatnonzero(chosen).reshape(*x.shape[:-1], k) % x.shape[-1]
    values = np.take_along_axis(x, places, axis=-1)
    if largest:  # a stable sort of the mirror image, mirrored: ties stay in order
        order = k - 1 - np.argsort(values[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    else:
        order = np.argsort(values, axis=-1, kind="stable")
    return np.moveaxis(np.take_along_axis(places, order, axis=-1), -1, dim)
