"""What there is: words, pairs held out, and where an object lies in a square."""

import pytest

from refvlm import scenes

from ..spec import contract, example, law
from .worlds import thing


@example
def test_in_square_counts_the_bars():
    """A picture twice as wide as high has a bar of a quarter above and below."""
    scene = scenes.Scene((thing("star", "red", x=0.5, y=0.0),), aspect=2.0)
    x, y, radius = scene.in_square(scene.objects[0])
    assert (x, y) == (0.5, 0.25)
    assert radius == pytest.approx(0.18 * 0.5**0.5)


@law
def test_held_out_has_each_shape_once_and_no_colour_twice():
    """So every word of a held-out pair is seen in training, in other company."""
    colours, shapes = zip(*scenes.HELD_OUT)
    assert sorted(shapes) == sorted(scenes.SHAPES)
    assert len(set(colours)) == len(colours) == 6


@law
def test_in_square_of_a_square_changes_nothing():
    """Without bars the picture is the square."""
    scene = scenes.Scene((thing("ring", "blue", x=0.3, y=0.7),))
    assert scene.in_square(scene.objects[0]) == pytest.approx((0.3, 0.7, 0.18))


@contract
def test_object_refuses_words_that_do_not_exist():
    """A typing mistake is an error at once, not a strange picture."""
    with pytest.raises(ValueError, match="'rd' is none of red, orange"):
        scenes.Object("star", "rd", "large", 0.5, 0.5, 0.2)
