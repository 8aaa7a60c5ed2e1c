"""Pictures: deterministic, of any size, and showing what is in the scene."""

import colorsys

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from refvlm import scenes
from refvlm.scenes.drawing import hole

from ..spec import contract, example, law
from .worlds import seeds, thing, worlds


def plain(*things, **options):
    return scenes.Scene(things, **options)


@example
def test_draw_puts_an_object_where_it_is():
    """Left of the middle, above it: red there, white elsewhere."""
    picture = scenes.draw(plain(thing("circle", "red", x=0.25, y=0.25)), 64)
    assert tuple(picture[16, 16]) == thing("circle", "red").rgb
    assert tuple(picture[48, 48]) == (255, 255, 255)


@example
def test_draw_shows_the_ground_through_a_ring():
    """A ring is what a circle is not: empty in the middle."""
    picture = scenes.draw(plain(thing("ring", "blue")), 128)
    assert tuple(picture[64, 64]) == (255, 255, 255)
    assert tuple(picture[64, 64 + 20]) == thing("ring", "blue").rgb


@example
def test_draw_pads_wide_pictures_with_bars():
    """A picture of 2:1 fills the middle half of the square."""
    picture = scenes.draw(plain(thing("star", "red"), aspect=2.0, padding=128), 96)
    assert (picture[:24] == 128).all() and (picture[72:] == 128).all()
    assert (picture[24] == 255).all()


@law
@hypothesis.settings(max_examples=40)
@hypothesis.given(scene=worlds, size=st.integers(16, 200))
def test_draw_is_a_function_of_the_scene(scene, size):
    """The same picture each time, in any size, also with noise and JPEG."""
    picture = scenes.draw(scene, size)
    assert picture.shape == (size, size, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, scenes.draw(scene, size))


def area(shape, **looks):
    """How much of its disc a shape covers, by counting pixels."""
    picture = scenes.draw(plain(thing(shape, "blue", **looks)), 256)
    return (picture[..., 0] < 140).sum() / (np.pi * (0.18 * 256) ** 2)


@law
def test_draw_gives_every_shape_its_own_area():
    """A circle covers its disc; the others cover as much of it as geometry says."""
    assert area("circle") == pytest.approx(1.0, rel=0.02)
    assert area("square") == pytest.approx((2 * 0.86) ** 2 / np.pi, rel=0.03)
    assert area("triangle") == pytest.approx(1.03 * 1.82 / np.pi, rel=0.03)
    assert area("ring", thickness=0.5) == pytest.approx(1 - 0.6**2, rel=0.03)
    arms = 4 * 2 * 0.27 * 0.98 - (2 * 0.27) ** 2
    assert area("cross", thickness=0.5) == pytest.approx(arms / np.pi, rel=0.04)
    star = 5 * 1.08**2 * 0.42 * np.sin(np.pi / 5)
    assert area("star", thickness=0.5) == pytest.approx(star / np.pi, rel=0.04)


@law
@pytest.mark.parametrize("shape", ["square", "triangle", "star", "cross"])
def test_draw_turns_without_changing_the_area(shape):
    """A tilt is a rotation."""
    assert area(shape, angle=12.0) == pytest.approx(area(shape), rel=0.06)


@law
@hypothesis.settings(max_examples=60)
@hypothesis.given(seed=seeds)
def test_draw_shows_each_object_in_its_colour(seed):
    """Where an object's body is, the picture has its shade: exactly in a clean picture,
    recognisably after blur, noise and JPEG."""
    scene = scenes.sample(np.random.default_rng(seed), "unseen", count=1)
    (drawn,) = scene.objects
    side = 256
    x, y, radius = (side * part for part in scene.in_square(drawn))
    if drawn.shape == "ring":
        x += (1 + hole(drawn)) / 2 * radius * drawn.stretch**0.5
    clean = scenes.Scene(scene.objects, scene.background, aspect=scene.aspect)
    assert tuple(scenes.draw(clean, side)[int(y), int(x)]) == drawn.rgb
    seen = scenes.draw(scene, side)[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2]
    mean = seen.reshape(-1, 3).mean(axis=0)
    assert np.abs(mean - drawn.rgb).mean() < 60


@law
@hypothesis.given(scene=worlds)
def test_draw_uses_shades_that_bear_their_names(scene):
    """A shade's hue is nearer to its own plain colour than to any other; red and pink,
    whose hues are neighbours, are told apart by their paleness."""

    def hue(rgb):
        return 360 * colorsys.rgb_to_hsv(*(part / 255 for part in rgb))[0]

    plain_hue = {c: hue(thing("circle", c).rgb) for c in scenes.COLOURS}
    for drawn in scene.objects:
        gaps = {
            colour: abs((hue(drawn.rgb) - angle + 180) % 360 - 180)
            for colour, angle in plain_hue.items()
        }
        if drawn.colour in ("red", "pink"):
            assert min(gaps["red"], gaps["pink"]) == min(gaps.values())
            assert (min(drawn.rgb) > 75) == (drawn.colour == "pink")
        else:
            assert gaps[drawn.colour] == min(gaps.values())


@law
@hypothesis.given(scene=worlds)
def test_draw_keeps_objects_apart_from_the_ground(scene):
    """No object has the colour of what lies behind it."""
    for drawn in scene.objects:
        for ground in (scene.background.colour, scene.background.other):
            assert np.linalg.norm(np.subtract(drawn.rgb, ground)) >= 60


@contract
@pytest.mark.parametrize("size", [0, 7, 5000])
def test_draw_refuses_sizes_that_show_nothing(size):
    """A picture has 8 to 4096 pixels on a side."""
    with pytest.raises(ValueError, match="must be from 8 to 4096"):
        scenes.draw(plain(thing("star", "red")), size)


@contract
def test_draw_refuses_an_unknown_background():
    """The kind that does not exist is named."""
    ground = scenes.Background(kind="lava")
    with pytest.raises(ValueError, match="no kind 'lava'"):
        scenes.draw(plain(thing("star", "red"), background=ground))
