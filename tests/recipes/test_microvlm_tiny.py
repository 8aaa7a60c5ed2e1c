"""The spec of refvlm/recipes/microvlm_tiny.py: a short run of a recipe made small."""

import json

import numpy as np
import pytest

from refvlm import checkpoint, scenes
from refvlm.checkpoint import Weights
from refvlm.models import clip, microvlm
from refvlm.pretrained.shipped import shipped
from refvlm.recipes import microvlm_tiny
from refvlm.text.chat import DESCRIBE
from refvlm.train import running
from refvlm.train.loop import begin, train

from ..spec import law

ALIGN, REMEMBER = 3, 3
STEPS = {"align": ALIGN, "remember": REMEMBER}


@pytest.fixture(scope="module", autouse=True)
def small():
    """Four episodes a step, of a small pool."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(microvlm_tiny, "EPISODES", 4)
        patch.setattr(microvlm_tiny, "POOL", 12)
        yield


@pytest.fixture(scope="module")
def recipe(small):
    return microvlm_tiny.recipe(STEPS)


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    """(directory, last state) of a run from nothing, both stages."""
    directory = tmp_path_factory.mktemp("run")
    return directory, running.run(recipe, directory)


@law
@pytest.mark.parametrize("pause", [ALIGN - 1, ALIGN, ALIGN + 1])
def test_recipe_resumes_bit_for_bit(recipe, run, tmp_path, pause):
    """Stopped in any stage, or between them, and continued from the file, it ends the
    same."""
    running.run(recipe, tmp_path, stop=pause)
    again = microvlm_tiny.MicroVLMTiny(recipe.tokenizer, STEPS)
    resumed = running.run(again, tmp_path)
    for name, array in run[1].tensors.items():
        assert np.array_equal(array, resumed.tensors[name]), name
    assert resumed.history == run[1].history


@law
def test_each_stage_moves_what_it_says(recipe):
    """The adapter, the decoder and the alignment first, then all but the tower."""
    states = {0: begin(recipe)} | {s.step: s for s in train(recipe, begin(recipe))}
    first = microvlm.ADAPTER, microvlm.DECODER, microvlm.ALIGNMENT
    for name, array in states[0].tensors.items():
        seen = name.startswith(microvlm.TOWER)
        middle, last = (states[i].tensors[name] for i in (ALIGN, ALIGN + REMEMBER))
        assert np.array_equal(array, middle) != name.startswith(first), name
        assert np.array_equal(middle, last) == seen, name


@law
def test_tower_is_that_of_clip_tiny(recipe):
    """Number by number."""
    tower = checkpoint.load(shipped("clip-tiny")).scope(clip.VISION)
    begun = Weights(recipe.initial()).scope(microvlm.TOWER)
    assert sorted(tower) == sorted(begun)
    for name in tower:
        np.testing.assert_array_equal(tower[name], begun[name])


@law
def test_batch_follows_from_the_step(recipe):
    """The same step gives the same batch, the next one another; first one picture, then
    episodes of one length."""
    for step in (0, ALIGN):
        (first,), (again,), (other,) = map(recipe.batch, (step, step, step + 1))
        for ours, theirs in zip(first.rows[:1], again.rows[:1]):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(first.seen, again.seen)
        assert first.rows.ids.shape != other.rows.ids.shape or not np.array_equal(
            first.rows.ids, other.rows.ids
        )
        assert (first.seen.shape[1] == 1) == (step < ALIGN)
        assert (first.meant < 0).all() == (step < ALIGN)


@law
def test_codes_learn_at_a_tenth_of_the_rate(recipe):
    """The LSTM, and what makes codes of tokens; W_M, the questions and all else learn
    at the whole of it."""
    slow = {"lstm_z", "code_projection", "code_norm"}
    for name in recipe.initial():
        of_codes = (
            name.split(".")[0] == "episodic_memory" and name.split(".")[1] in slow
        )
        assert recipe.optimizer.scale(name) == (0.1 if of_codes else 1.0), name


@law
def test_three_of_ten_episodes_end_with_a_caption(recipe):
    """Of those with a past; of single pictures all do."""
    words = tuple(recipe.speech.described("").words)

    def described(step):
        asked = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                microvlm_tiny, "ask_in_rows", lambda rows, _: asked.extend(rows)
            )
            recipe.batch(step)
        return [[tuple(one.words) == words for one in row] for row in asked]

    assert all(row == [False] * 7 + [True] for row in described(0))
    rows = [row for step in range(ALIGN, ALIGN + 100) for row in described(step)]
    assert not any(any(row[:-1]) for row in rows)
    # Of 400 episodes the share has a standard deviation of 0.023.
    assert abs(np.mean([row[-1] for row in rows]) - 0.3) < 0.07


@law
def test_batch_never_names_a_held_out_pair(recipe):
    """Scenes and texts are those of the split "train"."""
    spoken = {f"{colour} {shape}" for colour, shape in scenes.HELD_OUT}
    for step in range(ALIGN, ALIGN + 4):
        (told,) = recipe.batch(step)
        for caption, is_word in zip(told.captions, told.is_word):
            said = recipe.tokenizer.decode(caption[is_word].tolist())
            assert not any(pair in said for pair in spoken)
    for number in range(len(recipe.pool)):
        assert not {t.pair for t in recipe.pool[number].objects} & {*scenes.HELD_OUT}


@law
def test_publish_writes_what_training_made(recipe, run, tmp_path):
    """Configuration, tokenizer with its frame, weights and curve."""
    microvlm_tiny.publish(recipe, run[1], tmp_path)
    document = json.loads((tmp_path / "config.json").read_text())
    assert type(recipe.config).from_json(document) == recipe.config
    stored = checkpoint.load(tmp_path)
    shapes = microvlm.expected_shapes(recipe.config, tied=True)
    assert {name: stored[name].shape for name in stored} == shapes
    assert DESCRIBE in recipe.tokenizer.decode(recipe.tokenizer.encode(DESCRIBE))
    assert len((tmp_path / "training.csv").read_text().splitlines()) == 2
