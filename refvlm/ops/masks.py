r"""Masks: who may see whom, said before the softmax.

A mask is boolean, True where a query may see a key, and broadcasts to the scores
(..., q, k). Its additive form is $M = 0$ where one may look and $-\infty$ where one
may not: $e^{-\infty} = 0$, so a hidden key gets no weight and no gradient.
"""

from __future__ import annotations

import numpy as np

from ..arguments import check_whole, is_whole
from ..shapes import ShapeError, shapes


def causal_mask(queries, keys=None, offset=0):
    r"""Nobody sees the future: query i may see key j where $j \le i + \text{offset}$.

    Boolean (queries, keys). The offset is the position of the first query among the
    keys: 0 for a whole sequence, the number of cached tokens for what continues it.
    keys is queries + offset unless given, so that the last query sees everything.

    Source: [Cortes] 4.1.
    Oracle: torch.nn.Transformer.generate_square_subsequent_mask.

    >>> causal_mask(2, offset=1)
    array([[ True,  True, False],
           [ True,  True,  True]])
    """
    if not is_whole(offset):
        raise ValueError(f"causal_mask: offset must be a whole number, not {offset!r}")
    check_whole("causal_mask", queries=queries)
    keys = queries + offset if keys is None else keys
    check_whole("causal_mask", keys=keys)
    return np.tri(queries, keys, offset, dtype=bool)


def padding_mask(lengths, size=None):
    r"""Sequences of different lengths in one batch: token j of sequence b counts
    where $j < \text{length}_b$.

    Boolean (batch, size), padded on the right; size is the longest length unless
    given. As a mask of keys it broadcasts over heads and queries:
    `padding_mask(lengths)[:, None, None, :]`.

    Source: [MicroVLM-V] 4.

    >>> padding_mask([1, 3])
    array([[ True, False, False],
           [ True,  True,  True]])
    """
    lengths = np.asarray(lengths)
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not lengths.size:
        raise ValueError(f"padding_mask: one whole number a sequence, not {lengths!r}")
    size = int(lengths.max()) if size is None else size
    check_whole("padding_mask", size=size)
    if lengths.min() < 0 or lengths.max() > size:
        raise ValueError(f"padding_mask: lengths {lengths} must lie in 0 to {size}")
    return np.arange(size) < lengths[:, None]


@shapes(text_mask="... n of anything")
def prefix_mask(text_mask, prefix):
    r"""The mask of picture tokens put before a text: $[1_{\text{prefix}};\, m]$.

    text_mask is (..., n) of booleans, or of ones and zeros as a tokenizer gives
    them; the result is (..., prefix + n): a picture is never padded.

    Source: [MicroVLM-V] 4.

    >>> prefix_mask(np.array([True, False]), 2)
    array([ True,  True,  True, False])
    """
    check_whole("prefix_mask", prefix=prefix)
    kept = token_flags("prefix_mask", text_mask)
    seen = np.ones((*text_mask.shape[:-1], prefix), bool)
    return np.concatenate([seen, kept], axis=-1)


def token_flags(function, mask):
    """A mask of tokens as booleans, from booleans or from ones and zeros."""
    if not np.isin(mask, (0, 1)).all():
        raise ValueError(f"{function}: a mask of tokens holds 0 and 1, not {mask!r}")
    return mask.astype(bool)


@shapes(mask="... of booleans", returns="...")
def additive_mask(mask, dtype=np.float32):
    r"""From boolean to additive: $M = 0$ where True, $-\infty$ where False.

    Source: [Cortes] 4.1.

    >>> additive_mask(np.array([True, False]))
    array([  0., -inf], dtype=float32)
    """
    return np.where(mask, np.zeros((), dtype), np.array(-np.inf, dtype))


@shapes(mask="...", returns="...")
def boolean_mask(mask):
    r"""From additive to boolean: True where $M = 0$, False where $M = -\infty$.

    The lowest finite number of the type, which some libraries write in place of
    $-\infty$, hides too. Any other number is a bias, which booleans cannot say.

    Source: [Cortes] 4.1.

    >>> boolean_mask(np.array([0.0, -np.inf]))
    array([ True, False])
    """
    seen = mask == 0
    if not (seen | (mask <= np.finfo(mask.dtype).min)).all():
        raise ValueError("boolean_mask: mask holds a bias, not just 0 and -inf")
    return seen


def combine_masks(*masks):
    r"""What every mask allows: booleans by *and*, additive masks by their sum.

    Masks that are None are left out; without any, the answer is None. One additive
    mask makes the result additive, in its dtype.

    Source: [Cortes] 4.1, [MicroVLM-V] 4.

    >>> combine_masks(causal_mask(2), padding_mask([1], 2))
    array([[ True, False],
           [ True, False]])
    """
    masks = [mask for mask in masks if mask is not None]
    if not masks:
        return None
    for mask in masks:
        if not isinstance(mask, np.ndarray) or mask.dtype.kind not in "bf":
            raise ValueError(
                "combine_masks: masks are arrays of booleans or of floating numbers"
            )
    try:
        np.broadcast_shapes(*(mask.shape for mask in masks))
    except ValueError:
        given = ", ".join(str(mask.shape) for mask in masks)
        raise ShapeError(f"combine_masks: {given} do not broadcast") from None
    biases = [mask for mask in masks if mask.dtype != bool]
    seen = [mask for mask in masks if mask.dtype == bool]
    if biases:
        seen = [additive_mask(mask, biases[0].dtype) for mask in seen]
    combined = biases + seen
    total = combined[0]
    for mask in combined[1:]:
        total = total + mask if biases else total & mask
    return total
