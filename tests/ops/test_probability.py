"""The spec of refvlm/ops/probability.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops

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
    shapes_of,
    tensors,
)

draw = random_arrays(2026)
CALLS = {
    "softmax": [
        call(draw(3, 5, scale=3)),
        call(draw(3, 5, 4), dim=1),
        call(draw(3, 0)),
        call(np.array(0.75), dim=0),
    ],
    "log_softmax": [
        call(draw(3, 5, scale=3)),
        call(draw(3, 5, 4), dim=-2),
        call(draw(0, 4)),
        call(np.array(0.75)),
    ],
    "logsumexp": [
        call(draw(3, 5, scale=3), 1),
        call(draw(3, 5, 4), (0, 2), keepdim=True),
        call(draw(0, 4), -1),
        call(np.array(0.75), 0),
    ],
    "exp": [call(draw(3, 4)), call(draw(2, 0)), call(np.array(0.75))],
    "log": [call(draw(3, 4) ** 2), call(draw(2, 0)), call(np.array(0.75))],
}

scores_of = tensors(shapes_of(3))


@example
def test_softmax_of_logarithms_gives_back_proportions():
    """Scores log 1, log 2 and log 5 are the probabilities 1/8, 2/8 and 5/8."""
    assert_close(ops.softmax(np.log([1.0, 2.0, 5.0])), np.array([1, 2, 5]) / 8)


@example
def test_softmax_turns_a_difference_into_odds():
    """A score ahead by 1 is e times as likely; where the two stand does not matter."""
    first, second = ops.softmax(np.array([-3.0, -2.0]))
    assert abs(second / first - np.e) < 1e-12


@example
def test_log_softmax_of_two_equal_scores():
    """Two equal scores: each has probability 1/2, and its logarithm."""
    assert_close(ops.log_softmax(np.array([7.0, 7.0])), np.log([0.5, 0.5]))


@example
def test_logsumexp_of_four_zeros():
    """Four equal scores of 0 are together worth log 4."""
    assert_close(ops.logsumexp(np.zeros(4), dim=0), np.log(4.0))


@example
def test_exp_of_a_logarithm():
    """e to the log of 2 is 2, and e to 0 is 1."""
    assert_close(ops.exp(np.array([0.0, np.log(2.0)])), np.array([1.0, 2.0]))


@example
def test_log_of_one_of_nothing_and_of_less():
    """0 of 1, no end to it at 0, and nothing below."""
    found = ops.log(np.array([1.0, 0.0, -1.0]))
    np.testing.assert_array_equal(found, [0.0, -np.inf, np.nan])


@law
@given(scores_of, st.integers(-3, 2))
def test_softmax_sums_to_one(scores, dim):
    """Along the axis dim, and no other, the probabilities sum to one."""
    total = ops.softmax(scores, dim=dim).sum(axis=dim)
    worst = np.abs(total - 1).max()
    assert worst < 1e-12, (
        f"with dim={dim} on shape {scores.shape} a sum along dim is "
        f"{total.flat[np.abs(total - 1).argmax()]:.6g} instead of 1: "
        "divide by the sum along dim, with keepdims=True"
    )


@law
@given(scores_of)
def test_softmax_sums_along_the_last_axis_unless_told(scores):
    """Without dim, the last axis is meant: one distribution for each row."""
    assert_close(ops.softmax(scores), ops.softmax(scores, dim=-1))


@law
@given(tensors((3, 4)), st.floats(-1e4, 1e4))
def test_softmax_ignores_a_common_shift(scores, shift):
    """Adding the same number to every score changes nothing: it cancels."""
    with np.errstate(over="ignore", invalid="ignore"):
        moved = ops.softmax(scores + shift)
    error = np.abs(moved - ops.softmax(scores)).max()
    assert error < 1e-9, (
        f"a shift by {shift:.4g} moved a probability by {error:.2g}: e to that power "
        "leaves the floats. Subtract the largest score first; by this law it is free"
    )


@law
def test_softmax_of_huge_scores_is_finite():
    """A score of 1000 is no problem: e^1000 is infinite, but never computed."""
    with np.errstate(over="ignore", invalid="ignore"):
        probs = ops.softmax(np.array([[0.0, 1000.0], [-1000.0, 0.0], [1e30, -1e30]]))
    assert np.array_equal(probs, [[0, 1], [0, 1], [1, 0]]), (
        f"{probs.tolist()} should be [[0, 1], [0, 1], [1, 0]]: subtract the largest "
        "score of each row before the exponential"
    )


@law
@given(tensors(7), st.permutations(range(7)))
def test_softmax_does_not_look_at_places(scores, order):
    """Permute the scores and the probabilities are permuted: no place is special."""
    assert_close(ops.softmax(scores)[list(order)], ops.softmax(scores[list(order)]))


@law
@given(tensors(6))
def test_softmax_keeps_the_order(scores):
    """A higher score never gets a lower probability."""
    probs = ops.softmax(scores)
    assert (np.diff(probs[np.argsort(scores)]) >= 0).all()


@law
def test_softmax_gives_nothing_to_minus_infinity():
    """A score of -inf is how a mask forbids: its probability is exactly 0."""
    scores = np.array([0.0, -np.inf, 0.0])
    np.testing.assert_array_equal(ops.softmax(scores), [0.5, 0.0, 0.5])


@law
def test_softmax_of_nothing_but_minus_infinity_is_undefined():
    """0/0 is nan, here as in PyTorch; attention, which knows better, gives zeros."""
    for scores in ([-np.inf, -np.inf], [np.inf, 0.0]):
        with np.errstate(invalid="ignore"):
            probs = ops.softmax(np.array(scores))
        assert np.isnan(probs).all(), f"{scores} gives {probs}, not nan throughout"


@law
@given(scores_of, st.integers(-3, 2))
def test_log_softmax_is_the_logarithm_of_softmax(scores, dim):
    """Where the probability has not vanished, the two agree."""
    logarithm = np.log(ops.softmax(scores, dim=dim))
    assert np.abs(ops.log_softmax(scores, dim=dim) - logarithm).max() < 1e-12


@law
def test_log_softmax_reaches_where_softmax_is_zero():
    """e^-1000 is 0 in any float; its logarithm is -1000, and a loss needs that."""
    out = ops.log_softmax(np.array([0.0, 1000.0]))
    np.testing.assert_array_equal(
        out, [-1000, 0], "do not take the logarithm of softmax: it is already 0"
    )


@law
@given(scores_of, st.floats(-1e4, 1e4))
def test_logsumexp_moves_with_a_common_shift(x, shift):
    """log sum e^(x + c) = c + log sum e^x, also where e^c is infinite."""
    moved, out = ops.logsumexp(x + shift, dim=1), ops.logsumexp(x, dim=1)
    assert np.abs(moved - (out + shift)).max() < 1e-10


@law
@given(scores_of)
def test_logsumexp_is_a_soft_maximum(x):
    """Never below the largest entry, never more than log n above it."""
    above = ops.logsumexp(x, dim=-1) - x.max(axis=-1)
    assert (above >= 0).all()
    assert (above <= np.log(x.shape[-1]) + 1e-12).all()


@law
def test_logsumexp_at_the_infinities():
    """Nothing but -inf is the logarithm of 0, which is -inf; one +inf is +inf."""
    x = np.array([[-np.inf, -np.inf], [-np.inf, 0.0], [np.inf, -np.inf]])
    np.testing.assert_array_equal(ops.logsumexp(x, dim=1), [-np.inf, 0, np.inf])


@law
@given(tensors((2, 3)), tensors((2, 3)))
def test_exp_turns_sums_into_products(x, y):
    """It is positive, and e^(x + y) = e^x e^y."""
    product = ops.exp(x) * ops.exp(y)
    assert (product > 0).all()
    np.testing.assert_allclose(ops.exp(x + y), product, rtol=1e-12)


@law
@given(tensors((2, 3)))
def test_log_undoes_exp(x):
    """Of every number, and the exponential undoes it."""
    np.testing.assert_allclose(ops.log(ops.exp(x)), x, atol=1e-12)


@oracle
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax_equals_torch(compare, dim):
    """PyTorch's softmax and its gradient, along every axis."""
    scores = random_arrays(1)(3, 5, 4, scale=3)
    compare(ops.softmax, lambda torch: torch.softmax, scores, dim=dim)


