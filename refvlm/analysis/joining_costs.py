r"""What it costs a decoder to be told of a picture: among the words, or from the side.

    spliced   m + t tokens go through every layer
    crossed   t words do, and in each that looks, m tokens become keys and values

A product of an (m, k) with a (k, n) matrix counts $2mkn$ FLOPs; norms and activations
are left out, and so are the tables at both ends, which are the same.
"""

from __future__ import annotations

from ..arguments import check_whole


def spliced_flops(picture, words, width, layers, inner):
    r"""Reading m tokens of a picture and t words in one sequence of $n = m + t$:
    $\ell\,(2n(4d^2 + 2df) + 4d \cdot n(n+1)/2)$ FLOPs.

    The first term are the four matrices of the attention and the two, d by f, of the
    feed-forward; the second scores and averages over what causality shows.

    Source: [Cortes] 5.1, 10.1. Oracle: torch.utils.flop_counter.

    >>> round(spliced_flops(196, 32, 512, 8, 2048) / 1e9, 2)
    11.9
    """
    picture, words, width, layers, inner = _counts(
        "spliced_flops", picture, words, width, layers, inner
    )
    tokens = picture + words
    matrices = 2 * tokens * (4 * width**2 + 2 * width * inner)
    return layers * (matrices + 4 * width * (tokens * (tokens + 1) // 2))


def crossed_flops(picture, words, width, layers, inner, looking=None):
    r"""Reading t words in layers, $\ell_v$ of which look at m tokens of a picture:
    $\ell\,(2t(4d^2 + 2df) + 4d \cdot t(t+1)/2) + \ell_v\,(4(t + m)d^2 + 4dtm)$ FLOPs.

    To look, a word needs a query and a way out, a token of the picture a key and a
    value, two matrices each; `looking` is $\ell_v$, all layers where nothing is said.

    Source: [Cortes] 5.3, 7.3, 10.1. Oracle: torch.utils.flop_counter.

    >>> round(crossed_flops(196, 32, 512, 8, 2048) / 1e9, 2)
    3.63
    """
    looking = layers if looking is None else looking
    picture, words, width, layers, inner = _counts(
        "crossed_flops", picture, words, width, layers, inner
    )
    check_whole("crossed_flops", looking=looking)
    looking = int(looking)
    aside = 4 * (words + picture) * width**2 + 4 * width * words * picture
    return spliced_flops(0, words, width, layers, inner) + looking * aside


def _counts(function, picture, words, width, layers, inner):
    """The five as Python's integers: NumPy's overflow."""
    check_whole(function, picture=picture, words=words)
    check_whole(function, least=1, width=width, layers=layers, inner=inner)
    return int(picture), int(words), int(width), int(layers), int(inner)
