"""The spec of refvlm/analysis/fewer_patches.py."""

import numpy as np
import pytest

import refvlm
from refvlm import scenes
from refvlm.analysis import fewer_patches
from refvlm.analysis.fewer_patches import WAYS, FewerPatches
from refvlm.blocks.token_reduction.budget import layer_flops
from refvlm.pretrained import shipped_model

from ..spec import assert_close, contract, example, law

PICTURES = [scenes.draw(scenes.sample(np.random.default_rng(i))) for i in range(3)]


@pytest.fixture(scope="module")
def clip():
    return refvlm.load(shipped_model("clip-tiny"))


@example
def test_plan_of_a_quarter(clip):
    """48 of 64 patches go: 24 after the first layer, 24 after the second."""
    assert fewer_patches.plan(clip.config.vision, 16) == (40, 16, 16)


@law
@pytest.mark.parametrize("way", WAYS)
def test_fewer_patches_that_keep_all_are_clip(clip, way):
    """64 of 64: the same directions; and fewer are others, all of length one."""
    whole = clip.image_features(PICTURES)
    assert_close(FewerPatches(clip, 64, way).image_features(PICTURES), whole, 1e-5)
    some = FewerPatches(clip, 9, way).image_features(PICTURES)
    assert_close(np.linalg.norm(some, axis=1), np.ones(3, np.float32), 1e-5)
    assert np.abs(some - whole).max() > 1e-2


@law
def test_chance_follows_its_seed(clip):
    """The same seed keeps the same patches."""
    one, same, other = (
        FewerPatches(clip, 9, "random", seed).image_features(PICTURES)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-2


@law
def test_tower_flops_count_what_is_left(clip):
    """With all patches left three whole layers; with fewer a smaller feed-forward
    network first, and then everything."""
    vision = clip.config.vision
    whole = layer_flops(65, 96, 384)
    assert fewer_patches.tower_flops(vision, (64, 64, 64)) == 3 * whole
    spared = 4 * 96 * 384 * 24
    some = fewer_patches.tower_flops(vision, (40, 40, 40))
    assert some == whole - spared + 2 * layer_flops(41, 96, 384)
    assert fewer_patches.tower_flops(vision, np.array([40] * 3, np.int8)) == some


@contract
def test_fewer_patches_refuse_what_they_cannot_keep(clip):
    """A way that is none, and more patches than there are."""
    with pytest.raises(ValueError, match="way is 'best', not one of random, norm"):
        FewerPatches(clip, 4, "best")
    with pytest.raises(ValueError, match="image_features: keep is"):
        FewerPatches(clip, 65, "norm").image_features(PICTURES)
    with pytest.raises(ValueError, match="image_features: keep is"):
        FewerPatches(clip, 0, "norm").image_features(PICTURES)