@oracle
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_log_softmax_equals_torch(compare, dim):
    """PyTorch's log_softmax and its gradient, along every axis."""
    scores = random_arrays(2)(3, 5, 4, scale=3)
    compare(ops.log_softmax, lambda torch: torch.log_softmax, scores, dim=dim)


@oracle
@pytest.mark.parametrize("dim", [0, -1, (0, 2)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_logsumexp_equals_torch(compare, dim, keepdim):
    """PyTorch's logsumexp and its gradient, along one axis and along two."""
    x = random_arrays(3)(3, 5, 4, scale=3)
    compare(ops.logsumexp, lambda torch: torch.logsumexp, x, dim=dim, keepdim=keepdim)


@oracle
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("dim", [0, -1])
def test_softmax_of_a_single_number_equals_torch(compare, name, dim):
    """An array without axes is one score: dim 0, or -1, is the axis that it would have.
    A probability of 1, and no gradient; of a soft maximum of one, all of it."""
    score = np.array(0.75)
    compare(getattr(ops, name), lambda torch: getattr(torch, name), score, dim=dim)


@oracle
def test_exp_equals_torch(compare):
    """PyTorch's, and its gradient, of any shape down to a number."""
    compare(ops.exp, lambda torch: torch.exp, random_arrays(1)(3, 4))
    compare(ops.exp, lambda torch: torch.exp, np.array(0.5))


@oracle
def test_log_equals_torch(compare):
    """PyTorch's, and its gradient, from small numbers to large ones."""
    compare(ops.log, lambda torch: torch.log, random_arrays(1)(3, 4) ** 4)
    compare(ops.log, lambda torch: torch.log, np.array(0.5))


@derivative
@pytest.mark.parametrize("dim", [0, 1])
def test_softmax_derivative(dim):
    """Raising one score taxes all in proportion to what they hold."""
    check_vjp(ops.softmax, random_arrays(4)(3, 5), dim=dim)


@derivative
def test_softmax_derivative_vanishes_where_it_is_sure():
    """At p = (1, 0) every entry of the Jacobian is 0: certainty stops learning."""
    sure = np.array([1.0, 0.0])
    d_scores = ops.softmax_vjp(np.array([3.0, -2.0]), sure, dim=-1)
    np.testing.assert_array_equal(d_scores, [0, 0])


@derivative
@pytest.mark.parametrize("dim", [0, 1])
def test_log_softmax_derivative(dim):
    """One-hot minus softmax, for every class at once."""
    check_vjp(ops.log_softmax, random_arrays(5)(3, 5), dim=dim)


@derivative
@pytest.mark.parametrize("dim", [0, 1, (0, 1)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_logsumexp_derivative(dim, keepdim):
    """The slope of the soft maximum is the softmax."""
    check_vjp(ops.logsumexp, random_arrays(6)(3, 5), dim=dim, keepdim=keepdim)


@derivative
def test_exp_derivative():
    """The exponential is its own slope."""
    check_vjp(ops.exp, random_arrays(2)(3, 4))


@derivative
def test_log_derivative():
    """One over the number."""
    check_vjp(ops.log, random_arrays(2)(3, 4) ** 2 + 0.5)


@contract
def test_softmax_refuses_a_list():
    """The message says what came instead of an array."""
    with pytest.raises(TypeError, match="scores must be an array, not list"):
        ops.softmax([1.0, 2.0])


@contract
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_softmax_refuses_an_axis_that_is_not_there(name):
    """The message says which axis was asked for and how many there are."""
    with pytest.raises(ValueError, match=r"dim is 2, but .* has 2 axes"):
        getattr(ops, name)(np.zeros((2, 3)), dim=2)


@contract
def test_exp_refuses_integers():
    """The message says what to do about them."""
    with pytest.raises(ValueError, match="floating numbers"):
        ops.exp(np.array([1, 2]))


@contract
def test_log_refuses_integers():
    """The same."""
    with pytest.raises(ValueError, match="floating numbers"):
        ops.log(np.array([1, 2]))
