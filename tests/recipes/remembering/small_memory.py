"""A MicroVLM that is small enough for laws in double precision."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from refvlm.checkpoint import Weights
from refvlm.models import microvlm
from refvlm.models.microvlm_config import AdapterConfig, MemoryConfig, MicroVLMConfig
from refvlm.models.qwen2 import Qwen2Config
from refvlm.models.vit_config import ViTConfig
from refvlm.recipes.remembering.speech import episode_tokenizer

from ...weights import random_weights

CONFIG = MicroVLMConfig(
    vision=ViTConfig(
        image_size=8,
        patch_size=4,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
    ),
    text=Qwen2Config(
        vocab_size=20,
        hidden_size=16,
        intermediate_size=12,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=4,
        max_position_embeddings=64,
    ),
    adapter=AdapterConfig(inner=8, tokens=3, heads=2),
    memory=MemoryConfig(
        slots=6,
        width=10,
        scale=2.0,
        noise=0.1,
        wiring="tokens",
        written=2,
        order_layers=1,
        order_width=10,
        both_ways=False,
        ridge=0.01,
        heads=2,
    ),
    scope_width=6,
)


def speaking_model():
    """A model of chance weights that knows the episodes' words, and a preprocessor."""
    tokenizer = episode_tokenizer()
    config = replace(CONFIG, text=replace(CONFIG.text, vocab_size=len(tokenizer)))
    weights = random_weights(microvlm.expected_shapes(config, tied=True))
    shrink = SimpleNamespace(
        batch=lambda pictures: np.stack(
            [p[::16, ::16].transpose(2, 0, 1) / 255 for p in pictures]
        )
    )
    return SimpleNamespace(
        weights=Weights(weights),
        config=config,
        tokenizer=tokenizer,
        preprocessor=shrink,
        answers=lambda pictures, prompts: ["a ring."] * len(pictures),
    )
