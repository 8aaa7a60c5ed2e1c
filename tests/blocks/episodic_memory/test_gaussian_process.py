"""The spec of refvlm/blocks/episodic_memory/gaussian_process.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.blocks.episodic_memory.gaussian_process import Prediction, gaussian_process
from refvlm.blocks.episodic_memory.prior import Memory, prior
from refvlm.blocks.episodic_memory.reading import read, read_variance
from refvlm.blocks.episodic_memory.writing import write_all
from refvlm.shapes import ShapeError

from ...spec import (
    assert_close,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from .memories import one_after_the_other, some_memory


@example
def test_gaussian_process_of_one_fact():
    """Seen once with noise as large as the doubt: half of it, and half the doubt."""
    memory = Memory(np.array([[0.0]]), np.array([[1.0]]))
    one = np.array([[1.0]])
    said = gaussian_process(memory, one, 4 * one, 1.0, 3 * one)
    np.testing.assert_array_equal(said.mean, [[6.0]])
    np.testing.assert_array_equal(said.variance, [4.5])


@law
@given(st.integers(0, 2**31 - 1), st.integers(1, 9))
def test_gaussian_process_is_what_a_memory_reads(seed, count):
    """The facts were thrown away, and nothing was lost: mean and variance are those of
    a read, after one write for each."""
    draw = random_arrays(seed)
    memory, asked = some_memory(draw), draw(7, 4)
    addresses, codes = draw(count, 4), draw(count, 6)
    said = gaussian_process(memory, addresses, codes, 0.3, asked)
    for written in (
        write_all(memory, addresses, codes, 0.3),
        one_after_the_other(memory, addresses, codes, 0.3),
    ):
        assert_close(said.mean, read(written, asked))
        scale = np.abs(read_variance(memory, asked)).max()
        off = np.abs(said.variance - read_variance(written, asked)).max()
        assert off < 1e-12 * scale


@law
def test_gaussian_process_knows_addresses_by_their_products_alone():
    """Turn all addresses and nothing changes: the kernel is w w'."""
    draw = random_arrays(1)
    memory = prior(4, 6, scale=0, dtype=np.float64)
    addresses, codes, asked = draw(3, 4), draw(3, 6), draw(5, 4)
    turn, _ = np.linalg.qr(draw(4, 4))
    one = gaussian_process(memory, addresses, codes, 0.1, asked)
    other = gaussian_process(memory, addresses @ turn, codes, 0.1, asked @ turn)
    assert_close(other.mean, one.mean)
    assert_close(other.variance, one.variance)


@law
def test_gaussian_process_keeps_the_dtype():
    """Of both, and half precision is computed in single."""
    draw = random_arrays(2)
    memory, facts, asked = some_memory(draw), (draw(3, 4), draw(3, 6)), draw(5, 4)
    for dtype in (np.float16, np.float32, np.float64):
        cast = Memory(*(part.astype(dtype) for part in memory))
        w, z, new = (array.astype(dtype) for array in (*facts, asked))
        said = gaussian_process(cast, w, z, 0.3, new)
        assert isinstance(said, Prediction)
        assert said.mean.dtype == said.variance.dtype == dtype


@oracle
def test_gaussian_process_equals_the_joint_gaussian(compare):
    """All answers together are one Gaussian, of which torch conditions the unseen on
    the seen."""
    draw = random_arrays(3)
    memory, asked = some_memory(draw, lead=(2,)), draw(2, 3, 4)
    addresses, codes = draw(2, 5, 4), draw(2, 5, 6)

    def ask(torch):
        mean, covariance, w, z, new = map(
            torch.tensor, (*memory, addresses, codes, asked)
        )
        every = torch.cat([new, w], dim=-2)
        joint = every @ covariance @ every.mT
        seen = joint[:, 3:, 3:] + 0.25 * torch.eye(5).double()
        gain = torch.linalg.solve(seen, joint[:, 3:, :3]).mT
        said = new @ mean + gain @ (z - w @ mean)
        left = joint[:, :3, :3] - gain @ joint[:, 3:, :3]
        variance = torch.diagonal(left, dim1=-2, dim2=-1)
        return {"mean": said.numpy(), "variance": variance.numpy()}

    inputs = *memory, addresses, codes, asked
    expected = compare.answers(ask, inputs)
    for dtype in (np.float64, np.float32):
        mean, covariance, w, z, new = (array.astype(dtype) for array in inputs)
        said = gaussian_process(Memory(mean, covariance), w, z, 0.25, new)
        assert_close(said.mean, expected["mean"].astype(dtype))
        assert_close(said.variance, expected["variance"].astype(dtype))


@derivative
def test_gaussian_process_derivative():
    """In the prior, the facts and what is asked."""
    draw = random_arrays(4)
    memory = some_memory(draw, 3, 4)
    arrays = *memory, draw(2, 3), draw(2, 4), draw(2, 3)
    for part in range(2):
        check_vjp(
            lambda m, s, w, z, new, part=part: gaussian_process(
                Memory(m, s), w, z, 0.3, new
            )[part],
            *arrays,
        )  # fmt: skip


@contract
def test_gaussian_process_says_what_is_wrong():
    """As a memory does."""
    memory, w, z = prior(3, 5), np.ones((2, 3)), np.ones((2, 5))
    with pytest.raises(ShapeError, match=r"gaussian_process: asked is \(1, 4\), but K"):
        gaussian_process(memory, w, z, 0.1, np.ones((1, 4)))
    with pytest.raises(ValueError, match="gaussian_process: noise must be a number"):
        gaussian_process(memory, w, z, 0, w)
    with pytest.raises(ValueError, match="gaussian_process: codes holds NaN"):
        gaussian_process(memory, w, z * np.nan, 0.1, w)
