"""The spec of refvlm/ops/pseudo_inverse.py."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import Variable

from ..spec import (
    assert_close,
    call,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    pulled_back,
    random_arrays,
    tensors,
)

draw = random_arrays(14)
CALLS = {
    "pinv": [
        call(draw(3, 4)),
        call(draw(2, 3, 5, 3), rtol=1e-3),
        call(draw(4, 2) @ draw(2, 3), rtol=1e-3),
        call(draw(0, 3, 2)),
    ],
    "safe_scale": [call(draw(3, 4)), call(draw(2, 3, 5, 3)), call(draw(0, 3, 2))],
    "ben_israel_cohen": [
        call(draw(4, 3)),
        call(draw(2, 3, 5)),
        call(draw(2, 3, 5), steps=3),
        call(draw(3, 2), 2, 2.0**-20),
        call(draw(3, 2), 4, tolerance=0.5),
    ],
    "ben_israel_cohen_residuals": [
        call(draw(4, 3), steps=3),
        call(draw(2, 3, 5), 2, 2.0**-20),
        call(draw(0, 3, 2), 2),
    ],
}


def with_singular_values(values, m, n, seed=0):
    """A matrix (m, n) that has these, and directions drawn at random."""
    draw = random_arrays(seed)
    U, _ = np.linalg.qr(draw(m, m))
    V, _ = np.linalg.qr(draw(n, n))
    k = len(values)
    return U[:, :k] * np.asarray(values) @ V[:, :k].T


def filtered(A, share):
    """The matrix with $1/s$ times share(s) for each singular value s of A, laid out as
    the pseudo-inverse is."""
    U, S, Vt = np.linalg.svd(A, full_matrices=False)
    return (Vt.T * (share(S) / S)) @ U.T


@example
def test_pinv_of_a_column_is_a_row_divided_by_its_square():
    """Of (3, 4) it is (3, 4)/25: the share of it in a vector."""
    out = ops.pinv(np.array([[3.0], [4.0]]))
    np.testing.assert_allclose(out, [[0.12, 0.16]])


@example
def test_safe_scale_of_a_small_matrix():
    """The largest column sum is 4, the largest row sum 5."""
    A = np.array([[1.0, -4.0], [2.0, 0.0]])
    assert ops.safe_scale(A) == 1 / (4 * 5)


@example
def test_ben_israel_cohen_of_one_number():
    """Of 2, from 2/8: a quarter becomes 3/8 and then 15/32, on its way to a half."""
    two = np.array([[2.0]])
    steps = [ops.ben_israel_cohen(two, n, scale=0.125).item() for n in range(3)]
    assert steps == [0.25, 0.375, 0.46875]


@example
def test_ben_israel_cohen_residuals_of_one_number_square():
    """1 - 4/8 is a half, then a quarter, then a sixteenth."""
    out = ops.ben_israel_cohen_residuals(np.array([[2.0]]), 2, scale=0.125)
    np.testing.assert_array_equal(out, [0.5, 0.25, 0.0625])


RANKS = [(3, 3, 3), (5, 3, 3), (3, 5, 3), (4, 5, 2), (5, 4, 1), (3, 4, 0)]


def assert_penrose(A, X):
    """The four conditions, to rounding."""
    assert_close(A @ X @ A + 1, A + 1, 1e-10)
    assert_close(X @ A @ X + 1, X + 1, 1e-10)
    assert_close(A @ X + 1, (A @ X).T + 1, 1e-10)
    assert_close(X @ A + 1, (X @ A).T + 1, 1e-10)


@law
@pytest.mark.parametrize("name", ["pinv", "ben_israel_cohen"])
@pytest.mark.parametrize("m, n, rank", RANKS)
def test_pinv_keeps_the_four_conditions_of_penrose(name, m, n, rank):
    """A X A = A, X A X = X, and both products symmetric: only one X does all that."""
    A = with_singular_values([2.0, 1.5, 0.5][:rank], m, n, seed=m + n + rank)
    assert_penrose(A, getattr(ops, name)(A))


@law
@given(tensors((4, 3)), tensors((4, 2)))
def test_pinv_solves_by_least_squares(A, B):
    """What is left over, B - A X, is orthogonal to all that A reaches."""
    X = ops.pinv(A, rtol=1e-6) @ B
    left = A.T @ (B - A @ X)
    assert np.abs(left).max() <= 1e-4 * (1 + np.abs(A).max() * np.abs(B).max())


@law
def test_pinv_gives_the_shortest_answer():
    """Of the many x with A x = b it is the one without a part that A does not see."""
    draw = random_arrays(41)
    A, b = draw(2, 4), draw(2, 1)
    x = ops.pinv(A) @ b
    assert_close(A @ x, b)
    *_, Vt = np.linalg.svd(A)
    assert np.abs(Vt[2:] @ x).max() < 1e-12
    for unseen in Vt[2:]:
        other = x + 0.1 * unseen[:, None]
        assert_close(A @ other, b, 1e-9)
        assert np.linalg.norm(other) > np.linalg.norm(x)


@law
def test_pinv_of_an_inverse_is_an_inverse():
    """Where there is one, it is that one, and what solve divides by."""
    draw = random_arrays(42)
    A, B = draw(2, 3, 3) + 4 * np.eye(3), draw(2, 3, 2)
    assert_close(ops.pinv(A), np.linalg.inv(A))
    assert_close(ops.pinv(A) @ B, ops.solve(A, B))


@law
def test_pinv_leaves_out_what_counts_as_zero():
    """Of 2, 1 and 0.001 the last is below a hundredth of the first: it is no
    direction of A, and A^+ has none there."""
    A = with_singular_values([2.0, 1.0, 0.001], 4, 3)
    assert_close(np.linalg.norm(ops.pinv(A), 2), np.float64(1000.0), 1e-9)
    assert_close(np.linalg.norm(ops.pinv(A, rtol=0.01), 2), np.float64(1.0))


@law
@pytest.mark.parametrize("c", [2.0**-60, 2.0**-8, 2.0**8, 2.0**60])
@pytest.mark.parametrize("rtol", [None, 0.01])
def test_pinv_of_a_matrix_in_other_units_is_the_same_in_theirs(c, rtol):
    """Metres or miles: c A has the inverse of A over c, and leaves out the same
    directions, because what counts as zero is a share of the largest."""
    A = with_singular_values([2.0, 1.0, 0.015], 4, 3)
    assert_close(c * ops.pinv(c * A, rtol=rtol), ops.pinv(A, rtol=rtol), 1e-12)


@law
def test_pinv_of_a_batch_judges_each_matrix_by_itself():
    """What is small beside the largest of another matrix may be large in its own."""
    large = with_singular_values([2.0, 1.0, 0.015], 4, 3)
    together = ops.pinv(np.stack([large, 2.0**-20 * large]), rtol=0.01)
    for A, X in zip((large, 2.0**-20 * large), together):
        assert_close(X, ops.pinv(A, rtol=0.01))


@law
@given(tensors((2, 3, 4)).filter(lambda A: np.abs(A).max((-2, -1)).min() > 1e-3))
def test_safe_scale_is_safe(A):
    """alpha s^2 is at most 1 for every singular value: half of what would diverge."""
    largest = np.linalg.norm(A, 2, (-2, -1))
    assert (ops.safe_scale(A) * largest**2 <= 1 + 1e-12).all()


@law
def test_safe_scale_of_zeros_is_any_scale():
    """X stays 0, as it should."""
    assert ops.safe_scale(np.zeros((2, 3))) == 1
    np.testing.assert_array_equal(ops.ben_israel_cohen(np.zeros((2, 3))), 0)


@law
@settings(deadline=None)
@given(
    st.lists(st.floats(0.1, 4.0), min_size=3, max_size=3),
    st.integers(0, 6),
    st.floats(0.01, 1.9),
)
def test_ben_israel_cohen_misses_in_each_direction_what_its_law_says(values, steps, c):
    """(1 - alpha s^2)^(2^n) of 1/s, in the direction of s: each squares by itself."""
    A = with_singular_values(values, 4, 5, seed=3)
    scale = c / max(values) ** 2
    X = ops.ben_israel_cohen(A, steps, scale)
    U, S, Vt = np.linalg.svd(A, full_matrices=False)
    along = np.einsum("ki,ij,jk->k", Vt[:3], X, U[:, :3]) * S[:3]
    expected = (1 - scale * S[:3] ** 2) ** 2**steps
    np.testing.assert_allclose(1 - along, expected, atol=1e-10)


@law
def test_ben_israel_cohen_residuals_are_those_of_the_singular_values():
    """The norm of A - A X A is that of s (1 - alpha s^2)^(2^n), over that of s."""
    S = np.array([3.0, 1.0, 0.25])
    A = with_singular_values(S, 5, 4)
    steps = np.arange(8)
    left = S[:, None] * (1 - S[:, None] ** 2 / 10) ** 2.0**steps
    expected = np.sqrt((left**2).sum(0) / (S**2).sum())
    found = ops.ben_israel_cohen_residuals(A, 7, scale=0.1)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@law
@pytest.mark.parametrize(
    "steps, share", [(3, 0.003993), (7, 0.062010), (15, 0.99999992)]
)
def test_ben_israel_cohen_does_not_converge_in_three_steps(steps, share):
    """The memory as it starts, ones on a diagonal, from the published 5e-4: after three
    steps X is 0.4 % of the pseudo-inverse, and after fifteen it is the pseudo-inverse.
    """
    A = np.eye(512, 896)
    X = ops.ben_israel_cohen(A, steps, scale=5e-4)
    np.testing.assert_allclose(X, share * A.T, rtol=1e-3 if steps < 15 else 1e-8)


@law
@pytest.mark.parametrize("c, converges", [(1.99, True), (2.01, False), (1.0, True)])
def test_ben_israel_cohen_converges_below_two_over_the_square(c, converges):
    """At alpha s^2 = 1.99 the first residual is -0.99, whose squares vanish; at 2.01 it
    is -1.01, whose squares grow: the steps by hand say so, and the operator refuses."""
    A = with_singular_values([2.0, 1.0], 3, 2)
    X = c / 4 * A.T
    for _ in range(14):
        X = 2 * X - X @ A @ X
    assert (np.abs(X).max() < 2) == converges
    if converges:
        assert_close(ops.ben_israel_cohen(A, scale=c / 4), ops.pinv(A), 1e-12)
    else:
        with pytest.raises(ValueError, match="diverges"):
            ops.ben_israel_cohen(A, scale=c / 4)


@law
def test_ben_israel_cohen_stops_each_matrix_at_its_time():
    """One that rests waits for the others: more steps would double its roundings."""
    far = with_singular_values([1.0, 1e-3], 4, 4, seed=1)
    near = with_singular_values([1.0, 0.9], 4, 4, seed=2)
    out = ops.ben_israel_cohen(np.stack([far, near]))
    for A, X in zip((far, near), out):
        assert_close(X, ops.pinv(A, rtol=1e-6), 1e-9)


@law
def test_ben_israel_cohen_loses_digits_where_it_does_not_stop():
    """Of a matrix of rank 2 in 4 dimensions, what rounding puts in the other two
    doubles at every step: 60 steps are not better than the 6 that were needed."""
    A = with_singular_values([1.0, 0.9], 4, 4, seed=2)
    right = ops.pinv(A, rtol=1e-6)
    stopped, went_on = ops.ben_israel_cohen(A), ops.ben_israel_cohen(A, 60)
    assert np.abs(stopped - right).max() < 1e-13
    assert np.abs(went_on - right).max() > 1e-3


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ben_israel_cohen_hands_out_nothing_that_roundings_have_outgrown(dtype):
    """On paper X A has singular values from 0 to 1: what is handed out is never as much
    as twice too large, whatever the number of steps, and some step is refused."""
    A = with_singular_values([1.0, 0.9], 4, 4, seed=2).astype(dtype)
    for steps in range(200):
        try:
            X = ops.ben_israel_cohen(A, steps)
        except ValueError:
            break
        assert np.linalg.norm(X @ A) <= 2 * math.sqrt(len(A))
    assert 10 < steps < 199


@law
def test_ben_israel_cohen_stops_at_its_tolerance():
    """With a number of steps beside it, whichever comes first."""
    A = with_singular_values([1.0, 0.5], 3, 3)
    off = [
        np.abs(ops.ben_israel_cohen(A, tolerance=share) - ops.pinv(A, 1e-6)).max()
        for share in (0.5, 1e-2, 1e-4)
    ]
    assert 1 > off[0] > off[1] > off[2] and off[2] < 1e-7
    by_steps = ops.ben_israel_cohen(A, 2, tolerance=1e-4)
    assert_close(by_steps, ops.ben_israel_cohen(A, 2))


@oracle
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (2, 3, 4, 4)])
def test_pinv_equals_torch(compare, shape):
    """PyTorch's and its gradient, of wide matrices, tall ones and square ones."""
    A = random_arrays(43)(*shape)
    compare(ops.pinv, lambda torch: torch.linalg.pinv, A)


