r"""The KV cache: keys and values of every token so far, kept so that none is computed
twice.

A token's keys and values do not depend on what follows it. Decoding with a cache feeds
one token at a time and reads the rest from here. Its size in numbers is
$2 \cdot \text{layers} \cdot \text{heads}_{kv} \cdot \text{length} \cdot d_{head}$.

Source: [Cortes] 10.2. Oracle: transformers.DynamicCache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import ops


class ContextError(ValueError):
    """The sequence has outgrown the room that was made for it."""


class Slots(NamedTuple):
    """What a memory puts before a text: keys and values (layers, b, heads, s, d), of a
    decoder's key heads or of all its query heads, and what is added to the scores of
    each slot: `bias` (b, s), or (b, t, s) where tokens differ in it, or nothing."""

    keys: Any
    values: Any
    bias: Any = None

    def before(self, layer: int, keys, values):
        r"""$K' = [K_{mem}; K]$, $V' = [V_{mem}; V]$: a layer's keys and values (b,
        heads, k, d) behind its slots. Slots are not rotated: they stand where every
        text begins."""
        pairs = (self.keys[layer], keys), (self.values[layer], values)
        return tuple(
            np.concatenate([slot, _alike(own, slot)], axis=2) for slot, own in pairs
        )

    def beside(self, mask):
        r"""$[\log g, M]$: who sees which slot, then whom of the text. mask (..., t, k)
        becomes (b, h or 1, t, s + k).

        Without a bias everyone sees every slot: booleans stay booleans. With one, what
        comes is additive: $M = 0$ of a token that is seen, $-\infty$ of one that is
        not.

        Source: [MicroVLM-V] 1, 3.
        """
        batch, slots = self.keys.shape[1], self.keys.shape[3]
        lead = np.broadcast_shapes((batch, 1, 1), mask.shape[:-1])
        if self.bias is None:
            bias = (np.ones if mask.dtype == bool else np.zeros)(slots, mask.dtype)
        else:
            by_token = self.bias.ndim == 3
            bias = self.bias[:, None] if by_token else self.bias[:, None, None]
            if mask.dtype == bool:
                mask = ops.additive_mask(mask, bias.dtype)
        sides = (bias, slots), (mask, mask.shape[-1])
        return np.concatenate(
            [np.broadcast_to(side, (*lead, size)) for side, size in sides], axis=-1
        )


class KVCache:
    """Room for `capacity` tokens in each of `layers`; `length` of them are filled.

    The one object of the project that changes: it is handed in, never hidden. From
    when `slots` are set, each query finds them before what is kept.
    """

    slots: Slots | None = None

    def __init__(self, layers, batch, heads, capacity, head_dim, dtype=np.float32):
        shape = (layers, batch, heads, capacity, head_dim)
        self.keys, self.values = _room(shape, dtype), _room(shape, dtype)
        self.length = 0

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes

    def store(self, layer: int, keys, values):
        """Write a layer's new tokens, (batch, heads, new, d), behind the others.

        Returns the keys and values of all tokens so far, as views, and behind slots
        where there are some. `length` moves on only with `advance`, once every layer
        has stored.
        """
        keys, values = self.keep(layer, keys, values)
        if self.slots is None:
            return keys, values
        return self.slots.before(layer, keys, values)

    def keep(self, layer: int, keys, values):
        """The same without slots: what of a layer is kept, all of it."""
        end = self.length + keys.shape[2]
        if end > self.capacity:
            raise ContextError(
                f"{end} tokens do not fit into a cache made for {self.capacity}"
            )
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, new: int):
        """Count `new` tokens as filled."""
        self.length += new

    def reorder(self, rows):
        """Let row i of the batch go on from what row rows[i] was.

        `rows` are whole numbers, as many as rows are wanted: a beam may be taken up
        twice, another dropped, and a prompt be read once for all its beams.
        """
        layers, batch, heads, capacity, head_dim = self.keys.shape
        rows = np.asarray(rows)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise ValueError(
                f"rows must be whole numbers (b,), a row to go on from for each, not "
                f"{rows.dtype} {rows.shape}"
            )
        if not ((rows >= 0) & (rows < batch)).all():
            raise ValueError(f"rows must be from 0 to {batch - 1}: {rows.tolist()}")
        if self.slots is not None:
            keys, values, bias = self.slots
            bias = None if bias is None else bias[rows]
            self.slots = Slots(keys[:, rows], values[:, rows], bias)
        if len(rows) == batch:  # in its place, and only what moves
            moved = np.flatnonzero(rows != np.arange(batch))
            for kept in (*self.keys, *self.values):  # by layers: less is held twice
                filled = kept[:, :, : self.length]
                filled[moved] = filled[rows[moved]]
            return
        shape = layers, len(rows), heads, capacity, head_dim
        keys, values = _room(shape, self.keys.dtype), _room(shape, self.keys.dtype)
        before, after = (*self.keys, *self.values), (*keys, *values)
        for kept, wanted in zip(before, after):
            wanted[:, :, : self.length] = kept[rows, :, : self.length]
        self.keys, self.values = keys, values


class TapedCache(KVCache):
    """A cache for training: what it keeps may be Variables, and has derivatives. It
    has room for as much as is stored."""

    def __init__(self):
        self.length = 0
        self.kept: dict[int, tuple[Any, Any]] = {}

    def keep(self, layer: int, keys, values):
        if layer in self.kept:
            pairs = zip(self.kept[layer], (keys, values))
            keys, values = (np.concatenate(pair, axis=2) for pair in pairs)
        self.kept[layer] = keys, values
        return keys, values


class KeysAndValues(NamedTuple):
    """What queries ask and what they take: (b, heads, k, d_head) each."""

    keys: Any
    values: Any


PictureMemory = Sequence[KeysAndValues | None]  # None: a layer that does not look


class LookingCache(KVCache):
    """A cache that keeps what each layer offers of a picture, too: its `memory`.

    It is made with the first token, and is the same for all that follow.
    """

    memory: PictureMemory | None = None

    def reorder(self, rows):
        """As the words go, so do the pictures that they are about."""
        super().reorder(rows)
        if self.memory is not None:
            self.memory = [
                None if seen is None else KeysAndValues(*(part[rows] for part in seen))
                for seen in self.memory
            ]


def remember(
    look: Callable[[int], KeysAndValues | None],
    layers: int,
    cache: LookingCache | None = None,
) -> PictureMemory:
    """What `look(i)` finds of the picture in each layer; where there is a cache, from
    the cache, once it is there."""
    if cache is not None and cache.memory is not None:
        return cache.memory
    memory = [look(i) for i in range(layers)]
    if cache is not None:
        cache.memory = memory
    return memory


def _alike(own, slot):
    """Each head as often as slots have heads where it has one."""
    heads, wanted = own.shape[1], slot.shape[1]
    if heads == wanted:
        return own
    return own[:, np.repeat(np.arange(heads), wanted // heads)]


def _room(shape, dtype):
    try:  # zeros are not there, most often, until they are written to
        return np.zeros(shape, dtype)
    except (MemoryError, ValueError):
        raise ContextError(
            f"a cache for {shape[1]} x {shape[3]} tokens does not fit into memory: "
            "shorten the prompt, or ask for fewer new tokens or beams"
        ) from None
