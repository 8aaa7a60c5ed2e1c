"""The mirror: left becomes right in the picture and in the words."""

import hypothesis
import numpy as np

from refvlm import scenes

from ..spec import example, law
from .worlds import seeds, worlds


@example
def test_mirror_text_swaps_sides_and_turns_lists_around():
    """A list still begins at the left."""
    assert scenes.mirror_text("top left") == "top right"
    assert scenes.mirror_text("from left to right: a ring and a star.") == (
        "from left to right: a star and a ring."
    )
    listed = "from top to bottom: a ring and a star."
    assert scenes.mirror_text(listed) == listed


@law
@hypothesis.given(scene=worlds)
def test_mirror_text_is_true_in_the_mirror(scene):
    """Whatever is true here is true there once it is mirrored."""
    for caption in scenes.captions(scene):
        mirrored = scenes.mirror_text(caption)
        judged = scenes.judge(mirrored, scenes.mirror(scene))
        assert judged.true and judged.complete, mirrored
        assert scenes.mirror_text(mirrored) == caption


@law
@hypothesis.given(scene=worlds)
def test_mirror_of_the_mirror_is_the_scene(scene):
    """Twice is not at all, up to rounding of 1 - (1 - x)."""
    twice = scenes.mirror(scenes.mirror(scene))
    assert [thing.angle for thing in twice.objects] == [t.angle for t in scene.objects]
    np.testing.assert_allclose(
        [thing.x for thing in twice.objects], [thing.x for thing in scene.objects]
    )
    assert twice.background == scene.background


@law
@hypothesis.settings(max_examples=25)
@hypothesis.given(seed=seeds)
def test_mirror_draws_the_flipped_picture(seed):
    """Without noise and JPEG the two pictures agree but for pixels at edges."""
    scene = scenes.sample(np.random.default_rng(seed), aspect=1.0)
    scene = scenes.Scene(scene.objects, scene.background)
    flipped = scenes.draw(scene)[:, ::-1].astype(int)
    apart = abs(scenes.draw(scenes.mirror(scene)).astype(int) - flipped).max(axis=-1)
    assert np.mean(apart > 128) < 0.001
    assert apart.mean() < 1.0
