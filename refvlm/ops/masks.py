r"""Masks: who may see whom, said before the softmax.

A mask is boolean, True where a query may see a key, and broadcasts to the scores
(..., q, k). Its additive form is $M = 0$ where one may look and $-\infty$ where one
may not: $e^{-\infty} = 0$, so a hidden key gets no weight and no gradient.
"""

from __future__ import annotations

import functools

import numpy as np

from ..shapes import shapes
from . import demands


@shapes(demands.queries_and_keys_are_counts)
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
    keys = queries + offset if keys is None else keys
    return np.tri(queries, keys, offset, dtype=bool)


@shapes(demands.lengths_fit)
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
    size = lengths.max() if size is None else size
    return np.arange(size) < lengths[:, None]


@shapes(demands.text_is_behind_a_prefix, text_mask="... n of anything")
def prefix_mask(text_mask, prefix):
    r"""The mask of picture tokens put before a text: $[1_{\text{prefix}};\, m]$.

    text_mask is (..., n) of booleans, or of ones and zeros as a tokenizer gives
    them; the result is (..., prefix + n): a picture is never padded.

    Source: [MicroVLM-V] 4.

    >>> prefix_mask(np.array([True, False]), 2)
    array([ True,  True,  True, False])
    """
    picture = np.ones((*text_mask.shape[:-1], prefix), bool)
    return np.concatenate([picture, text_mask.astype(bool)], axis=-1)


@shapes(mask="... of booleans", returns="...")
def additive_mask(mask, dtype=np.float32):
    r"""From boolean to additive: $M = 0$ where True, $-\infty$ where False.

    Source: [Cortes] 4.1.

    >>> additive_mask(np.array([True, False]))
    array([  0., -inf], dtype=float32)
    """
    return np.where(mask, np.zeros((), dtype), np.array(-np.inf, dtype))


@shapes(demands.mask_is_no_bias, mask="...", returns="...", as_stored=True)
def boolean_mask(mask):
    r"""From additive to boolean: True where $M = 0$, False where $M = -\infty$.

    The lowest finite number of the type, which some libraries write in place of
    $-\infty$, hides too. Any other number is a bias, which booleans cannot say.

    Source: [Cortes] 4.1.

    >>> boolean_mask(np.array([0.0, -np.inf]))
    array([ True, False])
    """
    return mask == 0


def combine_masks(*masks):
    r"""What every mask allows: booleans by *and*, additive masks by their sum.

    Masks that are None are left out; without any, the answer is None. One additive
    mask makes the result additive, in its dtype.

    Source: [Cortes] 4.1, [MicroVLM-V] 4.

    >>> combine_masks(causal_mask(2), padding_mask([1], 2))
    array([[ True, False],
           [ True, False]])
    """
    masks = tuple(mask for mask in masks if mask is not None)
    if not masks:
        return None
    demands.masks_combine(masks)
    biases = [mask for mask in masks if mask.dtype != bool]
    booleans = [mask for mask in masks if mask.dtype == bool]
    if not biases:
        return functools.reduce(np.logical_and, booleans)
    hidden = [additive_mask(mask, biases[0].dtype) for mask in booleans]
    return functools.reduce(np.add, biases + hidden)