@oracle
def test_pinv_of_a_smaller_rank_equals_torch(compare):
    """And its gradient: what the rows and the columns do not reach has its part."""
    draw = random_arrays(44)
    A = np.round(draw(5, 2) * 4) / 4 @ (np.round(draw(2, 4) * 4) / 4)
    assert np.linalg.matrix_rank(A) == 2
    compare(ops.pinv, lambda torch: torch.linalg.pinv, A, rtol=2.0**-10)


@oracle
@pytest.mark.parametrize("shape", [(3, 5), (5, 3)])
def test_ben_israel_cohen_equals_torch(compare, shape):
    """And its gradient, which the tape takes back through every step."""
    A = random_arrays(45)(*shape)
    compare(ops.ben_israel_cohen, lambda torch: torch.linalg.pinv, A)


@oracle
def test_safe_scale_equals_numpy():
    """One over the product of NumPy's two norms."""
    A = random_arrays(46)(3, 4, 5)
    norms = [np.linalg.norm(A, order, (-2, -1)) for order in (1, np.inf)]
    assert_close(ops.safe_scale(A), 1 / (norms[0] * norms[1]))


@derivative
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 2, 4)])
def test_pinv_derivative(shape):
    """Of full rank, whose one part is that of the inverse and another is beyond it."""
    check_vjp(ops.pinv, random_arrays(47)(*shape))


