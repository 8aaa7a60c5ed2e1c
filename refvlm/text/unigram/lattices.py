r"""The lattices of many words at once, as arrays: what learning a unigram model takes.

An edge is a piece in its place in a word. All words' edges stand in the order of the
places that they end at, the first places of all words first: so the sums for a place
need only sums that are there, and one NumPy call serves a place in every word.

    place 1    place 2        place 3                 of  un, low, new
    u l n      un n ow ...    low w ew ...

Nothing here is not in `segmentation`, word by word; laws say that the two agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .substrings import Substrings


class Lattices:
    """Where the pieces, numbered from 0, stand in the words.

    Every character of the words has to be a piece. With `whole=False` a word is not a
    piece of itself, so that what remains are the other ways to write it.
    """

    def __init__(self, words: Sequence[str], pieces: Sequence[str], whole: bool = True):
        spelled = Substrings([*words, *pieces])
        self.nodes = int(spelled.first[len(words)]) if len(pieces) else 0
        self.first, self.last = (a[: len(words)] for a in (spelled.first, spelled.last))
        self.count = len(pieces)
        edges = list(_occurrences(spelled, len(words)))
        starts, lengths, found = (np.concatenate(several) for several in zip(*edges))
        depth = starts - np.repeat(self.first, self.last - self.first + 1)[starts]
        if not whole:
            part = (depth > 0) | (lengths < spelled.left[starts])
            starts, lengths, found, depth = (
                a[part] for a in (starts, lengths, found, depth)
            )
        places, ends = depth + lengths, starts + lengths
        order = np.lexsort((ends, places))
        self._arrange(starts[order], ends[order], found[order], places[order])

    def _arrange(self, starts, ends, pieces, places):
        """The edges, and where those of each place begin, and in them each node's."""
        self.starts, self.ends, self.pieces, self.places = starts, ends, pieces, places
        self.groups = []
        changes = np.flatnonzero(np.diff(places)) + 1
        for low, high in pairwise([0, *changes, len(places)]):
            begins = np.flatnonzero(np.diff(ends[low:high], prepend=-1))
            own = np.repeat(np.arange(len(begins)), np.diff(begins, append=high - low))
            self.groups.append((slice(low, high), begins, own))

    def keep(self, kept: np.ndarray) -> None:
        """Leave only the pieces where `kept` is true; they are numbered anew."""
        edges = kept[self.pieces]
        numbers = np.cumsum(kept) - 1
        self._arrange(
            self.starts[edges],
            self.ends[edges],
            numbers[self.pieces[edges]],
            self.places[edges],
        )
        self.count = int(kept.sum())

    def forward(self, scores: np.ndarray) -> np.ndarray:
        """For each node, the log of the sum over all ways to it."""
        forward = np.zeros(self.nodes)
        for edges, begins, own in self.groups:
            ways = forward[self.starts[edges]] + scores[self.pieces[edges]]
            largest = np.maximum.reduceat(ways, begins)
            sums = np.add.reduceat(np.exp(ways - largest[own]), begins)
            forward[self.ends[edges][begins]] = largest + np.log(sums)
        return forward

    def best(self, ways: np.ndarray) -> np.ndarray:
        """For each word, log p of its likeliest segmentation, -inf where there is none.

        `ways` is the log p of each edge, which may differ from word to word.
        """
        best = np.full(self.nodes, -np.inf)
        best[self.first] = 0.0
        for edges, begins, _ in self.groups:
            sums = best[self.starts[edges]] + ways[edges]
            best[self.ends[edges][begins]] = np.maximum.reduceat(sums, begins)
        return best[self.last]

    def expected_counts(
        self, scores: np.ndarray, times: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """The expected count of each piece in the words, each so many times, and the
        log likelihood of them all.

        Each word, with its number of times, walks back from its end to its front as
        `unigram_sample` does, but divides itself among the pieces instead of choosing.
        """
        forward = self.forward(scores)
        flow, counts = np.zeros(self.nodes), np.zeros(self.count)
        flow[self.last] = times
        for edges, _, _ in self.groups[::-1]:
            starts, ends, pieces = (
                a[edges] for a in (self.starts, self.ends, self.pieces)
            )
            share = np.exp(forward[starts] + scores[pieces] - forward[ends])
            np.add.at(flow, starts, flow[ends] * share)
            counts += np.bincount(pieces, flow[ends] * share, self.count)
        return counts, float(forward[self.last] @ times)


def _occurrences(spelled, words):
    """(places, lengths, pieces) of each length: where in the words the pieces stand.

    The pieces are spelled behind the words, so that a piece is in the group of its
    substring. Only what begins a longer piece is looked at again.
    """
    begins, sizes = spelled.first[words:], spelled.sizes[words:]
    places, groups, some = spelled.single()
    for length in range(1, sizes.max(initial=0) + 1):
        if length > 1:
            places, groups, some = spelled.longer(places, groups, length)
        piece_of = np.full(len(some), -1)
        own = np.flatnonzero(sizes == length)
        piece_of[groups[np.searchsorted(places, begins[own])]] = own
        pieces = piece_of[groups]
        here = (pieces >= 0) & (places < spelled.first[words])
        yield places[here], np.full(here.sum(), length), pieces[here]
        goes_on = np.zeros(len(some), bool)
        goes_on[groups[np.searchsorted(places, begins[sizes > length])]] = True
        places, groups = places[goes_on[groups]], groups[goes_on[groups]]
