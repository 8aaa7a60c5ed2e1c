r"""Finding: how alike the address that a question asks is to each that was written.

    s w_q . w_j                       how alike they are, with s = 10
    softmax over all j                the share of each code in what is found
    log sum exp over a picture's j    the score of the picture

In a memory of orthonormal addresses the right one is worth $e^{10}$ of any other.
"""

from __future__ import annotations

from ... import ops

SHARPNESS = 10.0  # s


def likeness(asked, addresses):
    r"""$s\,w_q \cdot w_j$: asked (e, q, K), addresses (e, k, K), to (e, q, k).

    >>> likeness(np.eye(2), np.eye(2))
    array([[10.,  0.],
           [ 0., 10.]])
    """
    return (asked @ addresses.swapaxes(-1, -2)) * SHARPNESS


def shares(asked, addresses):
    """How much of what is found is of each code, (e, q, k)."""
    return ops.softmax(likeness(asked, addresses))


def picture_scores(asked, addresses, pictures: int):
    r"""Which picture a question means, by where it looks: with a picture's addresses
    $w_j$, $\log \sum_j e^{s\,w_q \cdot w_j}$.

    asked (e, q, K), addresses (e, k, K) of so many pictures, one after the other; the
    scores are (e, q, pictures).
    """
    each = likeness(asked, addresses)
    each = each.reshape(*each.shape[:-1], pictures, -1)
    return ops.logsumexp(each, dim=-1)
