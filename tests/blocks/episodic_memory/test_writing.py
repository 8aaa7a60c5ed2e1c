"""The spec of refvlm/blocks/episodic_memory/writing.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.autodiff import value_and_grad
from refvlm.blocks.episodic_memory.prior import Memory, prior
from refvlm.blocks.episodic_memory.reading import read, read_variance
from refvlm.blocks.episodic_memory.writing import (
    gain,
    surprise_covariance,
    write,
    write_all,
)
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
from .memories import (
    assert_same,
    many_facts,
    one_after_the_other,
    some_memory,
    true_posterior,
)


def written(function, part):
    """One array of what is remembered, as a function of four."""
    return lambda m, s, w, z: getattr(function(Memory(m, s), w, z, 0.3), part)


@example
def test_write_goes_half_way_where_noise_is_as_large_as_doubt():
    """A slot that was believed to be 0 +- 1 is seen as 4 +- 1: it is 2."""
    memory = Memory(np.array([[0.0]]), np.array([[1.0]]))
    written = write(memory, np.array([1.0]), np.array([4.0]), noise=1.0)
    np.testing.assert_array_equal(written.mean, [[2.0]])
    np.testing.assert_array_equal(written.covariance, [[0.5]])


@example
def test_write_leaves_a_slot_that_was_not_addressed():
    """The second of two independent slots hears nothing."""
    memory = prior(2, 3, scale=0, dtype=np.float64)
    written = write(memory, np.array([1.0, 0.0]), np.array([1.0, 2.0, 3.0]), 1.0)
    np.testing.assert_array_equal(written.mean, [[0.5, 1, 1.5], [0, 0, 0]])
    np.testing.assert_array_equal(written.covariance, [[0.5, 0], [0, 1]])


@law
@given(st.integers(0, 2**31 - 1), st.integers(1, 9), st.sampled_from([0.03, 0.1, 1.0]))
def test_write_one_after_the_other_is_write_all(seed, count, noise):
    """A sequence of rank-one writes is the posterior of the whole batch."""
    draw = random_arrays(seed)
    memory, addresses, codes = some_memory(draw), draw(count, 4), draw(count, 6)
    assert_same(
        one_after_the_other(memory, addresses, codes, noise),
        write_all(memory, addresses, codes, noise),
    )


@law
@given(st.integers(0, 2**31 - 1), st.permutations(range(6)))
def test_write_in_any_order_is_the_same(seed, order):
    """Facts are no story: the posterior knows no order."""
    draw = random_arrays(seed)
    memory, addresses, codes = some_memory(draw), draw(6, 4), draw(6, 6)
    assert_same(
        one_after_the_other(memory, addresses[order], codes[order], 0.1),
        one_after_the_other(memory, addresses, codes, 0.1),
    )


@law
def test_write_all_in_two_parts_is_write_all():
    """Today's posterior is tomorrow's prior."""
    draw = random_arrays(3)
    memory, addresses, codes = some_memory(draw), draw(7, 4), draw(7, 6)
    parts = write_all(memory, addresses[:3], codes[:3], 0.1)
    parts = write_all(parts, addresses[3:], codes[3:], 0.1)
    assert_same(parts, write_all(memory, addresses, codes, 0.1))


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_write_keeps_the_covariance_symmetric_to_the_last_bit(dtype):
    """Whatever is rounded is rounded alike on both sides of the diagonal."""
    draw = random_arrays(4)
    memory = prior(7, 9, dtype=dtype)
    addresses, codes = draw(50, 7).astype(dtype), draw(50, 9).astype(dtype)
    written = one_after_the_other(memory, addresses, codes, 1e-3)
    np.testing.assert_array_equal(written.covariance, written.covariance.T)
    at_once = write_all(memory, addresses[:5], codes[:5], 0.1).covariance
    np.testing.assert_array_equal(at_once, at_once.T)


@law
def test_gain_of_one_fact_is_that_of_write():
    """A slot learns from a surprise of 1 what its mean moves by."""
    draw = random_arrays(14)
    memory, w = some_memory(draw), draw(4)
    surprise = np.eye(6)[0]
    moved = write(memory, w, w @ memory.mean + surprise, 0.3).mean - memory.mean
    assert_close(gain(memory, w[None], 0.3) * surprise, moved, tolerance=1e-11)
    (v,) = surprise_covariance(memory, w[None], 0.3).ravel()
    assert_close(v, read_variance(memory, w[None])[0] + 0.3)


@law
@given(st.integers(0, 2**31 - 1))
def test_write_never_makes_less_sure(seed):
    """Whatever is written, no address becomes less certain, and the new one doubts no
    more than its noise."""
    draw = random_arrays(seed)
    memory, address, code = some_memory(draw), draw(4), draw(6)
    written, asked = write(memory, address, code, 0.1), draw(20, 4)
    before, after = read_variance(memory, asked), read_variance(written, asked)
    assert (after <= before * (1 + 1e-12)).all() and (after > 0).all()
    assert read_variance(written, address[None])[0] < 0.1


@law
def test_write_recalls_what_was_written_as_the_noise_goes():
    """Exact recall, in float64: as many facts as slots, and nearly no noise."""
    draw = random_arrays(5)
    addresses, codes = draw(4, 4), draw(4, 6)
    written = write_all(prior(4, 6, dtype=np.float64), addresses, codes, 1e-12)
    assert_close(read(written, addresses), codes, tolerance=1e-9)


@law
def test_write_keeps_episodes_apart():
    """Leading axes are memories of their own, and one prior serves them all."""
    draw = random_arrays(6)
    memory = some_memory(draw, lead=(2, 3))
    addresses, codes = draw(2, 3, 5, 4), draw(2, 3, 5, 6)
    together = write_all(memory, addresses, codes, 0.2)
    assert_same(one_after_the_other(memory, addresses, codes, 0.2), together)
    for place in np.ndindex(2, 3):
        alone = Memory(memory.mean[place], memory.covariance[place])
        alone = write_all(alone, addresses[place], codes[place], 0.2)
        assert_same(Memory(together.mean[place], together.covariance[place]), alone)
    shared = write_all(some_memory(draw), addresses, codes, 0.2)
    assert shared.mean.shape == (2, 3, 4, 6)


@law
def test_write_all_of_nothing_changes_nothing():
    """No facts, the same belief."""
    memory = some_memory(random_arrays(7))
    assert_same(write_all(memory, np.empty((0, 4)), np.empty((0, 6)), 0.1), memory)


@law
def test_write_keeps_the_dtype_and_its_inputs():
    """Of both arrays, and half precision is computed in single."""
    draw = random_arrays(8)
    memory, addresses, codes = some_memory(draw), draw(3, 4), draw(3, 6)
    for part in ("mean", "covariance"):
        check_dtype(written(write, part), *memory, addresses[0], codes[0])
        check_dtype(written(write_all, part), *memory, addresses, codes)


@law
def test_write_holds_ten_thousand_facts_in_float32():
    """At the source's noise of 1e-6, K = 64 and C = 128: the covariance stays positive
    definite, and the mean is that of float64."""
    addresses, codes = many_facts(random_arrays(9))
    written = one_after_the_other(prior(64, 128), addresses, codes, 1e-6)
    mean, least = true_posterior(addresses, codes, 1e-6)
    assert np.abs(written.mean - mean).max() < 1e-4 * np.abs(mean).max()
    assert np.linalg.eigvalsh(written.covariance.astype(np.float64))[0] > 0.9 * least


@oracle
def test_write_equals_the_information_form(compare):
    """Precisions add up: S'^-1 = S^-1 + W'W / noise, and so do precisions times means,
    S'^-1 M' = S^-1 M + W'Z / noise, by torch."""
    draw = random_arrays(10)
    memory = some_memory(draw, lead=(2,))
    addresses, codes, noise = draw(2, 5, 4), draw(2, 5, 6), 0.25

    def ask(torch):
        mean, covariance, w, z = map(torch.tensor, (*memory, addresses, codes))
        before = torch.linalg.inv(covariance)
        after = torch.linalg.inv(before + w.mT @ w / noise)
        mean = after @ (before @ mean + w.mT @ z / noise)
        return {"mean": mean.numpy(), "covariance": after.numpy()}

    expected = Memory(**compare.answers(ask, (*memory, addresses, codes, noise)))
    assert_same(write_all(memory, addresses, codes, noise), expected)
    assert_same(one_after_the_other(memory, addresses, codes, noise), expected)
    single = [array.astype(np.float32) for array in (*memory, addresses, codes)]
    wide = Memory(*(array.astype(np.float32) for array in expected))
    found = write_all(Memory(*single[:2]), *single[2:], noise)
    assert_same(found, wide)


