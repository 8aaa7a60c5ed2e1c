"""The spec of refvlm/blocks/episodic_memory/prior.py."""

import numpy as np
import pytest

from refvlm.blocks.episodic_memory.addressing import prior_address
from refvlm.blocks.episodic_memory.prior import Memory, prior
from refvlm.blocks.episodic_memory.reading import read
from refvlm.blocks.episodic_memory.writing import write, write_all

from ...spec import assert_close, contract, example, law, random_arrays


@example
def test_prior_of_two_slots():
    """Two slots of three numbers: twice the identity, and a variance of a half."""
    memory = prior(slots=2, width=3, scale=2.0, variance=0.5, dtype=np.float64)
    np.testing.assert_array_equal(memory.mean, [[2.0, 0, 0], [0, 2.0, 0]])
    np.testing.assert_array_equal(memory.covariance, [[0.5, 0], [0, 0.5]])


@law
def test_prior_never_changes_its_first_columns():
    """M = [sI | B]: a key is its own address, the surprise there is 0, and nothing is
    learnt in the first K columns, one fact after the other or all at once."""
    draw = random_arrays(1)
    start = prior(slots=5, width=9, scale=3.0, dtype=np.float64)
    codes = draw(20, 9)
    addresses = prior_address(codes, start.mean)
    memory = start
    for address, code in zip(addresses, codes):
        memory = write(memory, address, code, 0.1)
    for written in (memory, write_all(start, addresses, codes, 0.1)):
        assert_close(written.mean[:, :5], start.mean[:, :5])
        assert np.abs(written.mean[:, 5:]).max() > 0.1
        asked = draw(4, 9)
        answers = read(written, prior_address(asked, start.mean))
        assert_close(answers[:, :5], asked[:, :5])


@law
def test_prior_leaves_a_regression_of_values_on_keys():
    """What is written in the other columns is ridge regression: B minimises
    |Z - W B|^2 + noise |B|^2, for the values Z and the keys W."""
    draw = random_arrays(2)
    start = prior(slots=3, width=7, scale=2.0, dtype=np.float64)
    codes, noise = draw(8, 7), 0.3
    keys, values = codes[:, :3] / 2, codes[:, 3:]
    written = write_all(start, prior_address(codes, start.mean), codes, noise)
    stacked = np.concatenate([keys, np.sqrt(noise) * np.eye(3)])
    targets = np.concatenate([values, np.zeros((3, 4))])
    ridge, *_ = np.linalg.lstsq(stacked, targets, rcond=None)
    assert_close(written.mean[:, 3:], ridge)


@law
def test_prior_keeps_the_dtype_whatever_the_numbers_are():
    """A NumPy scale does not widen the memory."""
    for dtype in (np.float16, np.float32, np.float64):
        memory = prior(2, 3, np.float64(2), np.float64(1), dtype)
        assert isinstance(memory, Memory)
        assert memory.mean.dtype == memory.covariance.dtype == dtype


@contract
def test_prior_with_no_room_for_values_is_refused():
    """Where K is C the memory says what it is asked, whatever was written."""
    with pytest.raises(ValueError, match="none is left to be remembered: take fewer"):
        prior(slots=4, width=4)
    assert prior(slots=4, width=4, scale=0).mean.shape == (4, 4)


@contract
@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"slots": 0}, "slots must be a whole number of at least 1"),
        ({"width": 2.5}, "width must be a whole number"),
        ({"scale": np.inf}, "scale must be a finite number"),
        ({"scale": "1"}, "scale must be a finite number"),
        ({"variance": 0}, "variance must be a number above 0"),
        ({"dtype": np.int64}, "dtype must be a floating one"),
    ],
)
def test_prior_names_what_is_wrong(wrong, words):
    """Its own name, and the argument's."""
    with pytest.raises(ValueError, match=f"prior: {words}"):
        prior(**{"slots": 2, "width": 3, **wrong})
