r"""What is asked of an episode and answered, as ids.

    in which picture was the green star? <|answer|> third <|im_end|>

The tokenizer's own file puts the marker behind any text, so that whoever loads it asks
as the model was asked.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from ... import scenes, text
from ...text.bpe.learning import train_byte_level
from ...text.chat import DESCRIBE, END, NOTHING
from .rows import Asked

VOCABULARY = 512  # at most; the language has fewer words
ANSWER = "<|answer|>"
QUESTIONS = 8  # of an episode
CAPTION_WEIGHT = 1 / 3  # of a word of a caption; an answer has 1

# How often a kind is asked.
PRESENT = {"present": 1.0}
KINDS = PRESENT | {"content": 2.5, "order": 0.8, "order alone": 1.2, "which": 1.0}


@functools.cache
def episode_tokenizer() -> text.Tokenizer:
    """Every word becomes one token, and behind every text stands that it is to be
    answered."""
    learnt = train_byte_level(corpus(), VOCABULARY, (NOTHING, END, ANSWER))
    return learnt.framed(None, ANSWER)


def corpus(episodes: int = 1000) -> list[str]:
    """Texts to train the tokenizer on: questions, and captions and answers, which begin
    with a space, so that a word is the same token wherever it stands."""
    rng, texts = np.random.default_rng(0), []
    for _ in range(episodes):
        episode = scenes.sample_episode(rng, 8)
        texts.append(" " + scenes.caption(episode.present, rng))
        for question in scenes.recollections(episode, rng, QUESTIONS, weights=KINDS):
            texts += [question.text, " " + question.answer]
    return texts + [DESCRIBE] * episodes


class Speech:
    """Questions and answers as ids, each worked out once."""

    def __init__(self, tokenizer: text.Tokenizer):
        self.tokenizer = tokenizer
        self.end = tokenizer.token_id(END)
        self.frame = tokenizer.frame
        self._known: dict[str, list[int]] = {}

    def ids(self, said: str) -> list[int]:
        """The ids of a text, without a frame."""
        if said not in self._known:
            self._known[said] = self.tokenizer.encode(said, markers=False)
        return self._known[said]

    def asked(self, question: str, answer: str, weight=1.0, blind=False) -> Asked:
        """A question, and behind the marker that asks for it the answer and its end."""
        before, after = self.frame
        said = [*after, *self.ids(" " + answer), self.end]
        return Asked([*before, *self.ids(question)], said, weight, blind)

    def described(self, caption: str) -> Asked:
        """What is said of a picture where nothing else is asked."""
        return self.asked(DESCRIBE, caption, CAPTION_WEIGHT)

    def row(self, asked: Sequence[scenes.Recollection], rng, blind: float):
        """Questions as ids, of which past ones may be blind, and what they mean."""
        meant = [-1 if one.picture is None else one.picture for one in asked]
        hidden = rng.random(len(asked)) < blind
        return [
            self.asked(one.text, one.answer, blind=bool(unseen and of >= 0))
            for one, of, unseen in zip(asked, meant, hidden)
        ], meant
