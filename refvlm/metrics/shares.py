r"""So many right of so many: a share, and a table of them.

With n trials the standard error of a share p is $\sqrt{p(1-p)/n}$, so a share without
its n says little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Share(NamedTuple):
    """So many right of so many."""

    right: int
    asked: int

    def __str__(self):
        share = self.right / self.asked if self.asked else float("nan")
        return f"{100 * share:5.1f} % of {self.asked}"


def share_of(answers: Iterable[bool]) -> Share:
    """The share of the answers that are right.

    >>> print(share_of([True, False, True, True]))
     75.0 % of 4
    """
    answers = list(answers)
    return Share(sum(map(bool, answers)), len(answers))


def table(shares: Mapping[str, Share]) -> list[str]:
    """The shares as lines of text, one for each heading."""
    width = max(map(len, shares), default=0)
    return [f"{heading:<{width}}  {share}" for heading, share in shares.items()]
