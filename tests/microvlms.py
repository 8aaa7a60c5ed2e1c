"""Tiny MicroVLMs: their config.json, random tensors, pictures and texts.

Every size is another one where it can be, so that no axis passes for another.
"""

import numpy as np

from refvlm.models import microvlm
from refvlm.models.microvlm_config import MicroVLMConfig

from .spec import random_arrays
from .weights import random_weights

SIZE, PATCHES = 13, 9  # three patches of four pixels along each side, one left over

CONFIG = {  # in the wiring of the source
    "model_type": "microvlm_v",
    "architectures": ["MicroVLMForConditionalGeneration"],
    "vision_config": {
        "model_type": "vit",
        "hidden_size": 15,
        "intermediate_size": 20,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "image_size": SIZE,
        "patch_size": 4,
        "layer_norm_eps": 1e-3,
    },
    "text_config": {
        "model_type": "qwen2",
        "vocab_size": 19,
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
    },
    "adapter": {"intermediate_size": 18, "prefix_tokens": 5, "pooling_heads": 4},
    "memory": {
        "slots": 7,
        "width": 24,
        "prior_scale": 0.5,
        "noise": 0.25,
        "order_width": 12,
        "heads": 6,
    },
    "scope": {"hidden_size": 11},
}
TOKENS = {  # the memory's section in the wiring that a tiny model can learn
    "wiring": "tokens",
    "written_tokens": 3,
    "width": 16,
    "order_layers": 1,
    "order_width": 16,
    "bidirectional": False,
    "ridge": 0.125,
    "heads": 2,
}


def changed(**changes):
    """CONFIG with other values, also inside its sections."""
    return {
        **CONFIG,
        **{
            name: {**CONFIG.get(name, {}), **value}
            if isinstance(value, dict)
            else value
            for name, value in changes.items()
        },
    }


def built(document=CONFIG, seed=4):
    """(configuration, tensors by name), every number random, in float64."""
    config = MicroVLMConfig.from_json(document)
    tied = config.text.tie_word_embeddings
    return config, random_weights(microvlm.expected_shapes(config, tied), seed)


def pictures(count, seed=11):
    """(count, 3, SIZE, SIZE), normal numbers."""
    return random_arrays(seed)(count, 3, SIZE, SIZE)


def texts(count, length=8, seed=2):
    """(count, length) ids, and the mask: every second text ends two words sooner."""
    ids = np.random.RandomState(seed).randint(0, 19, (count, length))
    mask = np.ones_like(ids)
    mask[1::2, -2:] = 0
    return ids, mask
