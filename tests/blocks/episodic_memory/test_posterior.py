"""The spec of refvlm/blocks/episodic_memory/posterior.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.blocks.episodic_memory.forms import write_joseph
from refvlm.blocks.episodic_memory.posterior import (
    draw,
    draw_written,
    write_by_precision,
)
from refvlm.blocks.episodic_memory.prior import Memory, prior
from refvlm.blocks.episodic_memory.writing import write_all
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
from .memories import assert_same, some_memory


@example
def test_write_by_precision_adds_precisions():
    """1 of the prior and 1/2 of the fact, whose code weighs half: 2/3 and 4/3."""
    memory = Memory(np.array([[0.0]]), np.array([[1.0]]))
    found = write_by_precision(memory, np.array([[1.0]]), np.array([[4.0]]), noise=2.0)
    assert_same(found, Memory(np.array([[4 / 3]]), np.array([[2 / 3]])))


@law
@given(st.integers(0, 2**31 - 1), st.integers(1, 9))
def test_write_by_precision_is_write_all(seed, count):
    """K x K or n x n: two sides of one inverse."""
    some = random_arrays(seed)
    memory, addresses, codes = some_memory(some), some(count, 4), some(count, 6)
    assert_same(
        write_by_precision(memory, addresses, codes, 0.3),
        write_all(memory, addresses, codes, 0.3),
    )


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_write_by_precision_gives_a_covariance_symmetric_to_the_last_bit(dtype):
    """An inverse is rounded row by row, and a skew part would never die."""
    for seed in range(8):
        some = random_arrays(seed)
        memory = Memory(*(part.astype(dtype) for part in some_memory(some, 7, 9)))
        facts = some(5, 7).astype(dtype), some(5, 9).astype(dtype)
        covariance = write_by_precision(memory, *facts, 0.3).covariance
        np.testing.assert_array_equal(covariance, covariance.T)


@law
def test_write_by_precision_keeps_episodes_apart_and_the_dtype():
    """Leading axes are memories of their own."""
    some = random_arrays(1)
    memory = some_memory(some, lead=(2,))
    facts = some(2, 3, 4), some(2, 3, 6)
    assert_same(write_by_precision(memory, *facts, 0.3), write_all(memory, *facts, 0.3))
    for part in range(2):
        check_dtype(
            lambda m, s, w, z, part=part: write_by_precision(
                Memory(m, s), w, z, 0.3
            )[part],
            *memory, *facts,
        )  # fmt: skip


@law
def test_draw_has_the_mean_and_the_covariance():
    """Of 20,000 drawn matrices, within five standard errors, column by column."""
    memory = some_memory(random_arrays(2), slots=3, width=2)
    many = Memory(*(np.broadcast_to(p, (20_000, *p.shape)) for p in memory))
    drawn = draw(many, np.random.default_rng(0)) - memory.mean
    deviations = np.sqrt(np.diag(memory.covariance))
    assert (np.abs(drawn.mean(0)).max(-1) < 5 * deviations / np.sqrt(20_000)).all()
    for column in range(2):
        found = np.cov(drawn[..., column].T)
        error = np.abs(found - memory.covariance) / np.outer(deviations, deviations)
        assert error.max() < 5 * np.sqrt(2 / 20_000)
    across = drawn[:, :, 0].T @ drawn[:, :, 1] / 20_000
    assert np.abs(across).max() < 5 * deviations.max() ** 2 / np.sqrt(20_000)


@law
def test_draw_written_has_those_of_the_posterior():
    """Matheron's rule, from 20,000 matrices of before: a draw that was corrected is a
    draw of what is believed after."""
    some = random_arrays(3)
    memory, addresses, codes = (
        some_memory(some, slots=3, width=2),
        some(2, 3),
        some(2, 2),
    )
    many = Memory(*(np.broadcast_to(p, (20_000, *p.shape)) for p in memory))
    drawn = draw_written(many, addresses, codes, 0.5, np.random.default_rng(0))
    after = write_all(memory, addresses, codes, 0.5)
    deviations = np.sqrt(np.diag(after.covariance))
    off = np.abs(drawn.mean(0) - after.mean).max(-1)
    assert (off < 5 * deviations / np.sqrt(20_000)).all()
    for column in range(2):
        found = np.cov(drawn[..., column].T)
        error = np.abs(found - after.covariance) / np.outer(deviations, deviations)
        assert error.max() < 5 * np.sqrt(2 / 20_000)


@law
def test_draw_written_has_the_covariance_of_joseph():
    """With the gain G of one fact: (I - Gw) S (I - Gw)' + noise G G', to the last
    digits."""
    some = random_arrays(4)
    memory, w, z = some_memory(some), some(1, 4), some(1, 6)
    gain = memory.covariance @ w.T / (w @ memory.covariance @ w.T + 0.3)
    rest = np.eye(4) - gain @ w
    matheron = rest @ memory.covariance @ rest.T + 0.3 * gain @ gain.T
    assert_close(write_joseph(memory, w[0], z[0], 0.3).covariance, matheron)
    assert_close(write_all(memory, w, z, 0.3).covariance, matheron)


@law
def test_draws_come_from_the_generator_and_keep_the_dtype():
    """The same seed, the same matrix."""
    memory = prior(3, 5)
    facts = np.ones((1, 3), np.float32), np.ones((1, 5), np.float32)
    for _ in range(2):
        first, again = (draw(memory, np.random.default_rng(1)) for _ in range(2))
        np.testing.assert_array_equal(first, again)
    assert draw(memory, np.random.default_rng(1)).dtype == np.float32
    late = draw_written(memory, *facts, 0.1, np.random.default_rng(1))
    assert late.dtype == np.float32 and late.shape == (3, 5)


@oracle
def test_write_by_precision_equals_bayes_rule(compare):
    """The Gaussian of slots and facts together, conditioned, by torch."""
    some = random_arrays(5)
    memory, addresses, codes = some_memory(some), some(5, 4), some(5, 6)

    def ask(torch):
        mean, covariance, w, z = map(torch.tensor, (*memory, addresses, codes))
        maps = torch.cat([torch.eye(4).double(), w])
        joint = maps @ covariance @ maps.mT
        joint[4:, 4:] += 0.25 * torch.eye(5).double()
        gain = joint[:4, 4:] @ torch.linalg.inv(joint[4:, 4:])
        return {
            "mean": (mean + gain @ (z - w @ mean)).numpy(),
            "covariance": (joint[:4, :4] - gain @ joint[4:, :4]).numpy(),
        }

    expected = Memory(**compare.answers(ask, (*memory, addresses, codes)))
    assert_same(write_by_precision(memory, addresses, codes, 0.25), expected)


@derivative
def test_write_by_precision_derivative():
    """Of both arrays, against central differences."""
    some = random_arrays(6)
    memory, addresses, codes = some_memory(some, 3, 4), some(2, 3), some(2, 4)
    for part in range(2):
        check_vjp(
            lambda m, s, w, z, part=part: write_by_precision(
                Memory(m, s), w, z, 0.3
            )[part],
            *memory, addresses, codes,
        )  # fmt: skip


@contract
def test_posterior_says_what_is_wrong():
    """Shapes, the noise, and a generator that is none."""
    memory = prior(3, 5)
    w, z = np.ones((2, 3), np.float32), np.ones((2, 5), np.float32)
    with pytest.raises(ShapeError, match=r"write_by_precision: codes is \(1, 5\)"):
        write_by_precision(memory, w, z[:1], 0.1)
    with pytest.raises(ValueError, match="write_by_precision: noise must be"):
        write_by_precision(memory, w, z, 0)
    with pytest.raises(ValueError, match="draw: rng must be a numpy.random.Generator"):
        draw(memory, 0)
    with pytest.raises(ValueError, match="draw_written: rng must be a numpy.random"):
        draw_written(memory, w, z, 0.1, None)
