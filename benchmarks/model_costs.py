"""Operations and least bytes of what the models do, from the package's own table.

Operations are those of products alone, which is what `refvlm.analysis.shape_table`
counts; bytes are each weight once, what comes in, and what must be kept.
"""

from __future__ import annotations

from refvlm.analysis.shape_table import decoder_rows, fastvlm_rows

FLOAT = 4  # bytes


def tower(config, size):
    """One picture of size x size through the vision tower and the projector."""
    table = fastvlm_rows(config, size, size, 0)
    stages = table[: [row.stage for row in table].index("projector") + 1]
    *_, tokens, hidden = stages[-1].shape
    weights = sum(row.parameters for row in stages)
    return _cost(stages, weights + 3 * size**2 + tokens * hidden)


def text(config, tokens, past=0):
    """So many tokens at once through the decoder, after `past` in the cache, to one."""
    table = decoder_rows(config, tokens, past)
    weights = sum(row.parameters for row in table)
    if not config.tie_word_embeddings:  # looking up a few rows reads no table
        weights -= config.vocab_size * config.hidden_size
    return _cost(table, weights + _cached(config, past + tokens))


def tokens_in_rows(config, rows, past):
    """One token in each of so many rows, after `past` in the cache of each."""
    one, others = text(config, 1, past), FLOAT * _cached(config, past + 1) * (rows - 1)
    return {"flops": rows * one["flops"], "bytes": one["bytes"] + others}


def _cached(config, tokens):
    heads = 2 * config.num_key_value_heads * config.head_dim
    return tokens * heads * config.num_hidden_layers


def training_step(config, pictures, size, tokens, weights):
    """There, and back for the inputs and for the weights: three times the products.

    Tokens count as if each attended to itself alone, and no scores over the vocabulary
    are counted, so that this stays the least. AdamW reads a weight and its two moments
    and writes all three.
    """
    *decoder, _ = decoder_rows(config.text, 1)
    each = sum(row.flops for row in decoder)
    flops = 3 * (pictures * tower(config, size)["flops"] + tokens * each)
    return {"flops": flops, "bytes": FLOAT * 6 * weights}


def _cost(table, numbers):
    return {"flops": sum(row.flops for row in table), "bytes": FLOAT * numbers}
