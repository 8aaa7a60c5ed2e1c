r"""Pruning: keep the tokens that matter most, in the order of their places.

    score each token --> the k largest --> those tokens, first to last

What is dropped is gone: nobody later can look at it. Where the score comes from decides
what that costs: the length of a token is free, and attention is what a model has
learnt to look at. Sources: [DeepDive] token compression; [Liang2022a], EViT;
[Chen2024], FastV.
"""

from __future__ import annotations

import numpy as np

from ... import ops
from ...arguments import check_whole, is_whole
from ...shapes import ShapeError, shapes
from ...variable import value_of


@shapes(x="... n d", scores="... n", as_stored=True)
def prune_tokens(x, scores, keep: int):
    r"""The `keep` tokens with the largest scores, in their old order: $(x_i)_{i \in K}$
    with $K$ the places of the largest $s_i$.

    x is (..., n, d), scores (..., n); the result is the pair of the tokens that are
    left, (..., keep, d), and their places, (..., keep), ascending. Of equal scores the
    first are kept. The scores choose, and have no gradient.

    Source: [DeepDive] token compression. Oracle: torch.topk and gather.

    >>> x = np.array([[1.0], [2.0], [3.0]])
    >>> prune_tokens(x, np.array([0.5, 0.1, 0.9]), keep=2)
    (array([[1.],
           [3.]]), array([0, 2]))
    """
    scores, tokens = value_of(scores), x.shape[-2]
    _check_scores("prune_tokens", x, scores)
    check_kept("prune_tokens", "keep", keep, tokens)
    places = np.sort(ops.topk_indices(scores, keep), axis=-1)
    return taken(x, places), places


def taken(x, places):
    """The tokens at some places: (..., n, d) and (..., k) -> (..., k, d)."""
    index = np.broadcast_to(places[..., None], (*places.shape, x.shape[-1]))
    return ops.gather(x, x.ndim - 2, index)


@shapes(x="... n d", returns="... n")
def token_norms(x):
    r"""The length of each token, as a score: $s_i = \lVert x_i \rVert$.

    Source: [DeepDive] token compression. Oracle: torch.linalg.vector_norm.

    >>> token_norms(np.array([[3.0, 4.0], [0.0, 1.0]]))
    array([5., 1.])
    """
    return np.linalg.norm(value_of(x), axis=-1)


@shapes(weights="... heads q k", returns="... k")
def attention_scores(weights, query: int = 0):
    r"""How much one query looks at each token, as a score: the mean over the heads,
    $s_j = \frac1h \sum_m P^m_{qj}$.

    weights is what an attention gave, (..., heads, q, k). The first query is a class
    token's, as in EViT; the last that of the token that is about to speak, as in FastV.

    Source: [DeepDive] token compression, selective attention. Oracle: torch arithmetic.

    >>> attention_scores(np.array([[[0.5, 0.5]], [[1.0, 0.0]]]))
    array([0.75, 0.25])
    """
    queries = weights.shape[-2]
    if not is_whole(query):
        raise ValueError(
            "attention_scores: query must be a whole number, the place of one query, "
            f"not {query!r:.60}"
        )
    if not -queries <= query < queries:
        raise ValueError(
            f"attention_scores: query is {query}, but there are {queries} queries"
        )
    return value_of(weights)[..., query, :].mean(axis=-2)


def check_kept(function: str, name: str, kept: int, tokens: int):
    """As many tokens as are to be left are there."""
    check_whole(function, least=1, **{name: kept})
    if kept > tokens:
        raise ValueError(f"{function}: {name} is {kept}, but there are {tokens} tokens")


def _check_scores(function, x, scores):
    if scores.shape != x.shape[:-1]:
        raise ShapeError(
            f"{function}: scores is {scores.shape}, but x {x.shape} needs one for each "
            f"token, {x.shape[:-1]}"
        )
    if np.isnan(scores).any():
        raise ValueError(
            f"{function}: scores has NaN, and nobody knows whether such a token is kept"
        )
