r"""Routing: all tokens go on, but only some of them through the block.

    router scores each token --> the k largest --> block --> added back, by their scores
                             \-> the others --------------> as they were

No token is lost, and a block that sees a share c of the tokens costs a share c of its
feed-forward network and c^2 of its attention. The choice looks at all tokens at once,
also at later ones: where words are said one after the other it has to be predicted.
Source: [DeepDive] selective attention; [Raposo2024], Mixture-of-Depths.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from numbers import Rational

import numpy as np

from ... import ops
from ...arguments import check_whole, is_number
from ...shapes import shapes
from ...variable import value_of
from .pruning import taken


@shapes(x="... n d", router="d", returns="... n d")
def route_topk(x, router, block: Callable, capacity: float):
    r"""A block for those tokens only that its router likes best:
    $y_i = x_i + r_i\,f(x_K)_i$ for $i \in K$, else $y_i = x_i$, with $r_i = \langle w,
    x_i \rangle$ and $K$ the places of the $\lceil cn \rceil$ largest.

    x is (..., n, d), router w (d,); block takes (..., k, d) to (..., k, d), what is to
    be added, and its tokens stand in their old order. The score weighs what the block
    says, and by that the router learns. With capacity c = 1 all go through: a dense
    layer, its branch still weighed, $y = x + r \odot f(x)$.

    Source: [DeepDive] selective attention; [Raposo2024], equation 1. Oracle:
    torch.topk, gather and scatter_add.

    >>> x = np.array([[1.0], [3.0], [2.0]])
    >>> route_topk(x, np.array([1.0]), lambda some: 10 * some, capacity=0.3)
    array([[ 1.],
           [93.],
           [ 2.]])
    """
    tokens = x.shape[-2]
    few = routed(tokens, capacity)
    scores = x @ np.expand_dims(router, -1)
    if not np.isfinite(value_of(scores)).all():
        raise ValueError(
            "route_topk: a score is NaN or infinite: look for such in x or router"
        )
    if not few:
        return x
    places = np.sort(ops.topk_indices(value_of(scores)[..., 0], few), axis=-1)
    said = block(taken(x, places)) * taken(scores, places)
    return x + ops.group_sum(said, places, tokens)


def routed(tokens: int, capacity: float) -> int:
    """How many tokens a capacity lets through, rounded up.

    The capacity is the decimal number that it is written as: a double's 0.07 is a bit
    more, and of 100 tokens it would let through 8.

    >>> routed(64, 0.125), routed(3, 0.5), routed(100, 0.07)
    (8, 2, 7)
    """
    check_whole("routed", tokens=tokens)
    if not is_number(capacity) or not 0 < capacity <= 1:
        raise ValueError(
            f"route_topk: capacity is a share above 0 and at most 1, not {capacity!r}"
        )
    return math.ceil(_written(capacity) * int(tokens))


def _written(share) -> Fraction:
    """The shortest decimal number that is read as this one, exactly."""
    if isinstance(share, Rational):
        return Fraction(int(share.numerator), int(share.denominator))
    return Fraction(str(share))
