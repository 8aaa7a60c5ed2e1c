"""The spec of refvlm/generate/choosing.py and speaking.py: rules in their order, rows
that know nothing of each other, and one face for all ways to choose."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import generate, ops
from refvlm.generate import Chooser, Reading, Settings, narrowed, ruled, speak

from ..oracles import import_torchvision
from ..spec import assert_close, contract, example, law, oracle

TABLE = np.random.RandomState(4).randn(2, 9, 9) * 2
DRAW = Settings(do_sample=True, top_k=0)


class Toy:
    """A model whose scores depend on the last two tokens; its cache is the one before.

    Row i of a batch is what it is alone, since nothing else goes in.
    """

    def __init__(self, prompt):
        self.prompt = np.asarray(prompt)
        self.before, self.last = self.prompt[:, -2], self.prompt[:, -1]

    def scores(self):
        return TABLE[0, self.before] + TABLE[1, self.last]

    def step(self, ids):
        self.before, self.last = self.last, ids
        return self.scores()

    def reorder(self, rows):
        self.before, self.last = self.before[rows], self.last[rows]

    def reading(self):
        return Reading(self.scores(), self.step, self.reorder, self.prompt)


def said(prompt, settings, rng=None, stop_ids=(), limit=7):
    """(rows, new) ids of an answer."""
    steps = speak(Toy(prompt).reading(), limit, stop_ids, settings, rng)
    return np.stack(list(steps), axis=1)


@example
def test_without_settings_the_answer_is_greedy():
    """speak and decode say the same."""
    toy = Toy([[1, 2]])
    steps = generate.decode(toy.scores(), toy.step, 7)
    np.testing.assert_array_equal(said([[1, 2]], None)[0], np.ravel(list(steps)))


@law
@given(st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_text(seed):
    """A generator is all the randomness there is."""
    one, other = (said([[1, 2]], DRAW, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@law
@given(st.lists(st.tuples(*[st.integers(0, 8)] * 2), min_size=1, max_size=5))
def test_a_row_with_a_generator_of_its_own_draws_what_it_draws_alone(prompts):
    """Others beside it, or others that stop earlier, change nothing."""
    rngs = [np.random.default_rng(i) for i in range(len(prompts))]
    together = said(prompts, DRAW, rngs, stop_ids={4})
    for i, prompt in enumerate(prompts):
        alone = said([prompt], DRAW, [np.random.default_rng(i)], stop_ids={4})[0]
        np.testing.assert_array_equal(together[i, : len(alone)], alone)
        assert (together[i, len(alone) :] == 4).all()


@law
def test_several_answers_to_one_prompt_are_neighbours():
    """Rows 0 to 2 answer the first prompt, 3 to 5 the second, and differ."""
    settings = replace(DRAW, num_return_sequences=3)
    rngs = [np.random.default_rng(i) for i in range(6)]
    together = said([[1, 2], [3, 4]], settings, rngs)
    assert together.shape == (6, 7) and len(np.unique(together, axis=0)) == 6
    for row, prompt in ((1, [1, 2]), (4, [3, 4])):
        alone = said([prompt], DRAW, [np.random.default_rng(row)])
        np.testing.assert_array_equal(together[row], alone[0])


@law
def test_each_answer_knows_its_own_prompt():
    """Rules against repetition look at the prompt that the row answers."""
    settings = replace(DRAW, num_return_sequences=3, no_repeat_ngram_size=1)
    prompts = [[1, 2, 3, 1], [4, 5, 6, 4]]
    rng = np.random.default_rng(0)
    for row, new in enumerate(said(prompts, settings, rng, limit=3).tolist()):
        assert not set(new) & set(prompts[row // 3])


@contract
@pytest.mark.parametrize("settings", [Settings(), DRAW, Settings(num_beams=2)])
def test_rules_that_leave_nothing_are_told(settings):
    """Every token was said, and none may come twice: there is no next one."""
    prompt = [list(range(9))]
    with pytest.raises(ValueError, match="no token left|is -inf throughout|0 ways"):
        said(
            prompt, replace(settings, no_repeat_ngram_size=1), np.random.default_rng(0)
        )


@law
def test_one_token_kept_is_greedy():
    """top_k = 1 leaves nothing to draw from, whatever the temperature."""
    settings = replace(DRAW, top_k=1, temperature=3.0)
    drawn = said([[1, 2]], settings, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, said([[1, 2]], None))


@law
@pytest.mark.parametrize("settings", [Settings(), DRAW, Settings(num_beams=3)])
def test_rules_against_repetition_hold_in_every_way_to_choose(settings):
    """No pair of tokens comes twice, the prompt's own included, and no stop early."""
    ruled = replace(settings, no_repeat_ngram_size=2, min_new_tokens=6)
    prompt = [[1, 2, 1, 3]]
    new = said(prompt, ruled, np.random.default_rng(1), stop_ids={0}, limit=9)
    for row in new:
        seen = [*prompt[0], *row]
        pairs = list(pairwise(seen))
        assert len(set(pairs)) == len(pairs)
        assert 0 not in row[:6]


