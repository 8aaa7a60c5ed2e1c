"""The spec of refvlm/ops/targets.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.ops.targets import Targets

from ..spec import assert_close, example, law, random_arrays, tensors

CLASSES = np.array([[1, -100, 0], [2, 2, -100]])
WEIGHT = np.array([1.0, 2.0, 0.5])


def asked(smoothing, weight, input=None):
    input = np.zeros((2, 3, 3)) if input is None else input
    return Targets("spec", input, CLASSES, weight, -100, "mean", smoothing)


def written_out(smoothing, weight):
    """The numbers y, row by row, as the definition has them."""
    one_hot = np.eye(3)[[1, 0, 2, 2]]
    y = (1 - smoothing) * one_hot + smoothing / 3
    return y if weight is None else y * weight


@example
def test_targets_count_the_rows_that_are_not_ignored():
    """Four of six pixels have a class; their weights are 2, 1, 0.5 and 0.5."""
    assert asked(0.0, None).count == asked(0.0, None).total == 4
    assert asked(0.0, WEIGHT).total == 4.0


@law
@given(tensors((4, 3)), st.sampled_from([0.0, 0.2, 1.0]), st.booleans())
def test_targets_are_never_written_out(scores, smoothing, weighted):
    """Sums over y, and what is subtracted, equal those of the full rows."""
    weight = WEIGHT if weighted else None
    targets, y = asked(smoothing, weight), written_out(smoothing, weight)
    assert np.abs(targets.expected(scores) - (y * scores).sum(axis=1)).max() < 1e-12
    assert_close(targets.mass(), y.sum(axis=1))
    d_losses, d_rows = np.arange(1.0, 5.0), scores.copy()
    targets.subtract_from(d_rows, d_losses)
    assert np.abs(d_rows - (scores - d_losses[:, None] * y)).max() < 1e-12


@law
@pytest.mark.parametrize("shape", [(2, 3, 3)])
def test_targets_put_rows_back_where_they_were(shape):
    """Rows out, rows in: the input, with zeros where a row is ignored."""
    x = random_arrays(1)(*shape)
    targets = asked(0.0, None, x)
    back = targets.like_input(targets.rows())
    kept = np.moveaxis(np.broadcast_to(CLASSES[..., None] != -100, (2, 3, 3)), -1, 1)
    np.testing.assert_array_equal(back, np.where(kept, x, 0))
