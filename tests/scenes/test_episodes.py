"""The spec of refvlm/scenes/episodes.py: scenes that can be asked about when gone."""

import hypothesis
import numpy as np
import pytest

from refvlm import scenes
from refvlm.scenes.episodes import MOST

from ..spec import contract, example, law
from .worlds import seeds, splits, thing

TWO = scenes.Scene((thing("star", "red"), thing("ring", "blue")))


@law
@hypothesis.given(seed=seeds, split=splits)
def test_sample_two_shares_neither_colour_nor_shape(seed, split):
    """Each of its words means one object; held-out pairs are where they may be."""
    scene = scenes.sample_two(np.random.default_rng(seed), split)
    one, other = scene.objects
    assert one.colour != other.colour and one.shape != other.shape
    held_out = {one.pair, other.pair} & set(scenes.HELD_OUT)
    assert bool(held_out) == (split == "unseen")
    assert scenes.draw(scene, 64).shape == (64, 64, 3)


@law
@hypothesis.given(seed=seeds, length=hypothesis.strategies.integers(1, 16))
def test_episodes_follow_from_the_seed(seed, length):
    """As many past scenes as asked for, and the same each time."""
    first, again = (
        scenes.sample_episode(np.random.default_rng(seed), length) for _ in range(2)
    )
    assert first == again and len(first.past) == length
    assert first.scenes == (*first.past, first.present)


@law
def test_compose_takes_scenes_by_their_numbers():
    """In that order, the present one last; none of them twice."""
    rng = np.random.default_rng(0)
    pool = [scenes.sample_two(rng) for _ in range(6)]
    chosen = scenes.choose(rng, len(pool), 5)
    assert sorted(chosen) == [0, 1, 2, 3, 4, 5]
    assert scenes.compose(pool, chosen).scenes == tuple(pool[n] for n in chosen)


@example
def test_an_episode_of_one_picture_is_the_shortest():
    """One that is gone and one that is there."""
    assert scenes.compose([TWO], [0, 0]) == scenes.Episode((TWO,), TWO)


@contract
@pytest.mark.parametrize(
    "objects",
    [
        (thing("star", "red"),),
        (thing("star", "red"), thing("star", "blue")),
        (thing("star", "red"), thing("ring", "red")),
        (thing("star", "red"), thing("ring", "blue"), thing("cross", "pink")),
    ],
)
def test_an_episode_refuses_scenes_in_which_a_word_means_two(objects):
    """Or in which there is no other, or more than one."""
    with pytest.raises(ValueError, match=r"two objects of different colours.*red star"):
        scenes.Episode((TWO,), scenes.Scene(objects))


@contract
@pytest.mark.parametrize("length", [0, MOST + 1])
def test_an_episode_has_some_pictures_and_not_too_many(length):
    """None is no episode; of more, hardly a pair occurs once."""
    with pytest.raises(ValueError, match=f"Episode: past has {length} scenes"):
        scenes.Episode((TWO,) * length, TWO)
    with pytest.raises(ValueError, match="choose: length must be a whole number"):
        scenes.choose(np.random.default_rng(0), 100, length)


@contract
def test_choose_needs_enough_scenes():
    """None is chosen twice, and one more than the length is needed."""
    with pytest.raises(ValueError, match="of 5 and a present one needs 6 scenes"):
        scenes.choose(np.random.default_rng(0), 5, 5)