@derivative
def test_pinv_derivative_among_matrices_of_one_rank():
    """A product of a tall and a wide matrix stays at rank 2 however these move."""

    def of_product(tall, wide):
        return ops.pinv(ops.matmul(tall, wide), rtol=1e-4)

    draw = random_arrays(48)
    check_vjp(of_product, draw(5, 2), draw(2, 4))


@derivative
def test_ben_israel_cohen_derivative_is_that_of_pinv():
    """Through the steps, or by one formula at their end: the limit has one."""
    draw = random_arrays(49)
    A, d_out = draw(2, 3, 4), draw(2, 4, 3)
    (unrolled,) = pulled_back(ops.ben_israel_cohen, d_out, A)
    assert_close(unrolled, ops.pinv_vjp(d_out, ops.pinv(A), A), 1e-9)


@derivative
def test_ben_israel_cohen_derivative_of_few_steps():
    """Far from the limit it is the derivative of what these steps give."""
    A = random_arrays(50)(3, 4)
    check_vjp(lambda A: ops.ben_israel_cohen(A, 3, 2.0**-6), A)
    assert type(ops.ben_israel_cohen(Variable(A))) is Variable


ITERATED = ["ben_israel_cohen", "safe_scale", "ben_israel_cohen_residuals", "pinv"]


