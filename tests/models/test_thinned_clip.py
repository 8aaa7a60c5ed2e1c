"""The spec of refvlm/models/thinned_clip.py."""

import numpy as np
import pytest

from refvlm.blocks.token_reduction import layers
from refvlm.checkpoint import Weights
from refvlm.models import clip, thinned_clip
from refvlm.models.clip_config import CLIPConfig
from refvlm.shapes import ShapeError

from ..spec import assert_close, contract, law, random_arrays
from ..weights import random_weights

CONFIG = CLIPConfig.from_json(
    {
        "projection_dim": 5,
        "vision_config": {
            "hidden_size": 8,
            "intermediate_size": 12,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "image_size": 12,
            "patch_size": 3,
        },
        "text_config": {"hidden_size": 8, "num_attention_heads": 2},
    }
)
TENSORS = random_weights(clip.expected_shapes(CONFIG), seed=8)
PIXELS = random_arrays(9)(2, 3, 12, 12)


NAME = f"{clip.VISION}.embeddings.position_embedding.weight"
BLIND = Weights(TENSORS | {NAME: np.zeros_like(TENSORS[NAME])})
PLAIN = np.broadcast_to(random_arrays(10)(2, 3, 1, 1), PIXELS.shape)


def features(keep, thin=layers.merge_alike, pixels=PIXELS):
    weights = Weights({name: t.astype(pixels.dtype) for name, t in TENSORS.items()})
    return thinned_clip.image_features(pixels, weights, CONFIG, keep, thin)


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tower_that_keeps_every_patch_is_clips(dtype):
    """Of 16 patches 16 are left: the same features."""
    pixels = PIXELS.astype(dtype)
    weights = Weights({name: t.astype(dtype) for name, t in TENSORS.items()})
    whole = clip.image_features(pixels, weights, CONFIG)
    assert_close(features((16, 16, 16), pixels=pixels), whole)


@law
def test_what_goes_after_the_last_layer_is_not_missed():
    """The class token has looked by then."""
    assert_close(features((16, 16, 1)), features((16, 16, 16)), 1e-12)
    far = np.abs(features((8, 4, 4)) - features((16, 16, 16))).max()
    assert far > 1e-3, "the others are missed"


@law
def test_merging_patches_that_are_copies_changes_nothing():
    """Where a picture is all of one colour and no place is marked, its patches are one
    token of size 16."""
    given = PLAIN, BLIND, CONFIG
    some = thinned_clip.image_features(*given, (8, 1, 1), layers.merge_alike)
    assert_close(some, clip.image_features(*given), 1e-11)


@law
def test_without_proportional_attention_merging_copies_is_pruning():
    """A mean of copies is a copy, and is looked at as one: what it stands for is
    missed."""
    given = PLAIN, BLIND, CONFIG, (8, 1, 1)
    merged = thinned_clip.image_features(*given, layers.merge_alike, proportional=False)
    pruned = thinned_clip.image_features(*given, layers.prune_short)
    assert_close(merged, pruned, 1e-11)
    whole = clip.image_features(*given[:3])
    assert np.abs(merged - whole).max() > 1e-3


@contract
def test_thinned_clip_refuses_a_plan_that_does_not_fit():
    """A number for each layer, never more than before, and one at least."""
    with pytest.raises(ValueError, match="a whole number of tokens for each of 3"):
        features((16, 8))
    for plan in ((17, 8, 8), (8, 9, 8), (8, 8, 0)):
        with pytest.raises(ShapeError, match="of 16 patches no layer makes more"):
            features(plan)
