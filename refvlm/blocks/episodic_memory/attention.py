r"""Attention with a memory: one more key for the softmax to choose from.

    K' = [K_M; K],   V' = [V_M; V],   attention = softmax(Q K'^T / sqrt(d) + M') V'

with log g for the columns of the memory in M'. In a model the slots stand in the KV
cache (`kv_cache.KVCache.slots`); this is the formula by itself.
"""

from __future__ import annotations

import numpy as np

from ... import ops
from ...autodiff import value_of
from ...shapes import ShapeError, shapes
from ..kv_cache import Slots


@shapes(
    query="b h q d",
    key="b g k d",
    value="b g k e",
    memory_key="b m s d",
    memory_value="b m s e",
    bias="b s",
    attn_mask="...mask of anything",
    returns="b h q e",
)
def attention_with_memory(
    query,
    key,
    value,
    memory_key,
    memory_value,
    bias=None,
    attn_mask=None,
    is_causal=False,
    enable_gqa=False,
):
    r"""Attention over the memory and one's own sequence:
    $\operatorname{softmax}\!\left(Q\,[K_M; K]^\top/\sqrt d + [\log g, M]\right)
    [V_M; V]$.

    Every query sees every slot; of its own keys it sees what the options say, which
    are those of `ops.scaled_dot_product_attention`. `bias` (b, s) is $\log g$: with 0 a
    slot is one more key like any other, and a row that is $-\infty$ for all slots gets
    the answer without a memory, to the bit. With enable_gqa the memory has as many
    heads as the keys, or as the queries: then the keys are repeated first, since each
    query head has slots of its own.

    Source: [MicroVLM-V] 1, 3. Oracle: torch's scaled_dot_product_attention of what is
    concatenated, with the extended mask.
    """
    own = {"attn_mask": attn_mask, "is_causal": is_causal, "enable_gqa": enable_gqa}
    closed = np.zeros(len(query), bool)
    if bias is not None:
        closed = np.isneginf(value_of(bias)).all(axis=1)
        if closed.all():
            return ops.scaled_dot_product_attention(query, key, value, **own)
    _heads_fit(query, key, memory_key)
    slots = Slots(memory_key[None], memory_value[None], bias)
    keys, values = slots.before(0, key, value)
    shape = query.shape[2], key.shape[2]
    causal = ops.causal_mask(*shape) if is_causal else None
    mask = ops.combine_masks(causal, attn_mask)
    if mask is not None or bias is not None:
        mask = slots.beside(np.ones(shape, bool) if mask is None else mask)
    attended = ops.scaled_dot_product_attention(
        query, keys, values, mask, enable_gqa=enable_gqa
    )
    if not closed.any():
        return attended
    alone = ops.scaled_dot_product_attention(query, key, value, **own)
    return np.where(closed[:, None, None, None], alone, attended)


def _heads_fit(query, key, memory_key):
    heads, own, slots = (x.shape[1] for x in (query, key, memory_key))
    if slots not in (heads, own):
        raise ShapeError(
            f"attention_with_memory: the memory has {slots} heads; the queries have "
            f"{heads} and the keys {own}"
        )
