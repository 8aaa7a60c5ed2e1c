r"""Convolution as matrix products over a few rows of output at a time.

`columns.py` lays out every window of a picture before it multiplies; for the first
layer of a vision tower that is a quarter of the result again, written to memory and
read back. A product needs only some thousand columns to run at full speed, so here
the windows of a few rows are laid out, multiplied and given their bias while they
are in cache, and the cores share the rows. Of a 1 x 1 kernel nothing is copied.
"""

from __future__ import annotations

import math

import numpy as np

from ..parallel import even_blocks, in_parallel
from .columns import as_rows
from .windows import Geometry, windows

PIECE = 1 << 18  # numbers of columns, or of results, at a time


def correlate_by_rows(x, weight, walk: Geometry, bias=None, groups=1):
    r"""$W\,\mathrm{cols}(X) + b$, the same as `correlate(columns_of(x))`.

    x is (images, c_in, *size), weight (c_out, c_in / groups, *kernel), the result
    (images, c_out, *out).
    """
    filters = as_rows(weight, groups)
    looked = windows(x, walk)
    per_row = math.prod(walk.out[1:])
    tall = max(x.shape[1] * math.prod(walk.kernel), len(weight))
    shape = (len(x), *filters.shape[:2], math.prod(walk.out))
    out = np.empty(shape, np.result_type(x, weight))
    if bias is not None:
        bias = bias.reshape(*filters.shape[:2], 1)

    def work(piece):
        image, rows = piece
        seen = looked[(image, ..., rows) + (slice(None),) * (len(walk.out) - 1)]
        places = slice(rows.start * per_row, rows.stop * per_row)
        columns = seen.reshape(groups, filters.shape[2], places.stop - places.start)
        part = out[image, :, :, places]
        np.matmul(filters, columns, out=part)
        if bias is not None:
            part += bias

    pieces = even_blocks(walk.out[0], max(1, PIECE // (tall * per_row)))
    in_parallel(work, [(image, rows) for image in range(len(x)) for rows in pieces])
    return out.reshape(len(x), len(weight), *walk.out)
