"""A checkpoint directory of FastVLM-0.5B's shape, with random weights.

Every tensor matters: scales scatter around 1, biases and means around 0, so that the
logits have a healthy spread and a wrong model cannot hide. 2.5 GB, written once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from refvlm import checkpoint
from refvlm.models import fastvlm

TEXT = {
    "model_type": "qwen2",
    "vocab_size": 151936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
    "tie_word_embeddings": True,
}
CONFIG = {
    "model_type": "fast_vlm",
    "architectures": ["FastVlmForConditionalGeneration"],
    "image_token_index": 151646,
    "image_seq_length": 256,
    "projector_hidden_act": "gelu",
    "tie_word_embeddings": True,
    "text_config": TEXT,
    "vision_config": {
        "model_type": "timm_wrapper",
        "architecture": "fastvit_mci3",
        "do_pooling": True,
        "global_pool": "avg",
        "hidden_size": 3072,
        "num_classes": 2,
        "label_names": ["LABEL_0", "LABEL_1"],
        "model_args": {"inference_mode": True},
    },
}


def random_tensor(rng, name, shape):
    """Signals keep their size on the way, so that depth neither drowns nor bursts."""
    values = rng.standard_normal(shape, dtype=np.float32)
    kind = name.rpartition(".")[2]
    if kind == "running_var":
        return np.abs(values) + np.float32(0.5)
    if kind == "gamma":
        return np.float32(0.25) + np.float32(0.1) * values
    if kind == "weight" and len(shape) == 1:
        return 1 + np.float32(0.3) * values
    if kind in ("bias", "running_mean"):
        return np.float32(0.1) * values
    gain = 1.0 if "token_mixer" in name else 2.0  # an activation halves what it gets
    if len(shape) == 2:
        gain = 1.0
    return values * np.float32((gain / np.prod(shape[1:])) ** 0.5)


def write(directory):
    """Write config.json and model.safetensors, unless they are there."""
    directory = Path(directory)
    if (directory / "config.json").exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    shapes = fastvlm.expected_shapes(fastvlm.FastVLMConfig.from_json(CONFIG), True)
    tensors = {name: random_tensor(rng, name, s) for name, s in shapes.items()}
    checkpoint.save(directory / "model.safetensors", tensors)
    (directory / "config.json").write_text(json.dumps(CONFIG, indent=2))


if __name__ == "__main__":
    write(sys.argv[1])
