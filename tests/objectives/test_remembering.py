"""The spec of refvlm/objectives/remembering.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.objectives import remembering
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    check_dtype,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)


def a_covariance(draw, slots, lead=()):
    """Positive definite, and computed without a rounding."""
    root = np.round(8 * draw(*lead, slots, slots)) / 16
    return root @ root.swapaxes(-1, -2) + 0.5 * np.eye(slots)


def two_beliefs(draw, slots=3, width=5, lead=()):
    """Means and covariances, in the order that the divergence asks for."""
    return (
        draw(*lead, slots, width), a_covariance(draw, slots, lead),
        draw(*lead, slots, width), a_covariance(draw, slots, lead),
    )  # fmt: skip


def as_the_source_has_it(mean, covariance, prior_mean, prior_covariance):
    """[MicroVLM-V] 5 and 7.3, letter by letter: no factor C before the trace and the
    determinants, whose terms are then those of one column; and the trace that a
    product of matrices (C, C) needs to be a number."""
    moved, K, C = mean - prior_mean, *mean.shape
    inverse = np.linalg.inv(prior_covariance)
    ratio = np.linalg.det(prior_covariance) / np.linalg.det(covariance)
    way = np.trace(moved.T @ inverse @ moved)
    return (np.trace(inverse @ covariance) + way - K * C + np.log(ratio)) / 2


@example
def test_memory_kl_of_a_step_of_one():
    """Two numbers, each moved by 1 against a variance of 1: (1 + 1) / 2 nats."""
    zeros, one = np.zeros((1, 2)), np.eye(1)
    assert remembering.memory_kl(zeros + 1, one, zeros, one) == 1.0


@example
def test_memory_kl_of_a_variance_that_was_halved():
    """For each of two columns (1/2 - 1 + log 2) / 2."""
    zeros, one = np.zeros((1, 2)), np.eye(1)
    assert_close(
        remembering.memory_kl(zeros, one / 2, zeros, one), np.array(np.log(2) - 0.5)
    )


@example
def test_addressing_kl_of_an_address():
    """A variance of 1 costs nothing, and a 2 half its square."""
    assert remembering.addressing_kl(np.array([2.0, 0.0]), np.zeros(2)) == 2.0


@law
@given(st.integers(0, 2**31 - 1))
def test_memory_kl_is_zero_of_a_belief_and_itself_and_positive_else(seed):
    """From a belief to itself 0, and to any other more, as a divergence has to be."""
    draw = random_arrays(seed)
    mean, covariance, other, wider = two_beliefs(draw)
    assert abs(remembering.memory_kl(mean, covariance, mean, covariance)) < 1e-13
    assert remembering.memory_kl(mean, covariance, other, wider) > 0
    variances = np.diag(covariance)
    assert remembering.memory_kl_diagonal(mean, variances, mean, variances) == 0
    assert remembering.memory_kl_diagonal(mean, variances, other, np.diag(wider)) > 0
    assert remembering.addressing_kl(0 * mean, 0 * mean).max() == 0
    assert (remembering.addressing_kl(mean, other) > 0).all()


@law
@given(st.floats(0.05, 20.0).filter(lambda r: abs(r - 1) > 1e-3))
def test_memory_kl_is_positive_of_a_surer_belief_and_of_a_less_sure_one(ratio):
    """Whether a variance shrank to its half or grew to its double, the belief has
    moved: K C (r - 1 - log r) / 2 for the ratio r, which is 0 at r = 1 alone."""
    mean, covariance, *_ = two_beliefs(random_arrays(8))
    moved = 3 * 5 * (ratio - 1 - np.log(ratio)) / 2
    found = remembering.memory_kl(mean, ratio * covariance, mean, covariance)
    variances = np.diag(covariance)
    alone = remembering.memory_kl_diagonal(mean, ratio * variances, mean, variances)
    assert found > 0 and alone > 0
    # Near r = 1 little is left of what is added up: roundings are of the summands.
    rounding = 1e-13 * 3 * 5 * (ratio + 1 + abs(np.log(ratio)))
    np.testing.assert_allclose([found, alone], moved, rtol=0, atol=rounding)


@law
@given(st.integers(0, 2**31 - 1))
def test_memory_kl_has_two_directions(seed):
    """From the prior to the belief it is another number than from the belief to the
    prior, and both are positive: it is no distance as that between two towns."""
    mean, covariance, other, wider = two_beliefs(random_arrays(seed))
    there = remembering.memory_kl(mean, covariance, other, wider)
    back = remembering.memory_kl(other, wider, mean, covariance)
    assert there > 0 and back > 0 and abs(there - back) > 1e-9


@law
def test_memory_kl_of_a_batch_is_that_of_each_memory():
    """Memories that stand side by side know nothing of each other: one number each."""
    beliefs = two_beliefs(random_arrays(9), lead=(2, 3))
    together = remembering.memory_kl(*beliefs)
    assert together.shape == (2, 3)
    for at in np.ndindex(2, 3):
        alone = remembering.memory_kl(*(part[at] for part in beliefs))
        assert_close(np.asarray(together[at]), np.asarray(alone))


@law
@given(st.integers(0, 2**31 - 1))
def test_memory_kl_is_the_sum_over_its_columns(seed):
    """C independent Gaussians with one covariance: their divergences add up."""
    draw = random_arrays(seed)
    mean, covariance, prior_mean, prior_covariance = two_beliefs(draw)
    columns = [
        remembering.memory_kl(
            mean[:, [c]], covariance, prior_mean[:, [c]], prior_covariance
        )
        for c in range(5)
    ]
    whole = remembering.memory_kl(mean, covariance, prior_mean, prior_covariance)
    assert_close(np.asarray(sum(columns)), whole)


@law
@given(st.integers(0, 2**31 - 1))
def test_memory_kl_diagonal_is_memory_kl_of_independent_slots(seed):
    """The same number where the covariances are diagonal."""
    draw = random_arrays(seed)
    mean, other = draw(3, 5), draw(3, 5)
    new, old = np.exp(draw(3)), np.exp(draw(3))
    full = remembering.memory_kl(mean, np.diag(new), other, np.diag(old))
    assert_close(remembering.memory_kl_diagonal(mean, new, other, old), full)


@law
@given(st.integers(0, 2**31 - 1))
def test_memory_kl_diagonal_leaves_out_what_slots_know_of_each_other(seed):
    """From a diagonal prior, C/2 (sum of log S_kk - log det S) is missing, which is
    never negative."""
    draw = random_arrays(seed)
    mean, covariance, other, _ = two_beliefs(draw)
    old = np.exp(draw(3))
    full = remembering.memory_kl(mean, covariance, other, np.diag(old))
    part = remembering.memory_kl_diagonal(mean, np.diag(covariance), other, old)
    together = np.log(np.diag(covariance)).sum() - np.linalg.slogdet(covariance)[1]
    assert_close(np.asarray(full - part), np.asarray(2.5 * together), tolerance=1e-11)
    assert full - part > -1e-12


@law
def test_memory_kl_as_the_source_writes_it_is_not_zero_of_a_belief_and_itself():
    """Without the factors C a belief is K (1 - C) / 2 away from itself: less than 0,
    which no divergence is; and what is known more of weighs C times too little."""
    draw = random_arrays(1)
    mean, covariance, other, wider = two_beliefs(draw)
    itself = as_the_source_has_it(mean, covariance, mean, covariance)
    assert_close(np.asarray(itself), np.asarray(3 * (1 - 5) / 2))
    short = remembering.memory_kl(
        mean, covariance, other, wider
    ) - as_the_source_has_it(mean, covariance, other, wider)
    spread = np.trace(np.linalg.solve(wider, covariance))
    sharper = np.linalg.slogdet(wider)[1] - np.linalg.slogdet(covariance)[1]
    assert_close(np.asarray(short), np.asarray((5 - 1) / 2 * (spread + sharper)))


@law
def test_memory_kl_diagonal_as_the_source_writes_it_counts_the_mean_too_often():
    """Its simplified form puts C/2 before everything, also before what a row moved,
    which is a sum over the C columns already; it is right where nothing moved."""
    draw = random_arrays(2)
    mean, other, new, old = draw(3, 5), draw(3, 5), np.exp(draw(3)), np.exp(draw(3))
    way = ((mean - other) ** 2).sum(-1) / old
    source = 5 / 2 * (new / old + way - 1 + np.log(old / new)).sum()
    right = remembering.memory_kl_diagonal(mean, new, other, old)
    assert_close(np.asarray(source - right), np.asarray((5 - 1) / 2 * way.sum()))
    unmoved = 5 / 2 * (new / old - 1 + np.log(old / new)).sum()
    assert_close(
        remembering.memory_kl_diagonal(mean, new, mean, old), np.asarray(unmoved)
    )


@law
def test_divergences_keep_the_dtype_and_their_inputs():
    """All three, one number for each memory."""
    draw = random_arrays(3)
    beliefs = two_beliefs(draw, lead=(2,))
    check_dtype(remembering.memory_kl, *beliefs)
    assert remembering.memory_kl(*beliefs).shape == (2,)
    check_dtype(
        remembering.memory_kl_diagonal,
        draw(2, 3, 5), np.exp(draw(2, 3)), draw(3, 5), np.exp(draw(3)),
    )  # fmt: skip
    check_dtype(remembering.addressing_kl, draw(2, 3), draw(3))


@oracle
def test_memory_kl_equals_torch_on_the_kronecker_product(compare):
    """MultivariateNormal of all K C numbers, with the covariance S (x) I."""
    draw = random_arrays(4)

    def reference(torch):
        def divergence(mean, covariance, prior_mean, prior_covariance):
            def normal(m, s):
                eye = torch.eye(m.shape[-1], dtype=m.dtype)
                return torch.distributions.MultivariateNormal(
                    m.reshape(-1), torch.kron((s + s.T) / 2, eye)
                )

            return torch.distributions.kl_divergence(
                normal(mean, covariance), normal(prior_mean, prior_covariance)
            )

        return divergence

    compare(remembering.memory_kl, reference, *two_beliefs(draw))
    compare(remembering.memory_kl, reference, *two_beliefs(draw, slots=4, width=2))


@oracle
def test_memory_kl_diagonal_equals_torch(compare):
    """Normal against Normal, summed over all numbers."""
    draw = random_arrays(5)

    def reference(torch):
        def divergence(mean, variances, prior_mean, prior_variances):
            Normal = torch.distributions.Normal
            new = Normal(mean, variances[..., None].sqrt())
            old = Normal(prior_mean, prior_variances[..., None].sqrt())
            return torch.distributions.kl_divergence(new, old).sum((-1, -2))

        return divergence

    new, old = draw(2, 3) ** 2 + 0.25, draw(3) ** 2 + 0.25
    compare(
        remembering.memory_kl_diagonal, reference, draw(2, 3, 5), new, draw(3, 5), old
    )


@oracle
def test_addressing_kl_equals_torch(compare):
    """Normal against the standard one, summed over the slots."""
    draw = random_arrays(6)

    def reference(torch):
        def divergence(mean, log_variance):
            Normal = torch.distributions.Normal
            new, old = Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)
            return torch.distributions.kl_divergence(new, old).sum(-1)

        return divergence

    compare(remembering.addressing_kl, reference, draw(4, 6), draw(6))


@derivative
def test_divergences_have_derivatives():
    """In all that they are given, against central differences."""
    draw = random_arrays(7)
    check_vjp(remembering.memory_kl, *two_beliefs(draw, lead=(2,)))
    check_vjp(
        remembering.memory_kl_diagonal,
        draw(2, 3, 5), draw(2, 3) ** 2 + 0.5, draw(3, 5), draw(3) ** 2 + 0.5,
    )  # fmt: skip
    check_vjp(remembering.addressing_kl, draw(4, 3), draw(3))


@contract
def test_divergences_say_what_is_wrong():
    """Shapes by name, and a covariance that is none."""
    zeros, eye = np.zeros((2, 3)), np.eye(2)
    with pytest.raises(
        ShapeError, match=r"memory_kl: covariance is \(3, 3\), but K = "
    ):
        remembering.memory_kl(zeros, np.eye(3), zeros, eye)
    with pytest.raises(ShapeError, match="memory_kl_diagonal: prior_mean is"):
        remembering.memory_kl_diagonal(zeros, np.ones(2), zeros.T, np.ones(2))
    with pytest.raises(ShapeError, match="addressing_kl: log_variance is"):
        remembering.addressing_kl(zeros, np.ones(2))
    with pytest.raises(ValueError, match="logdet: A is not positive definite"):
        remembering.memory_kl(zeros, -eye, zeros, eye)
    for bad in (0.0, -1.0):
        with pytest.raises(
            ValueError, match="memory_kl_diagonal: variances must be ab"
        ):
            remembering.memory_kl_diagonal(zeros, np.array([1, bad]), zeros, np.ones(2))
    with pytest.raises(ValueError, match="memory_kl_diagonal: prior_variances must be"):
        remembering.memory_kl_diagonal(zeros, np.ones(2), zeros, np.zeros(2))
