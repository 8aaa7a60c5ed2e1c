r"""A model that remembers, in training: many questions of an episode at once.

    tokens of past pictures --store--> one memory for all of a row's questions
    picture | words  --decoder-->  h of each question, keys and values of every token
    h --recall--> a slot for each question, and its gate
    <answer> red  --decoder, behind its question and its own slot-->  what is said

In use one question has one slot. Here each has its own in the same row, and `bias` says
that an answer sees no other: $\log g$ of its own, minus infinity of the rest.
"""

from __future__ import annotations

import numpy as np

from ... import ops
from ...blocks import tables
from ...blocks.fusion.merging import early_fusion
from ...blocks.kv_cache import Slots
from ...checkpoint import Weights
from ...models import microvlm, microvlm_memory
from ...models.microvlm_answer import Read, first_pass, second_pass
from ...models.microvlm_config import MicroVLMConfig
from .rows import AskedRows


def read_rows(picture, rows: AskedRows, weights: Weights, config: MicroVLMConfig):
    """The first pass: pictures (b, m, h) and the words behind them, to `Read`."""
    words = tables.look_up(rows.ids, weights, microvlm.EMBEDDING)
    prompt, questions = early_fusion(picture, words), rows.owner.max() + 1
    return first_pass(prompt, weights, config, rows.reading, last=questions)


def own_slots(recalled, bias, rows: AskedRows, weights, config) -> Slots:
    """A slot for each question of what it recalled, (b, q, C), which its own answer
    sees behind its gate's `bias`, (b, q), and no other."""
    is_own = rows.owner[:, :, None] == np.arange(recalled.shape[1])
    others = ops.additive_mask(is_own, recalled.dtype)
    return microvlm_memory.slots(recalled, weights, config, bias[:, None] + others)


def answer_rows(
    rows: AskedRows,
    read: Read,
    weights: Weights,
    config: MicroVLMConfig,
    slots: Slots | None = None,
    watch: list | None = None,
):
    """The second pass: scores (b, a, vocabulary) of what follows each token of the
    answers."""
    return second_pass(
        rows.answers, read, weights, config, slots, rows.answering, watch
    )
