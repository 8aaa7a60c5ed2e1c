"""The spec of refvlm/ops/selection.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refvlm import ops
from refvlm.autodiff import grad
from refvlm.shapes import ShapeError

from ..spec import (
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

draw = random_arrays(2026)
MANY = np.round(draw(3, 1001, 2) * 9) / 4  # enough for the kernel, and with ties
CALLS = {
    "argmax": [call(draw(3, 5), dim=1, keepdim=True), call(draw(3, 5))],
    "topk": [
        call(draw(3, 5), 2),
        call(draw(3, 5), 3, dim=0, largest=False),
        call(MANY, 20, dim=1),
    ],
    "topk_indices": [
        call(np.arange(12).reshape(3, 4) % 5, 3),
        *[
            call(many, k, dim=1, largest=largest)
            for many in (MANY, (4 * MANY).astype(np.int64), np.zeros_like(MANY))
            for k in (1, 20, 1001)
            for largest in (True, False)
        ],
    ],
    "gather": [
        call(draw(3, 4), -1, np.array([[2], [3], [3]])),
        call(draw(3, 4), 0, np.array([[2, 0, 2, 1]])),
    ],
    "masked_mean": [
        call(draw(2, 4, 3), np.array([[1, 1, 0, 0], [0, 1, 1, 1]]), 1),
        call(draw(3, 5), np.array([True, False, True]), dim=0),
    ],
}

# Small whole numbers, so that there are many ties.
tied = hnp.arrays(np.float64, (3, 7), elements=st.integers(-2, 2).map(float))


def distinct(seed, *shape):
    """Numbers of which no two are equal, so that PyTorch has no choice either."""
    order = np.random.RandomState(seed).permutation(int(np.prod(shape)))
    return order.reshape(shape) / 4.0


@example
def test_argmax_takes_the_first_of_equals():
    """3 stands at 1 and at 2: the answer is 1."""
    np.testing.assert_array_equal(ops.argmax(np.array([[1.0, 3.0, 3.0]]), dim=-1), [1])


@example
def test_topk_orders_its_answer():
    """The two largest of 1, 5, 5, 2: the fives, the left one first."""
    values, indices = ops.topk(np.array([1.0, 5.0, 5.0, 2.0]), k=2)
    np.testing.assert_array_equal(values, [5, 5])
    np.testing.assert_array_equal(indices, [1, 2])


@example
def test_topk_indices_of_the_smallest():
    """The three smallest of 1, 5, 5, 2: of the fives, the left one."""
    out = ops.topk_indices(np.array([1.0, 5.0, 5.0, 2.0]), k=3, largest=False)
    np.testing.assert_array_equal(out, [0, 3, 1])


@example
def test_gather_picks_by_place():
    """Places 2 and 0 of each row."""
    out = ops.gather(np.array([[1.0, 2.0, 3.0]]), -1, np.array([[2, 0]]))
    np.testing.assert_array_equal(out, [[3, 1]])


@example
def test_masked_mean_leaves_the_padding_out():
    """Of 1, 3 and a padded 99, the mean is 2."""
    out = ops.masked_mean(np.array([[1.0, 3.0, 99.0]]), np.array([[1, 1, 0]]), dim=1)
    np.testing.assert_array_equal(out, [2])


@law
@given(tied)
def test_argmax_is_the_first_place_of_the_maximum(x):
    """Nothing is larger, and nothing before it is as large."""
    for row, place in zip(x, ops.argmax(x, dim=1)):
        assert row[place] == row.max()
        assert (row[:place] < row[place]).all()


@law
@given(tied)
def test_argmax_without_dim_counts_through(x):
    """All entries as one row."""
    assert ops.argmax(x) == ops.argmax(x.reshape(-1), dim=0)


@law
@given(tied, st.integers(1, 7), st.booleans())
def test_topk_is_the_beginning_of_a_stable_sort(x, k, largest):
    """Sort so that equals keep their order; the first k are the answer."""
    order = np.argsort(-x if largest else x, axis=1, kind="stable")[:, :k]
    values, indices = ops.topk(x, k, largest=largest)
    np.testing.assert_array_equal(indices, order, "of equal entries, the leftmost")
    np.testing.assert_array_equal(values, np.take_along_axis(x, order, axis=1))


@law
@given(tied)
def test_topk_of_one_is_argmax(x):
    """Greedy decoding is top-k sampling with k = 1."""
    _, indices = ops.topk(x, 1)
    np.testing.assert_array_equal(indices[:, 0], ops.argmax(x, dim=-1))


@law
@given(tied, st.booleans())
def test_topk_of_none_is_empty(x, largest):
    """No entries are asked for, and none come: of few as of many."""
    for array in (x, np.tile(x, (1, 500))):
        values, indices = ops.topk(array, 0, dim=1, largest=largest)
        assert values.shape == indices.shape == (len(x), 0)


@law
def test_topk_indices_of_integers_and_nan():
    """Unsigned numbers are not negated on the way, and nan counts as the largest."""
    small = np.array([3, 250, 0], np.uint8)
    np.testing.assert_array_equal(ops.topk_indices(small, 2), [1, 0])
    x = np.array([1.0, np.nan, 2.0, -np.inf])
    np.testing.assert_array_equal(ops.topk_indices(x, 2), [1, 2])
    np.testing.assert_array_equal(ops.topk_indices(x, 2, largest=False), [3, 0])


@law
@pytest.mark.parametrize("size", [5, 5000])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_topk_counts_nan_as_larger_than_infinity(size, largest, k):
    """As argmax does: of several, in their order; and the smallest come without it."""
    x = np.full((2, size), 7.0)
    x[:, [0, 2, 3, 4]] = np.inf, np.nan, -np.inf, np.nan
    first = [2, 4, 0, 1, *range(5, size), 3] if largest else [3, 1, *range(5, size)]
    order = np.array(first if largest else [*first, 0, 2, 4])[:k]
    np.testing.assert_array_equal(ops.topk_indices(x, k, largest=largest), [order] * 2)
    if largest:
        assert ops.topk_indices(x, 1)[0] == ops.argmax(x[0])


@law
@given(tensors((3, 5)), hnp.arrays(np.int64, (3, 4), elements=st.integers(0, 4)))
def test_gather_is_a_loop_over_places(x, index):
    """y[i, j] = x[i, index[i, j]]."""
    expected = [[x[i, j] for j in row] for i, row in enumerate(index)]
    np.testing.assert_array_equal(ops.gather(x, 1, index), expected)


@law
@given(tensors((2, 4, 3)))
def test_masked_mean_of_everything_is_the_mean(x):
    """With nothing masked it is the plain mean."""
    everything = np.ones((2, 4), bool)
    assert np.abs(ops.masked_mean(x, everything, 1) - x.mean(axis=1)).max() < 1e-12


@law
@given(tensors((2, 4, 3)), st.sampled_from([0.0, 1e300, np.inf, np.nan]))
def test_masked_mean_never_reads_the_padding(x, padding):
    """Whatever stands under a false flag, be it nan, the mean is the same."""
    mask = np.array([[True, True, False, False], [False, True, True, True]])
    padded = np.where(mask[..., None], x, padding)
    zeros = np.where(mask[..., None], x, 0)
    np.testing.assert_array_equal(
        ops.masked_mean(padded, mask, 1),
        ops.masked_mean(zeros, mask, 1),
        "multiplying by the mask is not enough: 0 times nan is nan",
    )


@oracle
@pytest.mark.parametrize("dim", [None, 0, -1])
@pytest.mark.parametrize("keepdim", [False, True])
def test_argmax_equals_torch(compare, dim, keepdim):
    """PyTorch's argmax, along an axis and of everything."""
    options = dict(dim=dim, keepdim=keepdim, gradients=False)
    compare(ops.argmax, lambda torch: torch.argmax, distinct(4, 3, 4, 5), **options)


