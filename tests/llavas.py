"""Tiny LLaVAs: their config.json, random tensors, pictures and prompts.

Every size is odd where it can be, so that no axis passes for another.
"""

import numpy as np

from refvlm.models import llava
from refvlm.models.llava_config import LlavaConfig

from .spec import random_arrays
from .weights import random_weights

IMAGE_TOKEN = 36
SIZE, PATCHES = 11, 4  # two patches of four pixels along each side, three left over

CONFIG = {
    "model_type": "llava",
    "architectures": ["LlavaForConditionalGeneration"],
    "image_token_index": IMAGE_TOKEN,
    "image_seq_length": PATCHES,
    "projector_hidden_act": "gelu",
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default",
    "multimodal_projector_bias": True,
    "tie_word_embeddings": False,
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_size": 12,
        "intermediate_size": 20,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "image_size": SIZE,
        "patch_size": 4,
        "layer_norm_eps": 1e-3,
        "projection_dim": 5,
    },
    "text_config": {
        "model_type": "llama",
        "vocab_size": 37,
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
}
QWEN2 = {**CONFIG["text_config"], "model_type": "qwen2", "tie_word_embeddings": True}


def changed(**changes):
    """CONFIG with other values, among them of `text_config` and `vision_config`, and an
    image_seq_length that agrees with them."""
    document = {**CONFIG, **changes}
    for part in ("vision_config", "text_config"):
        document[part] = {**CONFIG[part], **changes.get(part, {})}
    if "image_seq_length" not in changes:
        del document["image_seq_length"]
    return document


def built(document=CONFIG, tied=False, seed=4):
    """(configuration, tensors by name), every number random, in float64."""
    config = LlavaConfig.from_json(document)
    return config, random_weights(llava.expected_shapes(config, tied), seed)


def pictures(count, seed=11):
    """(count, 3, SIZE, SIZE), normal numbers."""
    return random_arrays(seed)(count, 3, SIZE, SIZE)


def prompts(tokens, pictures=1, rows=2, seed=2):
    """(rows, t) ids in which each picture is its token, `tokens` times, between words;
    the last row is two words shorter, padded on the left, and the mask says so."""
    state = np.random.RandomState(seed)
    words = state.randint(3, IMAGE_TOKEN, (rows, 4 + 2 * pictures))
    parts = [words[:, :4]]
    for picture in range(pictures):
        parts.append(np.full((rows, tokens), IMAGE_TOKEN))
        parts.append(words[:, 4 + 2 * picture : 6 + 2 * picture])
    ids = np.concatenate(parts, axis=1)
    mask = np.ones_like(ids)
    mask[-1, :2] = 0
    return ids, mask
