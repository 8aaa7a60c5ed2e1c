"""Memories that are nothing special, and facts to write into them, for every law."""

import numpy as np

from refvlm.blocks.episodic_memory.prior import Memory
from refvlm.blocks.episodic_memory.writing import write

from ...spec import assert_close


def some_memory(draw, slots=4, width=6, lead=()):
    """A belief with a full mean and a full covariance, which is computed without a
    rounding, so that every processor makes the same of it."""
    root = np.round(8 * draw(*lead, slots, slots)) / 16
    covariance = root @ root.swapaxes(-1, -2) + 0.5 * np.eye(slots)
    return Memory(draw(*lead, slots, width), covariance)


def one_after_the_other(memory, addresses, codes, noise, step=write):
    """The same facts, one `write` for each."""
    for i in range(addresses.shape[-2]):
        memory = step(memory, addresses[..., i, :], codes[..., i, :], noise)
    return memory


def assert_same(actual, expected, tolerance=None):
    """Both arrays of a memory."""
    assert_close(actual.mean, expected.mean, tolerance)
    assert_close(actual.covariance, expected.covariance, tolerance)


def many_facts(draw, count=10_000, slots=64, width=128, noise=1e-6):
    """Addresses of length 1 and codes that a matrix says, up to the noise; float32."""
    addresses = draw(count, slots)
    addresses /= np.linalg.norm(addresses, axis=1, keepdims=True)
    codes = addresses @ draw(slots, width) + noise**0.5 * draw(count, width)
    return addresses.astype(np.float32), codes.astype(np.float32)


def true_posterior(addresses, codes, noise):
    """What float64 believes after them all, and the least eigenvalue of that."""
    addresses, codes = addresses.astype(np.float64), codes.astype(np.float64)
    slots, width = addresses.shape[1], codes.shape[1]
    precision = np.eye(slots) + addresses.T @ addresses / noise
    weighed = np.eye(slots, width) + addresses.T @ codes / noise
    mean = np.linalg.solve(precision, weighed)
    return mean, 1 / np.linalg.eigvalsh(precision)[-1]
