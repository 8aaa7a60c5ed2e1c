r"""Contrastive objectives: which of these texts belongs to this picture?

A batch of b pictures and their b texts is b multiple-choice questions, with the cosine
similarities of a picture to all texts as the scores. Each pair is right for itself and
wrong for all others, so a larger batch asks harder questions. The temperature says how
much a small difference of cosines is worth: it divides them before the softmax.
"""

from __future__ import annotations

import math

import numpy as np

from .. import ops
from ..arguments import check_whole
from ..autodiff import value_of
from ..shapes import ShapeError, shapes

FIRST_SCALE = math.log(1 / 0.07)
LARGEST_SCALE = math.log(100)


def info_nce(queries, candidates, temperature=0.07):
    r"""Find the right candidate for each query:
    $-\frac1b \sum_i \log \mathrm{softmax}_j(\cos(q_i, c_j)/\tau)_i$.

    Both are (b, d), of any length; candidate i is the one for query i. With pictures
    and texts it is $L_{v \to t}$, with texts and pictures $L_{t \to v}$.

    Source: [Cortes] 6.1, [Foundations] contrastive learning, [MicroVLM-V] 7.2.
    Oracle: torch.nn.functional.cross_entropy of the similarities.

    >>> info_nce(np.eye(2), np.eye(2), temperature=1.0)  # log(1 + 1/e)
    array(0.31326169)
    """
    return _pick_the_diagonal(_scores("info_nce", queries, candidates, temperature))


def clip_loss(images, texts, temperature=0.07):
    r"""Find the text for each picture, and the picture for each text:
    $\frac12 (L_{v \to t} + L_{t \to v})$.

    images and texts are (b, d). With a learnt scale, temperature is
    `1 / logit_scale(t)`.

    Source: [Cortes] 6.1, [Foundations] contrastive learning, [MicroVLM-V] 7.2.
    Oracle: the loss of transformers' CLIPModel.

    >>> clip_loss(np.eye(2), np.eye(2), temperature=1.0)
    np.float64(0.31326168751822286)
    """
    scores = _scores("clip_loss", images, texts, temperature)
    return (_pick_the_diagonal(scores) + _pick_the_diagonal(scores.T)) * 0.5


def _scores(function, a, b, temperature):
    if a.ndim != 2 or a.shape != b.shape:
        raise ShapeError(
            f"{function}: {a.shape} against {b.shape}; both need to be (b, d), and the "
            "i-th of one belongs to the i-th of the other"
        )
    _check_temperature(function, temperature)
    return ops.cosine_similarity_matrix(a, b, eps=1e-12) / temperature


def _pick_the_diagonal(scores):
    return ops.cross_entropy(scores, np.arange(len(scores)))


def logit_scale(t):
    r"""What the cosines are multiplied by: $1/\tau = e^t$, positive for every t.

    t starts at `FIRST_SCALE`, $\log(1/0.07)$, and is learnt with the rest.

    Source: [Cortes] 6.1. Oracle: transformers' CLIPModel.logit_scale.

    >>> round(float(logit_scale(np.array(FIRST_SCALE))), 4)
    14.2857
    """
    return ops.exp(t)


def clamp_logit_scale(t):
    r"""$\min(t, \log 100)$: after each step, so that no cosine counts a hundredfold.

    Nothing else stops it: once every picture finds its text, a larger scale is always a
    smaller loss.

    Source: [Foundations] CLIP. Oracle: torch.clamp.

    >>> clamp_logit_scale(np.array(5.0))
    array(4.60517019)
    """
    return np.minimum(t, t.dtype.type(LARGEST_SCALE), out=np.empty_like(t))


