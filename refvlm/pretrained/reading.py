"""A decoder reads a prompt into its cache, and goes on from there a token at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..arguments import is_whole
from ..autodiff import value_of
from ..blocks import tables
from ..blocks.kv_cache import KVCache
from ..checkpoint import CheckpointError, Weights
from ..generate import Randomness, Reading, Settings, Watch, speak
from ..generate.beam_inputs import check_penalty
from ..generate.demands import check_rng
from ..models.decoders import Decoder

CHARACTERS_PER_TOKEN = 32  # four are usual; far more are not worth cutting into tokens


class Pause(NamedTuple):
    """What happens within a prompt: when its first `after` tokens are read, and before
    the next is, `then(hidden, cache)` is called, with what the decoder made of the last
    of them, (b, 1, h); of none, with None."""

    after: int
    then: Callable[[np.ndarray | None, KVCache], None]


class Reply(NamedTuple):
    """What was said, and how likely the least likely of its tokens was."""

    text: str
    confidence: float


def read_prompt(
    decoder: Decoder,
    weights: Weights,
    config,
    embeddings: np.ndarray,
    prompt: np.ndarray,
    mask: np.ndarray | None,
    new_tokens: int,
    pause: Pause | None = None,
) -> Reading:
    """The prompt's embeddings (b, t, h), read, with room for `new_tokens` behind it.

    `prompt` (b, t) are the ids, below 0 where an embedding is no token's. `mask` (b, t)
    is False where a row pads. With a `pause` it is read in two parts.
    """
    room = embeddings.shape[1] + new_tokens
    cache = decoder.new_cache(config, len(embeddings), room, embeddings.dtype)
    if mask is not None:
        prompt = np.where(mask, prompt, -1)
        mask = np.pad(mask, ((0, 0), (0, new_tokens)), constant_values=True)

    def hear(embeddings):
        upto = cache.length + embeddings.shape[1]
        return decoder.forward(
            embeddings,
            weights.scope(decoder.scope),
            config,
            None if mask is None else mask[:, :upto],
            cache,
            last=1,
        )

    @np.errstate(all="ignore")  # what is not finite is refused
    def go_on(embeddings):
        hidden = hear(embeddings)
        return finite(decoder.logits(hidden, weights)[:, 0], weights)

    def step(ids):
        # Looked up, not spliced: a model may say its own image token.
        return go_on(tables.look_up(ids[:, None], weights, decoder.embedding))

    def reorder(rows):
        nonlocal mask
        cache.reorder(rows)
        mask = None if mask is None else mask[rows]

    if pause is not None:
        with np.errstate(all="ignore"):
            first = hear(embeddings[:, : pause.after]) if pause.after else None
            pause.then(first, cache)
        embeddings = embeddings[:, pause.after :]
    return Reading(go_on(embeddings), step, reorder, np.where(prompt < 0, -1, prompt))


def check_last(mask: np.ndarray | None) -> None:
    """Refuse a mask that hides what the answer would follow."""
    if mask is not None and not mask[:, -1].all():
        raise ValueError(
            "attention_mask hides the last token of a row, which the answer would "
            "follow: pad shorter prompts on the left"
        )


def answered(
    read: Callable[[], Reading],
    prompts: int,
    max_new_tokens: int,
    stop_ids: Collection[int],
    settings: Settings,
    rng: Randomness | None,
    watch: Watch | None,
) -> Iterator[np.ndarray]:
    """`generate.speak`, of prompts that are read when the first id is asked for."""
    if rng is not None:
        check_rng("generate", rng, prompts * settings.num_return_sequences)
    if settings.num_beams > 1:
        check_penalty("generate", settings.length_penalty, max_new_tokens)

    def ids():
        yield from speak(read(), max_new_tokens, stop_ids, settings, rng, watch)

    return ids()


def joined(steps: Iterable[np.ndarray], prompts: int, settings: Settings) -> np.ndarray:
    """(rows, new) of one step after the other; of none, (rows, 0)."""
    rows = prompts * settings.num_return_sequences
    new = [ids[:, None] for ids in steps]
    return np.concatenate([np.empty((rows, 0), np.int64), *new], axis=1)


def check_answer(answer, vocabulary: int) -> np.ndarray:
    """The ids of an answer (t,), each one a token; a list will do."""
    try:
        ids = np.asarray(answer)
    except (ValueError, TypeError):  # rows of different lengths
        ids = np.asarray(None)
    empty = ids.shape == (0,)
    if ids.ndim != 1 or not (empty or ids.dtype.kind in "iu"):
        raise ValueError(
            f"attention: answer is a list of ids, whole numbers, not {answer!r:.40}: "
            "vlm.generate(...)[0] is one"
        )
    wrong = (ids < 0) | (ids >= vocabulary)
    if wrong.any():
        raise ValueError(
            f"attention: answer has the id {ids[wrong][0]}, but the vocabulary is 0 to "
            f"{vocabulary - 1}"
        )
    return ids.astype(np.int64)


def finite(numbers, weights: Weights, what: str = "scores of the next token"):
    """What was computed, if it is numbers."""
    if not np.isfinite(value_of(numbers)).all():
        raise CheckpointError(
            f"{weights.origin}: the {what} are not finite numbers: the weights are "
            f"damaged, or too large for {numbers.dtype}"
        )
    return numbers


def one_answer(function, options):
    """The options, when several answers at once are not among them."""
    several = options.get("num_return_sequences", 1)
    if not is_whole(several) or several != 1:
        raise ValueError(
            f"{function}: num_return_sequences is {several!r:.60}, but one answer is "
            "given: `generate` returns several"
        )
    return {**options, "num_return_sequences": 1}
