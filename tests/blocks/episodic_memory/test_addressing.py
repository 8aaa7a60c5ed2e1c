"""The spec of refvlm/blocks/episodic_memory/addressing.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.blocks.episodic_memory import addressing
from refvlm.blocks.episodic_memory.prior import prior
from refvlm.shapes import ShapeError

from ...spec import (
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


@example
def test_prior_address_is_the_first_half_of_a_code():
    """With twice the identity as the mean, half of the key."""
    addresses = addressing.prior_address(
        np.array([[6.0, 8.0, 5.0]]), 2.0 * np.eye(2, 3)
    )
    np.testing.assert_array_equal(addresses, [[3.0, 4.0]])


@example
def test_ridge_address_shrinks():
    """The slot says 2, 3 is wanted: 3 * 2 / (2 * 2 + 2) is 1, and not 3/2."""
    addresses = addressing.ridge_address(
        np.array([[3.0, 4.0]]), np.array([[2.0, 0.0]]), ridge=2.0
    )
    np.testing.assert_array_equal(addresses, [[1.0]])


@example
def test_sampled_address_without_a_generator_is_the_address():
    """Deterministic means that nothing is drawn, however large the variance."""
    address = np.array([1.0, 2.0])
    assert addressing.sampled_address(address, np.array([9.0, 9.0])) is address


@law
def test_prior_address_divides_the_key_by_the_scale():
    """z M0^+ is z[:K] / s, and needs no inverse at all."""
    codes = random_arrays(1)(2, 5, 9)
    mean = prior(4, 9, scale=3.0, dtype=np.float64).mean
    assert_close(addressing.prior_address(codes, mean), codes[..., :4] / 3)


@law
@given(st.integers(0, 2**31 - 1))
def test_prior_address_of_what_is_read_is_the_address(seed):
    """w M M^+ = w, where the rows of M are independent."""
    draw = random_arrays(seed)
    mean = np.concatenate([np.eye(3), draw(3, 4)], axis=1)
    addresses = draw(5, 3)
    assert_close(addressing.prior_address(addresses @ mean, mean), addresses)


@law
def test_ridge_address_without_a_ridge_is_the_prior_address():
    """The least squares' answer is where the ridge goes to 0."""
    draw = random_arrays(2)
    mean = np.concatenate([np.eye(3), draw(3, 4)], axis=1)
    codes = draw(5, 7)
    assert_close(
        addressing.ridge_address(codes, mean, 0), addressing.prior_address(codes, mean)
    )
    near = addressing.ridge_address(codes, mean, 1e-12)
    assert_close(near, addressing.prior_address(codes, mean), tolerance=1e-11)


@law
@given(st.integers(0, 2**31 - 1))
def test_ridge_address_is_shorter_for_a_larger_ridge(seed):
    """The price of length is paid in length."""
    draw = random_arrays(seed)
    mean, codes = np.concatenate([np.eye(3), draw(3, 4)], axis=1), draw(5, 7)
    lengths = [
        np.linalg.norm(addressing.ridge_address(codes, mean, ridge), axis=-1)
        for ridge in (0, 0.1, 1, 10)
    ]
    assert (np.diff(lengths, axis=0) < 0).all()


@law
def test_ridge_address_is_the_minimum():
    """A step in any direction costs more."""
    draw = random_arrays(3)
    mean, code = draw(3, 7), draw(1, 7)
    at = addressing.ridge_address(code, mean, 0.5)

    def cost(w):
        return ((w @ mean - code) ** 2).sum() + 0.5 * (w**2).sum()

    for _ in range(20):
        assert cost(at + 1e-3 * draw(1, 3)) > cost(at)


@law
def test_ridge_address_of_a_batch_is_that_of_each_memory():
    """Each memory is asked with its own codes, and answers with its own rows."""
    draw = random_arrays(9)
    codes, mean = draw(2, 3, 5, 7), draw(2, 3, 4, 7)
    together = addressing.ridge_address(codes, mean, 0.5)
    assert together.shape == (2, 3, 5, 4)
    for at in np.ndindex(2, 3):
        alone = addressing.ridge_address(codes[at], mean[at], 0.5)
        assert_close(together[at], alone)


