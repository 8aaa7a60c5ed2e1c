"""Tables of a vocabulary: rows looked up by ids, and rows that score what comes next.

A table has a hundred times as many rows as a token needs. One that is packed row by row
is never made whole: the rows that are looked up are, or some thousands at a time.
"""

from __future__ import annotations

import numpy as np

from .. import ops
from ..parallel import even_blocks
from ..quantize.packed import Packed

ROWS = 4096  # of a packed table, made at a time


def look_up(ids, weights, name: str):
    """Row t of the table for each id t: (...) -> (..., n); `ops.embedding` by name."""
    table = weights.tensor(name)
    if isinstance(table, Packed) and table.by_rows:
        return table.rows(ids)
    return ops.embedding(ids, weights[name])


def scores(hidden, weights, name: str):
    r"""$s = W h$: a score for each row of the table, (..., n) -> (..., rows)."""
    table = weights.tensor(name)
    if not (isinstance(table, Packed) and table.by_rows):
        return ops.linear(hidden, weights[name])
    out = np.empty((*hidden.shape[:-1], table.shape[0]), hidden.dtype)
    for rows in even_blocks(table.shape[0], ROWS):
        out[..., rows] = ops.linear(hidden, table.rows(rows))
    return out
