"""The spec of refvlm/models/microvlm_stream.py."""

import numpy as np
import pytest

from refvlm.checkpoint import Weights
from refvlm.models import microvlm_memory
from refvlm.models.microvlm_stream import stream_codes

from .. import microvlms
from ..spec import law, random_arrays

WIRINGS = {
    "tokens": microvlms.TOKENS,
    "tokens, two layers": {**microvlms.TOKENS, "order_layers": 2},
    "contexts": {"order_width": 24, "bidirectional": False},
    "both ways": {},
    "tokens, both ways": {**microvlms.TOKENS, "order_width": 8, "bidirectional": True},
}


def seen(count, name):
    """(tokens of pictures, the memory's weights, the configuration)."""
    config, tensors = microvlms.built(microvlms.changed(memory=WIRINGS[name]))
    tokens = random_arrays(3)(count, config.adapter.tokens, config.text.hidden_size)
    return tokens, Weights(tensors), config


@law
@pytest.mark.parametrize("name", WIRINGS)
def test_stream_codes_are_those_of_all_at_once(name):
    """What an episode writes is the same, whichever way its pictures come."""
    tokens, weights, config = seen(4, name)
    expected = microvlm_memory.codes(tokens[None], weights, config)[0]
    codes, _ = stream_codes(tokens, None, weights, config)
    assert codes.shape == (4, config.memory.written, config.memory.width)
    np.testing.assert_allclose(codes.reshape(expected.shape), expected, atol=1e-12)


@law
@pytest.mark.parametrize("name", ["tokens", "tokens, two layers", "contexts"])
def test_stream_codes_go_on_from_the_state(name):
    """To the bit: the state is all that the next picture needs of those before."""
    tokens, weights, config = seen(5, name)
    together, last = stream_codes(tokens, None, weights, config)
    first, state = stream_codes(tokens[:2], None, weights, config)
    then, after = stream_codes(tokens[2:], state, weights, config)
    np.testing.assert_array_equal(np.concatenate([first, then]), together)
    np.testing.assert_array_equal(after, last)
    anew, _ = stream_codes(tokens[2:], None, weights, config)
    assert np.abs(anew - then).max() > 1e-3


@law
@pytest.mark.parametrize("name", ["both ways", "tokens, both ways"])
def test_stream_codes_of_both_ways_order_one_call_alone(name):
    """There the last picture changes what is written of the first, and no state is
    left for the next call."""
    tokens, weights, config = seen(3, name)
    together, state = stream_codes(tokens, None, weights, config)
    alone, _ = stream_codes(tokens[:1], None, weights, config)
    assert state is None and np.abs(together[0] - alone[0]).max() > 1e-3
