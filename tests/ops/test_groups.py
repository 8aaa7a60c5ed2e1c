"""The spec of refvlm/ops/groups.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refvlm import ops
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    call,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)
from .counterparts import sums_of_groups

draw = random_arrays(2026)
GROUPS = np.array([[2, 0, 2, 2, 0], [1, 1, 0, 2, 1]])
CALLS = {
    "group_sum": [
        call(draw(2, 5, 3), GROUPS, 4),
        call(draw(5, 2), GROUPS[0], num_groups=3),
        call(draw(2, 1, 5, 2), GROUPS, 3),
        call(draw(3, 5, 2), GROUPS[1], 3),
    ],
}
groups = hnp.arrays(np.int64, (2, 6), elements=st.integers(0, 3))


@example
def test_group_sum_of_three_tokens():
    """The first and the last go to group 1, and nobody to group 2."""
    out = ops.group_sum(np.array([[1.0], [2.0], [5.0]]), np.array([1, 0, 1]), 3)
    np.testing.assert_array_equal(out, [[2], [6], [0]])


@law
@given(tensors((2, 6, 3)), groups)
def test_group_sum_is_a_product_with_a_matrix_of_flags(x, groups):
    """y = F x, where F has a 1 where a token is in a group."""
    flags = (groups[:, None, :] == np.arange(4)[:, None]).astype(x.dtype)
    assert_close(ops.group_sum(x, groups, 4), flags @ x, 1e-12)


@law
@given(tensors((2, 6, 3)), groups)
def test_group_sum_loses_nothing(x, groups):
    """The sum over the groups is the sum over the tokens."""
    out = ops.group_sum(x, groups, 4).sum(axis=1)
    assert np.abs(out - x.sum(axis=1)).max() < 1e-12


@law
@given(tensors((4, 3)), st.permutations(range(4)))
def test_group_sum_puts_tokens_back(x, places):
    """With a group for each token it is a permutation, and gathering undoes it."""
    places = np.array(places)
    np.testing.assert_array_equal(ops.group_sum(x, places, 4)[places], x + 0.0)


@law
def test_group_sum_of_one_batch_of_groups_serves_all():
    """What has no batch of its own is the same for every batch."""
    x, shared = draw(3, 5, 2), GROUPS[0]
    out = ops.group_sum(x, shared, 3)
    apart = np.stack([ops.group_sum(each, shared, 3) for each in x])
    np.testing.assert_array_equal(out, apart)


@oracle
@pytest.mark.parametrize("dtype", [np.int64, np.int16])
def test_group_sum_equals_torch(compare, dtype):
    """PyTorch's scatter_add and its gradient."""

    def reference(torch):
        summed = sums_of_groups(torch)
        return lambda x, groups, count: summed(x, groups.long(), count)

    x = random_arrays(3)(2, 5, 3)
    compare(ops.group_sum, reference, x, GROUPS.astype(dtype), 4)


@derivative
@pytest.mark.parametrize("shape", [(2, 5, 3), (5, 3)])
def test_group_sum_derivative(shape):
    """Each token gets the gradient of its group; a shared one those of all batches."""
    check_vjp(ops.group_sum, random_arrays(4)(*shape), GROUPS, 4)


@contract
def test_group_sum_refuses_groups_that_are_not_there():
    """NumPy would count -1 from the end."""
    for wrong in (-1, 3):
        with pytest.raises(ValueError, match=r"from 0 to num_groups - 1, 2: they are"):
            ops.group_sum(np.zeros((2, 1)), np.array([0, wrong]), 3)
    with pytest.raises(ValueError, match="num_groups must be a whole number"):
        ops.group_sum(np.zeros((2, 1)), np.array([0, 0]), 2.5)


@contract
def test_group_sum_refuses_another_number_of_tokens():
    """One group for each token."""
    with pytest.raises(ShapeError, match=r"group_sum: groups is \(3,\)"):
        ops.group_sum(np.zeros((2, 1)), np.array([0, 0, 1]), 2)
