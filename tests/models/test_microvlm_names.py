"""The spec of refvlm/models/microvlm_names.py."""

import numpy as np

from refvlm.checkpoint import Weights
from refvlm.models import microvlm
from refvlm.models.microvlm_names import canonical

from .. import microvlms
from ..spec import law

WORDS = (  # of transformers' names -> of timm's
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("encoder.layer.", "blocks."),
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
    ("attention.output.dense.", "attn.proj."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
    ("vision_encoder.layernorm.", "vision_encoder.norm."),
)


def as_timm(tensors):
    """The same tensors with a tower as timm keeps it: queries, keys and values in one
    matrix, and its own words."""
    named = {}
    for name, array in tensors.items():
        if not name.startswith(microvlm.TOWER):
            named[name] = array
        elif ".attention.attention." in name:
            layer, _, end = name.partition(".attention.attention.")
            part, kind = end.split(".")
            if part == "query":
                parts = [
                    tensors[f"{layer}.attention.attention.{one}.{kind}"]
                    for one in ("query", "key", "value")
                ]
                fused = f"{layer}.attn.qkv.{kind}".replace("encoder.layer.", "blocks.")
                named[fused] = np.concatenate(parts)
        else:
            for ours, theirs in WORDS:
                name = name.replace(ours, theirs)
            named[name] = array
    return named


@law
def test_canonical_takes_timms_tower():
    """Every tensor is found again, and none is lost or made."""
    tensors = microvlms.built()[1]
    timm = as_timm(tensors)
    assert "vision_encoder.blocks.1.attn.qkv.weight" in timm
    assert len(timm) == len(tensors) - 8
    found = canonical(Weights(timm))
    assert sorted(found) == sorted(tensors)
    for name in tensors:
        np.testing.assert_array_equal(found[name], tensors[name])


@law
def test_canonical_leaves_our_own_names_alone():
    """They are the same weights."""
    weights = Weights(microvlms.built()[1])
    assert canonical(weights) is weights
