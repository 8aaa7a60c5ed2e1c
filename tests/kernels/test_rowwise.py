"""The spec of refvlm/kernels/rowwise.py."""

import numpy as np
import pytest

from refvlm.kernels import rowwise
from refvlm.kernels.columns import columns_of, correlate
from refvlm.kernels.windows import geometry

from ..spec import assert_close, law, random_arrays

CASES = {
    "pointwise": ((2, 6, 7, 5), (4, 6, 1, 1), dict(), 1),
    "dense": ((2, 3, 9, 8), (5, 3, 3, 3), dict(stride=2, padding=1), 1),
    "grouped": ((1, 6, 7, 7), (4, 3, 3, 2), dict(padding=(0, 2), dilation=2), 2),
    "volume": ((2, 2, 4, 5, 6), (3, 2, 2, 3, 1), dict(padding=1), 1),
}


@law
@pytest.mark.parametrize("pieces", [1, 1 << 18])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_correlate_by_rows_is_correlate_of_all_columns(
    case, dtype, pieces, monkeypatch
):
    """A row at a time or all of them: it is the same product."""
    monkeypatch.setattr(rowwise, "PIECE", pieces)
    shape, weight_shape, options, groups = case
    draw = random_arrays(12)
    x, weight = draw(*shape).astype(dtype), draw(*weight_shape).astype(dtype)
    bias = draw(weight_shape[0]).astype(dtype)
    walk = geometry(shape[2:], weight_shape[2:], **options)
    expected = correlate(columns_of(x, walk, groups), weight, bias, groups)
    actual = rowwise.correlate_by_rows(x, weight, walk, bias, groups)
    assert_close(actual.reshape(expected.shape), expected)