@oracle
def test_gain_equals_that_of_the_joint_gaussian(compare):
    """Slots and facts as one Gaussian vector, with the noise on the facts, by torch."""
    draw = random_arrays(15)
    memory, addresses = some_memory(draw, lead=(2,)), draw(2, 3, 4)

    def ask(torch):
        covariance, w = map(torch.tensor, (memory.covariance, addresses))
        maps = torch.cat([torch.eye(4).double().expand(2, 4, 4), w], dim=1)
        joint = maps @ covariance @ maps.mT
        joint[:, 4:, 4:] += 0.25 * torch.eye(3).double()
        gains = joint[:, :4, 4:] @ torch.linalg.inv(joint[:, 4:, 4:])
        return {"between": joint[:, 4:, 4:].numpy(), "gain": gains.numpy()}

    expected = compare.answers(ask, (*memory, addresses))
    assert_close(surprise_covariance(memory, addresses, 0.25), expected["between"])
    assert_close(gain(memory, addresses, 0.25), expected["gain"])


@oracle
def test_write_has_the_gradients_of_torch(compare):
    """Of a loss on both arrays, with respect to memory, addresses and codes."""
    draw = random_arrays(11)
    memory, addresses, codes = some_memory(draw), draw(3, 4), draw(3, 6)
    weight_of = draw(4, 6), draw(4, 4)
    given_ = dict(zip(("mean", "covariance", "w", "z"), (*memory, addresses, codes)))

    def ask(torch):
        leaves = {k: torch.tensor(a, requires_grad=True) for k, a in given_.items()}
        mean, covariance, w, z = leaves.values()
        reach = w @ covariance
        gain = torch.linalg.solve(reach @ w.mT + 0.3 * torch.eye(3).double(), reach).mT
        after = covariance - gain @ reach
        loss = ((mean + gain @ (z - w @ mean)) * torch.tensor(weight_of[0])).sum()
        loss = loss + ((after + after.mT) / 2 * torch.tensor(weight_of[1])).sum()
        loss.backward()
        return {k: leaf.grad.numpy() for k, leaf in leaves.items()}

    expected = compare.answers(ask, (given_, weight_of))

    def loss(write_them):
        def of(p):
            start = Memory(p["mean"], p["covariance"])
            mean, covariance = write_them(start, p["w"], p["z"], 0.3)
            return (mean * weight_of[0]).sum() + (covariance * weight_of[1]).sum()

        return value_and_grad(of)(given_)[1]

    for name, gradient in loss(write_all).items():
        assert_close(gradient, expected[name], tolerance=1e-11)
    for name, gradient in loss(one_after_the_other).items():
        if name != "covariance":  # of a symmetric matrix, there are several
            assert_close(gradient, expected[name], tolerance=1e-11)


