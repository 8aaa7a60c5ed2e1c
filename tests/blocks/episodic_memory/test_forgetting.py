"""The spec of refvlm/blocks/episodic_memory/forgetting.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.blocks.episodic_memory.forgetting import forget, roundings_left
from refvlm.blocks.episodic_memory.prior import Memory, prior
from refvlm.blocks.episodic_memory.writing import write, write_all
from refvlm.shapes import ShapeError

from ...spec import (
    check_dtype,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from .memories import assert_same, one_after_the_other, some_memory


@example
def test_forget_goes_the_way_of_a_write_back():
    """The slot that was 0 +- 1, and was seen as 4 +- 1."""
    memory = Memory(np.array([[2.0]]), np.array([[0.5]]))
    forgotten = forget(memory, np.array([1.0]), np.array([4.0]), noise=1.0)
    np.testing.assert_array_equal(forgotten.mean, [[0.0]])
    np.testing.assert_array_equal(forgotten.covariance, [[1.0]])


@law
@given(st.integers(0, 2**31 - 1), st.sampled_from([0.3, 1.0, 3.0]))
def test_forget_undoes_a_write(seed, noise):
    """Write, then forget: the identity."""
    draw = random_arrays(seed)
    memory, address, code = some_memory(draw), draw(4), draw(6)
    written = write(memory, address, code, noise)
    assert_same(forget(written, address, code, noise), memory, tolerance=1e-11)


@law
@given(st.integers(0, 2**31 - 1), st.permutations(range(5)))
def test_forget_knows_no_order(seed, order):
    """Whichever facts go, and in whichever order: the posterior of those that stay."""
    draw = random_arrays(seed)
    memory, addresses, codes = some_memory(draw), draw(5, 4), draw(5, 6)
    written = write_all(memory, addresses, codes, 1.0)
    gone, stay = order[:3], order[3:]
    left = one_after_the_other(written, addresses[gone], codes[gone], 1.0, forget)
    expected = write_all(memory, addresses[stay], codes[stay], 1.0)
    assert_same(left, expected, tolerance=1e-10)


@law
def test_forget_costs_twice_as_many_digits_as_the_noise_has():
    """What a fact leaves unsure is nearly the noise, and the difference of the two, its
    square, is what is divided by."""
    memory = prior(3, 5, scale=0, dtype=np.float64)
    address, code = np.array([0.8, 0.0, 0.6]), np.arange(5.0) / 7
    for noise in (1e-1, 1e-3, 1e-5):
        written = write(memory, address, code, noise)
        back = forget(written, address, code, noise)
        error = np.abs(back.covariance - memory.covariance).max()
        assert error < 10 * np.finfo(np.float64).eps / noise**2


@law
@pytest.mark.parametrize("variance", [1.0, 16.0])
@pytest.mark.parametrize("noise", [0.25, 2.0**-6, 2.0**-8])
def test_roundings_left_is_the_error_of_forget_upside_down(noise, variance):
    """Of one slot and of a direction among three: forgotten is to a share of one over
    it, whatever the prior's variance was, and not much better."""
    start = prior(3, 5, scale=0, variance=variance)
    addresses = np.concatenate([np.eye(3), random_arrays(5)(40, 3)]).astype(np.float32)
    shares = []
    for w in addresses / np.linalg.norm(addresses, axis=-1, keepdims=True):
        code = np.ones(5, np.float32)
        written = write(start, w, code, noise * variance)
        left = roundings_left(written, w, noise * variance, variance)
        back = forget(written, w, code, noise * variance, variance)
        off = np.abs(back.covariance - start.covariance).max() / variance
        shares.append(off * left)
    assert max(shares) < 4 and np.median(shares) > 1 / 64


@law
def test_roundings_left_knows_leading_axes_and_nothing_that_is_nothing():
    """One number for each address, 0 where all digits are gone, below 0 where none was
    written; an address of zeros was never rounded."""
    memory, w = prior(3, 5, dtype=np.float64), np.eye(3)
    assert (roundings_left(memory, w, 1.0) == 0).all()
    assert (roundings_left(memory, w, 0.5) < -1e15).all()
    assert roundings_left(memory, 0 * w[0], 0.5) > 1e300


@law
def test_forget_keeps_the_covariance_symmetric_and_the_dtype():
    """As a write does."""
    draw = random_arrays(1)
    memory, addresses, codes = some_memory(draw), draw(3, 4), draw(3, 6)
    written = write_all(memory, addresses, codes, 1.0)
    left = forget(written, addresses[0], codes[0], 1.0)
    np.testing.assert_array_equal(left.covariance, left.covariance.T)
    for part in range(2):
        check_dtype(
            lambda m, s, w, z, part=part: forget(Memory(m, s), w, z, 1.0)[part],
            *written, addresses[0], codes[0],
        )  # fmt: skip


