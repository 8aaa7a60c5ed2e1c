"""All substrings of many words, found place by place, by numbers instead of strings.

A substring is one that is shorter by a character, and a character. So the places of the
words are grouped by the character there, then each group is parted by the character
after it, and so on: there is one number for each place, however many substrings there
are, and memory grows with the words, not with their squares.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Substrings:
    """Words one behind the other, with a place behind each for its end.

    >>> found = Substrings(["aba", "ab"])
    >>> places, groups, _ = found.single()
    >>> places, groups  # a b a, a b
    (array([0, 1, 2, 4, 5]), array([0, 1, 0, 0, 1]))
    >>> found.longer(places, groups, 2)[:2]  # ab ba, ab
    (array([0, 1, 4]), array([0, 1, 0]))
    """

    def __init__(self, words: Sequence[str]):
        self.text = "\0".join([*words, ""])
        self.sizes = np.array([len(word) for word in words], np.intp)
        self.last = np.cumsum(self.sizes + 1) - 1  # the place at the end of each word
        self.first = self.last - self.sizes
        # How many characters its word has from each place on.
        everywhere = np.arange(len(self.text))
        self.left = np.repeat(self.last, self.sizes + 1) - everywhere
        codes = np.frombuffer(self.text.encode("utf-32-le"), np.uint32)
        _, letters = np.unique(codes, return_inverse=True)
        self.letters = letters.astype(np.int64)

    def single(self):
        """Places of characters, the group of each, and a place of each group."""
        places = np.flatnonzero(self.left)
        return self._grouped(places, self.letters[places])

    def longer(self, places, groups, length):
        """The same for substrings of this length, of those that are shorter by one."""
        there = self.left[places] >= length
        places = places[there]
        names = groups[there] * (self.letters.max(initial=0) + 1)
        return self._grouped(places, names + self.letters[places + length - 1])

    @staticmethod
    def _grouped(places, names):
        _, at, groups = np.unique(names, return_index=True, return_inverse=True)
        return places, groups, places[at]