@law
def test_sampled_address_has_its_mean_and_variance():
    """Of 20,000 draws, within five standard errors."""
    address, log_variance = np.array([1.0, -2.0]), np.array([0.0, -2.0])
    many = np.broadcast_to(address, (20_000, 2))
    drawn = addressing.sampled_address(many, log_variance, np.random.default_rng(0))
    variance = np.exp(log_variance)
    assert (np.abs(drawn.mean(0) - address) < 5 * np.sqrt(variance / 20_000)).all()
    assert (np.abs(drawn.var(0) / variance - 1) < 5 * np.sqrt(2 / 20_000)).all()


@law
def test_sampled_address_is_the_same_from_the_same_seed():
    """Nothing is drawn but from the generator that was given."""
    address, log_variance = np.ones((3, 4)), np.zeros(4)
    first, again = (
        addressing.sampled_address(address, log_variance, np.random.default_rng(5))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)


@law
def test_addresses_keep_the_dtype_and_their_inputs():
    """All three."""
    draw = random_arrays(4)
    mean = np.concatenate([np.eye(3), draw(3, 4)], axis=1)
    check_dtype(addressing.prior_address, draw(5, 7), mean)
    check_dtype(addressing.ridge_address, draw(5, 7), mean, ridge=0.5)

    def sampled(address, log_variance):
        return addressing.sampled_address(
            address, log_variance, np.random.default_rng(0)
        )

    check_dtype(sampled, draw(5, 3), draw(3))


@oracle
def test_prior_address_equals_the_pseudo_inverse(compare):
    """torch.linalg.pinv."""
    draw = random_arrays(5)

    def reference(torch):
        return lambda codes, mean: codes @ torch.linalg.pinv(mean)

    compare(addressing.prior_address, reference, draw(2, 5, 8), draw(2, 3, 8))


@oracle
def test_ridge_address_equals_least_squares_of_stacked_rows(compare):
    """|[M'; root of the ridge] w' - [z'; 0]|^2, by torch.linalg.lstsq."""
    draw = random_arrays(6)

    def reference(torch):
        def stacked(codes, mean, ridge):
            rows = torch.eye(len(mean), dtype=mean.dtype) * ridge**0.5
            zeros = torch.zeros(len(mean), len(codes), dtype=mean.dtype)
            left, right = torch.cat([mean.T, rows]), torch.cat([codes.T, zeros])
            return torch.linalg.lstsq(left, right).solution.T

        return stacked

    compare(addressing.ridge_address, reference, draw(5, 8), draw(3, 8), ridge=0.25)


@oracle
def test_sampled_address_equals_rsample(compare):
    """Normal.rsample of torch with our noise, and its gradients."""
    draw = random_arrays(7)
    address, log_variance = draw(5, 4), draw(4)
    noise = np.random.default_rng(3).standard_normal((5, 4))

    def reference(torch):
        def rsample(w, ell):
            normal = torch.distributions.Normal(w, torch.exp(ell / 2))
            return normal.loc + normal.scale * torch.tensor(noise)

        return rsample

    compare(
        lambda w, ell: addressing.sampled_address(w, ell, np.random.default_rng(3)),
        reference, address, log_variance,
    )  # fmt: skip


@derivative
def test_addresses_have_derivatives():
    """In the code and in the mean; a sample in both of what it is drawn from."""
    draw = random_arrays(8)
    mean = np.concatenate([np.eye(3), draw(3, 4)], axis=1)
    check_vjp(addressing.prior_address, draw(2, 7), mean)
    check_vjp(addressing.ridge_address, draw(2, 7), mean, ridge=0.5)
    check_vjp(
        lambda w, ell: addressing.sampled_address(w, ell, np.random.default_rng(0)),
        draw(2, 3), draw(3),
    )  # fmt: skip


@contract
def test_addresses_say_what_is_wrong():
    """Shapes, a ridge below 0, a generator that is none, a mean without rank."""
    codes, mean = np.ones((2, 5)), np.eye(3, 5)
    with pytest.raises(ShapeError, match=r"prior_address: mean is \(3, 4\), but C = 5"):
        addressing.prior_address(codes, mean[:, :4])
    with pytest.raises(ValueError, match="ridge_address: ridge must be a number of 0"):
        addressing.ridge_address(codes, mean, -1)
    with pytest.raises(ValueError, match="rows of mean depend on each other.*ridge_ad"):
        addressing.prior_address(codes, np.zeros((3, 5)))
    with pytest.raises(ValueError, match="sampled_address: rng must be a numpy.random"):
        addressing.sampled_address(np.ones(3), np.ones(3), rng=0)
    with pytest.raises(ShapeError, match=r"sampled_address: log_variance is \(2,\)"):
        addressing.sampled_address(np.ones(3), np.ones(2))
