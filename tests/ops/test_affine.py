"""The spec of refvlm/ops/affine.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    call,
    check_dtype,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)

MATRICES = {
    "batches": ((2, 1, 3, 4), (5, 4, 2)),
    "row": ((4,), (2, 4, 3)),
    "column": ((2, 3, 4), (4,)),
    "two vectors": ((4,), (4,)),
}

draw = random_arrays(2026)
IDS = np.array([[1, 4, 2], [4, 4, 0]])
CALLS = {
    "linear": [
        call(draw(5), draw(4, 5), draw(4)),
        call(draw(2, 3, 5), draw(4, 5)),
        call(draw(2, 0, 5), draw(4, 5), draw(4)),
        call(draw(2, 33, 130), draw(2051, 130), draw(2051)),
    ],
    "matmul": [call(draw(*left), draw(*right)) for left, right in MATRICES.values()],
    "embedding": [
        call(IDS, draw(5, 3)),
        call(IDS[:, :0].astype(np.int32), draw(5, 3)),
        call(IDS.astype(np.uint16), draw(5, 3), padding_idx=-1),
    ],
}


@example
def test_linear_multiplies_and_shifts():
    """1 x 3 + 2 x 4 + 0.5 = 11.5: a row of the weight for each output."""
    out = ops.linear(np.array([1.0, 2.0]), np.array([[3.0, 4.0]]), np.array([0.5]))
    np.testing.assert_array_equal(out, [11.5])


@example
def test_matmul_of_a_matrix_and_a_column():
    """Tens and ones: each row is read as a two-digit number."""
    out = ops.matmul(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[10.0], [1.0]]))
    np.testing.assert_array_equal(out, [[12], [34]])


@example
def test_embedding_looks_rows_up():
    """Ids 2 and 0 give the rows 2 and 0."""
    table = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    np.testing.assert_array_equal(
        ops.embedding(np.array([2, 0]), table), [[4, 5], [0, 1]]
    )


@law
@given(tensors((2, 3, 4)), tensors((2, 3, 4)), tensors((5, 4)))
def test_linear_is_linear(x, other, weight):
    """The map of a sum is the sum of the maps."""
    together = ops.linear(x + 3.0 * other, weight)
    apart = ops.linear(x, weight) + 3.0 * ops.linear(other, weight)
    assert np.abs(together - apart).max() <= 1e-10


@law
@given(tensors((2, 3, 4)), tensors((5, 4)), tensors(5))
def test_linear_treats_each_token_alone(x, weight, bias):
    """Leading axes are batch: each token by itself gives the same."""
    alone = np.stack([[ops.linear(t, weight, bias) for t in row] for row in x])
    assert np.abs(ops.linear(x, weight, bias) - alone).max() <= 1e-10


@law
@given(tensors((3, 4)), tensors((5, 4)), tensors((2, 5)))
def test_linear_maps_compose_into_one(x, first, second):
    """Without a bend between them, two linear maps are one: the product."""
    twice = ops.linear(ops.linear(x, first), second)
    assert np.abs(twice - ops.linear(x, second @ first)).max() <= 1e-9


@law
@given(tensors((2, 1, 3, 4)), tensors((5, 4, 2)))
def test_matmul_is_the_sum_over_the_shared_axis(a, b):
    """C[i, j] = sum over k of A[i, k] B[k, j], and leading axes broadcast."""
    by_definition = (a[..., :, :, None] * b[..., None, :, :]).sum(axis=-2)
    assert np.abs(ops.matmul(a, b) - by_definition).max() <= 1e-10


@law
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), tensors((6, 3)))
def test_embedding_is_a_product_with_one_hot_rows(ids, table):
    """Looking up is multiplying by a matrix of zeros with a one in each row."""
    assert_close(ops.embedding(np.array(ids), table), np.eye(6)[ids] @ table)


@law
@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint16])
def test_embedding_keeps_the_dtype(kind):
    """The table's dtype comes out, whatever integers go in."""
    check_dtype(ops.embedding, np.array([[2, 0, 2]], kind), random_arrays(3)(4, 5))


