"""The spec of refvlm/scenes/pairing.py."""

import numpy as np
import pytest

from refvlm import scenes
from refvlm.scenes import HELD_OUT, pairing

from ..spec import contract, example, law


@example
def test_prompts_are_the_phrases_of_training():
    """A class is named as a picture's caption is."""
    assert pairing.PROMPTS[0].format("large red ring") == "a large red ring."
    assert len(pairing.PROMPTS) == len(pairing.PHRASES) == len({*pairing.PROMPTS})


@law
@pytest.mark.parametrize("seed", range(3))
def test_different_scenes_have_no_caption_in_common(seed):
    """Else a text would be counted as wrong for a picture that it describes."""
    rng = np.random.default_rng(seed)
    drawn = pairing.different(rng, 32)
    assert len({pairing.contents(scene) for scene in drawn}) == len(drawn)
    said = [{*scenes.captions(scene), pairing.caption(scene, rng)} for scene in drawn]
    assert len(set().union(*said)) == sum(map(len, said))


@law
def test_different_scenes_never_show_a_held_out_pair():
    """Neither in pictures nor in words: they are what unseen pairs are scored on."""
    rng = np.random.default_rng(5)
    for scene in pairing.different(rng, 64):
        assert not {thing.pair for thing in scene.objects} & {*HELD_OUT}


@contract
@pytest.mark.parametrize("colours", [["red"], ["red", "mauve"], []])
def test_different_refuses_what_are_no_colours(colours):
    """With one colour, or a word that is none, the search would not end."""
    with pytest.raises(ValueError, match="are not two or more colours"):
        pairing.different(np.random.default_rng(0), 2, colours)
