"""The spec of refvlm/models/dialects.py."""

import numpy as np
import pytest

import refvlm
from refvlm.checkpoint import CheckpointError, Weights
from refvlm.models import dialects
from refvlm.models.fastvithd import FastViTHDConfig, expected_shapes
from refvlm.models.qwen2 import Qwen2Config
from refvlm.models.qwen2 import expected_shapes as decoder_shapes
from refvlm.pretrained import save
from refvlm.quantize.formats import mlx
from refvlm.quantize.schemes import pack_groups

from .. import tiny
from ..spec import assert_close, contract, example, law

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


def to_mlx(tensors, projector="mm_projector."):
    """The tensors of a FastVLM as mlx-vlm writes them: its names, channels last."""
    written = {}
    for name, array in tensors.items():
        if name.startswith(f"{dialects.TOWER}."):
            tower = dialects.tower_names_to_apple(
                name.removeprefix(f"{dialects.TOWER}.")
            )
            tower = tower.replace("patch_embed.", "patch_embed.blocks.")
            name = f"vision_tower.vision_model.{tower}"
            axes = {4: (0, 2, 3, 1), 3: (1, 2, 0)}.get(array.ndim)
            array = array if axes is None else array.transpose(axes)
        elif ".multi_modal_projector." in name:
            layer, kind = name.split(".")[-2:]
            name = f"{projector}{'0' if layer == 'linear_1' else '2'}.{kind}"
        else:
            name = name.replace("model.language_model.", "language_model.model.")
            name = name.replace("lm_head.", "language_model.lm_head.")
        written[name] = array
    return written


@law
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "projector", ["mm_projector.", "multi_modal_projector.linear_"]
)
def test_canonical_reads_the_names_and_the_axes_of_mlx(tied, projector):
    """Every tensor of a small model comes back, convolutions with channels first."""
    tensors = tiny.random_tensors(tied=tied)
    found = dialects.canonical(Weights(to_mlx(tensors, projector)))
    assert set(found) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name] is found[name] and found.is_floating(name)
        assert found.tensor(name).nbytes == array.nbytes


@law
def test_canonical_reads_the_tower_of_mlx_in_groups(tmp_path):
    """A directory of mlx-vlm's names, its matrices in groups of MLX's, says what one of
    Hugging Face's names says with the same weights."""
    tensors = {n: a.astype(np.float32) for n, a in tiny.random_tensors().items()}
    packed, rounded, files = {}, dict(tensors), {}
    for name, array in tensors.items():
        (mlx_name,) = to_mlx({name: array})
        if array.ndim == 2 and array.shape[1] % 32 == 0:
            packed[mlx_name] = pack_groups(array, 8)
            rounded[name] = packed[mlx_name].array()
            files |= mlx.tensors(mlx_name, packed[mlx_name])
        else:
            files |= to_mlx({name: array})
    said = mlx.configuration(packed, [])
    words = tiny.byte_tokenizer()
    save(tmp_path / "mlx", files, words, config={**tiny.CONFIG, **said})
    save(tmp_path / "ours", rounded, words, config=tiny.CONFIG)
    models = [refvlm.load(tmp_path / kind) for kind in ("mlx", "ours")]
    pixels = tiny.pictures(1).astype(np.float32)
    found, expected = (model.logits(pixels, [[9, -200, 7]]) for model in models)
    assert len(packed) > 20
    assert_close(found, expected)


@contract
def test_canonical_says_where_the_tower_is_that_apple_does_not_export():
    """What runs on Apple's devices has its tower in another file, of another kind."""
    tensors = to_mlx(tiny.random_tensors(), "multi_modal_projector.linear_")
    alone = {n: a for n, a in tensors.items() if not n.startswith("vision_tower.")}
    with pytest.raises(CheckpointError, match=r"fastvithd\.mlpackage") as refusal:
        dialects.canonical(Weights(alone, "folder/model.safetensors"))
    message = str(refusal.value)
    assert "folder/model.safetensors" in message and "float checkpoint" in message
