"""The spec of refvlm/recipes/one_budget.py: short runs."""

import numpy as np
import pytest

from refvlm import scenes
from refvlm.checkpoint import Weights
from refvlm.metrics import scene_scores
from refvlm.objectives.language import IGNORE
from refvlm.recipes import one_budget
from refvlm.recipes.joints import JOINT, JOINTS
from refvlm.text.chat import DESCRIBE
from refvlm.train import running
from refvlm.train.loop import begin, train

from ..spec import assert_close, contract, example, law

STEPS = 12


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(recipe, its last state) of a joint that is quick."""
    recipe = one_budget.recipe("cross", STEPS)
    return recipe, running.run(recipe, tmp_path_factory.mktemp("run"))


@example
def test_a_dozen_steps_learn_to_speak(run):
    """The loss falls from that of guessing among all words."""
    recipe, state = run
    losses = [row["loss"] for row in state.history]
    assert losses[0] == pytest.approx(np.log(len(recipe.tokenizer)), abs=0.2)
    assert losses[-1] < losses[0] - 1.5


@law
def test_run_resumes_bit_for_bit(run, tmp_path):
    """Stopped and continued from the file, it ends the same."""
    recipe = one_budget.recipe("cross", STEPS)
    running.run(recipe, tmp_path, stop=5)
    resumed = running.run(one_budget.recipe("cross", STEPS), tmp_path)
    for name, array in run[1].tensors.items():
        np.testing.assert_array_equal(array, resumed.tensors[name])
    assert resumed.history == run[1].history


@law
@pytest.mark.parametrize("joint", JOINTS)
def test_joints_begin_alike_and_see_the_same(run, joint):
    """One seed: the decoder's numbers, the pictures and the words to learn are those
    of every other joint."""
    other = one_budget.recipe(joint, STEPS)
    for name, array in run[0].initial().items():
        if not name.startswith(JOINT):
            np.testing.assert_array_equal(array, other.initial()[name])
    (one,), (another,) = run[0].batch(3), other.batch(3)
    np.testing.assert_array_equal(one.features, another.features)
    assert one.answers == another.answers
    for labels, words in zip(one.packed.labels, another.packed.labels):
        learnt, same = (row[row != IGNORE].tolist() for row in (labels, words))
        assert learnt == same
    begun = begin(other)
    *_, state = train(other, begun, stop=1)
    assert np.isfinite(state.history[0]["loss"])


@law
def test_greedy_is_the_likeliest_word_each_time(run):
    """Its words, shown to the model at once, are each the likeliest behind the others:
    in a batch of other lengths, and alone."""
    recipe, state = run
    rng = np.random.default_rng(2)
    drawn = [scenes.sample(rng) for _ in range(3)]
    seen = one_budget.features([scenes.draw(scene, 64) for scene in drawn])
    prompts = [
        recipe.question_ids(asked)
        for asked in (DESCRIBE, "how many objects are there?", "where is the red star?")
    ]
    weights = Weights(state.tensors)
    said = one_budget.greedy(recipe, weights, seen, prompts)
    for i, prompt in enumerate(prompts):
        alone = one_budget.greedy(recipe, weights, seen[i : i + 1], [prompt])
        assert alone == [said[i]]
        row = [*prompt, *said[i]]
        text = one_budget.Text(row, [])
        packed = one_budget.pack(recipe.prefix, [[text]])
        states = recipe.hidden(seen[i : i + 1], packed, weights)[0]
        best = (states @ weights[one_budget.EMBEDDING].T).argmax(axis=1)
        assert best[len(prompt) - 1 : len(row) - 1].tolist() == said[i]


@law
def test_answering_is_what_scores_ask(run):
    """Texts in the order of the prompts, whatever their lengths."""
    recipe, state = run
    answers = one_budget.answering(recipe, state.tensors)
    picture = scenes.draw(scenes.sample(np.random.default_rng(3)), 64)
    prompts = ["how many objects are there?", DESCRIBE, "where is the red star?"]
    together = answers([picture] * 3, prompts)
    assert together == [answers([picture], [prompt])[0] for prompt in prompts]
    report = scene_scores.score(
        answers, count=2, questions=2, draw=lambda scene: scenes.draw(scene, 64)
    )
    assert report.shares["captions"].asked == 2


@law
def test_features_are_those_of_clip_tiny():
    """A class token and 64 patches, behind the last norm."""
    picture = scenes.draw(scenes.sample(np.random.default_rng(4)), 64)
    seen = one_budget.features([picture, picture])
    assert seen.shape == (2, 65, 96) and seen.dtype == np.float32
    assert_close(seen[0], seen[1], 1e-6)


@contract
def test_recipe_refuses_a_joint_that_is_in_no_table():
    """The error names those that are."""
    with pytest.raises(ValueError, match=f"there are {', '.join(JOINTS)}"):
        one_budget.recipe("glue")
