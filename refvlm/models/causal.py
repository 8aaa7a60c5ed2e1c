"""What every decoder asks before its first layer: where does each token stand, whom may
it see, and is there room for all of them?
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import ops
from ..arguments import check_whole
from ..blocks.kv_cache import ContextError, KVCache


class Packing(NamedTuple):
    """Several texts side by side in one row, none of which may see the others.

    The position of each token in its own text (b, t), and whom it sees (b, t, t),
    booleans.
    """

    positions: np.ndarray
    sees: np.ndarray


def places(
    tokens: int,
    cache: KVCache | None = None,
    attention_mask: np.ndarray | None = None,
    packing: Packing | None = None,
):
    """(positions, mask) of `tokens` that continue what a cache holds.

    Positions (t,) count from 0. Where a row is padded they are (b, t) and count what is
    no padding, so that a row padded on the left stands where it would stand alone. The
    mask says who may see whom: None for plain causality, else booleans (b or 1, 1, t,
    all tokens so far). `packing` stands in place of all of it. Where the cache has
    slots, the mask has their columns before those of the tokens.

    >>> places(4, attention_mask=np.array([[False, True, True, True]]))[0]
    array([[0, 0, 1, 2]])
    """
    positions, mask = _places(tokens, cache, attention_mask, packing)
    if cache is not None and cache.slots is not None:
        mask = ops.causal_mask(tokens)[None, None] if mask is None else mask
        mask = cache.slots.beside(mask)
    return positions, mask


def _places(tokens, cache, attention_mask, packing):
    if packing is not None:
        return packing.positions, packing.sees[:, None]
    past = 0 if cache is None else cache.length
    positions = np.arange(past, past + tokens)
    padded = attention_mask is not None and not np.all(attention_mask)
    if past == 0 and not padded:
        return positions, None
    mask = ops.causal_mask(tokens, past + tokens, offset=past)[None, None]
    if attention_mask is not None and padded:
        counts = attention_mask.astype(bool)
        positions = np.maximum(np.cumsum(counts, axis=1) - 1, 0)[:, past:]
        mask = mask & counts[:, None, None, :]
    return positions, mask


def check_context(config, tokens: int) -> None:
    """Refuse more tokens than `config.context`, the positions that the model knows."""
    if tokens > config.context:
        raise ContextError(
            f"{tokens} tokens (prompt and answer) exceed this model's context of "
            f"{config.context}: shorten the prompt, or ask for fewer new tokens"
        )


def check_last(function: str, last: int | None, tokens: int) -> None:
    """Of t tokens there are 1 to t last ones; None asks for all."""
    if last is not None:
        check_whole(function, least=1, last=last)
        if last > tokens:
            raise ValueError(f"{function}: of {tokens} tokens there are no last {last}")
