"""The spec of refvlm/recipes/textbook_tiny.py: a short run."""

import numpy as np
import pytest

import refvlm
from refvlm import checkpoint, scenes
from refvlm.checkpoint import Weights
from refvlm.models import clip, textbook
from refvlm.objectives.language import IGNORE
from refvlm.pretrained.shipped import shipped
from refvlm.recipes import textbook_tiny
from refvlm.text.chat import DESCRIBE
from refvlm.train import running
from refvlm.train.loop import begin, train

from ..spec import assert_close, example, law

READ, ALIGN, SPEAK = 6, 2, 2
STEPS = {"read": READ, "align": ALIGN, "speak": SPEAK, "again": 1}


@pytest.fixture(scope="module")
def recipe():
    return textbook_tiny.recipe(STEPS)


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    """(directory, last state) of a run from nothing, all stages."""
    directory = tmp_path_factory.mktemp("run")
    return directory, running.run(recipe, directory)


@example
def test_recipe_learns_to_read_first(run):
    """Six steps without a picture take the loss well below that of guessing."""
    losses = [row["loss"] for row in run[1].history]
    assert losses[0] == pytest.approx(np.log(468), abs=0.5)
    assert losses[READ - 1] < losses[0] - 1


@law
@pytest.mark.parametrize("pause", [READ - 1, READ + ALIGN + 1])
def test_recipe_resumes_bit_for_bit(recipe, run, tmp_path, pause):
    """Stopped in any stage and continued from the file, it ends the same."""
    running.run(recipe, tmp_path, stop=pause)
    again = textbook_tiny.TextbookTiny(recipe.tokenizer, STEPS)
    resumed = running.run(again, tmp_path)
    for name, array in run[1].tensors.items():
        assert np.array_equal(array, resumed.tensors[name]), name
    assert resumed.history == run[1].history


@law
def test_each_stage_moves_what_it_says(recipe):
    """All of the decoder, what looks alone, all again; and the tower in none. (While
    it only reads, tokens of zeros teach the projection's matrix nothing.)"""
    states = {0: begin(recipe)} | {s.step: s for s in train(recipe, begin(recipe))}
    begun, read, aligned, spoken = (
        states[step].tensors for step in (0, READ, READ + ALIGN, READ + ALIGN + SPEAK)
    )
    for name in begun:
        looks = any(p in name for p in (".multihead_attn.", ".norm2.", "projection"))
        sees = name.startswith(textbook.TOWER)
        assert np.array_equal(read[name], aligned[name]) != looks, name
        assert np.array_equal(aligned[name], spoken[name]) == sees, name
        if not looks:
            assert np.array_equal(begun[name], read[name]) == sees, name


@law
def test_tower_is_that_of_clip_tiny(recipe):
    """Number by number, and nothing else comes from there."""
    tower = checkpoint.load(shipped("clip-tiny")).scope(clip.VISION)
    begun = Weights(recipe.initial()).scope(textbook.TOWER)
    assert sorted(tower) == sorted(begun)
    for name in tower:
        np.testing.assert_array_equal(tower[name], begun[name])


@law
def test_batch_follows_from_the_step(recipe):
    """The same step gives the same batch; the first stage has no pictures."""
    for step in (0, READ, READ + ALIGN):
        (first,), (again,), (other,) = map(recipe.batch, (step, step, step + 1))
        np.testing.assert_array_equal(first.packed.ids, again.packed.ids)
        assert first.packed.ids.shape != other.packed.ids.shape or not np.array_equal(
            first.packed.ids, other.packed.ids
        )
        assert (first.pixels is None) == (step < READ)
        if step >= READ:
            np.testing.assert_array_equal(first.pixels, again.pixels)


@law
def test_batch_never_names_a_held_out_pair(recipe):
    """Nor shows it: scenes and texts are those of the split "train"."""
    forbidden = [f"{colour} {shape}" for colour, shape in scenes.HELD_OUT]
    for step in (0, READ):
        (told,) = recipe.batch(step)
        for row, labels in zip(told.packed.ids, told.packed.labels):
            for ids in (row, labels[labels != IGNORE]):
                said = recipe.tokenizer.decode(ids.tolist())
                assert not any(pair in said for pair in forbidden)


@law
def test_publish_keeps_what_was_learnt(recipe, run, tmp_path):
    """The published model says what the weights in training say."""
    textbook_tiny.publish(recipe, run[1], tmp_path)
    vlm = refvlm.load(tmp_path)
    picture = scenes.draw(scenes.sample(np.random.default_rng(0)), 128)
    pixels = vlm.preprocessor(picture)[None]
    assert pixels.shape == (1, 3, 64, 64)
    ids = vlm.prompt_ids("what shape is the red object?")
    expected = textbook.textbook(pixels, ids, Weights(run[1].tensors), recipe.config)
    assert_close(vlm.logits(pixels, ids), expected, 1e-4)
    assert len(vlm.answers([picture] * 2, [DESCRIBE, "where?"], 3)) == 2


@law
def test_publish_asks_as_the_recipe_did(recipe, run, tmp_path):
    """The frame around a question is, id for id, the one that was trained with."""
    textbook_tiny.publish(recipe, run[1], tmp_path)
    vlm = refvlm.load(tmp_path)
    question = "how many circles are there?"
    asked = vlm.prompt_ids(question)[0].tolist()
    assert asked == [*recipe.prefix, *recipe.question_ids(question)]
    shares = dict(textbook_tiny.score(vlm, 2, 1, lambda *step: None))
    assert {*shares} == {*scenes.SPLITS} and shares["train"]["captions"].asked == 2
