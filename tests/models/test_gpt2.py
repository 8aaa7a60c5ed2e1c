"""The spec of refvlm/models/gpt2.py, but for transformers: test_decoders.py."""

import numpy as np
import pytest

from refvlm.blocks.kv_cache import ContextError
from refvlm.checkpoint import CheckpointError, Weights
from refvlm.models import gpt2
from refvlm.models.fields import ConfigError
from refvlm.shapes import ShapeError

from ..spec import assert_close, contract, example, law, random_arrays
from ..weights import random_weights

SMALL = {"vocab_size": 37, "n_positions": 8, "n_embd": 24, "n_layer": 2, "n_head": 4}
CONFIG = gpt2.GPT2Config.from_json(SMALL)


@pytest.fixture
def weights():
    return Weights(random_weights(gpt2.expected_shapes(CONFIG), seed=5))


@example
def test_conv1d_is_a_product_from_the_left():
    """(1, 2) W + b with W (in, out): rows belong to what comes in."""
    weights = {"weight": np.array([[1.0, 0, 10], [0, 1, 100]]), "bias": np.ones(3)}
    out = gpt2.conv1d(np.array([1.0, 2.0]), weights)
    np.testing.assert_array_equal(out, [2.0, 3.0, 211.0])


@example
def test_gpt2_of_an_empty_config_is_the_small_one():
    """117M it was called; it has 124,439,808 numbers."""
    assert gpt2.GPT2Config.from_json({"n_inner": None}) == gpt2.GPT2Config()


@law
def test_gpt2_block_adds_to_what_it_reads(weights):
    """With both ways out closed, a block hands its input on unchanged."""
    block = weights.scope("h.0")
    ways = [f"{part}.c_proj.{kind}" for part in ("attn", "mlp") for kind in BOTH]
    closed = block.replace({name: np.zeros_like(block[name]) for name in ways})
    hidden = random_arrays(3)(2, 5, 24)
    out = gpt2.gpt2_block(hidden, closed, CONFIG, None)
    np.testing.assert_array_equal(out, hidden)


BOTH = "weight", "bias"


@law
def test_gpt2_tells_the_same_word_at_two_places_apart(weights):
    """By what it learnt of them, since nothing else does: with all positions equal, a
    text of one word is the same everywhere."""
    word = np.tile(random_arrays(3)(1, 1, 24), (1, 6, 1))
    states = gpt2.gpt2(word, weights, CONFIG)
    assert np.abs(np.diff(states, axis=1)).max() > 0.1
    nowhere = weights.replace({"wpe.weight": np.zeros((8, 24))})
    states = gpt2.gpt2(word, nowhere, CONFIG)
    assert_close(states, np.repeat(states[:, :1], 6, axis=1))


@law
def test_gpt2_keeps_float32(weights):
    """float32 weights give float32 hidden states, close to those in float64."""
    single = Weights({name: weights[name].astype(np.float32) for name in weights})
    given = random_arrays(3)(2, 5, 24)
    states = gpt2.gpt2(given.astype(np.float32), single, CONFIG)
    assert states.dtype == np.float32
    assert_close(states, gpt2.gpt2(given, weights, CONFIG).astype(np.float32), 1e-5)


@law
@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_canonical_names_are_transformers(weights, prefix):
    """Released files leave out `transformer.` and keep triangles beside each attention;
    neither changes a number."""
    held = {prefix + name: weights[name] for name in weights}
    held[f"{prefix}h.1.attn.bias"] = np.tri(8)[None, None]
    held[f"{prefix}h.0.attn.masked_bias"] = np.array(-1e4)
    held["lm_head.weight"] = weights["wte.weight"]
    named = gpt2.canonical(Weights(held))
    assert set(named) == {f"transformer.{n}" for n in weights} | {"lm_head.weight"}
    assert named["transformer.h.0.attn.c_attn.bias"] is weights["h.0.attn.c_attn.bias"]


@contract
def test_canonical_refuses_a_tensor_that_comes_twice():
    """With and without `transformer.`, one of the two would be lost."""
    twice = {"wte.weight": np.ones((2, 2)), "transformer.wte.weight": np.ones((2, 2))}
    with pytest.raises(CheckpointError, match="would both be named 'transformer.wte"):
        gpt2.canonical(Weights(twice))


@contract
def test_gpt2_has_as_many_places_as_it_learnt(weights):
    """The ninth token has no row; a cache does not get that far, either. Padding needs
    no place."""
    with pytest.raises(ContextError, match="9 tokens .* context of 8: shorten"):
        gpt2.gpt2(np.ones((1, 9, 24)), weights, CONFIG)
    with pytest.raises(ContextError, match="9 tokens .* context of 8: shorten"):
        gpt2.new_cache(CONFIG, 1, 9)
    padded = np.arange(9)[None] > 0
    assert gpt2.gpt2(np.ones((1, 9, 24)), weights, CONFIG, padded).shape == (1, 9, 24)


@contract
def test_gpt2_wants_embeddings(weights):
    """Ids have two axes, embeddings three."""
    with pytest.raises(ShapeError, match="gpt2: embeddings"):
        gpt2.gpt2(np.ones((1, 5)), weights, CONFIG)


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"activation_function": "relu"}, "activation_function is 'relu', but only"),
        ({"scale_attn_weights": False}, "scale_attn_weights is False, but only True"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ({"reorder_and_upcast_attn": True}, "reorder_and_upcast_attn is True"),
        ({"add_cross_attention": True}, "add_cross_attention is True"),
        ({"n_embd": 25}, "n_embd 25 does not split into 4 heads"),
        ({"n_embd": 0}, "n_embd must be a whole number"),
        ({"n_head": "4"}, "n_head must be a whole number"),
        ({"n_layer": 1e3}, "n_layer must be a whole number"),
        ({"n_inner": 0}, "n_inner must be a whole number"),
        ({"n_positions": None}, "n_positions must be a whole number"),
        ({"vocab_size": -1}, "vocab_size must be a whole number"),
        ({"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon must be a number"),
        ({"tie_word_embeddings": None}, "tie_word_embeddings must be true or false"),
    ],
)
def test_gpt2_config_refuses_what_it_cannot_build(change, message):
    """A configuration that means another model is an error, not another answer."""
    with pytest.raises(ConfigError, match=message):
        gpt2.GPT2Config.from_json({**SMALL, **change})
