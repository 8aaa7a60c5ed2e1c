"""Tiny LLaVAs: their config.json, random tensors, pictures and prompts.

Every size is odd where it can be, so that no axis passes for another.
"""

import functools
import json

import numpy as np

from refvlm.models import llava
from refvlm.models.llava_config import LlavaConfig
from refvlm.pretrained import save
from refvlm.text import Tokenizer, learn_raw_bpe
from refvlm.text.tokenizer import open_engine

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


MARKERS = ["<unk>", "<s>", "</s>", "<image>", "<pad>"]
TEXTS = ["USER: What is on the table? ASSISTANT: a red cube and a small blue ball."]

# As llava-hf/llava-1.5-7b-hf has it: pictures first, then texts, a space behind each.
VICUNA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ message['role'].upper() + ': '}}{% endif %}{# Render all images first #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}{# Render all text next #}"
    "{% if message['role'] != 'assistant' %}{% for content in message['content'] | "
    "selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}{% endfor %}"
    "{% else %}{% for content in message['content'] | "
    "selectattr('type', 'equalto', 'text') %}{% generation %}"
    "{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

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
    "do_convert_rgb": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


@functools.cache
def words():
    """A tokenizer of LLaMA's kind, with `<image>`, that begins each text with `<s>`."""
    learnt = Tokenizer.of(learn_raw_bpe(TEXTS, 300, MARKERS))
    document = json.loads(learnt.to_json())
    start, text = {"id": "<s>", "type_id": 0}, {"id": "A", "type_id": 0}
    document["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": start}, {"Sequence": text}],
        "pair": [{"Sequence": text}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    return Tokenizer(open_engine(json.dumps(document)))


def worded(**changes):
    """`changed`, for the vocabulary of `words`, a few rows longer than it."""
    said = {"vocab_size": len(words()) + 4, **changes.get("text_config", {})}
    image = {"image_token_index": words().token_id("<image>")}
    return changed(**{**image, **changes, "text_config": said})


def write_checkpoint(directory, document=None, template=VICUNA, seed=5, **documents):
    """Write a directory as transformers does; return it."""
    document = worded() if document is None else document
    tied = document["text_config"]["tie_word_embeddings"]
    tensors = built(document, tied, seed)[1]
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    save(
        directory,
        {name: array.astype(np.float32) for name, array in tensors.items()},
        words(),
        **{
            "config": document,
            "preprocessor_config": PREPROCESSOR,
            "tokenizer_config": special,
            "chat_template": {"chat_template": template},
            **documents,
        },
    )
    return directory
