"""The spec of refvlm/analysis/attention_maps.py."""

import numpy as np
import pytest
from hypothesis import given

from refvlm import ops
from refvlm.analysis import attention_maps

from ..spec import assert_close, contract, example, law, oracle, random_arrays, tensors


@example
def test_attention_entropy_of_a_coin():
    """Two equal shares are one bit, log 2 in nats; certainty is nothing."""
    np.testing.assert_allclose(
        attention_maps.attention_entropy(np.array([0.5, 0.5])), np.log(2)
    )
    assert attention_maps.attention_entropy(np.array([1.0, 0.0])) == 0


@example
def test_attention_rollout_of_two_steps():
    """Token 1 looked at 0, half of it; twice, so three quarters come from token 0."""
    looks_back = np.array([[[1.0, 0.0], [1.0, 0.0]]])
    rollout = attention_maps.attention_rollout([looks_back, looks_back])
    np.testing.assert_array_equal(rollout, [[1.0, 0.0], [0.75, 0.25]])


@example
def test_attention_rollout_follows_the_layers_in_order():
    """First 1 took from 0, then 2 took from 1: so 2 holds something of 0. The other
    way round, 2 read token 1 before there was anything of token 0 in it."""
    first, second = np.eye(3)[None].copy(), np.eye(3)[None].copy()
    first[0, 1], second[0, 2] = [1, 0, 0], [0, 1, 0]
    assert attention_maps.attention_rollout([first, second])[2, 0] == 0.25
    assert attention_maps.attention_rollout([second, first])[2, 0] == 0


@law
@given(tensors((3, 5)))
def test_attention_entropy_lies_between_nothing_and_log_n(scores):
    """From one key that takes all, to all keys alike."""
    entropy = attention_maps.attention_entropy(ops.softmax(scores))
    assert (entropy >= -1e-12).all() and (entropy <= np.log(5) + 1e-12).all()
    assert_close(attention_maps.attention_entropy(np.full(5, 0.2)), np.log(5))


@law
@given(tensors((2, 3, 4, 4)))
def test_attention_rollout_rows_sum_to_one(scores):
    """Averages of averages are averages: nothing is lost on the way down."""
    rollout = attention_maps.attention_rollout(list(ops.softmax(scores)))
    assert_close(rollout.sum(axis=-1), np.ones(4))
    assert (rollout >= 0).all()


@law
def test_attention_rollout_of_the_residual_alone_is_the_identity():
    """A layer that only keeps what it had moves nothing."""
    weights = ops.softmax(random_arrays(1)(2, 3, 3))
    np.testing.assert_array_equal(
        attention_maps.attention_rollout([weights], 1.0), np.eye(3)
    )


@oracle
def test_attention_entropy_equals_torch(compare):
    """torch.distributions.Categorical."""

    def reference(torch):
        return lambda p: torch.distributions.Categorical(probs=p).entropy()

    counts = np.random.RandomState(2).randint(1, 50, (4, 6))
    weights = counts / counts.sum(axis=-1, keepdims=True)
    compare(attention_maps.attention_entropy, reference, weights, gradients=False)


@contract
def test_attention_rollout_refuses_no_layers():
    """Without a layer there is nothing to follow."""
    with pytest.raises(ValueError, match="at least one layer"):
        attention_maps.attention_rollout([])
