"""The spec of refvlm/blocks/episodic_memory/reading.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.blocks.episodic_memory.prior import Memory, prior
from refvlm.blocks.episodic_memory.reading import novelty, read, read_variance
from refvlm.blocks.episodic_memory.writing import write, write_all
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
from .memories import some_memory


@example
def test_read_weighs_the_slots():
    """Twice the first and once the second."""
    memory = Memory(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]), np.eye(2))
    np.testing.assert_array_equal(read(memory, np.array([[2.0, 1]])), [[12, 24, 36]])
    np.testing.assert_array_equal(read_variance(memory, np.array([[2.0, 1]])), [5])


@example
def test_novelty_of_one_fact():
    """Written along the first slot with noise 1: half known. The second: all new."""
    memory = write(prior(2, 3), np.array([1.0, 0]), np.ones(3), noise=1.0)
    np.testing.assert_array_equal(novelty(memory, np.eye(2)), [0.5, 1.0])


@law
@given(st.integers(0, 2**31 - 1))
def test_novelty_is_a_share(seed):
    """Between 0 and 1, whatever was written, and the same for longer addresses."""
    draw = random_arrays(seed)
    start = prior(4, 6, variance=0.5, dtype=np.float64)
    memory = write_all(start, draw(3, 4), draw(3, 6), 0.1)
    asked = draw(9, 4)
    shares = novelty(memory, asked, variance=0.5)
    assert (shares > 0).all() and (shares <= 1 + 1e-12).all()
    assert_close(novelty(memory, 3 * asked, variance=0.5), shares)
    assert_close(novelty(start, asked, variance=0.5), np.ones(9))


@law
def test_read_variance_is_how_far_draws_are_apart():
    """Of 20,000 matrices drawn from the belief, what they say at one address varies so,
    within five standard errors."""
    draw = random_arrays(1)
    memory = write_all(prior(3, 4, dtype=np.float64), draw(2, 3), draw(2, 4), 0.5)
    root = np.linalg.cholesky(memory.covariance)
    rng, asked = np.random.default_rng(0), draw(1, 3)
    drawn = memory.mean + root @ rng.standard_normal((20_000, 3, 4))
    said = (asked @ drawn)[:, 0]
    ratio = said.var(axis=0) / read_variance(memory, asked)
    assert (np.abs(ratio - 1) < 5 * np.sqrt(2 / 20_000)).all()
    assert (np.abs(np.corrcoef(said.T) - np.eye(4)) < 0.05).all()


@law
def test_reading_keeps_the_dtype_and_its_inputs():
    """All three."""
    draw = random_arrays(2)
    arrays = draw(3, 4), np.eye(3), draw(5, 3)
    check_dtype(lambda m, s, w: read(Memory(m, s), w), *arrays)
    check_dtype(lambda m, s, w: read_variance(Memory(m, s), w), *arrays)
    check_dtype(lambda m, s, w: novelty(Memory(m, s), w), *arrays)


@oracle
def test_reading_equals_torch(compare):
    """Products, with leading axes that broadcast."""
    draw = random_arrays(3)
    arrays = *some_memory(draw, 3, 4, lead=(2,)), draw(5, 1, 6, 3)

    def mean(torch):
        return lambda m, s, w: w @ m

    def variance(torch):
        return lambda m, s, w: torch.diagonal(w @ s @ w.mT, dim1=-2, dim2=-1)

    def share(torch):
        return lambda m, s, w: variance(torch)(m, s, w) / (w * w).sum(-1) / 0.5

    def ours(function, **options):
        return lambda m, s, w: function(Memory(m, s), w, **options)

    compare(ours(read), mean, *arrays, gradients=False)
    compare(ours(read_variance), variance, *arrays, gradients=False)
    compare(ours(novelty, variance=0.5), share, *arrays, gradients=False)


@derivative
def test_reading_derivative():
    """In the address and in what is read."""
    draw = random_arrays(4)
    arrays = draw(3, 4), draw(3, 3), draw(2, 3)
    check_vjp(lambda m, w: read(Memory(m, np.eye(3)), w), arrays[0], arrays[2])
    check_vjp(lambda s, w: read_variance(Memory(np.eye(3), s), w), *arrays[1:])
    check_vjp(lambda s, w: novelty(Memory(np.eye(3), s), w), *arrays[1:])


@contract
def test_reading_says_what_is_wrong():
    """An address of another memory, one address without its row axis, and zeros."""
    memory = prior(3, 5)
    for function in (read, read_variance):
        with pytest.raises(
            ShapeError, match=rf"{function.__name__}: addresses is \(2,"
        ):
            function(memory, np.ones((2, 4)))
        with pytest.raises(ShapeError, match="needs at least 2 axes: ... n K"):
            function(memory, np.ones(3))
    with pytest.raises(ValueError, match="novelty: an address of zeros asks nothing"):
        novelty(memory, np.zeros((1, 3)))
    with pytest.raises(ValueError, match="novelty: variance must be a number above 0"):
        novelty(memory, np.ones((1, 3)), variance=0)
