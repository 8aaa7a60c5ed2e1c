r"""Slots: what a memory says, as keys and values that a decoder can look at.

    read (b, s, C) -> W_M: C -> layers x heads x head_dim x 2 -> one key and one value
    for each layer and head, s of them: as if s more tokens stood before the text

A slot is not rotated, and that is the rotation of place 0: it stands at the beginning
of every text, and a query sees it from as far as its own place. Names of weights are
those of MicroVLM-V's `W_M`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...arguments import check_whole
from ...checkpoint import Weights
from ...shapes import ShapeError, shapes
from ..kv_cache import Slots
from ..transformer import linear


@shapes(read="b ...", bias="b ...")
def slots_of(
    read, weights: Weights, layers: int, heads: int, head_dim: int, bias=None
) -> Slots:
    r"""Keys and values for every layer, by one matrix:
    $[k;\, v]_{l,h} = (W_M\,r + b)_{l,h}$.

    read (b, C) makes one slot, (b, s, C) makes s; keys and values are (layers, b,
    heads, s, head_dim) each. `heads` are the decoder's own key heads, or all of its
    query heads (`attention_with_memory` takes either). `bias` (b, s), or (b, t, s) for
    t tokens that differ in it, is added to the scores of the slots: the logarithm of a
    gate, 0 where it is open and -inf where it is closed (`gate_bias`).

    Weights: weight (layers heads head_dim 2, C), and its bias unless absent. The key is
    the even number of each pair, the value the odd one.

    Source: [MicroVLM-V] 1, appendix. Oracle: torch.nn.Linear and view.
    """
    reads = _reads(read, weights["weight"], layers, heads, head_dim, bias)
    batch, slots, _ = reads.shape
    pairs = linear(reads, weights).reshape(batch, slots, layers, heads, head_dim, 2)
    pairs = pairs.transpose(2, 0, 3, 1, 4, 5)
    return Slots(pairs[..., 0], pairs[..., 1], bias)


def _reads(read, matrix, layers, heads, head_dim, bias):
    """(b, s, C) of what may be (b, C), once it fits all else."""
    for name, size in {"layers": layers, "heads": heads, "head_dim": head_dim}.items():
        check_whole("slots_of", least=1, **{name: size})
    if read.ndim not in (2, 3):
        raise ShapeError(
            f"slots_of: read is {read.shape}, but it is (batch, width) for one slot "
            "and (batch, slots, width) for several"
        )
    reads = read[:, None] if read.ndim == 2 else read
    slots, width = reads.shape[1:]
    needed = layers * heads * head_dim * 2, width
    if tuple(matrix.shape) != needed:
        raise ShapeError(
            f"slots_of: the weight is {tuple(matrix.shape)}, but a key and a value of "
            f"{head_dim} for {heads} heads in each of {layers} layers, of reads of "
            f"{width}, make {needed}"
        )
    if bias is not None and bias.shape[-1] != slots:
        raise ShapeError(f"slots_of: bias is {bias.shape}, but there are {slots} slots")
    return reads


def slot_weights(keys: Sequence[Any], values: Sequence[Any], head_dim: int):
    r"""W_M out of each layer's own projections: a slot is then to a layer what a token
    is whose normed hidden state is the read, $k = W_K r$ and $v = W_V r$.

    `keys` and `values` hold, layer by layer, a matrix (heads head_dim, C) or a pair of
    a matrix and a bias; the result is {"weight", "bias"} (without biases, no bias). A
    decoder that has learnt to look at tokens looks at such slots from the first step.

    >>> slot_weights([np.array([[1.0]])], [np.array([[2.0]])], 1)
    {'weight': array([[1.],
           [2.]])}
    """
    _layers_fit(keys, values, head_dim)
    pairs = [(_parts(key), _parts(value)) for key, value in zip(keys, values)]

    def beside(part):
        """Rows of keys and of values by turns, layer by layer."""
        layers = [np.stack([key[part], value[part]], axis=1) for key, value in pairs]
        together = np.concatenate(layers)
        return together.reshape(-1, *together.shape[2:])

    has_bias = pairs[0][0][1] is not None
    return {"weight": beside(0)} | ({"bias": beside(1)} if has_bias else {})


def _layers_fit(keys, values, head_dim):
    if not keys or len(keys) != len(values):
        raise ValueError(
            f"slot_weights: {len(keys)} layers of keys and {len(values)} of values: "
            "every layer has both"
        )
    rows = len(_parts(keys[0])[0])
    if rows % head_dim:
        raise ShapeError(
            f"slot_weights: {rows} rows do not split into heads of {head_dim}"
        )


def _parts(projection):
    return projection if isinstance(projection, tuple) else (projection, None)


def slot_shapes(
    width: int, layers: int, heads: int, head_dim: int
) -> dict[str, tuple[int, ...]]:
    """name -> shape of W_M, from reads of `width`."""
    numbers = layers * heads * head_dim * 2
    return {"weight": (numbers, width), "bias": (numbers,)}