@law
def test_beams_answer_with_what_the_search_finds():
    """speak is a door: scores and ids are beam_search's own."""
    settings = Settings(num_beams=4, num_return_sequences=2, length_penalty=0.5)
    toy = Toy([[1, 2], [5, 5]])
    found = generate.beam_search(
        *toy.reading(), 7, 4, length_penalty=0.5, num_return_sequences=2, stop_ids={0}
    )
    new = said([[1, 2], [5, 5]], settings, stop_ids={0})
    np.testing.assert_array_equal(new, found.ids)


@law
@pytest.mark.parametrize("settings", [None, DRAW, Settings(num_beams=2)])
def test_a_stop_beyond_the_vocabulary_never_comes(settings):
    """A checkpoint may name one that its table lost."""
    settings = replace(settings or Settings(), min_new_tokens=2)
    rngs = [[np.random.default_rng(0)] for _ in range(2)]
    with_it, without = (
        said([[1, 2]], settings, rng, stops) for rng, stops in zip(rngs, ({99}, ()))
    )
    np.testing.assert_array_equal(with_it, without)


@law
def test_the_watch_sees_what_was_chosen_from():
    """Scores of the model, before any rule, and the ids chosen."""
    toy, seen = Toy([[1, 2]]), []

    def watch(scores, ids):
        seen.append((scores, ids))

    settings = replace(DRAW, temperature=0.5, top_k=2)
    rng = np.random.default_rng(0)
    steps = list(speak(toy.reading(), 5, (), settings, rng, watch))
    np.testing.assert_array_equal([ids for _, ids in seen], steps)
    np.testing.assert_array_equal(seen[0][0], Toy([[1, 2]]).scores())


@oracle
@pytest.mark.parametrize("seed", range(4))
def test_rules_one_after_the_other_are_transformers(compare, seed):
    """The processors of generate, put together by generate's own method."""
    rng = np.random.RandomState(seed)
    logits, ids = rng.randn(3, 40) * 3, rng.randint(0, 40, (3, 12))
    asked = {
        "repetition_penalty": 1.3,
        "no_repeat_ngram_size": 1 + seed % 3,
        "min_new_tokens": 6,
        "temperature": 0.6 + seed / 2,
        "top_k": 12,
        "top_p": 0.8,
        "min_p": 0.02,
    }

    def ask(torch):
        import_torchvision()
        from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

        sizes = {"vocab_size": 40, "n_positions": 8, "n_embd": 4}
        model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=1, **sizes))
        config = GenerationConfig(do_sample=True, eos_token_id=[7], **asked)
        config._eos_token_tensor = torch.tensor([7])
        rules = model._get_logits_processor(config, input_ids_seq_length=8)
        return {"scores": rules(torch.tensor(ids), torch.tensor(logits)).numpy()}

    expected = compare.answers(ask, (logits, ids))["scores"]
    settings = Settings(do_sample=True, **asked)
    found = narrowed(ruled(logits, ids, 4, settings, [7]), settings)
    there = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(found), there)
    assert 3 <= there.sum() < 36
    assert_close(found[there], expected[there])


@contract
@pytest.mark.parametrize("rng", [1, np.random.RandomState(0), "seed"])
def test_a_seed_is_no_generator(rng):
    """A seed used at every step would draw the same number each time."""
    with pytest.raises((TypeError, ValueError), match="default_rng"):
        said([[1, 2]], DRAW, rng)


@contract
def test_as_many_generators_as_rows():
    """One of two rows would have nothing to draw from."""
    with pytest.raises(ValueError, match="rng"):
        said([[1, 2], [3, 4]], DRAW, [np.random.default_rng(0)])


@law
def test_choosing_leaves_the_scores_as_they_are():
    """Rules make scores of their own."""
    logits = ops.softmax(np.random.RandomState(0).randn(2, 9))
    before = logits.copy()
    settings = Settings(
        do_sample=True, repetition_penalty=2.0, top_p=0.5, temperature=2.0
    )
    Chooser(settings, np.array([[1, 2], [3, 3]]), (), np.random.default_rng(0))(logits)
    np.testing.assert_array_equal(logits, before)
