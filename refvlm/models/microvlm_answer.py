r"""MicroVLM-V that asks by what it has read: a prompt, a pause, an answer.

    past pictures (e, n, 3, s, s) --tokens--> codes --written--> memory (K, C), (K, K)
    [picture;] question (e, t) --Qwen2--> h of its last word (e, 1, h), and the cache
        h --cue--> address --read--> (e, 1, C) --W_M--> a slot for each layer
        h --scope--> gate (e, 1)
    answer (e, a), behind the prompt, and behind the slot as far as the gate is open
        --Qwen2--> logits (e, a, vocabulary)

Only the answer sees the slot: what was read before it stays as it was. That is the
wiring "tokens" of `microvlm_memory`; the source's, which asks before it reads, is
`microvlm.microvlm`. Many questions in one row go through the same two passes, packed.

Source: [MicroVLM-V] 5, in a wiring that can be learnt. Oracle: the same composition in
torch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..blocks import tables
from ..blocks.episodic_memory.gates import gate_bias
from ..blocks.episodic_memory.prior import Memory
from ..blocks.fusion.merging import early_fusion
from ..blocks.kv_cache import Slots, TapedCache
from ..checkpoint import Weights
from ..shapes import shapes
from . import microvlm_memory
from .causal import Packing
from .microvlm import DECODER, EMBEDDING, SPEAKER, encode_image
from .microvlm_config import MicroVLMConfig
from .microvlm_memory import Recall


class Read(NamedTuple):
    """What a prompt's questions came to, (b, q, h), and what was kept of its tokens."""

    questions: Any
    cache: TapedCache


class Answer(NamedTuple):
    """Scores (e, a, vocabulary) of what follows each token of the answers; what the
    questions recalled, and the memory that they asked."""

    logits: Any
    recall: Recall
    memory: Memory


@shapes(
    past="e n 3 s s",
    question_ids="e t of integers",
    answer_ids="e a of integers",
    present="e 3 s s",
)
def microvlm_answer(
    past,
    question_ids,
    answer_ids,
    weights: Weights,
    config: MicroVLMConfig,
    present=None,
) -> Answer:
    """A question to each of e episodes of n past pictures, and its answer.

    The pictures are written and gone. The question, behind the picture that is
    `present` if there is one, is read up to its last word, which asks the memory. The
    answer begins with what the prompt ends with, a marker. A config of the wiring that
    asks ahead is refused.
    """
    instead = "models.microvlm.microvlm"
    microvlm_memory.check_asks("microvlm_answer", config, ahead=False, instead=instead)
    episodes, pictures = past.shape[:2]
    flat = past.reshape(episodes * pictures, *past.shape[2:])
    tokens = encode_image(flat, weights, config)
    tokens = tokens.reshape(episodes, pictures, *tokens.shape[1:])
    memory = microvlm_memory.store(tokens, weights, config).memory

    prompt = tables.look_up(question_ids, weights, EMBEDDING)
    if present is not None:
        prompt = early_fusion(encode_image(present, weights, config), prompt)
    read = first_pass(prompt, weights, config)

    found = microvlm_memory.recall(memory, read.questions, weights, config)
    bias = gate_bias(found.gate)
    slots = microvlm_memory.slots(found.read, weights, config, bias)
    return Answer(second_pass(answer_ids, read, weights, config, slots), found, memory)


def first_pass(
    prompt,
    weights: Weights,
    config: MicroVLMConfig,
    packing: Packing | None = None,
    last: int = 1,
) -> Read:
    """Prompts (b, t, h) are read; their `last` tokens are the questions' last words."""
    cache = TapedCache()
    questions = SPEAKER.forward(
        prompt,
        weights.scope(DECODER),
        config.text,
        cache=cache,
        packing=packing,
        last=last,
    )
    return Read(questions, cache)


def second_pass(
    answer_ids,
    read: Read,
    weights: Weights,
    config: MicroVLMConfig,
    slots: Slots | None = None,
    packing: Packing | None = None,
    watch: list | None = None,
):
    """Scores (b, a, vocabulary) of what follows each token of the answers, behind what
    was read and the slots. What was read stays as it is, for another second pass."""
    cache = TapedCache()
    cache.kept, cache.length = dict(read.cache.kept), read.cache.length
    cache.slots = slots
    hidden = SPEAKER.forward(
        tables.look_up(answer_ids, weights, EMBEDDING),
        weights.scope(DECODER),
        config.text,
        cache=cache,
        packing=packing,
        watch=watch,
    )
    return SPEAKER.logits(hidden, weights)
