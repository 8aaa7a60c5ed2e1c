"""The spec of refvlm/recipes/fastvlm_tiny.py: a short run."""

import numpy as np
import pytest

import refvlm
from refvlm import scenes
from refvlm.checkpoint import Weights
from refvlm.models import fastvlm
from refvlm.objectives.language import IGNORE
from refvlm.recipes import fastvlm_tiny
from refvlm.recipes.pixels import to_pixels
from refvlm.recipes.seeing import SEEING
from refvlm.text.chat import DESCRIBE
from refvlm.train import running

from ..spec import assert_close, example, law

SEE, SPEAK = 12, 4


@pytest.fixture(scope="module")
def recipe():
    return fastvlm_tiny.recipe(SEE, SPEAK)


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    """(directory, last state) of a run from nothing, both stages."""
    directory = tmp_path_factory.mktemp("run")
    return directory, running.run(recipe, directory)


@example
def test_recipe_learns_from_the_first_steps_on(run):
    """A dozen steps halve the loss of seeing, and four begin to learn to speak."""
    history = run[1].history
    assert history[SEE - 1]["loss"] < history[0]["loss"] / 2
    assert history[-1]["speaking"] < history[SEE]["speaking"]
    assert set(history[0]) == {*("loss", "seeing", "seen", "pictures", "rate", "norm")}


@law
@pytest.mark.parametrize("pause", [SEE - 3, SEE + 2])
def test_recipe_resumes_bit_for_bit(recipe, run, tmp_path, pause):
    """Stopped in either stage and continued from the file, it ends the same."""
    running.run(recipe, tmp_path, stop=pause)
    resumed = running.run(fastvlm_tiny.recipe(SEE, SPEAK), tmp_path)
    for name, array in run[1].tensors.items():
        assert np.array_equal(array, resumed.tensors[name]), name
    assert resumed.history == run[1].history


@law
def test_recipe_trains_the_tower_first(recipe, run):
    """Stage 1 leaves decoder and projector as they began; stage 2 moves everything."""
    start = recipe.initial()
    *_, seen = running.train(recipe, running.begin(recipe), stop=SEE)
    for name, array in start.items():
        is_of_tower = name.startswith((fastvlm.TOWER, SEEING))
        assert np.array_equal(array, seen.tensors[name]) != is_of_tower, name
        assert not np.array_equal(array, run[1].tensors[name]), name


@law
def test_batch_follows_from_the_step(recipe):
    """The same step gives the same batch, another step another."""
    first, again, other = recipe.batch(5), recipe.batch(5), recipe.batch(6)
    for shard, same in zip(first, again):
        assert np.array_equal(shard.pixels, same.pixels)
        assert np.array_equal(shard.packed.ids, same.packed.ids)
    assert not np.array_equal(first[0].pixels, other[0].pixels)


@law
def test_batch_never_shows_or_names_a_held_out_pair(recipe):
    """Neither the cells of a picture nor the words about it join such a pair."""
    forbidden = [f"{colour} {shape}" for colour, shape in scenes.HELD_OUT]
    pairs = [
        (scenes.COLOURS.index(colour), scenes.SHAPES.index(shape))
        for colour, shape in scenes.HELD_OUT
    ]
    for step in range(5):
        for shard in recipe.batch(step):
            there = set(zip(shard.cells.colour.ravel(), shard.cells.shape.ravel()))
            assert not there.intersection(pairs)
            for row in shard.packed.ids:
                said = recipe.tokenizer.decode(row[row != recipe.blank].tolist())
                assert not any(pair in said for pair in forbidden)


@law
def test_batch_labels_are_right_answers(recipe):
    """Read off the labels, each row is a true caption and then short answers."""
    rng = np.random.default_rng([recipe.seed, 1, 3])
    drawn = [scenes.sample(rng) for _ in range(fastvlm_tiny.BATCH)]
    rows = [row for shard in recipe.batch(3) for row in shard.packed.labels]
    for scene, labels in zip(drawn, rows, strict=True):
        said = recipe.tokenizer.decode(labels[labels != IGNORE].tolist())
        caption, *answers = said.split("<|im_end|>")
        assert scenes.judge(caption, scene).true
        assert 1 <= len([answer for answer in answers if answer]) <= 8


@law
def test_publish_keeps_what_was_learnt(recipe, run, tmp_path):
    """The published model, branches folded, says what the weights in training say."""
    fastvlm_tiny.publish(recipe, run[1], tmp_path)
    vlm = refvlm.load(tmp_path)
    rng = np.random.default_rng(0)
    picture = scenes.draw(scenes.sample(rng))
    pixels = vlm.preprocessor(picture)[None]
    assert_close(pixels, to_pixels([picture]), 1e-6)
    ids = vlm.prompt_ids("what shape is the red object?")
    learnt = Weights(run[1].tensors)
    expected = fastvlm.fastvlm(pixels, ids, learnt, recipe.config)
    assert_close(vlm.logits(pixels, ids), expected, 1e-4)
    assert vlm.answers([picture] * 2, [DESCRIBE, "where?"], 3)


@law
def test_publish_asks_as_the_recipe_did(recipe, run, tmp_path):
    """The frame around a question is, id for id, the one that was trained with."""
    fastvlm_tiny.publish(recipe, run[1], tmp_path)
    vlm = refvlm.load(tmp_path)
    question = "how many circles are there?"
    asked = vlm.prompt_ids(question)[0].tolist()
    place = asked.index(fastvlm.IMAGE)
    image = [recipe.config.image_token_id] * fastvlm_tiny.GRID**2
    framed = [*asked[:place], *image, *asked[place + 1 :]]
    assert framed == [*recipe.prefix, *recipe.question_ids(question)]


@law
def test_run_that_is_finished_stays_finished(recipe, run):
    """Asked to go on, it takes no further step."""
    directory, state = run
    again = running.run(recipe, directory)
    assert again.step == state.step == SEE + SPEAK
