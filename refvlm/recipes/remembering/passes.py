r"""A model that remembers, in training: many questions of an episode at once.

    tokens of past pictures --codes, written--> one memory for all of a row's questions
    picture | words  --decoder-->  h of each question, keys and values of every token
    h --recall--> a slot for each question, and its gate
    <answer> red  --decoder, behind its question and its own slot-->  what is said

In use one question has one slot. Here each has its own in the same row, and `bias` says
that an answer sees no other: $\log g$ of its own, minus infinity of the rest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ... import ops
from ...blocks import tables
from ...blocks.kv_cache import Slots, TapedCache
from ...checkpoint import Weights
from ...models import microvlm, microvlm_memory
from ...models.microvlm_config import MicroVLMConfig
from .rows import AskedRows


class Read(NamedTuple):
    """What a row's questions came to, (b, q, h), and what was kept of its tokens."""

    questions: Any
    cache: TapedCache


class Stored(NamedTuple):
    """What became of past pictures: their codes (e, k, C), where these were written,
    (e, k, K), and the memory after it."""

    codes: Any
    addresses: Any
    memory: Any


def read_rows(picture, rows: AskedRows, weights: Weights, config: MicroVLMConfig):
    """The first pass: pictures (b, m, h) and the words behind them, to `Read`."""
    words = tables.look_up(rows.ids, weights, microvlm.EMBEDDING)
    cache = TapedCache()
    questions = microvlm.SPEAKER.forward(
        np.concatenate([picture, words], axis=1),
        weights.scope(microvlm.DECODER),
        config.text,
        cache=cache,
        packing=rows.reading,
        last=rows.owner.max() + 1,
    )
    return Read(questions, cache)


def store(past, weights: Weights, config: MicroVLMConfig) -> Stored:
    """Past pictures (e, n, m, h), written one after the other into a new memory."""
    own = weights.scope(microvlm.MEMORY)
    codes = microvlm_memory.codes(past, own, config)
    empty = microvlm_memory.start(config, codes.dtype)
    return Stored(
        codes,
        microvlm_memory.addresses(codes, config),
        microvlm_memory.written(empty, codes, config),
    )


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
    answers. What was read stays as it is, for another second pass."""
    cache = TapedCache()
    cache.kept, cache.length = dict(read.cache.kept), read.cache.length
    cache.slots = slots
    hidden = microvlm.SPEAKER.forward(
        tables.look_up(rows.answers, weights, microvlm.EMBEDDING),
        weights.scope(microvlm.DECODER),
        config.text,
        cache=cache,
        packing=rows.answering,
        watch=watch,
    )
    return microvlm.SPEAKER.logits(hidden, weights)


def recall(stored: Stored, read: Read, weights: Weights, config: MicroVLMConfig):
    """What each question of each row gets of its memory."""
    return microvlm_memory.recall(stored.memory, read.questions, weights, config)
