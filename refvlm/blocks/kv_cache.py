r"""The KV cache: keys and values of every token so far, kept so that none is computed
twice.

A token's keys and values do not depend on what follows it. Decoding with a cache feeds
one token at a time and reads the rest from here. Its size in numbers is
$2 \cdot \text{layers} \cdot \text{heads}_{kv} \cdot \text{length} \cdot d_{head}$.

Source: [Cortes] 10.2. Oracle: transformers.DynamicCache.
"""

from __future__ import annotations

import numpy as np


class ContextError(ValueError):
    """The sequence has outgrown the room that was made for it."""


class KVCache:
    """Room for `capacity` tokens in each of `layers`; `length` of them are filled.

    The one object of the project that changes: it is handed in, never hidden.
    """

    def __init__(self, layers, batch, heads, capacity, head_dim, dtype=np.float32):
        shape = (layers, batch, heads, capacity, head_dim)
        try:  # zeros are not there, most often, until they are written to
            self.keys, self.values = np.zeros(shape, dtype), np.zeros(shape, dtype)
        except (MemoryError, ValueError):
            raise ContextError(
                f"a cache for {capacity} tokens does not fit into memory: shorten the "
                "prompt, or ask for fewer new tokens"
            ) from None
        self.length = 0

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    @property
    def nbytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes

    def store(self, layer: int, keys, values):
        """Write a layer's new tokens, (batch, heads, new, d), behind the others.

        Returns the keys and values of all tokens so far, as views. `length` moves on
        only with `advance`, once every layer has stored.
        """
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
