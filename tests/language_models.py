"""Tiny checkpoint directories of the three decoders that continue texts."""

from refvlm.models.decoders import DECODERS
from refvlm.pretrained import save

from . import tiny
from .weights import random_weights

CONTEXT, VOCABULARY = 48, 264
ROTARY = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    "eos_token_id": tiny.END,
}
CONFIGS = {
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": VOCABULARY,
        "n_positions": CONTEXT,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "eos_token_id": tiny.END,
        "tie_word_embeddings": True,
    },
    "llama": {"model_type": "llama", **ROTARY, "tie_word_embeddings": False},
    "qwen2": {"model_type": "qwen2", **ROTARY, "tie_word_embeddings": True},
}


def tensors(family, seed=7):
    """Random weights, large enough that beams and greedy disagree."""
    decoder, document = DECODERS[family], CONFIGS[family]
    config = decoder.config.from_json(document)
    shapes = decoder.expected_shapes(config, document["tie_word_embeddings"])
    return {n: 2 * a for n, a in random_weights(shapes, seed).items()}


def write(directory, family, generation=None, **changes):
    """A checkpoint directory of a family."""
    documents = {"config": {**CONFIGS[family], **changes}}
    if generation is not None:
        documents["generation_config"] = generation
    save(directory, tensors(family), tiny.byte_tokenizer(), **documents)
    return directory