@derivative
def test_write_derivative():
    """Through both arrays, against central differences."""
    draw = random_arrays(12)
    memory, addresses, codes = (
        some_memory(draw, lead=(2,)),
        draw(2, 3, 4),
        draw(2, 3, 6),
    )
    for part in ("mean", "covariance"):
        check_vjp(written(write, part), *memory, addresses[:, 0], codes[:, 0])
        check_vjp(written(write_all, part), *memory, addresses, codes)


@contract
def test_write_says_what_does_not_fit():
    """The function, the argument, its shape, and whose axis it breaks."""
    memory, w, z = prior(4, 6), np.ones(4, np.float32), np.ones(6, np.float32)
    with pytest.raises(ShapeError, match=r"write: address is \(3,\), but K = 4 "):
        write(memory, w[:3], z, 0.1)
    with pytest.raises(ShapeError, match=r"write: code is \(5,\), but C = 6"):
        write(memory, w, z[:5], 0.1)
    with pytest.raises(ShapeError, match=r"write_all: codes is \(2, 6\), but n = 1"):
        write_all(memory, w[None], np.stack([z, z]), 0.1)
    with pytest.raises(ShapeError, match=r"write: covariance is \(3, 3\), but K = 4"):
        write(Memory(memory.mean, np.eye(3)), w, z, 0.1)
    with pytest.raises(TypeError, match=r"write: memory must be a Memory\(mean, cov"):
        write(memory.mean, w, z, 0.1)
    with pytest.raises(TypeError, match="required positional argument: 'noise'"):
        write(memory, w, z)


@contract
@pytest.mark.parametrize("noise", [0, -1.0, np.inf, np.nan, "1", None])
def test_write_wants_a_variance_for_noise(noise):
    """Without noise two contradicting facts have no posterior."""
    with pytest.raises(ValueError, match="write: noise must be a number above 0"):
        write(prior(2, 3), np.ones(2, np.float32), np.ones(3, np.float32), noise)
    with pytest.raises(ValueError, match="write_all: noise must be a number above 0"):
        write_all(prior(2, 3), np.ones((1, 2)), np.ones((1, 3)), noise)


@contract
def test_write_refuses_what_would_spoil_the_memory():
    """One NaN that is written is all that is read from then on."""
    memory, w, z = prior(2, 3), np.ones(2), np.ones(3)
    with pytest.raises(ValueError, match="write: code holds NaN or an infinity"):
        write(memory, w, z * np.nan, 0.1)
    with pytest.raises(ValueError, match="write: address holds NaN or an infinity"):
        write(memory, w * np.inf, z, 0.1)
    with pytest.raises(ValueError, match="write_all: codes holds NaN"):
        write_all(memory, w[None], z[None] * np.nan, 0.1)
