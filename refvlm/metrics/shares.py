r"""So many right of so many: a share, and a table of them.

With n trials the standard error of a share p is $\sqrt{p(1-p)/n}$, so a share without
its n says little.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np


class Share(NamedTuple):
    """So many right of so many."""

    right: int
    asked: int

    def __str__(self):
        share = self.right / self.asked if self.asked else float("nan")
        return f"{100 * share:5.1f} % of {self.asked}"


class Surprise(NamedTuple):
    """So many nats over so many tokens; their mean is a loss, its exponential a
    perplexity.

    >>> print(Surprise(20 * math.log(3), 20))
      3.000 over 20 tokens
    """

    nats: float
    tokens: int

    def __str__(self):
        mean = self.nats / self.tokens if self.tokens else math.nan
        return f"{math.exp(min(mean, 700.0)):7.3f} over {self.tokens} tokens"


class Spread(tuple[Share, ...]):
    """A share over several rounds, each of a seed of its own: in all, and from the
    least to the largest.

    >>> print(Spread([Share(3, 4), Share(4, 4)]))
     87.5 % of 8 (75 to 100)
    """

    def __str__(self):
        asked = [share for share in self if share.asked]
        total = Share(sum(s.right for s in asked), sum(s.asked for s in asked))
        shares = [100 * share.right / share.asked for share in asked] or [math.nan]
        return f"{total} ({min(shares):.0f} to {max(shares):.0f})"


def share_of(answers: Iterable[bool]) -> Share:
    """The share of the answers that are right.

    >>> print(share_of([True, False, True, True]))
     75.0 % of 4
    """
    answers = list(answers)
    return Share(sum(map(bool, answers)), len(answers))


def share_above(low: np.ndarray, high: np.ndarray) -> Share:
    """Of all pairs of one of `low` and one of `high`, those whose second is larger; of
    two that are the same, half a pair. It is the area under a detector's curve.

    >>> share_above(np.array([1, 2]), np.array([2, 3, 0, 2]))
    Share(right=5, asked=8)
    """
    low, high = np.sort(low, axis=None), np.ravel(high)
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return Share(int(below.sum()) // 2, low.size * high.size)


def table(shares: Mapping[str, Share | Spread | Surprise], width: int = 0) -> list[str]:
    """The shares as lines of text, one for each heading, which is at least so wide."""
    width = max(width, *map(len, shares), 0)
    return [f"{heading:<{width}}  {share}" for heading, share in shares.items()]
