"""The first, far too large vocabulary of a unigram model: the substrings seen often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from .substrings import Substrings


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
    """Substrings of 2 to `longest` characters that occur at least twice, with how
    often: of those the `most` with the largest count · length.

    What occurs once is dropped, and with it all that is longer.

    >>> frequent_substrings({"banana": 1, "band": 2}, most=4, longest=16)
    {'ban': 3, 'an': 4, 'band': 2, 'ba': 3}
    """
    spelled = sorted(words)
    found = Substrings(spelled)
    times = np.repeat(np.array([words[w] for w in spelled], float), found.sizes + 1)
    places, groups, _ = found.single()
    kept = []
    for length in range(2, longest + 1):
        places, groups, begins = found.longer(places, groups, length)
        counts = np.bincount(groups, times[places], len(begins))
        often = np.flatnonzero(counts >= 2)
        top = often[np.argsort(-counts[often], kind="stable")[:most]]
        kept.append((counts[top] * length, begins[top], np.full(len(top), length)))
        again = (counts >= 2)[groups]
        places, groups = places[again], groups[again]
        if not len(places):
            break
    if not kept:
        return {}
    worth, begins, lengths = (np.concatenate(several) for several in zip(*kept))
    best = np.argsort(-worth, kind="stable")[:most]
    return {
        found.text[begins[i] : begins[i] + lengths[i]]: round(worth[i] / lengths[i])
        for i in best
    }