def itc_loss(positive, negatives, temperature=0.07):
    r"""Tell the one right answer from chosen wrong ones:
    $-\log \frac{e^{s^+/\tau}}{e^{s^+/\tau} + \sum_j e^{s^-_j/\tau}}$, averaged.

    positive (b) are the similarities to the right ones, negatives (b, k) those to the
    k wrong ones of each. With all others of the batch as the wrong ones, `info_nce`.

    Source: [Cortes] 6.5. Oracle: torch.nn.functional.cross_entropy.

    >>> itc_loss(np.array([0.0]), np.array([[0.0, 0.0, 0.0]]))  # log 4
    array(1.38629436)
    """
    if positive.ndim != 1 or negatives.ndim != 2 or len(positive) != len(negatives):
        raise ShapeError(
            f"itc_loss: positive is {positive.shape} and negatives {negatives.shape}, "
            "but need to be (b) and (b, k)"
        )
    _check_temperature("itc_loss", temperature)
    scores = np.concatenate([np.expand_dims(positive, 1), negatives], axis=1)
    first = np.zeros(len(positive), np.int64)
    return ops.cross_entropy(scores / temperature, first)


def itm_loss(logits, matches):
    r"""Does this text belong to this picture? Binary cross-entropy,
    $-\langle\, y \log p + (1 - y) \log(1 - p) \,\rangle$.

    matches (b) holds 1 or True for a pair, 0 or False for a mismatch. logits are (b),
    $p = \sigma(x)$, or (b, 2), $p = \mathrm{softmax}(x)_1$; the two agree where
    $x = x_1 - x_0$.

    Source: [Cortes] 6.2. Oracle: torch.nn.functional.binary_cross_entropy_with_logits,
    torch.nn.functional.cross_entropy.

    >>> itm_loss(np.array([0.0, 0.0]), np.array([1, 0]))  # log 2
    array(0.69314718)
    """
    if matches.ndim != 1 or logits.shape not in (matches.shape, (len(matches), 2)):
        raise ShapeError(
            f"itm_loss: logits are {logits.shape} and matches {matches.shape}, but "
            "need to be (b) or (b, 2), and (b)"
        )
    if not np.isin(matches, (0, 1)).all():
        raise ValueError("itm_loss: a pair matches (1) or does not (0)")
    if logits.ndim == 2:
        return ops.cross_entropy(logits, matches.astype(np.int64))
    return ops.binary_cross_entropy_with_logits(logits, matches.astype(logits.dtype))


@shapes(similarities="b b", right="b b of booleans")
def mine_hard_negatives(similarities, rng=None, k=1, right=None):
    r"""For each row k wrong columns, the likelier the more similar they are:
    $P(j) \propto e^{s_{ij}}$ over $j \ne i$, drawn without putting back.

    similarities are (b, b), divided by a temperature if so wished; the result is (b, k)
    column indices. Without a generator, the k most similar. `right` flags the
    pairs that are no mistake, the diagonal unless told: in a small world two
    pictures may have the same text.

    The largest of $s_{ij} + g_{ij}$ is such a draw, if g is Gumbel noise.

    Source: [Cortes] 6.5, which says "high similarity" and no rule.
    Oracle: the distribution of torch.multinomial.

    >>> mine_hard_negatives(np.array([[9.0, 1.0, 2.0], [0, 9, 0], [5, 4, 9]]))
    array([[2],
           [0],
           [0]])
    """
    scores = value_of(similarities).astype(np.float64)
    right = np.eye(len(scores), dtype=bool) if right is None else right
    check_whole("mine_hard_negatives", least=1, k=k)
    fewest = int((~right).sum(axis=1).min(initial=len(scores)))
    if k > fewest:
        raise ValueError(
            f"mine_hard_negatives: k is {k}, but a row has only {fewest} wrong columns"
        )
    if rng is not None:
        scores = scores + rng.gumbel(size=scores.shape)
    return ops.topk_indices(np.where(right, -np.inf, scores), k, dim=1)


def _check_temperature(function, temperature):
    value = value_of(temperature)
    if np.ndim(value) != 0 or not 0 < value < np.inf:
        raise ValueError(f"{function}: a temperature is a number above 0, not {value}")