@oracle
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_topk_equals_torch(compare, dim, largest):
    """PyTorch's topk where nothing is tied: values, their gradient, places."""
    x, options = distinct(5, 3, 4, 5), dict(dim=dim, largest=largest)

    def values(torch):
        return lambda *args, **options: torch.topk(*args, **options).values

    def indices(torch):
        return lambda *args, **options: torch.topk(*args, **options).indices

    compare(lambda *args, **named: ops.topk(*args, **named)[0], values, x, 3, **options)
    compare(ops.topk_indices, indices, x, 3, gradients=False, **options)


@oracle
@pytest.mark.parametrize("size", [3, 3000])
@pytest.mark.parametrize("k, largest", [(1, True), (2, True), (3, False)])
def test_topk_of_nan_equals_torch(compare, size, k, largest):
    """Of [inf, nan, 1] the largest is nan, and the last of the smallest."""
    x = np.arange(size, dtype=np.float64) + 2
    x[:3] = np.inf, np.nan, 1
    compare(
        lambda *args, **named: ops.topk(*args, **named)[0],
        lambda torch: lambda *args, **named: torch.topk(*args, **named).values,
        x,
        k,
        largest=largest,
        gradients=False,
    )


@oracle
@pytest.mark.parametrize("dim", [0, -1])
@pytest.mark.parametrize("part", [0, 1])
def test_topk_of_a_number_alone_equals_torch(compare, dim, part):
    """An array of no axes counts as a row of one, and its place in it is 0."""
    compare(
        lambda *args: ops.topk(*args)[part],
        lambda torch: lambda *args: torch.topk(*args)[part],
        *(np.array(0.75), 1, dim, False, False),
        gradients=False,
    )


