"""The likeliest of many that hold a share, of which only a few are ever sorted."""

from __future__ import annotations

import numpy as np

FEW = 1024  # are sorted; of so many tokens in all nothing is saved


def nucleus(logits, p, least):
    """`generate.top_p`: where a row has its border, not in which order all stand."""
    if logits.shape[-1] <= FEW:
        return NotImplemented
    kept = np.empty(logits.shape, logits.dtype)
    for place in np.ndindex(logits.shape[:-1]):
        kept[place] = _of_row(logits[place], p, least)
    return kept


def _of_row(row, p, least):
    """-inf below the border; and at it, from the left, as long as too many stay."""
    top = row.max()
    if not np.isfinite(top):
        return row  # of nan, or of nothing, there is no likeliest
    is_live = row > -np.inf
    live = row.copy() if is_live.all() else row[is_live]
    count = min(max(_how_many(live, top, p), least), live.size)
    border = np.partition(live, live.size - count)[live.size - count]
    kept = np.where(row < border, -np.inf, row)
    level = np.flatnonzero(row == border)
    kept[level[: np.count_nonzero(row >= border) - count]] = -np.inf
    return kept


def _how_many(live, top, p):
    """How many tokens hold p; it puts the scores in another order.

    The border lies in live[low:high], with nothing likelier on its left and nothing
    less likely on its right. A partition splits that; the side whose tokens can all be
    left out, or all be kept, is done with. The first split takes the likeliest, which
    is where a model that knows something has its border; then halves.
    """
    whole = np.exp(live - top).sum()
    low, high, below = 0, live.size, 0.0
    split = high - FEW
    while high - low > FEW:
        live[low:high].partition(split - low)
        share = (np.exp(live[low:split] - top) / whole).sum(dtype=np.float64)
        if below + share <= 1 - p:
            low, below = split, below + share
        else:
            high = split
        split = (low + high) // 2
    middle = np.exp(np.sort(live[low:high]) - top) / whole
    tail = below + np.cumsum(middle, dtype=np.float64)
    stays = np.count_nonzero(tail.astype(live.dtype) > 1 - p)
    return live.size - high + stays