@law
def test_forget_keeps_episodes_apart():
    """Leading axes are memories of their own."""
    draw = random_arrays(2)
    memory = some_memory(draw, lead=(3,))
    addresses, codes = draw(3, 2, 4), draw(3, 2, 6)
    written = write_all(memory, addresses, codes, 1.0)
    left = forget(written, addresses[:, 0], codes[:, 0], 1.0)
    expected = write_all(memory, addresses[:, 1:], codes[:, 1:], 1.0)
    assert_same(left, expected, tolerance=1e-10)


@oracle
def test_forget_leaves_the_information_form_of_the_others(compare):
    """As if the first fact had never been, by torch's inverse."""
    draw = random_arrays(3)
    memory, addresses, codes = some_memory(draw), draw(4, 4), draw(4, 6)

    def ask(torch):
        mean, covariance, w, z = map(torch.tensor, (*memory, addresses, codes))
        before, w, z = torch.linalg.inv(covariance), w[1:], z[1:]
        after = torch.linalg.inv(before + w.mT @ w / 0.5)
        mean = after @ (before @ mean + w.mT @ z / 0.5)
        return {"mean": mean.numpy(), "covariance": after.numpy()}

    expected = compare.answers(ask, (*memory, addresses, codes))
    written = write_all(memory, addresses, codes, 0.5)
    found = forget(written, addresses[0], codes[0], 0.5)
    assert_same(found, Memory(**expected), tolerance=1e-11)


@derivative
def test_forget_derivative():
    """Of both arrays, against central differences."""
    draw = random_arrays(4)
    memory, addresses, codes = some_memory(draw), draw(2, 4), draw(2, 6)
    written = write_all(memory, addresses, codes, 2.0)
    for part in range(2):
        check_vjp(
            lambda m, s, w, z, part=part: forget(Memory(m, s), w, z, 2.0)[part],
            *written, addresses[0], codes[0],
        )  # fmt: skip


@contract
def test_forget_refuses_what_was_never_written():
    """Less than no belief is none: a covariance would lose its definiteness."""
    memory = prior(4, 6, dtype=np.float64)
    w, z = np.eye(4)[0], np.ones(6)
    with pytest.raises(ValueError, match="doubts as much as 1 at this address, and a "):
        forget(memory, w, z, 0.1)
    written = write(memory, w, z, 0.1)
    with pytest.raises(ValueError, match="it was not written, or is forgotten"):
        forget(written, np.eye(4)[1], z, 0.1)
    once = forget(written, w, z, 0.1)
    with pytest.raises(ValueError, match="or is forgotten already"):
        forget(once, w, z, 0.1)


@contract
@pytest.mark.parametrize("noise", [1e-4, 1e-6, 1e-7])
@pytest.mark.parametrize("address", [[0.6, 0.8], [1.0, 0.0]])
@pytest.mark.parametrize("variance", [1.0, 1024.0])
def test_forget_refuses_a_fact_that_float32_has_lost(noise, address, variance):
    """The difference that it divides by would be rounding alone, in a direction as in
    one slot, whose variance is small and has the rounding of what it was."""
    w, z = np.array(address, np.float32), np.ones(3, np.float32)
    noise = noise * variance
    written = write(prior(2, 3, variance=variance), w, z, noise)
    with pytest.raises(ValueError, match="lost in the rounding of float32: write with"):
        forget(written, w, z, noise, variance)


@contract
def test_forget_says_what_does_not_fit():
    """As `write` does."""
    memory = prior(4, 6)
    with pytest.raises(ShapeError, match=r"forget: code is \(5,\), but C = 6"):
        forget(memory, np.ones(4), np.ones(5), 0.1)
    with pytest.raises(ValueError, match="forget: noise must be a number above 0"):
        forget(memory, np.ones(4), np.ones(6), -0.1)
    for variance in (0, np.inf, "a"):
        with pytest.raises(ValueError, match="forget: variance must be a number above"):
            forget(memory, np.ones(4), np.ones(6), 0.1, variance)
        with pytest.raises(ValueError, match="roundings_left: variance must be a"):
            roundings_left(memory, np.ones(4), 0.1, variance)
    with pytest.raises(ValueError, match="forget: code holds NaN"):
        forget(memory, np.ones(4), np.full(6, np.nan), 0.1)