@oracle
@pytest.mark.parametrize("dim", [0, -1])
def test_argmax_of_a_number_alone_equals_torch(compare, dim):
    """It is the largest of all, and its place is 0."""
    number = np.array(0.75)
    compare(ops.argmax, lambda torch: torch.argmax, number, dim=dim, gradients=False)


@oracle
@pytest.mark.parametrize("place", [0, [0, 0]])
def test_gather_of_a_number_alone_equals_torch(compare, place):
    """It may be gathered once, or into a row."""
    for x in (np.array(0.75), np.array([0.75])):
        compare(ops.gather, lambda torch: torch.gather, x, 0, np.array(place))


@oracle
@pytest.mark.parametrize("dim", [0, -1])
def test_gather_equals_torch(compare, dim):
    """PyTorch's gather, and its gradient where places repeat."""
    index = np.array([[1, 1, 0], [2, 1, 2], [0, 0, 0]])
    x = random_arrays(6)(3, 3)
    compare(ops.gather, lambda torch: torch.gather, x, dim, index)


@oracle
def test_masked_mean_equals_torch_arithmetic(compare):
    """The sum of what is kept, over how much is kept; and its gradient."""
    mask = np.array([[True, True, False, False], [False, True, True, True]])

    def reference(torch):
        def masked_mean(x, mask, dim):
            kept = mask[..., None].double()
            return (x * kept).sum(dim) / kept.sum(dim)

        return masked_mean

    compare(ops.masked_mean, reference, random_arrays(7)(2, 4, 3), mask, 1)


@derivative
def test_topk_derivative_goes_to_the_chosen():
    """The gradient of a value goes back to its place, and to no other."""
    d_x = grad(lambda x: ops.topk(x, 2)[0].sum())(np.array([1.0, 5.0, 5.0, 2.0]))
    np.testing.assert_array_equal(d_x, [0, 1, 1, 0])


@derivative
@pytest.mark.parametrize("dim", [0, 1])
def test_gather_derivative(dim):
    """An entry that was taken twice collects twice."""
    index = np.array([[1, 1, 0], [2, 1, 2], [0, 0, 0]])
    check_vjp(ops.gather, random_arrays(8)(3, 3), dim, index)


@derivative
@pytest.mark.parametrize("dim", [0, 1])
def test_masked_mean_derivative(dim):
    """Each kept entry has an equal share; a masked one has none."""
    mask = np.array([[1, 1, 0, 0], [0, 1, 1, 1]])[(0,) * (1 - dim)]
    check_vjp(ops.masked_mean, random_arrays(9)(*mask.shape, 3), mask, dim)


@contract
def test_topk_refuses_more_than_there_is():
    """The message says how many entries there are."""
    with pytest.raises(ValueError, match="k is 5, but there are 4 entries"):
        ops.topk(np.zeros((2, 4)), 5)


@contract
def test_argmax_refuses_nothing():
    """No entries, no largest one; of no rows, there is nothing to refuse."""
    for dim in (1, None):
        with pytest.raises(ShapeError, match="has no largest entry"):
            ops.argmax(np.zeros((2, 0)), dim=dim)
    assert ops.argmax(np.zeros((2, 0)), dim=0).shape == (0,)


@contract
def test_gather_refuses_places_that_are_not_there():
    """NumPy would count -1 from the end; here it is an error."""
    for wrong in (-1, 3):
        with pytest.raises(ValueError, match="an index is outside 0 to 2"):
            ops.gather(np.zeros((1, 3)), 1, np.array([[wrong]]))
    with pytest.raises(ValueError, match="index holds float64"):
        ops.gather(np.zeros((1, 3)), 1, np.zeros((1, 1)))
    with pytest.raises(ShapeError, match="they may differ along dim 1 only"):
        ops.gather(np.zeros((1, 3)), 1, np.zeros((2, 1), int))


@contract
def test_masked_mean_refuses_a_mask_that_keeps_nothing():
    """No number is the mean of no numbers."""
    mask = np.array([[True, False], [False, False]])
    with pytest.raises(ValueError, match="keeps nothing"):
        ops.masked_mean(np.ones((2, 2, 3)), mask, 1)


@contract
def test_masked_mean_refuses_a_mask_of_another_shape():
    """The message says which entries there are to keep or not."""
    with pytest.raises(ShapeError, match=r"mask is \(2, 5\), but x \(2, 4, 3\)"):
        ops.masked_mean(np.ones((2, 4, 3)), np.ones((2, 5)), 1)
