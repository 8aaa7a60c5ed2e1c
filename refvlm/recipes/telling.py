r"""What is told about a scene, in the frame of a chat, and how much of it was learnt.

    frame and picture | question, answer | question, answer | ...

Every scene gets a caption and some questions, packed behind one picture (packing.py).
A recipe whose model speaks says how many tokens of the frame are the picture's; the
rest is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from .. import ops, scenes, text
from ..objectives.language import IGNORE
from ..text.chat import DESCRIBE, END, IMAGE, NOTHING, START
from .packing import PackedTexts, Text

QUESTIONS = 8

# What takes longest to learn is asked more often.
KINDS = dict.fromkeys(scenes.KINDS, 1.0)
KINDS |= {"relation": 5.0, "compare": 2.5, "where": 2.0}
KINDS |= dict.fromkeys(("colour", "exists", "count"), 1.5)
ANSWER_WEIGHT = 3.0  # of a word of an answer; a word of a caption has 1
HIDDEN = 0.1  # of an answer's words are not shown to the words after them


class Telling:
    """The texts of a recipe, as ids: what stands before them all, and each of them."""

    kinds: Mapping[str, float] = KINDS
    questions = QUESTIONS

    def __init__(self, tokenizer: text.Tokenizer, image_tokens: int):
        self.tokenizer, self.image_tokens = tokenizer, image_tokens
        self.blank, self.image = map(tokenizer.token_id, (NOTHING, IMAGE))

    def texts(self, scene: scenes.Scene, rng: np.random.Generator) -> list[Text]:
        """A caption and questions about a scene, as ids."""
        asked = scenes.questions(scene, rng, self.questions, weights=self.kinds)
        said = [(DESCRIBE, scenes.caption(scene, rng), 1.0)]
        said += [(question.text, question.answer, ANSWER_WEIGHT) for question in asked]
        return [
            Text(self.question_ids(question), self.answer_ids(answer), weight)
            for question, answer, weight in said
        ]

    def hide(self, packed: PackedTexts, rng: np.random.Generator) -> PackedTexts:
        """Some words of the answers made unreadable for the words after them.

        So each word must be looked for in the picture: what comes after "orange" is
        not to be guessed from which shapes have been orange so far.
        """
        hidden = (packed.labels != IGNORE) & (rng.random(packed.ids.shape) < HIDDEN)
        return packed._replace(ids=np.where(hidden, self.blank, packed.ids))

    @cached_property
    def prefix(self) -> list[int]:
        """The frame up to the picture's last token; without one, up to the turn of
        whoever asks."""
        return self._framed("")[: self._prefix_end]

    @cached_property
    def _prefix_end(self):
        ids = self._framed("")
        last = self.image if self.image_tokens else self.tokenizer.token_id(START)
        behind = ids if self.image_tokens else ids[: _last(ids, last)]
        return _last(behind, last) + 1

    def question_ids(self, question: str) -> list[int]:
        """The rest of the frame: the question, and the turn that is to be answered."""
        if question not in self._known:
            self._known[question] = self._framed(question)[self._prefix_end :]
        return self._known[question]

    def answer_ids(self, answer: str) -> list[int]:
        """The answer, and the marker that ends it."""
        if answer not in self._known_answers:
            ids = self.tokenizer.encode(answer, markers=False)
            self._known_answers[answer] = [*ids, self.tokenizer.token_id(END)]
        return self._known_answers[answer]

    @cached_property
    def _known(self):
        return {}

    @cached_property
    def _known_answers(self):
        return {}

    def _framed(self, question):
        return text.encode_chat(self.tokenizer, question, self.image, self.image_tokens)


def _last(ids, token):
    return len(ids) - 1 - ids[::-1].index(token)


def words_of_answers(rows) -> float:
    """How much all words of all answers of a batch count together."""
    return sum(len(text.answer) * text.weight for texts in rows for text in texts)


def speaking_loss(hidden, logits, packed: PackedTexts, answers: float):
    """The cross-entropy of every token of every answer, given those before it.

    hidden (b, t, h) are a decoder's final states, `logits` makes scores of some of
    them; `answers` is what all words of the batch count, of which this is a share.
    """
    labels, weight = packed.labels, packed.weights
    asked = np.flatnonzero(labels[:, 1:] != IGNORE)
    rows, columns = np.divmod(asked, labels.shape[1] - 1)
    places = rows * labels.shape[1] + columns
    said = ops.embedding(places, hidden.reshape(-1, hidden.shape[-1]))
    wrong = ops.cross_entropy(logits(said), labels[rows, columns + 1], reduction="none")
    return (wrong * (weight[rows, columns + 1] / answers)).sum()