@oracle
@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_linear_equals_torch(compare, lead):
    """PyTorch's linear and its gradients, for a token, a sentence, a batch."""
    draw = random_arrays(4)
    x, weight, bias = draw(*lead, 5), draw(4, 5), draw(4)
    compare(ops.linear, lambda torch: torch.nn.functional.linear, x, weight, bias)
    compare(ops.linear, lambda torch: torch.nn.functional.linear, x, weight)


@oracle
@pytest.mark.parametrize("left, right", MATRICES.values(), ids=MATRICES.keys())
def test_matmul_equals_torch(compare, left, right):
    """PyTorch's matmul and its gradients, with vectors on either side."""
    draw = random_arrays(5)
    compare(ops.matmul, lambda torch: torch.matmul, draw(*left), draw(*right))


@oracle
@pytest.mark.parametrize("padding_idx", [None, 2, -1])
def test_embedding_equals_torch(compare, padding_idx):
    """PyTorch's embedding; ids that repeat add up their gradients, padding has none."""
    ids = np.array([[1, 4, 2], [4, 4, 0]])
    compare(
        ops.embedding,
        lambda torch: torch.nn.functional.embedding,
        ids,
        random_arrays(6)(5, 3),
        padding_idx=padding_idx,
    )


@derivative
@pytest.mark.parametrize("lead", [(), (2, 3)])
def test_linear_derivative(lead):
    """The same weight read the other way, and products of what came and what goes."""
    draw = random_arrays(7)
    check_vjp(ops.linear, draw(*lead, 5), draw(4, 5), draw(4))


@derivative
@pytest.mark.parametrize("left, right", MATRICES.values(), ids=MATRICES.keys())
def test_matmul_derivative(left, right):
    """What was repeated by broadcasting collects from all its copies."""
    draw = random_arrays(8)
    check_vjp(ops.matmul, draw(*left), draw(*right))


@derivative
def test_embedding_derivative():
    """A row collects from each of its uses; a row that was not used gets nothing."""
    ids, table = np.array([[1, 4, 2], [4, 4, 0]]), random_arrays(9)(6, 3)
    check_vjp(ops.embedding, ids, table)
    _, d_table = ops.embedding_vjp(np.ones((2, 3, 3)), ids, table, None)
    np.testing.assert_array_equal(d_table[:, 0], [1, 1, 1, 0, 3, 0])


@contract
def test_linear_refuses_features_that_do_not_fit():
    """The message says which weight, and how many features it reads."""
    with pytest.raises(ShapeError, match=r"weight is \(5, 3\), but n_in = 4"):
        ops.linear(np.zeros((2, 4)), np.zeros((5, 3)))


@contract
@pytest.mark.parametrize(
    "left, right, message",
    [
        ((2, 3), (4, 5), "3 columns on the left and 4 rows on the right"),
        ((2, 3, 4), (3, 4, 5), "leading axes .* do not broadcast"),
        ((), (3,), "without axes"),
    ],
)
def test_matmul_refuses_sides_that_do_not_fit(left, right, message):
    """The message says what each side has to offer."""
    with pytest.raises(ShapeError, match=message):
        ops.matmul(np.zeros(left), np.zeros(right))


@contract
@pytest.mark.parametrize("wrong", [-1, 4])
def test_embedding_refuses_ids_outside_the_table(wrong):
    """NumPy would count -1 from the end; a wrong id is an error, and is named."""
    with pytest.raises(ValueError, match=f"id {wrong} is not in a table of 4 rows"):
        ops.embedding(np.array([0, wrong]), np.zeros((4, 2)))


@contract
def test_embedding_refuses_ids_that_are_no_integers():
    """A float or a boolean is not a row number."""
    for wrong in (np.array([1.0]), np.array([True])):
        with pytest.raises(ValueError, match="input holds (float64|bool)"):
            ops.embedding(wrong, np.zeros((4, 2)))


@contract
def test_embedding_refuses_padding_outside_the_table():
    """A row that is not there cannot be kept from learning."""
    with pytest.raises(ValueError, match="padding_idx 4 is not in a table of 4 rows"):
        ops.embedding(np.array([1]), np.zeros((4, 2)), padding_idx=4)
