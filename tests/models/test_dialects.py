"""The spec of refvlm/models/dialects.py."""

import numpy as np
import pytest

from refvlm.checkpoint import Weights
from refvlm.models import dialects
from refvlm.models.fastvithd import FastViTHDConfig, expected_shapes
from refvlm.models.qwen2 import Qwen2Config
from refvlm.models.qwen2 import expected_shapes as decoder_shapes

from ..spec import example, law

# Apple's name -> Hugging Face's, one of each kind, as published.
PUBLISHED = {
    "patch_embed.0.reparam_conv.weight": "stem.0.reparam_conv.weight",
    "network.0.1.token_mixer.reparam_conv.bias": (
        "stages.0.blocks.1.token_mixer.reparam_conv.bias"
    ),
    "network.2.11.convffn.conv.bn.running_var": (
        "stages.1.blocks.11.mlp.conv.bn.running_var"
    ),
    "network.4.0.convffn.fc1.weight": "stages.2.blocks.0.mlp.fc1.weight",
    "network.4.0.layer_scale": "stages.2.blocks.0.layer_scale.gamma",
    "network.7.3.layer_scale_2": "stages.3.blocks.3.layer_scale_2.gamma",
    "network.1.proj.0.lkb_reparam.weight": (
        "stages.1.downsample.proj.0.reparam_conv.weight"
    ),
    "network.1.proj.1.reparam_conv.weight": (
        "stages.1.downsample.proj.1.reparam_conv.weight"
    ),
    "network.6.reparam_conv.weight": "stages.3.pos_emb.reparam_conv.weight",
    "network.10.1.token_mixer.qkv.weight": "stages.4.blocks.1.token_mixer.qkv.weight",
    "network.7.0.norm.bias": "stages.3.blocks.0.norm.bias",
    "conv_exp.se.reduce.weight": "final_conv.se.fc1.weight",
    "conv_exp.se.expand.bias": "final_conv.se.fc2.bias",
    "head.proj": None,
    # The form of training.
    "patch_embed.1.rbr_conv.0.bn.weight": "stem.1.conv_kxk.0.bn.weight",
    "conv_exp.rbr_scale.conv.weight": "final_conv.conv_scale.conv.weight",
    "patch_embed.2.rbr_skip.running_mean": "stem.2.identity.running_mean",
    "network.5.proj.0.lkb_origin.conv.weight": (
        "stages.3.downsample.proj.0.large_conv.conv.weight"
    ),
    "network.5.proj.0.small_conv.bn.bias": (
        "stages.3.downsample.proj.0.small_conv.bn.bias"
    ),
    "network.9.pe.weight": "stages.4.pos_emb.pos_enc.weight",
    "network.0.0.token_mixer.layer_scale": (
        "stages.0.blocks.0.token_mixer.layer_scale.gamma"
    ),
    "network.0.0.token_mixer.norm.rbr_skip.weight": (
        "stages.0.blocks.0.token_mixer.norm.identity.weight"
    ),
}


@example
@pytest.mark.parametrize("apple", PUBLISHED)
def test_tower_names_from_apple_as_published(apple):
    """Apple's flat list of layers becomes stages that hold their own parts."""
    assert dialects.tower_names_from_apple(apple) == PUBLISHED[apple]


@example
def test_names_from_apple_outside_the_tower():
    """The projector's two layers, the decoder, and a head that stands alone."""
    published = {
        "model.mm_projector.0.weight": "model.multi_modal_projector.linear_1.weight",
        "model.mm_projector.2.bias": "model.multi_modal_projector.linear_2.bias",
        "model.embed_tokens.weight": "model.language_model.embed_tokens.weight",
        "model.norm.weight": "model.language_model.norm.weight",
        "lm_head.weight": "lm_head.weight",
        f"{dialects.APPLE_TOWER}.head.proj": None,
    }
    for apple, ours in published.items():
        assert dialects.names_from_apple(apple) == ours


@law
@pytest.mark.parametrize("inference_mode", [True, False])
def test_tower_names_go_to_apple_and_back(inference_mode):
    """Every tensor of the 0.5B tower, in both forms, comes back under its own name."""
    names = expected_shapes(FastViTHDConfig(inference_mode=inference_mode))
    there = [dialects.tower_names_to_apple(name) for name in names]
    assert len(set(there)) == len(names)
    assert not any(word in name for name in there for word in ("stages", "gamma"))
    assert [dialects.tower_names_from_apple(name) for name in there] == list(names)


@law
def test_canonical_gives_both_dialects_the_same_names():
    """A whole 0.5B under Apple's names becomes the same model under Hugging Face's."""
    one = np.zeros(1)
    tower, decoder = expected_shapes(FastViTHDConfig()), decoder_shapes(Qwen2Config())
    ours = Weights(
        {
            **{f"{dialects.TOWER}.{name}": one for name in tower},
            **{f"model.language_model.{name}": one for name in decoder},
        }
    )
    apples = Weights(
        {
            **{
                f"{dialects.APPLE_TOWER}.{dialects.tower_names_to_apple(name)}": one
                for name in tower
            },
            **{f"model.{name}": one for name in decoder},
            f"{dialects.APPLE_TOWER}.head.proj": one,
        }
    )
    assert set(dialects.canonical(apples)) == set(ours)
    assert dialects.canonical(ours) is ours
