"""Of attention and its masks: heads, scores, and who may see whom."""

from __future__ import annotations

import numpy as np

from ...arguments import check_whole, is_number, is_whole
from ...shapes import ShapeError

# Attention


def heads_fit(function, query, key, enable_gqa):
    """The heads of queries and keys broadcast, or divide where they are shared."""
    _leading_axes(function, query, key, key, enable_gqa)


def values_fit(function, query, key, value, enable_gqa):
    """The heads of the values as well."""
    _leading_axes(function, query, key, value, enable_gqa)


def a_scale_of_scores(function, query, scale):
    """There are features to compare, and a number to scale by."""
    if not query.shape[-1]:
        raise ShapeError(f"{function}: query {query.shape} has no features")
    if scale is not None and not is_number(scale):
        raise ValueError(f"{function}: scale is a number, not {scale!r}")


def attn_mask_fits(function, query, key, attn_mask, enable_gqa):
    """A mask holds booleans or floating numbers; whole numbers could mean either."""
    if attn_mask is None:
        return
    if attn_mask.dtype.kind not in "bf":
        raise ValueError(
            f"{function}: attn_mask is {attn_mask.dtype}: give booleans (True may be "
            "seen), or floating numbers to be added to the scores"
        )
    _fits_scores(f"{function}: attn_mask", attn_mask, query, key, enable_gqa)


def dropout_mask_fits(function, query, key, enable_gqa, dropout_p, dropout_mask):
    """No probability without its mask: noise is drawn outside, where its seed is."""
    if dropout_mask is not None:
        _fits_scores(f"{function}: dropout_mask", dropout_mask, query, key, enable_gqa)
    elif not is_number(dropout_p) or dropout_p != 0:
        raise ValueError(
            f"{function}: dropout_p needs its mask: ops.dropout_mask(rng, shape, p)"
        )


def _leading_axes(function, query, key, value, enable_gqa):
    """Those of the scores, once the heads are known to fit."""
    lead, of_keys, of_values = (array.shape[:-2] for array in (query, key, value))
    if enable_gqa:
        for which, heads in (("key", of_keys), ("value", of_values)):
            if not lead or not heads or not heads[-1] or lead[-1] % heads[-1]:
                raise ShapeError(
                    f"{function}: the heads of query {query.shape} are no multiple of "
                    f"the heads of {which}, {heads}"
                )
        of_keys, of_values = (*of_keys[:-1], lead[-1]), (*of_values[:-1], lead[-1])
    if lead == of_keys == of_values:
        return lead
    try:
        return np.broadcast_shapes(lead, of_keys, of_values)
    except ValueError:
        raise ShapeError(
            f"{function}: the leading axes of query {query.shape}, key {key.shape} and "
            f"value {value.shape} do not broadcast; heads that share keys need "
            "enable_gqa=True"
        ) from None


def _fits_scores(what, mask, query, key, enable_gqa):
    lead = _leading_axes(what, query, key, key, enable_gqa)
    scores = (*lead, query.shape[-2], key.shape[-2])
    try:
        fits = np.broadcast_shapes(mask.shape, scores) == scores
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"{what} is {mask.shape}, but the scores are {scores}")


# Masks


def queries_and_keys_are_counts(queries, keys, offset):
    """What a causal mask is made from: two counts, and where the first query is."""
    if not is_whole(offset):
        raise ValueError(f"causal_mask: offset must be a whole number, not {offset!r}")
    check_whole("causal_mask", queries=queries)
    check_whole("causal_mask", keys=queries + offset if keys is None else keys)


def lengths_fit(lengths, size):
    """One length a sequence, none longer than the row that holds it."""
    lengths = np.asarray(lengths)
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not lengths.size:
        raise ValueError(f"padding_mask: one whole number a sequence, not {lengths!r}")
    size = int(lengths.max()) if size is None else size
    check_whole("padding_mask", size=size)
    if lengths.min() < 0 or lengths.max() > size:
        raise ValueError(f"padding_mask: lengths {lengths} must lie in 0 to {size}")


def text_is_behind_a_prefix(text_mask, prefix):
    """So many picture tokens, and a tokenizer's ones and zeros."""
    check_whole("prefix_mask", prefix=prefix)
    if not np.isin(text_mask, (0, 1)).all():
        raise ValueError(
            f"prefix_mask: a mask of tokens holds 0 and 1, not {text_mask!r}"
        )


def mask_is_no_bias(mask):
    """Of an additive mask that is to be booleans, each number is nothing or hides."""
    if not ((mask == 0) | (mask <= np.finfo(mask.dtype).min)).all():
        raise ValueError("boolean_mask: mask holds a bias, not just 0 and -inf")


def masks_combine(masks):
    """Arrays of booleans or of floating numbers, which broadcast."""
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
