"""The spec of refvlm/models/microvlm_config.py."""

import pytest

from refvlm.models.clip_config import VisionConfig
from refvlm.models.fields import ConfigError
from refvlm.models.microvlm_config import MicroVLMConfig
from refvlm.models.qwen2 import Qwen2Config
from refvlm.models.vit_config import ViTConfig

from .. import microvlms
from ..spec import contract, example, law

PUBLISHED = {  # what the source says in its sections 1 to 5
    "model_type": "microvlm_v",
    "vision_config": {
        "model_type": "vit",
        "hidden_size": 192,
        "intermediate_size": 768,
        "num_attention_heads": 3,
        "layer_norm_eps": 1e-6,
    },
    "text_config": {
        "model_type": "qwen2",
        "vocab_size": 151936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "rope_theta": 1e6,
        "tie_word_embeddings": True,
    },
    "adapter": {},
    "memory": {},
    "scope": {},
}


@example
def test_microvlm_config_is_by_default_the_sources():
    """224 pixels become 25 tokens of 896; 512 slots of as many numbers, which a
    two-layer LSTM of 448 a direction orders; a slot has all fourteen heads."""
    config = MicroVLMConfig.from_json(PUBLISHED)
    assert config == MicroVLMConfig()
    assert (config.vision.patches, config.image_tokens) == (196, 25)
    memory, text = config.memory, config.text
    assert (memory.slots, memory.width, memory.noise) == (512, 896, 1e-6)
    assert (memory.order_layers, memory.order_width, memory.both_ways) == (2, 448, True)
    assert (memory.heads, text.num_key_value_heads, text.head_dim) == (14, 2, 64)


@law
def test_microvlm_config_sees_through_either_tower():
    """A ViT, which DeiT-Tiny is, or CLIP's tower, by its own type."""
    vit = MicroVLMConfig.from_json(microvlms.CONFIG)
    assert type(vit.vision) is ViTConfig and type(vit.text) is Qwen2Config
    clip = MicroVLMConfig.from_json(
        microvlms.changed(vision_config={"model_type": "clip_vision_model"})
    )
    assert type(clip.vision) is VisionConfig
    assert clip.tower is not vit.tower
    assert clip.vision.patches == vit.vision.patches == microvlms.PATCHES


@law
def test_microvlm_config_knows_a_distilled_deit():
    """Two tokens stand before its patches, and it is computed as a ViT."""
    document = microvlms.changed(vision_config={"model_type": "deit"})
    config = MicroVLMConfig.from_json(document)
    plain = MicroVLMConfig.from_json(microvlms.CONFIG)
    assert (config.vision.prefix, plain.vision.prefix) == (2, 1)
    assert config.tower is plain.tower


@law
def test_microvlm_config_lets_a_slot_have_few_heads_or_all():
    """Those of the keys, two, or of the queries, six."""
    for heads in (2, 6):
        document = microvlms.changed(memory={"heads": heads})
        assert MicroVLMConfig.from_json(document).memory.heads == heads


@law
def test_microvlm_config_of_tokens_may_be_narrower_than_the_decoder():
    """What is written is then a projection of it, three tokens of five."""
    config = MicroVLMConfig.from_json(microvlms.changed(memory=microvlms.TOKENS))
    memory = config.memory
    assert (memory.width, memory.written, memory.ridge) == (16, 3, 0.125)
    assert not memory.both_ways and memory.order_width == memory.width


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "microvlm"}, "model_type is 'microvlm', but only 'microvlm_v'"),
        ({"vision_config": None}, "vision_config must be an object, not None"),
        ({"text_config": [1]}, r"text_config must be an object, not \[1\]"),
        ({"adapter": 5}, "adapter must be an object, not 5"),
        ({"memory": None}, "memory must be an object, not None"),
        ({"scope": None}, "scope must be an object, not None"),
        ({"vision_config": {"model_type": "siglip"}}, "model_type is 'siglip'"),
        ({"text_config": {"model_type": "llama"}}, "model_type is 'llama'"),
        ({"adapter": {"intermediate_size": 0}}, "intermediate_size must be a whole"),
        ({"adapter": {"prefix_tokens": 0}}, "prefix_tokens must be a whole number"),
        ({"adapter": {"pooling_heads": -1}}, "pooling_heads must be a whole number"),
        ({"adapter": {"pooling_heads": 5}}, "24 features do not split into 5 heads"),
        ({"memory": {"slots": 0}}, "slots must be a whole number"),
        ({"memory": {"slots": 24}}, "24 slots has codes of more than 24 numbers"),
        ({"memory": {"width": 0}}, "width must be a whole number"),
        ({"memory": {"width": "24"}}, "width must be a whole number"),
        ({"memory": {"prior_scale": 0}}, "prior_scale must be a number above 0"),
        ({"memory": {"noise": 0}}, "noise must be a number above 0"),
        ({"memory": {"noise": float("nan")}}, "noise must be a number above 0"),
        ({"memory": {"wiring": "pixels"}}, "wiring is 'pixels', but only 'contexts'"),
        ({"memory": {"written_tokens": 2}}, "'contexts' writes one vector .* not 2"),
        ({"memory": {"order_layers": 0}}, "order_layers must be a whole number"),
        ({"memory": {"order_width": 11}}, "LSTM gives 22 numbers, but codes have 24"),
        ({"memory": {"bidirectional": False}}, "gives 12 numbers, but codes have 24"),
        ({"memory": {"bidirectional": 1}}, "bidirectional must be true or false"),
        ({"memory": {"ridge": 0}}, "ridge must be a number above 0"),
        ({"memory": {"ridge": "0.1"}}, "ridge must be a number above 0"),
        ({"memory": {"heads": 3}}, "3 heads, but must have .* keys, 2, or .* 6"),
        (
            {"memory": {"width": 22, "order_width": 11}},
            "'contexts' writes codes as wide as the decoder, 24, not 22",
        ),
        (
            {"memory": microvlms.TOKENS | {"written_tokens": 6}},
            "6 tokens of a picture cannot be written, it has 5",
        ),
        ({"scope": {"hidden_size": 0}}, "hidden_size must be a whole number"),
    ],
)
def test_microvlm_config_refuses_what_it_cannot_build(change, message):
    """A configuration that means another model is an error, not another answer."""
    with pytest.raises(ConfigError, match=message):
        MicroVLMConfig.from_json(microvlms.changed(**change))