@contract
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ITERATED)
def test_pseudo_inverses_refuse_what_is_no_number(name, wrong):
    """By its name: otherwise one NaN would be NaN everywhere, without saying from
    where."""
    A, more = random_arrays(51)(3, 2), (2,) if name.endswith("residuals") else ()
    A[1, 1] = wrong
    for value in (A, Variable(A)) if name == "ben_israel_cohen" else (A,):
        with pytest.raises(ValueError, match=f"{name}: A holds {wrong}: see where"):
            getattr(ops, name)(value, *more)


@contract
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3)])
def test_pseudo_inverses_of_nothing_are_nothing(shape):
    """Without rows or without columns there is nothing to invert, and no error."""
    A = np.zeros(shape)
    for name in ("pinv", "ben_israel_cohen"):
        assert getattr(ops, name)(A).shape == A.swapaxes(-1, -2).shape
    assert (ops.safe_scale(A) == 1).all()
    assert (ops.ben_israel_cohen_residuals(A, 2) == 0).all()


@contract
@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_ben_israel_cohen_refuses_squares_out_of_range(size):
    """It squares every number: they have to have squares."""
    with pytest.raises(ValueError, match="ben_israel_cohen: the largest entry of A is"):
        ops.ben_israel_cohen(np.full((2, 2), size))


