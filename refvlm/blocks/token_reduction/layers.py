r"""Transformer blocks that end with fewer tokens than they began with.

    x = x + attention(norm(x))    thin out    x = x + feed_forward(norm(x))

The middle is where ToMe merges and EViT prunes: the attention has just said which keys
are alike and where the class token looks, and the feed-forward network, the dearer
half, is already spared. Weights are those of `blocks.transformer.transformer_block`;
where as many tokens are kept as came in, it is that block.
Source: [DeepDive] token efficiency; [Bolya2023], ToMe; [Liang2022a], EViT.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ... import ops
from ...shapes import shapes
from ...variable import value_of
from ..attention_layers import merge_heads, split_heads
from ..transformer import feed_forward, layer_norm, linear
from .clustering import kmeans_tokens
from .merging import repeated_merge, size_bias
from .pruning import attention_scores, check_kept, prune_tokens, taken, token_norms


class Looked(NamedTuple):
    """Tokens (b, t, d) between the halves of a block, the class token first; how many
    each stands for (b, t); queries and keys (b, heads, t, d/heads)."""

    tokens: Any
    sizes: np.ndarray
    queries: Any
    keys: Any


Thin = Callable[[Looked, int], tuple[Any, np.ndarray]]


@shapes(x="b t d", sizes="b t or None")
def thinning_block(
    x,
    sizes,
    weights,
    num_heads: int,
    keep: int,
    thin: Thin,
    proportional: bool = True,
    activation: Callable = ops.gelu,
    eps: float = 1e-5,
):
    r"""A pre-norm block that keeps its class token and `keep` others between its
    halves: $h = \operatorname{thin}(x + \mathrm{MHA}(\mathrm{LN}(x)))$,
    $y = h + \mathrm{FFN}(\mathrm{LN}(h))$.

    x is (b, t, d), the class token first; sizes (b, t), how many each token stands for,
    None for one each. Where `proportional`, their logarithms are added to the scores.
    `thin(looked, keep)` chooses: `merge_alike`, `prune_unlooked` and their like.
    Returns tokens (b, 1 + keep, d) and sizes (b, 1 + keep).

    Source: [DeepDive] token efficiency; [Bolya2023]; [Liang2022a]. Oracle: their
    algorithms in torch.
    """
    tokens = x.shape[1]
    check_kept("thinning_block", "keep", keep, tokens - 1)
    sizes = np.ones(x.shape[:2], x.dtype) if sizes is None else sizes
    scope = weights.scope("self_attn")
    normed = layer_norm(x, weights.scope("layer_norm1"), eps)
    queries, keys, values = (
        split_heads(linear(normed, scope.scope(f"{name}_proj")), num_heads)
        for name in "qkv"
    )
    bias = size_bias(sizes) if proportional else None
    mixed = ops.scaled_dot_product_attention(queries, keys, values, bias)
    x = x + linear(merge_heads(mixed), scope.scope("out_proj"))
    if keep < tokens - 1:
        x, sizes = thin(Looked(x, sizes, queries, keys), keep)
    normed = layer_norm(x, weights.scope("layer_norm2"), eps)
    return x + feed_forward(normed, weights.scope("mlp"), activation), sizes


def merge_alike(looked: Looked, keep: int):
    """ToMe: the pairs whose keys, averaged over the heads, are the most similar become
    one; again, where more than half are to go."""
    metric = value_of(looked.keys).mean(axis=1)
    tokens, sizes, _ = repeated_merge(
        looked.tokens, looked.sizes, 1 + keep, metric, class_token=True
    )
    return tokens, sizes


def cluster_alike(rng: np.random.Generator) -> Thin:
    """The means of clusters of all but the class token, by `kmeans_tokens`."""

    def thin(looked, keep):
        rest, _, groups = kmeans_tokens(looked.tokens[:, 1:], keep, rng)
        sizes = ops.group_sum(looked.sizes[:, 1:, None], groups, keep)[..., 0]
        tokens = np.concatenate([looked.tokens[:, :1], rest], axis=1)
        return tokens, np.concatenate([looked.sizes[:, :1], sizes], axis=1)

    return thin


def prune_unlooked(looked: Looked, keep: int):
    """EViT: the tokens stay that the class token looks at most."""
    looks = ops.attention_weights(looked.queries[:, :, :1], looked.keys)
    return _pruned(looked, attention_scores(looks)[:, 1:], keep)


def prune_short(looked: Looked, keep: int):
    """The longest tokens stay."""
    return _pruned(looked, token_norms(looked.tokens)[:, 1:], keep)


def prune_by_chance(rng: np.random.Generator) -> Thin:
    """Any tokens stay: what every other choice has to be better than."""

    def thin(looked, keep):
        shape = looked.tokens.shape
        return _pruned(looked, rng.random((shape[0], shape[1] - 1)), keep)

    return thin


def _pruned(looked, scores, keep):
    rest, places = prune_tokens(looked.tokens[:, 1:], scores, keep)
    tokens = np.concatenate([looked.tokens[:, :1], rest], axis=1)
    counts = taken(looked.sizes[..., None], np.insert(places + 1, 0, 0, axis=1))
    return tokens, counts[..., 0]
