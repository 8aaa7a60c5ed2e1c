"""The spec of refvlm/ops/linear_algebra.py."""

import numpy as np
import pytest
from hypothesis import assume, given

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


def covariance(factor):
    """A positive definite matrix, exactly symmetric: F F^T + I."""
    squares = factor @ factor.swapaxes(-1, -2) + np.eye(factor.shape[-1])
    return (squares + squares.swapaxes(-1, -2)) / 2


draw = random_arrays(13)
CALLS = {
    "solve": [
        call(draw(3, 3) + 4 * np.eye(3), draw(3, 2)),
        call(draw(2, 1, 3, 3) + 4 * np.eye(3), draw(5, 3, 4)),
        call(draw(0, 3, 3), draw(0, 3, 2)),
        call(draw(3, 3) + 4 * np.eye(3), draw(2, 3, 1)),
    ],
    "logdet": [
        call(covariance(draw(3, 3))),
        call(covariance(draw(2, 3, 4, 4))),
        call(covariance(draw(0, 3, 3))),
    ],
}


@example
def test_solve_of_two_unknowns():
    """2x = 4 and x + y = 5: x is 2, y is 3."""
    A, B = np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([[4.0], [5.0]])
    np.testing.assert_allclose(ops.solve(A, B), [[2.0], [3.0]])


@example
def test_logdet_of_a_diagonal_is_a_sum_of_logarithms():
    """The determinant of a diagonal is the product of it."""
    A = np.diag([2.0, 3.0, 4.0])
    np.testing.assert_allclose(ops.logdet(A), np.log(24.0))


@law
@given(tensors((3, 3)), tensors((3, 2)))
def test_solve_answers_the_equation(A, B):
    """A X is B again: not A^T X, and not X A."""
    assume(np.linalg.cond(A) < 1e3)
    assert_close(A @ ops.solve(A, B), B, 1e-9)


@law
def test_solve_broadcasts_matrices_over_right_sides():
    """One matrix serves many right sides, and one right side many matrices: each as if
    it had been solved alone."""
    draw = random_arrays(31)
    A, B = draw(4, 1, 3, 3) + 4 * np.eye(3), draw(2, 3, 5)
    out = ops.solve(A, B)
    assert out.shape == (4, 2, 3, 5)
    for i, j in np.ndindex(4, 2):
        assert_close(out[i, j], ops.solve(A[i, 0], B[j]))


@law
@pytest.mark.parametrize("place", range(9))
def test_solve_lets_no_nan_pass_unseen(place):
    """A NaN anywhere in A leaves no number in X that looks like an answer, and does
    nothing to the other matrices."""
    draw = random_arrays(32)
    A, B = draw(2, 3, 3) + 4 * np.eye(3), draw(3, 2)
    A[1].flat[place] = np.nan
    out = ops.solve(A, B)
    assert np.isnan(out[1]).all()
    assert_close(out[0], ops.solve(A[0], B))


@law
@given(tensors((3, 3), -2, 2), tensors((3, 3), -2, 2))
def test_logdet_of_a_product_is_a_sum(F, G):
    """|F A F^T| is |F|^2 |A|: volumes multiply, so their logarithms add up."""
    assume(np.linalg.cond(F) < 1e3)
    A = covariance(G)
    product = F @ A @ F.T
    enlarged = np.log(np.abs(np.linalg.det(F)))
    np.testing.assert_allclose(
        ops.logdet(product), ops.logdet(A) + 2 * enlarged, atol=1e-7
    )


@law
def test_logdet_holds_what_the_determinant_does_not():
    """512 variances of 1e-6: 1e-3072 is 0 in every format, its logarithm is no news."""
    A = 1e-6 * np.eye(512)
    assert np.linalg.det(A) == 0
    assert_close(ops.logdet(A), np.array(512 * np.log(1e-6)))


@oracle
@pytest.mark.parametrize("lead, beside", [((), ()), ((2, 1), (3,)), ((), (2,))])
def test_solve_equals_torch(compare, lead, beside):
    """PyTorch's and its gradients, of one matrix and of several."""
    draw = random_arrays(33)
    A, B = draw(*lead, 5, 5) + 6 * np.eye(5), draw(*beside, 5, 3)
    compare(ops.solve, lambda torch: torch.linalg.solve, A, B)


@oracle
@pytest.mark.parametrize("shape", [(5, 5), (2, 3, 4, 4)])
def test_logdet_equals_torch(compare, shape):
    """PyTorch's and its gradient: by another factorisation, of any matrix."""
    A = covariance(random_arrays(35)(*shape))
    compare(ops.logdet, lambda torch: torch.logdet, A.astype(np.float32).astype(float))


@derivative
def test_solve_derivative():
    """Of the matrix and of the right sides, where one of the matrices serves two."""
    draw = random_arrays(34)
    check_vjp(ops.solve, draw(2, 1, 3, 3) + 4 * np.eye(3), draw(2, 3, 2))


@derivative
def test_logdet_derivative():
    """The inverse; an entry and its mirror image share what a step of one does."""
    check_vjp(ops.logdet, covariance(random_arrays(36)(2, 3, 3)))


@contract
def test_solve_refuses_a_singular_matrix():
    """By its place among the matrices, its rank, and with what to do instead."""
    A = np.stack([np.eye(2), np.array([[1.0, 2.0], [2.0, 4.0]])])
    message = r"solve: A \(matrix 1 of 2\) is singular: its rank is 1 of 2.*diagonal"
    with pytest.raises(ValueError, match=message):
        ops.solve(A, np.ones((2, 1)))
    with pytest.raises(ValueError, match=r"solve: A is singular: .* 0 of 3"):
        ops.solve(np.zeros((3, 3)), np.ones((3, 1)))


@contract
def test_solve_refuses_a_vector():
    """A right side is a column: (n, 1), since (n,) may mean two things in a batch."""
    with pytest.raises(ShapeError, match=r"solve: B is \(3,\), but needs at least 2"):
        ops.solve(np.eye(3), np.ones(3))
    with pytest.raises(ShapeError, match=r"solve: .*n = "):
        ops.solve(np.ones((2, 3)), np.ones((3, 1)))


@contract
def test_logdet_refuses_what_is_no_covariance():
    """An eigenvalue below 0, a matrix that is not symmetric, a NaN: each in its own
    words."""
    with pytest.raises(ValueError, match="logdet: A is not positive .* is -1: add"):
        ops.logdet(np.diag([1.0, -1.0]))
    with pytest.raises(ValueError, match="logdet: A is not symmetric, .* 2 apart"):
        ops.logdet(np.array([[5.0, 2.0], [0.0, 5.0]]))
    with pytest.raises(ValueError, match="logdet: A holds nan: see where"):
        ops.logdet(np.full((2, 2), np.nan))
