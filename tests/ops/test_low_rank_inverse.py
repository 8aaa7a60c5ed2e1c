"""The spec of refvlm/ops/low_rank_inverse.py."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

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

draw = random_arrays(15)
CALLS = {
    "sherman_morrison": [
        call(draw(3, 3) + 4 * np.eye(3), draw(3), draw(3)),
        call(draw(2, 1, 3, 3) + 4 * np.eye(3), draw(5, 3), draw(3)),
        call(draw(0, 3, 3), draw(0, 3), draw(0, 3)),
    ],
    "woodbury": [
        call(draw(3, 3) + 4 * np.eye(3), draw(3, 2), draw(2, 2), draw(2, 3)),
        call(draw(2, 1, 4, 4) + 5 * np.eye(4), draw(3, 4, 1), draw(1, 1), draw(1, 4)),
        call(draw(0, 3, 3), draw(0, 3, 2), draw(0, 2, 2), draw(0, 2, 3)),
    ],
}


def regular(draw, *shape):
    """A matrix far from singular."""
    return draw(*shape) + 5 * np.eye(shape[-1])


@example
def test_sherman_morrison_of_a_stretch():
    """The identity, stretched to 2 along one axis: its inverse has a half there."""
    first = np.array([1.0, 0.0])
    out = ops.sherman_morrison(np.eye(2), first, first)
    np.testing.assert_array_equal(out, [[0.5, 0.0], [0.0, 1.0]])


@example
def test_woodbury_of_two_stretches():
    """One plane of three dimensions, stretched to 2 and to 4."""
    plane = np.eye(3, 2)
    out = ops.woodbury(np.eye(3), plane, np.diag([1.0, 3.0]), plane.T)
    np.testing.assert_allclose(out, np.diag([0.5, 0.25, 1.0]))


@law
@given(tensors((3, 3)), tensors(3), tensors(3))
def test_sherman_morrison_inverts_what_has_changed(A, u, v):
    """Held against the inverse of A + u v^T, and u is the column of it."""
    changed = A + np.outer(u, v)
    assume(max(np.linalg.cond(A), np.linalg.cond(changed)) < 1e3)
    out = ops.sherman_morrison(np.linalg.inv(A), u, v)
    assert_close(out, np.linalg.inv(changed), 1e-7)


@law
@given(tensors((4, 4)), tensors((4, 2)), tensors((2, 2)), tensors((2, 4)))
def test_woodbury_inverts_what_has_changed(A, u, core, v):
    """Held against the inverse of A + U C V, whatever C is: 0, or of rank one."""
    changed = A + u @ core @ v
    assume(max(np.linalg.cond(A), np.linalg.cond(changed)) < 1e3)
    out = ops.woodbury(np.linalg.inv(A), u, core, v)
    assert_close(out, np.linalg.inv(changed), 1e-6)


@law
def test_woodbury_of_rank_one_is_sherman_morrison():
    """With the number one for its core."""
    draw = random_arrays(51)
    inverse, u, v = np.linalg.inv(regular(draw, 2, 4, 4)), draw(4), draw(2, 4)
    by_rank = ops.woodbury(inverse, u[:, None], np.eye(1), v[:, None])
    assert_close(ops.sherman_morrison(inverse, u, v), by_rank)


@law
@given(st.integers(1, 5))
def test_woodbury_is_sherman_morrison_one_after_the_other(k):
    """A change of rank k is k changes of rank one, in any order."""
    draw = random_arrays(52)
    inverse, u, v = np.linalg.inv(regular(draw, 6, 6)), draw(6, k), draw(k, 6)
    at_once = ops.woodbury(inverse, u, np.eye(k), v)
    for column in reversed(range(k)):
        inverse = ops.sherman_morrison(inverse, u[:, column], v[column])
    assert_close(inverse, at_once, 1e-10)


@law
def test_sherman_morrison_undoes_itself():
    """Put in and taken out again: the inverse that there was."""
    draw = random_arrays(53)
    inverse, u, v = np.linalg.inv(regular(draw, 5, 5)), draw(5), draw(5)
    changed = ops.sherman_morrison(inverse, u, v)
    assert np.abs(changed - inverse).max() > 1e-3
    assert_close(ops.sherman_morrison(changed, -u, v), inverse)


@law
def test_sherman_morrison_keeps_what_is_symmetric():
    """Of a symmetric inverse and u = v it is the write of a Gaussian memory: the
    covariance shrinks along A^-1 u, and nowhere grows."""
    draw = random_arrays(54)
    F, u = draw(5, 5), draw(5)
    covariance = F @ F.T + np.eye(5)
    out = ops.sherman_morrison(covariance, u, u)
    assert_close(out, out.T)
    shrinks = np.linalg.eigvalsh(covariance - out)
    assert shrinks[0] > -1e-12 and shrinks[-1] > 1 and abs(shrinks[-2]) < 1e-12


@oracle
def test_sherman_morrison_equals_numpy():
    """NumPy's inverse of what has changed, for every matrix of a batch."""
    draw = random_arrays(55)
    A, u, v = regular(draw, 3, 1, 5, 5), draw(2, 5), draw(3, 2, 5)
    changed = A + u[..., :, None] * v[..., None, :]
    out = ops.sherman_morrison(np.linalg.inv(A), u, v)
    assert_close(out, np.linalg.inv(changed), 1e-11)


