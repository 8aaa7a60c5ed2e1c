"""A tiny FastVLM checkpoint directory, as transformers would save it.

It has every kind of stage (RepMixer, attention with positional encoding,
squeeze-excite), grouped queries and a padded vocabulary. Its weights are random, its
tokenizer knows the 256 bytes and four markers.
"""

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from refvlm.models import fastvlm
from refvlm.pretrained import save
from refvlm.text.bpe.byte_level import byte_alphabet

from .spec import random_arrays
from .weights import random_weights

MARKERS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"]
END, IMAGE_TOKEN = 258, 259
SIZE, IMAGE_TOKENS = 128, 4

CONFIG = {
    "model_type": "fast_vlm",
    "architectures": ["FastVlmForConditionalGeneration"],
    "image_token_index": IMAGE_TOKEN,
    "image_seq_length": IMAGE_TOKENS,
    "projector_hidden_act": "gelu",
    "tie_word_embeddings": True,
    "vision_config": {
        "model_type": "timm_wrapper",
        "architecture": "fastvit_mci3",
        "do_pooling": True,
        "global_pool": "avg",
        "hidden_size": 128,
        "num_classes": 2,
        "label_names": ["LABEL_0", "LABEL_1"],
        "model_args": {
            "inference_mode": True,
            "layers": [1, 3, 1, 1, 2],
            "embed_dims": [8, 8, 16, 32, 64],
            "mlp_ratios": [4, 4, 4, 4, 4],
        },
    },
    "text_config": {
        "model_type": "qwen2",
        "vocab_size": 264,
        "hidden_size": 32,
        "intermediate_size": 56,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
        "tie_word_embeddings": True,
        "eos_token_id": END,
    },
}

PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": SIZE},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": SIZE, "width": SIZE},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.0, 0.0, 0.0],
    "image_std": [1.0, 1.0, 1.0],
}

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def pictures(count, seed=21):
    """(count, 3, SIZE, SIZE) in [0, 1]: large patches of colour, so that they differ.

    Noise would not do: averaged over a receptive field, all noise looks alike.
    """
    coarse = np.abs(random_arrays(seed)(count, 3, 4, 4)).clip(0, 2) / 2
    return coarse.repeat(SIZE // 4, axis=2).repeat(SIZE // 4, axis=3)


def random_tensors(config=CONFIG, tied=True, seed=3):
    """name -> float64 array, for every tensor of the model."""
    described = fastvlm.FastVLMConfig.from_json(config)
    return random_weights(fastvlm.expected_shapes(described, tied), seed)


def write_checkpoint(directory, config=CONFIG, tied=True, dtype=np.float32, seed=3):
    """Write the directory; return it."""
    tensors = random_tensors(config, tied, seed)
    save(
        directory,
        {name: array.astype(dtype) for name, array in tensors.items()},
        byte_tokenizer(),
        config=config,
        preprocessor_config=PREPROCESSOR,
        tokenizer_config={"chat_template": CHATML},
    )
    return directory


def byte_tokenizer():
    """Byte-level BPE with no merges: each byte is a token."""
    vocabulary = {character: byte for byte, character in byte_alphabet().items()}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(MARKERS)
    return tokenizer