@contract
def test_ben_israel_cohen_refuses_a_scale_that_diverges():
    """It says from where on; a scale that is none, too."""
    A = with_singular_values([2.0, 1.0], 3, 2)
    message = r"scale is 0.5, but the largest singular value of A is s = 2, .* 0.5 on"
    with pytest.raises(ValueError, match=message):
        ops.ben_israel_cohen(A, scale=0.5)
    for scale in (0, -0.1, np.nan, "a", np.ones(2)):
        with pytest.raises(ValueError, match="ben_israel_cohen: scale is a number"):
            ops.ben_israel_cohen(A, scale=scale)


@contract
def test_ben_israel_cohen_says_where_it_does_not_come_to_rest():
    """Beyond what rounding leaves there is nothing to be had by more steps; of a
    smaller rank, rounding outgrows what is right. A larger tolerance can be had."""
    A = with_singular_values(np.logspace(0, -12, 12), 12, 12)
    with pytest.raises(ValueError, match="still changes after 128 steps .* pinv"):
        ops.ben_israel_cohen(A)
    A = with_singular_values(np.logspace(0, -8, 6), 12, 12)
    for stop in ({}, {"steps": 120}):
        with pytest.raises(ValueError, match="roundings have outgrown X: .* pinv"):
            ops.ben_israel_cohen(A, **stop)
    right = ops.pinv(A, rtol=1e-10)
    assert_close(ops.ben_israel_cohen(A, tolerance=1e-3), right, 1e-3)


@contract
def test_ben_israel_cohen_refuses_options_that_are_none():
    """Steps are counted, and a tolerance is a share."""
    A = np.eye(2)
    for steps in (-1, 2.0, True):
        with pytest.raises(ValueError, match="ben_israel_cohen: steps must be a whole"):
            ops.ben_israel_cohen(A, steps)
    for tolerance in (0, 1, np.nan, "a"):
        with pytest.raises(ValueError, match="ben_israel_cohen: tolerance is a share"):
            ops.ben_israel_cohen(A, tolerance=tolerance)


@contract
def test_pinv_refuses_a_cutoff_that_is_none():
    """A share of the largest singular value."""
    for rtol in (-0.1, 1.0, np.nan, "a"):
        with pytest.raises(ValueError, match="pinv: rtol is a share"):
            ops.pinv(np.eye(2), rtol)
