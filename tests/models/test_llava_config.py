"""The spec of refvlm/models/llava_config.py."""

import json

import pytest

from refvlm.models import llama, qwen2
from refvlm.models.fields import ConfigError
from refvlm.models.llava_config import LlavaConfig

from .. import llavas
from ..oracles import import_torchvision
from ..spec import contract, example, law, oracle

PUBLISHED = {  # llava-hf/llava-1.5-7b-hf, as of its first upload
    "architectures": ["LlavaForConditionalGeneration"],
    "ignore_index": -100,
    "image_token_index": 32000,
    "model_type": "llava",
    "pad_token_id": 32001,
    "projector_hidden_act": "gelu",
    "text_config": {
        "_name_or_path": "lmsys/vicuna-7b-v1.5",
        "architectures": ["LlamaForCausalLM"],
        "max_position_embeddings": 4096,
        "model_type": "llama",
        "rms_norm_eps": 1e-05,
        "torch_dtype": "float16",
        "vocab_size": 32064,
    },
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "vision_config": {
        "hidden_size": 1024,
        "image_size": 336,
        "intermediate_size": 4096,
        "model_type": "clip_vision_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "patch_size": 14,
        "projection_dim": 768,
        "vocab_size": 32000,
    },
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default",
    "vocab_size": 32064,
}


@example
def test_llava_config_of_the_published_7b():
    """576 tokens, 24 by 24, of the last hidden state but one, and a LLaMA of 7B."""
    config = LlavaConfig.from_json(PUBLISHED)
    assert (config.image_tokens, config.grid) == (576, (24, 24))
    assert (config.width, config.feature_layers) == (1024, (-2,))
    assert isinstance(config.text, llama.LlamaConfig)
    assert (config.text.hidden_size, config.text.num_hidden_layers) == (4096, 32)
    assert config.text.rms_norm_eps == 1e-5 and config.image_token_id == 32000


@law
def test_llava_config_says_nothing_of_what_a_file_leaves_out():
    """Old files have no image_seq_length, no biases, no type of the text."""
    old = json.loads(json.dumps(llavas.CONFIG))
    for name in ("image_seq_length", "multimodal_projector_bias"):
        del old[name]
    del old["text_config"]["model_type"], old["vision_config"]["model_type"]
    assert LlavaConfig.from_json(old) == LlavaConfig.from_json(llavas.CONFIG)


@law
def test_llava_config_takes_576_for_nothing_said():
    """transformers writes LLaVA-1.5's number beside a tower of any size."""
    document = llavas.changed(image_seq_length=576)
    assert LlavaConfig.from_json(document).image_tokens == 4


@law
def test_llava_config_lays_several_layers_side_by_side():
    """Two hidden states double the width, not the number of tokens."""
    config = LlavaConfig.from_json(llavas.changed(vision_feature_layer=[-2, 0]))
    assert (config.width, config.image_tokens) == (24, 4)


@law
def test_llava_config_knows_the_decoder_by_its_type():
    """Qwen2 in place of LLaMA; a tied head may be said outside."""
    config = LlavaConfig.from_json(
        llavas.changed(
            text_config={"model_type": "qwen2"},
            tie_word_embeddings=True,
        )
    )
    assert config.decoder == "qwen2" and type(config.text) is qwen2.Qwen2Config
    assert config.text.tie_word_embeddings


@oracle
def test_llava_config_reads_what_transformers_writes(compare):
    """Both names of the image token, and every default of a configuration saved."""

    def ask(torch):
        import numpy as np

        import_torchvision()
        from transformers import LlavaConfig

        said = LlavaConfig(**json.loads(json.dumps(llavas.CONFIG))).to_json_string()
        return {"bytes": np.frombuffer(said.encode(), np.uint8).copy()}

    said = compare.answers(ask, (llavas.CONFIG,))["bytes"]
    document = json.loads(bytes(said))
    assert LlavaConfig.from_json(document) == LlavaConfig.from_json(llavas.CONFIG)
    document["image_token_id"] = document.pop("image_token_index")
    assert LlavaConfig.from_json(document) == LlavaConfig.from_json(llavas.CONFIG)


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "llava_next"}, "model_type is 'llava_next'"),
        (
            {"vision_config": {"model_type": "siglip_vision_model"}},
            "the vision_config's .*'siglip_vis",
        ),
        (
            {"text_config": {"model_type": "mistral"}},
            "the text_config's model_type is 'mistral'",
        ),
        ({"text_config": {"hidden_act": "gelu"}}, "hidden_act is 'gelu'"),
        ({"projector_hidden_act": "relu"}, "projector_hidden_act is 'relu'"),
        ({"multimodal_projector_bias": 1}, "multimodal_projector_bias must be true or"),
        ({"vision_feature_select_strategy": "cls"}, "select_strategy is 'cls'"),
        ({"vision_feature_layer": 4}, "is 4, but must be one of .* -4 to 3 of a tower"),
        ({"vision_feature_layer": []}, r"vision_feature_layer is \[\], but"),
        ({"vision_feature_layer": [-2, "-1"]}, r"is \[-2, '-1'\], but"),
        ({"vision_feature_layer": [-1] * 65}, "vision_feature_layer is"),
        ({"image_token_index": -1}, "image_token_index must be a whole number"),
        ({"image_token_index": 37}, "token is 37, but the vocabulary ends at 36"),
        ({"image_seq_length": 9}, "image_seq_length is 9, but .* becomes 4 tokens"),
        ({"vision_config": {"patch_size": 12}}, "patches of 12 pixels do not fit"),
        (
            {"mm_vision_tower": "openai/clip-vit-large-patch14-336"},
            "original layout.*llava-hf/llava-1.5-7b-hf",
        ),
        (
            {"model_type": "llava_queries", "query_heads": 5},
            "24 features do not split into query_heads of 5",
        ),
    ],
)
def test_llava_config_refuses_what_it_cannot_build(change, message):
    """Another architecture under the same file name is an error, not an answer."""
    with pytest.raises(ConfigError, match=message):
        LlavaConfig.from_json(llavas.changed(**change))


@contract
@pytest.mark.parametrize("part", ["text_config", "vision_config"])
def test_llava_config_needs_both_parts(part):
    """transformers would build a 7B of its own where one is missing."""
    document = {name: v for name, v in llavas.CONFIG.items() if name != part}
    with pytest.raises(ConfigError, match=f"{part} must be an object, not None"):
        LlavaConfig.from_json(document)