@oracle
def test_woodbury_equals_numpy():
    """NumPy's inverse of what has changed; of nothing, k = 0, nothing has."""
    draw = random_arrays(56)
    A, u, core, v = regular(draw, 3, 6, 6), draw(2, 1, 6, 2), draw(2, 2), draw(2, 6)
    out = ops.woodbury(np.linalg.inv(A), u, core, v)
    assert_close(out, np.linalg.inv(A + u @ core @ v), 1e-11)
    none = np.zeros((6, 0)), np.zeros((0, 0)), np.zeros((0, 6))
    np.testing.assert_array_equal(ops.woodbury(A[0], *none), A[0])


@derivative
def test_sherman_morrison_derivative():
    """Through its products, for all three."""
    draw = random_arrays(57)
    check_vjp(ops.sherman_morrison, regular(draw, 2, 4, 4), draw(4), draw(2, 4))


@derivative
def test_woodbury_derivative():
    """Through its products and what is solved, for all four."""
    draw = random_arrays(58)
    inverse = regular(draw, 4, 4)
    check_vjp(ops.woodbury, inverse, draw(2, 4, 2), draw(2, 2), draw(2, 4))


@contract
def test_sherman_morrison_refuses_to_invert_what_is_singular():
    """Taking all of an axis out of the identity leaves no inverse; by its place in a
    batch, and where rounding hides the 0."""
    u = np.array([0.1, 0.7])
    along = np.stack([0 * u, u / (u @ u)])
    message = r"1 \+ v.T A.-1 u is 0 \(matrix 1 of 2\): A \+ u v.T is singular"
    with pytest.raises(ValueError, match=f"sherman_morrison: {message}"):
        ops.sherman_morrison(np.eye(2), -u, along)
    with pytest.raises(ValueError, match=r"sherman_morrison: 1 \+ v.T A.-1 u is 0: "):
        ops.sherman_morrison(np.eye(2, dtype=np.float32), -u, along[1])


@contract
def test_woodbury_refuses_to_invert_what_is_singular():
    """The same of a plane."""
    plane = np.linalg.qr(random_arrays(59)(4, 2))[0]
    with pytest.raises(ValueError, match="woodbury: I . C V A.-1 U is singular: A"):
        ops.woodbury(np.eye(4), plane, -np.eye(2), plane.T)
    with pytest.raises(ValueError, match=r"woodbury: .* \(matrix 2 of 3\)"):
        cores = np.stack([np.eye(2), 0 * np.eye(2), -np.eye(2)])
        ops.woodbury(np.eye(4), plane, cores, plane.T)


@contract
def test_low_rank_changes_refuse_sides_that_do_not_fit():
    """u and v are as long as the inverse is wide, and the core is square."""
    with pytest.raises(ShapeError, match=r"sherman_morrison: u is \(2,\), but n = 3"):
        ops.sherman_morrison(np.eye(3), np.ones(2), np.ones(3))
    with pytest.raises(ShapeError, match=r"woodbury: v is \(3, 2\), but k = 2|n = 3"):
        ops.woodbury(np.eye(3), np.ones((3, 2)), np.eye(2), np.ones((3, 2)))


@contract
@pytest.mark.filterwarnings("ignore:invalid")
def test_low_rank_changes_let_no_nan_pass_unseen():
    """A NaN in u reaches every entry: the change is an outer product."""
    u = np.array([np.nan, 1.0])
    assert np.isnan(ops.sherman_morrison(np.full((2, 2), 0.5), u, np.ones(2))).all()
    out = ops.woodbury(np.full((2, 2), 0.5), u[:, None], np.eye(1), np.ones((1, 2)))
    assert np.isnan(out).all()
