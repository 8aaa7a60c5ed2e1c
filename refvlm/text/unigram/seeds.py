"""The first, far too large vocabulary of a unigram model: the substrings seen often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np


def seed_pieces(words: Mapping[str, int], most: int, longest: int) -> dict[str, int]:
    """piece -> count · length: the characters of the words, commonest first, and up to
    `most` longer pieces. Length counts, since a long piece saves more.

    >>> seed_pieces({"banana": 1, "band": 2}, most=2, longest=16)
    {'a': 5, 'n': 4, 'b': 3, 'd': 2, 'ban': 9, 'an': 8}
    """
    letters: Counter[str] = Counter()
    for word in sorted(words):
        for letter in word:
            letters[letter] += words[word]
    several = frequent_substrings(words, most, longest)
    return dict(letters.most_common()) | {p: n * len(p) for p, n in several.items()}


def frequent_substrings(
    words: Mapping[str, int], most: int, longest: int
) -> dict[str, int]:
    r"""Substrings of 2 to `longest` characters that occur at least twice, with how
    often: of those the `most` with the largest count · length.

    A substring is one that is shorter by a character, and one character: so all places
    of the words are grouped by the substring of length 1 that begins there, then each
    group is parted by the next character, and so on. What occurs once is dropped, which
    it and all that begins with it may be. There is one number for each place, however
    many substrings there are: memory grows with the words, and not with their squares.

    >>> frequent_substrings({"banana": 1, "band": 2}, most=4, longest=16)
    {'ban': 3, 'an': 4, 'band': 2, 'ba': 3}
    """
    spelled = sorted(words)
    text = "\0".join([*spelled, ""])
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    sizes = np.array([len(word) for word in spelled], np.intp)
    times = np.repeat(np.array([words[word] for word in spelled], float), sizes + 1)
    # How many characters of its word there are from each place on.
    left = np.repeat(np.cumsum(sizes + 1), sizes + 1) - 1 - np.arange(len(codes))
    _, letters = np.unique(codes, return_inverse=True)
    group, places = letters.astype(np.int64), np.arange(len(codes))
    found = []
    for length in range(2, longest + 1):
        ahead = left[places] >= length
        places = places[ahead]
        named = group[ahead] * (letters.max(initial=0) + 1)
        named += letters[places + length - 1]
        _, at, group = np.unique(named, return_index=True, return_inverse=True)
        counts = np.bincount(group, times[places], len(at))
        often = counts >= 2
        top = np.flatnonzero(often)
        top = top[np.argsort(-counts[top], kind="stable")[:most]]
        found.append((counts[top] * length, places[at[top]], np.full(len(top), length)))
        again = often[group]
        group, places = group[again], places[again]
        if not len(places):
            break
    if not found:
        return {}
    worth, begins, lengths = (np.concatenate(several) for several in zip(*found))
    best = np.argsort(-worth, kind="stable")[:most]
    return {
        text[begins[i] : begins[i] + lengths[i]]: round(worth[i] / lengths[i])
        for i in best
    }
