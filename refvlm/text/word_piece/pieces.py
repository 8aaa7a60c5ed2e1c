r"""WordPiece: which pieces are learnt, and how they cut a word.

    h ##u ##g    p ##u ##g    p ##u ##n    b ##u ##n    h ##u ##g ##s
    score(##g, ##s) = f(##g ##s) / (f(##g) f(##s)): the pair that is there more often
    than its parts would meet by chance, and not the commonest, is merged.

A piece inside a word bears ##, so that it is another token than the same letters at the
beginning. Schuster and Nakajima, Japanese and Korean Voice Search.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from itertools import pairwise

from ...arguments import check_whole
from ..bpe.byte_pairs import Pair, check_counts, merge

PREFIX = "##"
LONGEST = 100  # characters: what is longer is no word


def wordpiece_train_by_definition(
    words: Mapping[str, int], merges: int, at_least: int = 1
) -> list[Pair]:
    """The merges, each found by scoring every pair anew.

    Source: [Cortes] 4.2. Oracle: `wordpiece_train`.
    """
    spelled, age = _spelled(words, merges, at_least)
    found: list[Pair] = []
    while len(found) < merges:
        alone: Counter[str] = Counter()
        together: Counter[Pair] = Counter()
        for symbols, count in spelled:
            for symbol in symbols:
                alone[symbol] += count
            for pair in pairwise(symbols):
                together[pair] += count
        often = [pair for pair in together if together[pair] >= at_least]
        if not often:
            break

        def order(pair, alone=alone, together=together):
            left, right = pair
            score = together[pair] / (alone[left] * alone[right])
            return -score, -together[pair], age[left], age[right]

        best = min(often, key=order)
        found.append(best)
        age.setdefault(join(best), len(age))
        spelled = [(merge(symbols, best, join), count) for symbols, count in spelled]
    return found


def wordpiece_train(
    words: Mapping[str, int], merges: int, at_least: int = 1
) -> list[Pair]:
    r"""Up to so many merges, best first, from words and how often each occurs, by
    $\operatorname{score}(a, b) = f(ab) / (f(a) f(b))$.

    f counts symbols and pairs of neighbours, as the words are spelled by then. Pairs
    that occur less than `at_least` times are left alone. Of equal scores the commoner
    pair wins, then the one whose left symbol is older, then whose right is; the
    alphabet is oldest. After a merge, only pairs of what changed are scored anew.

    Source: [Cortes] 4.2. Oracle: `wordpiece_train_by_definition`; the trainer of
    tokenizers goes by counts alone.

    >>> words = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}
    >>> wordpiece_train(words, 3)
    [('##g', '##s'), ('p', '##u'), ('h', '##u')]
    """
    spelled, age = _spelled(words, merges, at_least)
    tally = _Tally()
    for number, (symbols, count) in enumerate(spelled):
        tally.add(symbols, count, number)

    def entry(pair: Pair):
        left, right = pair
        together, alone = tally.together[pair], tally.alone
        score = together / (alone[left] * alone[right])
        return -score, -together, age[left], age[right], pair

    queue = [entry(p) for p, often in tally.together.items() if often >= at_least]
    heapq.heapify(queue)
    found: list[Pair] = []
    while queue and len(found) < merges:
        claimed = heapq.heappop(queue)
        best = claimed[-1]
        if tally.together[best] < at_least or claimed != entry(best):
            continue  # its score has changed since; a newer entry says how
        found.append(best)
        age.setdefault(join(best), len(age))
        # With fewer of a symbol left, every pair that holds it scores higher.
        changed = tally.pairs_of[best[0]] | tally.pairs_of[best[1]]
        for number in tally.holders.pop(best):
            before, count = spelled[number]
            after = merge(before, best, join)
            spelled[number] = after, count
            tally.remove(before, count)
            tally.add(after, count, number)
            changed.update(pairwise(before), pairwise(after))
        for pair in changed:
            if tally.together[pair] >= at_least:
                heapq.heappush(queue, entry(pair))
            elif not tally.together[pair]:
                tally.forget(pair)
    return found


class _Tally:
    """How often symbols and pairs occur, which words hold a pair, and what holds a
    symbol."""

    def __init__(self):
        self.alone: Counter[str] = Counter()
        self.together: Counter[Pair] = Counter()
        self.holders: dict[Pair, set[int]] = defaultdict(set)
        self.pairs_of: dict[str, set[Pair]] = defaultdict(set)

    def add(self, symbols: Sequence[str], count: int, number: int) -> None:
        for symbol in symbols:
            self.alone[symbol] += count
        for pair in pairwise(symbols):
            self.together[pair] += count
            self.holders[pair].add(number)
            for symbol in pair:
                self.pairs_of[symbol].add(pair)

    def remove(self, symbols: Sequence[str], count: int) -> None:
        for symbol in symbols:
            self.alone[symbol] -= count
        for pair in pairwise(symbols):
            self.together[pair] -= count

    def forget(self, pair: Pair) -> None:
        for symbol in pair:
            self.pairs_of[symbol].discard(pair)


def wordpiece_encode(
    word: str,
    vocabulary: Container[str],
    unknown: str = "[UNK]",
    longest_word: int = LONGEST,
    longest_token: int | None = None,
) -> list[str]:
    """A word cut into tokens: from the left, each time the longest that there is.

    Where no token fits, the whole word is `unknown`, as is one of too many characters.
    With L characters in the `longest_token`, if that is said, n characters take at most
    n L looks into the vocabulary, else n².

    Source: [Cortes] 4.2. Oracle: tokenizers.models.WordPiece.

    >>> wordpiece_encode("unseen", {"un", "u", "##see", "##s", "##n"})
    ['un', '##see', '##n']
    >>> wordpiece_encode("sun", {"un", "u", "##see", "##s", "##n"})
    ['[UNK]']
    """
    if len(word) > longest_word:
        return [unknown]
    longest = len(PREFIX + word) if longest_token is None else longest_token
    tokens: list[str] = []
    start = 0
    while start < len(word):
        prefix = PREFIX if start else ""
        furthest = min(len(word), start + longest - len(prefix))
        for end in range(furthest, start, -1):
            if prefix + word[start:end] in vocabulary:
                break
        else:
            return [unknown]
        tokens.append(prefix + word[start:end])
        start = end
    return tokens


def join(pair: Pair) -> str:
    """Two pieces as one.

    >>> join(("##g", "##s")), join(("h", "##u"))
    ('##gs', 'hu')
    """
    return pair[0] + pair[1].removeprefix(PREFIX)


def spell(word: str) -> list[str]:
    """The letters of a word, of which all but the first bear the prefix.

    >>> spell("hug")
    ['h', '##u', '##g']
    """
    return [*word[:1], *(PREFIX + letter for letter in word[1:])]


def _spelled(words, merges, at_least):
    """The words as letters, and symbol -> age, in the order of the alphabet."""
    check_whole("wordpiece_train", merges=merges)
    check_whole("wordpiece_train", at_least=at_least, least=1)
    check_counts(words)
    spelled = [(spell(word), count) for word, count in words.items()]
    symbols = sorted({symbol for letters, _ in spelled for symbol in letters})
    return spelled, {symbol: age for age, symbol in enumerate(symbols)}
