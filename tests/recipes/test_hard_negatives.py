"""The spec of refvlm/recipes/hard_negatives.py."""

import numpy as np
import pytest

from refvlm import scenes
from refvlm.autodiff import grad
from refvlm.checkpoint import Weights
from refvlm.objectives.contrastive import clip_loss
from refvlm.recipes import clip_tiny, hard_negatives
from refvlm.scenes.pairing import contents
from refvlm.train.loop import begin, train

from ..spec import assert_close, contract, law, random_arrays


@law
def test_a_grid_holds_hard_negatives_and_no_pair_that_is_held_apart():
    """32 single objects in four colours, all different: beside nearly each stand its
    colour in another shape and its shape in another colour."""
    drawn = hard_negatives.grid(np.random.default_rng(3), 32)
    things = [scene.objects[0] for scene in drawn]
    assert len({contents(scene) for scene in drawn}) == 32
    assert len({thing.colour for thing in things}) == 4
    assert not {thing.pair for thing in things} & set(scenes.HELD_OUT)
    for thing in things:
        assert any(t.colour == thing.colour and t.shape != thing.shape for t in things)
        assert any(t.shape == thing.shape and t.colour != thing.colour for t in things)


@law
def test_mined_loss_counts_the_hard_ones_twice():
    """With as many mined as there are, it is twice CLIP's loss; fewer cost less."""
    draw = random_arrays(1)
    images, texts = draw(5, 3), draw(5, 3)
    every = 2 * clip_loss(images, texts, 1 / 7.0)
    assert_close(hard_negatives.mined_loss(images, texts, 7.0), every, 1e-12)
    images, texts = draw(9, 3), draw(9, 3)
    some = hard_negatives.mined_loss(images, texts, 7.0)
    single = clip_loss(images, texts, 1 / 7.0)
    assert single < some < 2 * single


@law
def test_mined_loss_has_a_gradient():
    """Through the mined ones as well: that of its parts."""
    draw = random_arrays(2)
    images, texts = draw(5, 3), draw(5, 3)
    mined = grad(lambda x: hard_negatives.mined_loss(x, texts, 7.0))(images)
    plain = grad(lambda x: clip_loss(x, texts, 1 / 7.0))(images)
    assert_close(mined, 2 * plain, 1e-10)


@law
@pytest.mark.parametrize("arm", hard_negatives.ARMS)
def test_every_arm_begins_with_the_published_weights_and_learns(arm):
    """Two steps change them, and half of the batches are clip-tiny's own."""
    recipe = hard_negatives.recipe(arm, steps=2)
    own = clip_tiny.CLIPTiny(recipe.base.tokenizer, 0, 2, 1)
    (ours,), (theirs,) = recipe.batch(0), own.batch(0)
    np.testing.assert_array_equal(ours.ids, theirs.ids)
    (second,) = recipe.batch(1)
    alone = arm == "batches"
    assert (second.objects == len(second.pixels)) == alone
    loss, _ = recipe.loss(Weights(recipe.initial()), ours, None, recipe.stages[0])
    assert 0 < float(loss) < 1.5
    start = recipe.initial()["logit_scale"]
    *_, state = train(recipe, begin(recipe))
    assert state.step == 2 and state.tensors["logit_scale"] != start


@contract
def test_an_arm_that_is_none_is_refused():
    """By name."""
    with pytest.raises(ValueError, match="no arm 'soft': there are plain, batches"):
        hard_negatives.recipe("soft")
