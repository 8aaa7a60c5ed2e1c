"""Pictures in another hand show the same facts."""

import hypothesis
import numpy as np
import pytest
from PIL import Image

from refvlm import scenes

from ..spec import law
from .worlds import seeds, thing

NAMES = sorted(scenes.PICTURES)


@law
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("canvas", sorted(scenes.CANVASES))
def test_pictures_have_the_shape_of_the_canvas(name, canvas):
    """Wide scenes make wide pictures."""
    aspect = scenes.CANVASES[canvas]
    scene = scenes.sample(np.random.default_rng(3), aspect=aspect)
    picture = scenes.PICTURES[name](scene)
    height, width, channels = picture.shape
    assert channels == 3 and picture.dtype == np.uint8
    assert width / height == pytest.approx(aspect, rel=0.03)


@law
@pytest.mark.parametrize("name", NAMES)
@hypothesis.settings(max_examples=8)
@hypothesis.given(seed=seeds)
def test_pictures_show_the_colours_where_the_objects_are(name, seed):
    """At the place of an object's body, or a pixel beside it where a line is thin, its
    plain colour is nearer than every other."""
    scene = scenes.sample(np.random.default_rng(seed), "unseen", count=1)
    (drawn,) = scene.objects
    picture = scenes.PICTURES[name](scene)
    height, width = picture.shape[:2]
    x, y = drawn.x * width, drawn.y * height
    if drawn.shape == "ring":
        x += 0.84 * drawn.radius * np.sqrt(width * height)
    around = picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].reshape(-1, 3)
    nearest = {
        min(scenes.COLOURS, key=lambda c: np.linalg.norm(pixel - thing("ring", c).rgb))
        for pixel in around.astype(float)
        if np.ptp(pixel) > 60  # the ground is pale
    }
    assert nearest == {drawn.colour}


@law
@pytest.mark.parametrize("shape", scenes.SHAPES)
def test_pictures_draw_shapes_as_the_generator_does(shape):
    """Both hands draw the same kind of thing: of a large upright shape, at least
    two thirds of what either of them paints the other paints too, and less of what it
    paints for any other shape."""

    def overlap(other):
        scene = scenes.Scene((thing(other, "blue"),))
        painted = Image.fromarray(scenes.PICTURES["web colours"](scene))
        painted = np.asarray(painted.resize((128, 128)))[..., 0] < 128
        own = scenes.draw(scenes.Scene((thing(shape, "blue"),)))[..., 0] < 128
        return (painted & own).sum() / (painted | own).sum()

    overlaps = {other: overlap(other) for other in scenes.SHAPES}
    assert overlaps[shape] > 0.66
    assert max(overlaps, key=overlaps.get) == shape


@law
def test_pictures_differ_in_thickness():
    """The thick ring has more paint than the thin one, by half."""
    scene = scenes.Scene((thing("ring", "blue"),))
    thick, thin = (
        (scenes.PICTURES[name](scene)[..., 0] < 128).sum() for name in ("thick", "thin")
    )
    assert thick > 1.5 * thin
