"""The spec of refvlm/models/llama.py, but for transformers: test_decoders.py."""

import numpy as np
import pytest

from refvlm.checkpoint import Weights
from refvlm.models import llama, qwen2
from refvlm.models.fields import ConfigError

from ..spec import contract, example, law, random_arrays
from ..weights import random_weights

SMALL = {"vocab_size": 37, "hidden_size": 24, "intermediate_size": 40} | {
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "max_position_embeddings": 64,
}


@example
def test_llama_of_an_empty_config_is_llama_7b():
    """What a file leaves out is what LLaMA-7B has: as many key heads as query heads."""
    assert llama.LlamaConfig.from_json({}) == llama.LlamaConfig()


@example
def test_llama_has_qwen2s_tensors_without_the_biases():
    """Three vectors a layer are the whole difference."""
    config = llama.LlamaConfig.from_json(SMALL)
    theirs = qwen2.expected_shapes(config)
    ours = llama.expected_shapes(config)
    assert {n.split(".", 2)[2] for n in theirs.keys() - ours.keys()} == {
        f"self_attn.{name}_proj.bias" for name in "qkv"
    }
    assert not ours.keys() - theirs.keys()


@law
def test_llama_is_qwen2_whose_biases_are_zero():
    """To the last digits: one function computes both."""
    config = llama.LlamaConfig.from_json(SMALL)
    weights = random_weights(llama.expected_shapes(config), seed=3)
    zeros = {
        name: np.zeros(shape)
        for name, shape in qwen2.expected_shapes(config).items()
        if name not in weights
    }
    given = random_arrays(1)(2, 7, 24)
    ours = llama.llama(given, Weights(weights), config)
    theirs = qwen2.qwen2(given, Weights({**weights, **zeros}), config)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14)


@law
def test_attention_bias_gives_all_four_projections_one():
    """Qwen2's output projection has none; LLaMA's has, where the file says so."""
    config = llama.LlamaConfig.from_json({**SMALL, "attention_bias": True})
    names = llama.expected_shapes(config)
    assert sum(name.endswith("proj.bias") for name in names) == 2 * 4


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"mlp_bias": True}, "mlp_bias is True, but only False"),
        ({"attention_bias": "no"}, "attention_bias must be true or false"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu', but only 'silu'"),
        ({"hidden_size": 25}, "hidden_size 25 does not split into 6 heads"),
        ({"num_key_value_heads": 4}, "6 query heads cannot share 4 key heads evenly"),
        ({"head_dim": 5}, "an even head_dim"),
        ({"vocab_size": 0}, "vocab_size must be a whole number"),
        ({"vocab_size": None}, "vocab_size must be a whole number"),
        ({"intermediate_size": 1.5}, "intermediate_size must be a whole number"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers must be a whole number"),
        ({"num_attention_heads": True}, "num_attention_heads must be a whole number"),
        ({"max_position_embeddings": -1}, "max_position_embeddings must be a whole"),
        ({"rms_norm_eps": 0}, "rms_norm_eps must be a number"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings must be true or false"),
        (
            {"head_dim": 2, "rope_scaling": {"type": "dynamic", "factor": 2.0}},
            "'dynamic' needs a head_dim of at least 4",
        ),
    ],
)
def test_llama_config_refuses_what_it_cannot_build(change, message):
    """A configuration that means another model is an error, not another answer."""
    with pytest.raises(ConfigError, match=message):
        llama.LlamaConfig.from_json({**SMALL, **change})


@contract
def test_llama_names_itself_where_last_is_wrong():
    """The function that was called is the one that complains."""
    config = llama.LlamaConfig.from_json(SMALL)
    with pytest.raises(ValueError, match="llama: of 3 tokens there are no last 4"):
        llama.llama(np.ones((1, 3, 24)), Weights({}), config, last=4)
