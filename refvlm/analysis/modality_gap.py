r"""The modality gap: pictures lie in one place of the shared space, texts in another.

    gap = mean of the pictures' directions - mean of the texts'

CLIP's loss compares pictures with texts and never two pictures. A vector added to all
texts alike changes no picture's order of them; and where it is at right angles to what
pictures differ in, no text's order of pictures. So nothing asks the two crowds to stand
in one place. Two fresh towers answer each in a narrow cone of its own; how much of that
is left is a matter of training.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import ops
from ..arguments import check_whole
from ..shapes import shapes


class ModalityGap(NamedTuple):
    """The vector from the texts' mean to the pictures', its length, and how narrow the
    cone of each is: the length of its mean, 1 where all directions are the same."""

    vector: np.ndarray
    length: float
    pictures: float
    texts: float


@shapes(images="n d", texts="m d")
def modality_gap(images, texts) -> ModalityGap:
    r"""How far pictures are from texts, on the sphere of directions:
    $\Delta = \frac1n \sum_i \hat v_i - \frac1m \sum_j \hat t_j$.

    images (n, d), texts (m, d), of any length and in any number, at least one. The gap
    is between 0 and 2; `gaps_by_chance` says what it would be by chance.

    Source: [Foundations] challenges; [Liang2022]. Oracle: two cones, whose means are
    known.

    >>> gap = modality_gap(np.array([[2.0, 0.0]]), np.array([[0.0, 3.0]]))
    >>> gap.vector, round(gap.length, 4)
    (array([ 1., -1.]), 1.4142)
    """
    if not len(images) or not len(texts):
        raise ValueError(
            f"modality_gap: {len(images)} pictures and {len(texts)} texts: a mean "
            "needs at least one of each"
        )
    pictures, words = means(images, texts)
    gap = pictures - words
    lengths = (float(np.linalg.norm(mean)) for mean in (gap, pictures, words))
    return ModalityGap(gap, *lengths)


@shapes(images="n d", texts="n d")
def gaps_by_chance(
    images, texts, rng: np.random.Generator, draws: int = 100
) -> np.ndarray:
    """The gap's length where nothing tells the two sides apart: each pair changes its
    sides or does not, as a coin falls, `draws` times.

    images and texts (n, d), row i of one beside row i of the other.

    Source: [Liang2022] for the gap; the test is a permutation test.
    """
    check_whole("gaps_by_chance", least=1, draws=draws)
    half = (ops.normalize(images) - ops.normalize(texts)) / len(images)
    coins = rng.choice([-1, 1], (draws, len(images))).astype(half.dtype)
    return np.linalg.norm(coins @ half, axis=1)


@shapes(images="n d", texts="m d")
def moved(images, texts, share: float):
    r"""Pictures and texts brought together along the gap, each half of the way, and
    back onto the sphere: $\mathrm{unit}(\hat v - \frac s2 \Delta)$ and
    $\mathrm{unit}(\hat t + \frac s2 \Delta)$.

    A share s of 0 leaves them, 1 closes the gap nearly (a mean of directions is not
    kept by the way back), and a negative one widens it.

    Source: [Liang2022]. Oracle: two cones.
    """
    gap = modality_gap(images, texts).vector * (float(share) / 2)
    images, texts = ops.normalize(images), ops.normalize(texts)
    return ops.normalize(images - gap), ops.normalize(texts + gap)


def means(images, texts):
    """The mean direction of each; as long as the directions agree."""
    return (ops.normalize(rows).mean(axis=0) for rows in (images, texts))
