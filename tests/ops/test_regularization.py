"""The spec of refvlm/ops/regularization.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import grad

from ..spec import call, contract, derivative, example, law, random_arrays, tensors

probabilities = st.floats(0, 1)
seeds = st.integers(0, 1000)


def generator(seed=0):
    return np.random.default_rng(seed)


draw = random_arrays(2026)
CALLS = {
    "dropout_mask": [
        call(generator(), (3, 5)),
        call(generator(), (), 0.3, dtype=np.float16),
        call(generator(), (2, 3), p=1),
    ],
    "dropout": [
        call(draw(3, 5), rng=generator()),
        call(draw(3, 5), 0.3, rng=generator(1)),
        call(draw(3, 5), training=False),
    ],
    "drop_path": [
        call(draw(3, 5, 2), 0.3, rng=generator()),
        call(draw(3), 0.3, training=False),
    ],
}


@example
def test_dropout_mask_of_a_half():
    """Half of the numbers are dropped, and the rest is doubled."""
    mask = ops.dropout_mask(generator(), (100, 100), p=0.5)
    np.testing.assert_array_equal(np.unique(mask), [0, 2])


@example
def test_drop_path_drops_whole_samples():
    """A sample is either absent or, at p = 1/2, doubled as a whole."""
    out = ops.drop_path(np.ones((64, 3, 2)), 0.5, rng=generator())
    assert set(out.reshape(64, -1).mean(axis=1)) == {0.0, 2.0}


@example
def test_dropout_of_a_half_keeps_or_doubles():
    """Half of the numbers are dropped, and the others count twice."""
    out = ops.dropout(np.full(1000, 3.0), rng=generator())
    assert set(out.tolist()) == {0.0, 6.0}


@law
@given(probabilities.filter(lambda p: p < 0.95), seeds)
def test_dropout_mask_has_expectation_one(p, seed):
    """What is kept is scaled up by 1 / (1 - p), so that the average stays."""
    mask = ops.dropout_mask(generator(seed), 10_000, p, np.float64)
    deviation = np.sqrt(p / (1 - p) / mask.size)
    few = 6 / (1 - p) / mask.size  # for a p so small that a drop is an event
    assert abs(mask.mean() - 1) <= 6 * deviation + few, (
        f"at p = {p:.2f} the mask averages {mask.mean():.3f}: kept entries are 1/(1-p)"
    )


@law
@given(probabilities, seeds)
def test_dropout_mask_drops_as_many_as_it_says(p, seed):
    """The share of zeros is p."""
    dropped = (ops.dropout_mask(generator(seed), 10_000, p) == 0).mean()
    assert abs(dropped - p) <= 6 * np.sqrt(p * (1 - p) / 10_000) + 6 / 10_000


@law
@given(probabilities, seeds)
def test_dropout_mask_is_decided_by_its_generator(p, seed):
    """The same seed, the same noise: an experiment can be repeated."""
    first, second = (ops.dropout_mask(generator(seed), (3, 4), p) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@law
def test_dropout_mask_entries_are_independent():
    """Neighbours are dropped no more often together than by chance: p squared."""
    dropped = ops.dropout_mask(generator(), 100_000, 0.3) == 0
    together = (dropped[1:] & dropped[:-1]).mean()
    assert abs(together - 0.09) < 0.006


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("p", [0.1, np.float64(0.1), 1])
def test_dropout_mask_has_the_dtype_asked_for(dtype, p):
    """The scale 1 / (1 - p) does not turn float32 into float64."""
    assert ops.dropout_mask(generator(), (2, 3), p, dtype).dtype == dtype


@law
@given(tensors((3, 4)), probabilities)
def test_dropout_outside_training_is_the_identity(x, p):
    """Without training nothing happens, and no generator is needed."""
    np.testing.assert_array_equal(ops.dropout(x, p, training=False), x)


@law
@given(tensors((3, 4)))
def test_dropout_at_its_ends(x):
    """p = 0 keeps everything as it is, p = 1 keeps nothing."""
    np.testing.assert_array_equal(ops.dropout(x, 0.0, rng=generator()), x)
    np.testing.assert_array_equal(
        ops.dropout(x, 1.0, rng=generator()), np.zeros((3, 4))
    )


@law
@given(tensors((3, 4)), probabilities, seeds)
def test_dropout_multiplies_by_its_mask(x, p, seed):
    """The same generator gives the mask, and the mask gives the answer."""
    mask = ops.dropout_mask(generator(seed), x.shape, p, x.dtype)
    np.testing.assert_array_equal(ops.dropout(x, p, rng=generator(seed)), x * mask)


@law
@given(tensors((3, 4)), probabilities)
def test_drop_path_outside_training_is_the_identity(x, p):
    """Without training every path is taken."""
    np.testing.assert_array_equal(ops.drop_path(x, p, training=False), x)


@law
@given(probabilities, seeds)
def test_drop_path_has_one_factor_for_each_sample(p, seed):
    """Within a sample all numbers have the same fate."""
    out = ops.drop_path(np.ones((8, 3, 2)), p, rng=generator(seed))
    assert (out == out[:, :1, :1]).all()
    for factor in np.unique(out[out != 0]):
        np.testing.assert_allclose(factor, 1 / (1 - p), rtol=1e-6)


@derivative
@pytest.mark.parametrize("name", ["dropout", "drop_path"])
def test_regularization_derivative_sees_the_same_mask(name):
    """The way back passes where the way out did, with the same factor."""
    x = np.full((16, 5), 3.0)
    function = getattr(ops, name)
    out = function(x, 0.4, rng=generator(5))
    d_x = grad(lambda x: function(x, 0.4, rng=generator(5)).sum())(x)
    np.testing.assert_array_equal(d_x, out / 3.0)


@contract
@pytest.mark.parametrize("p", [-0.1, 1.5, np.nan])
def test_dropout_refuses_what_is_no_probability(p):
    """The message names the number."""
    for function in (ops.dropout, ops.drop_path):
        with pytest.raises(ValueError, match=f"p is a probability, not {p}"):
            function(np.ones((2, 3)), p, rng=generator())
    with pytest.raises(ValueError, match=f"p is a probability, not {p}"):
        ops.dropout_mask(generator(), (2, 3), p)


@contract
def test_dropout_mask_needs_a_generator():
    """There is no hidden one for the mask alone either."""
    with pytest.raises(ValueError, match="dropout_mask: rng must be"):
        ops.dropout_mask(None, (2, 3))


@contract
def test_dropout_needs_a_generator():
    """There is no hidden one: the message says which kind is wanted."""
    for function in (ops.dropout, ops.drop_path):
        with pytest.raises(ValueError, match=r"rng must be a numpy\.random\.Generator"):
            function(np.ones((2, 3)), 0.5)
