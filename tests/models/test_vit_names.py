"""The spec of refvlm/models/vit_names.py: timm's names for a vision transformer."""

import numpy as np
import pytest

from refvlm.blocks.transformer import linear
from refvlm.checkpoint import Weights, expect
from refvlm.models import vit
from refvlm.models.fields import ConfigError
from refvlm.models.vit_config import DEIT_TINY, VIT_B16, VIT_S16
from refvlm.models.vit_names import canonical, config_of_timm, name_from_timm

from ..oracles import import_torchvision
from ..spec import assert_close, contract, example, law, oracle, random_arrays
from ..weights import random_weights

TIMM = {
    "architecture": "deit_tiny_patch16_224",
    "num_classes": 3,
    "model_args": {
        "img_size": 12,
        "patch_size": 4,
        "embed_dim": 12,
        "depth": 2,
        "num_heads": 3,
    },
}
DISTILLED = TIMM | {"architecture": "deit_tiny_distilled_patch16_224"}
PIXELS = random_arrays(7)(2, 3, 12, 12)
WIDE = random_arrays(8)(2, 3, 8, 20)


def shapes_of_timm(distilled):
    """What timm's state dict of the tiny model holds, by its own names."""
    block = {
        "norm1": (12,),
        "norm2": (12,),
        "attn.qkv": (36, 12),
        "attn.proj": (12, 12),
        "mlp.fc1": (48, 12),
        "mlp.fc2": (12, 48),
    }
    matrices = {"patch_embed.proj": (12, 3, 4, 4), "norm": (12,), "head": (3, 12)}
    matrices |= {"head_dist": (3, 12)} if distilled else {}
    matrices |= {f"blocks.{i}.{n}": s for i in range(2) for n, s in block.items()}
    tokens = ["cls_token", "dist_token"][: 1 + distilled]
    return {
        **dict.fromkeys(tokens, (1, 1, 12)),
        "pos_embed": (1, 9 + len(tokens), 12),
        **{f"{name}.weight": shape for name, shape in matrices.items()},
        **{f"{name}.bias": shape[:1] for name, shape in matrices.items()},
    }


@example
@pytest.mark.parametrize(
    "name, config",
    [
        ("vit_small_patch16_224", VIT_S16),
        ("vit_base_patch16_224.augreg_in21k_ft_in1k", VIT_B16),
        ("deit_tiny_patch16_224.fb_in1k", DEIT_TINY),
    ],
)
def test_config_of_timm_knows_the_sizes_by_name(name, config):
    """The numbers are in the architecture's name; timm's norms add 1e-6."""
    made = config_of_timm({"architecture": name, "num_classes": 1000})
    assert made == type(config)(
        **{**config.__dict__, "layer_norm_eps": 1e-6},
    )


@law
def test_canonical_splits_what_timm_fused():
    """Queries first, then keys, then values, each a view of the same numbers."""
    tensors = random_weights(shapes_of_timm(False), 3)
    weights = canonical(Weights(tensors), "vit").scope("vit.encoder.layer.1")
    fused = tensors["blocks.1.attn.qkv.weight"]
    for third, name in enumerate(("query", "key", "value")):
        array = weights[f"attention.attention.{name}.weight"]
        np.testing.assert_array_equal(array, fused[12 * third : 12 * third + 12])
        assert array is weights[f"attention.attention.{name}.weight"]


@law
def test_canonical_leaves_its_own_names_alone():
    """A classifier's file has `vit.` before its names, a bare model's has not."""
    tensors = random_weights(vit.expected_shapes(config_of_timm(TIMM)), 3)
    bare = canonical(Weights(tensors), "vit")
    assert set(bare) == {f"vit.{name}" for name in tensors}
    again = canonical(bare, "vit")
    assert set(again) == set(bare)


@oracle
@pytest.mark.parametrize("distilled", [False, True])
def test_timm_names_hold_timms_model(compare, distilled):
    """timm's own state dict, renamed: the same tokens and logits, and on pictures of
    another size those of its `dynamic_img_size`."""
    tensors = random_weights(shapes_of_timm(distilled), 4)
    scope = "deit" if distilled else "vit"

    def ask(torch):
        import_torchvision()
        from timm.layers import set_fused_attn
        from timm.models import deit, vision_transformer

        set_fused_attn(False)
        options = dict(TIMM["model_args"], num_classes=3, dynamic_img_size=True)
        build = (
            deit.VisionTransformerDistilled
            if distilled
            else vision_transformer.VisionTransformer
        )
        model = build(**options).double().eval()
        model.load_state_dict({n: torch.from_numpy(a) for n, a in tensors.items()})
        pixels = torch.from_numpy(PIXELS.copy())
        return {
            "tokens": model.forward_features(pixels).detach().numpy(),
            "logits": model(pixels).detach().numpy(),
            "wide": model(torch.from_numpy(WIDE.copy())).detach().numpy(),
        }

    answers = compare.answers(ask, (tensors, PIXELS, WIDE, distilled), 1e-6)
    assert min(answer.std() for answer in answers.values()) > 0.1
    config = config_of_timm(DISTILLED if distilled else TIMM)
    weights = canonical(Weights(tensors), scope)
    tower = {f"{scope}.{n}": s for n, s in vit.expected_shapes(config).items()}
    expect(weights, tower, ["*classifier.*"])

    def logits(pixels, **options):
        tokens = vit.vit(pixels, weights.scope(scope), config, **options)
        names = ["cls_classifier", "distillation_classifier"]
        heads = names if distilled else ["classifier"]
        said = [linear(tokens[:, i], weights.scope(n)) for i, n in enumerate(heads)]
        return sum(said) / len(said)

    tokens = vit.vit(PIXELS, weights.scope(scope), config)
    assert_close(tokens, answers["tokens"], 1e-12)
    assert_close(logits(PIXELS), answers["logits"], 1e-12)
    # timm draws new positions in float32, whatever the model computes in
    drawn = logits(WIDE, interpolate=True, antialias=True)
    assert_close(drawn, answers["wide"], 1e-6)
    as_transformers = logits(WIDE, interpolate=True)
    assert np.abs(as_transformers - answers["wide"]).max() > 1e-3


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"architecture": "resnet50d"},
            "'resnet50d', but of timm's only vit_ and deit_ .*, resnet50, .*convnext_b",
        ),
        ({"architecture": None}, "architecture is 'None'"),
        ({"global_pool": "avg"}, "global_pool is 'avg'"),
        ({"model_args": {"reg_tokens": 4}}, "model_args has .*reg_tokens"),
        ({"model_args": {"num_heads": 5}}, "do not split into 5 heads"),
        ({"model_args": [12]}, "model_args must be an object"),
        ({"num_classes": "many"}, "num_classes must be a whole number"),
    ],
)
def test_config_of_timm_refuses_another_network(change, message):
    """What would be another network is named, never left out."""
    with pytest.raises(ConfigError, match=message):
        config_of_timm(TIMM | change)


@contract
def test_names_from_timm_leave_a_strangers_name_to_be_refused():
    """Strict loading then names it."""
    assert name_from_timm("blocks.0.ls1.gamma", "vit") == "encoder.layer.0.ls1.gamma"
