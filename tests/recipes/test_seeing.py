"""The spec of refvlm/recipes/seeing.py."""

import numpy as np
import pytest

from refvlm import scenes
from refvlm.autodiff import Variable, value_and_grad
from refvlm.objectives.language import IGNORE
from refvlm.recipes.seeing import OUTPUTS, WIDTH, cells_of, seeing_loss
from refvlm.scenes import Object, Scene

from ..spec import derivative, example, law, random_arrays

RED_RING = Object("ring", "red", "large", 0.30, 0.80, 0.2)


@example
def test_cells_of_one_object():
    """At (0.30, 0.80) of a 4 x 4 grid: column 1, row 3, at 1.2 and 3.2 cells."""
    cells = cells_of([Scene((RED_RING,))], 4)
    assert np.flatnonzero(cells.shape[0] != IGNORE).tolist() == [13]
    assert scenes.SHAPES[cells.shape[0, 13]] == "ring"
    assert scenes.COLOURS[cells.colour[0, 13]] == "red"
    assert scenes.SIZES[cells.size[0, 13]] == "large"
    assert cells.place[0, 13] == pytest.approx([1.2, 3.2], abs=1e-5)


@law
@pytest.mark.parametrize("seed", range(5))
def test_cells_of_count_the_objects(seed):
    """As many cells are filled as there are cells with a centre in them."""
    rng = np.random.default_rng(seed)
    drawn = [scenes.sample(rng) for _ in range(8)]
    filled = (cells_of(drawn, 4).shape != IGNORE).sum(axis=1)
    for scene, count in zip(drawn, filled):
        centers = [scene.in_square(thing)[:2] for thing in scene.objects]
        assert count == len({(int(4 * x), int(4 * y)) for x, y in centers})


def perfect(cells, grid=4):
    """Logits that are sure and right, as features that an identity map reads out."""
    guesses = np.full((*cells.shape.shape, WIDTH), -20.0)
    guesses[..., 0] = np.where(cells.shape != IGNORE, 20.0, -20.0)
    start = 1
    for kind in ("shape", "colour", "size"):
        answers = getattr(cells, kind)
        for row, cell in np.argwhere(answers != IGNORE):
            guesses[row, cell, start + answers[row, cell]] = 20.0
        start += OUTPUTS[kind]
    guesses[..., start:] = cells.place
    return guesses


IDENTITY = {"weight": np.eye(WIDTH), "bias": np.zeros(WIDTH)}


@law
def test_seeing_loss_of_the_truth_is_nothing():
    """Sure and right everywhere costs nothing; one wrong colour costs its logits."""
    cells = cells_of([Scene((RED_RING,))], 4)
    features = perfect(cells)
    loss, seen = seeing_loss(Variable(features), IDENTITY, cells, 1)
    assert loss.value < 1e-6 and seen == 1.0
    features[0, 13, 1 + OUTPUTS["shape"] + 3] = 50.0
    loss, seen = seeing_loss(Variable(features), IDENTITY, cells, 1)
    assert loss.value == pytest.approx(30.0) and seen == 0.0


@law
def test_seeing_loss_adds_up_over_shards():
    """The shares of two halves are the loss of the whole."""
    rng = np.random.default_rng(3)
    drawn = [scenes.sample(rng) for _ in range(4)]
    features = random_arrays(3)(4, 16, WIDTH)
    objects = sum(len(scene.objects) for scene in drawn)
    whole, _ = seeing_loss(Variable(features), IDENTITY, cells_of(drawn, 4), objects)
    halves = [
        seeing_loss(Variable(features[s]), IDENTITY, cells_of(drawn[s], 4), objects)[0]
        for s in (slice(0, 2), slice(2, 4))
    ]
    assert sum(half.value for half in halves) == pytest.approx(float(whole.value))


@derivative
def test_seeing_loss_has_the_slope_of_its_differences():
    """The gradient in the features is that of central differences."""
    cells = cells_of([Scene((RED_RING,))], 4)
    features = random_arrays(4)(1, 16, WIDTH)

    def loss(features):
        return seeing_loss(features, IDENTITY, cells, 1)[0]

    _, gradient = value_and_grad(loss)(features)
    direction = random_arrays(5)(*features.shape)
    step = 1e-6
    ahead, behind = (
        seeing_loss(Variable(features + s * direction), IDENTITY, cells, 1)[0].value
        for s in (step, -step)
    )
    slope = (ahead - behind) / (2 * step)
    assert (gradient * direction).sum() == pytest.approx(float(slope), rel=1e-6)
