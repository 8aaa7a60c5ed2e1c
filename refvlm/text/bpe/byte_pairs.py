r"""Byte-pair encoding: merge the commonest pair of neighbours, and again, and again.

    l o w    l o w e r    n e w e s t        e s  is the commonest pair: es
    l o w    l o w e r    n e w es t         es t is the next:           est
    l o w    l o w e r    n e w est          l o: lo, then lo w: low
    low      low e r      n e w est

Nothing here knows about bytes: a word is any sequence of symbols that can be joined.
Sennrich et al., Neural Machine Translation of Rare Words with Subword Units; Gage, A
New Algorithm for Data Compression.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import pairwise

from ...arguments import check_whole, is_whole

Pair = tuple[str, str]
Words = Mapping[str, int] | Mapping[tuple[str, ...], int]  # word -> how often it occurs


def bpe_train_by_definition(words: Words, merges: int) -> list[Pair]:
    """The merges, each found by counting every pair anew.

    Source: [Cortes] 4.2. Oracle: `bpe_train`.
    """
    age = _alphabet(words, merges)
    spelled = [(list(word), count) for word, count in words.items()]
    found: list[Pair] = []
    while len(found) < merges:
        tally: Counter[Pair] = Counter()
        for symbols, count in spelled:
            for pair in pairwise(symbols):
                tally[pair] += count
        if not tally:
            break
        best = min(tally, key=lambda p: (-tally[p], age[p[0]], age[p[1]]))
        found.append(best)
        age.setdefault("".join(best), len(age))
        spelled = [(merge(symbols, best), count) for symbols, count in spelled]
    return found


def bpe_train(words: Words, merges: int) -> list[Pair]:
    """Up to so many merges, best first, from words and how often each occurs.

    Of pairs that are equally common, the one whose left symbol is older wins, then the
    one whose right symbol is; the alphabet is oldest, in the order of its characters.
    Fewer merges come back when every word has become one symbol. All words stand in one
    row; a pair knows its count and its places, and a merge goes to these alone.

    Source: [Cortes] 4.2. Oracle: tokenizers.trainers.BpeTrainer.

    >>> bpe_train({"low": 5, "lower": 2, "newest": 6, "widest": 3}, 4)
    [('e', 's'), ('es', 't'), ('l', 'o'), ('lo', 'w')]
    """
    age = _alphabet(words, merges)
    symbols, times = _in_one_row(words)
    before, after = [*range(-1, len(symbols))], [*range(1, len(symbols) + 1)]
    tally: Counter[Pair] = Counter()
    places: dict[Pair, set[int]] = defaultdict(set)
    changed: set[Pair] = set()

    def count(at: int, sign: int) -> None:
        """Add the pair that begins here, or take it away."""
        pair = symbols[at], symbols[after[at]]
        if pair[0] and pair[1]:
            tally[pair] += sign * times[at]
            changed.add(pair)
            if sign > 0:
                places[pair].add(at)

    def entry(pair: Pair):
        return -tally[pair], age[pair[0]], age[pair[1]], pair

    for at in range(len(symbols) - 1):
        count(at, +1)
    queue = [entry(pair) for pair in changed]
    heapq.heapify(queue)
    found: list[Pair] = []
    while queue and len(found) < merges:
        claimed, *_, best = heapq.heappop(queue)
        if not tally[best] or tally[best] != -claimed:
            continue  # its count has changed since; a newer entry says how
        found.append(best)
        age.setdefault("".join(best), len(age))
        changed.clear()
        for at in sorted(places.pop(best)):  # from left to right
            left, right = before[at], after[at]
            if (symbols[at], symbols[right]) != best:
                continue  # one of the two was merged since
            for place in (left, at, right):
                count(place, -1)
            symbols[at], symbols[right] = "".join(best), ""
            after[at] = after[right]
            before[after[at]] = at
            for place in (left, at):
                count(place, +1)
        for pair in changed:
            if tally[pair]:
                heapq.heappush(queue, entry(pair))
    return found


def _in_one_row(words: Words) -> tuple[list[str], list[int]]:
    """All symbols, with nothing around each word, and how often each occurs."""
    symbols, times = [""], [0]
    for word, often in words.items():
        symbols += [*word, ""]
        times += [often] * (len(word) + 1)
    return symbols, times


def _alphabet(words, merges):
    """symbol -> age: the symbols that words are spelled with, in order."""
    check_whole("bpe_train", merges=merges)
    check_counts(words)
    symbols = sorted({symbol for word in words for symbol in word})
    return {symbol: age for age, symbol in enumerate(symbols)}


def check_counts(words: Words) -> None:
    """Refuse a word that does not occur a whole number of times."""
    for word, count in words.items():
        if not is_whole(count) or count < 1:
            raise ValueError(
                f"a count is a whole number of at least 1, but {word!r:.40} has "
                f"{count!r:.40}"
            )


def merge(
    symbols: Sequence[str], pair: Pair, join: Callable[[Pair], str] = "".join
) -> list[str]:
    """Every occurrence of the pair joined, from left to right.

    >>> merge(["a", "a", "a"], ("a", "a"))
    ['aa', 'a']
    """
    merged, at = [], 0
    while at < len(symbols):
        if tuple(symbols[at : at + 2]) == pair:
            merged.append(join(pair))
            at += 2
        else:
            merged.append(symbols[at])
            at += 1
    return merged


def bpe_encode_by_definition(
    symbols: Sequence[str], ranks: Mapping[Pair, int]
) -> list[str]:
    """A word cut into tokens: of its pairs the one learnt first is merged, and again.

    Source: [Cortes] 4.2. Oracle: `bpe_encode`.
    """
    tokens, never = list(symbols), float("inf")
    while len(tokens) > 1:
        learnt = [ranks.get(pair, never) for pair in pairwise(tokens)]
        at = learnt.index(min(learnt))
        if learnt[at] == never:
            break
        tokens[at : at + 2] = ["".join(tokens[at : at + 2])]
    return tokens


def bpe_encode(symbols: Sequence[str], ranks: Mapping[Pair, int]) -> list[str]:
    """A word cut into tokens: of its pairs the one learnt first is merged, and again.

    `ranks` says when each pair was learnt. Of equal pairs the leftmost goes first. The
    pairs wait in a queue, and each token knows its neighbours, so that a merge asks
    about two pairs and not about all: a word of n letters takes n log n steps.

    Source: [Cortes] 4.2. Oracle: tokenizers.models.BPE.

    >>> ranks = {("e", "s"): 0, ("es", "t"): 1, ("l", "o"): 2, ("lo", "w"): 3}
    >>> bpe_encode("lowest", ranks)
    ['low', 'est']
    """
    tokens: list[str] = list(symbols)
    before, after = list(range(-1, len(tokens) - 1)), list(range(1, len(tokens) + 1))
    queue = [(ranks[p], at) for at, p in enumerate(pairwise(tokens)) if p in ranks]
    heapq.heapify(queue)
    while queue:
        rank, at = heapq.heappop(queue)
        right = after[at]
        if right == len(tokens) or ranks.get((tokens[at], tokens[right])) != rank:
            continue  # one of the two was merged since
        tokens[at] += tokens[right]
        tokens[right] = ""
        after[at] = after[right]
        if after[at] < len(tokens):
            before[after[at]] = at
        for left in (before[at], at):
            if left >= 0 and after[left] < len(tokens):
                learnt = ranks.get((tokens[left], tokens[after[left]]))
                if learnt is not None:
                    heapq.heappush(queue, (learnt, left))
    return [token for token in tokens if token]


def ranks_without(names: Container[str], ranks: Mapping[Pair, int]) -> dict[Pair, int]:
    """The merges that make none of these tokens.

    >>> ranks_without(["ab"], {("a", "b"): 0, ("b", "a"): 1})
    {('b', 'a'): 1}
    """
    return {pair: rank for pair, rank in ranks.items() if "".join(pair) not in names}


def bpe_decode(tokens: Iterable[str]) -> str:
    """The word that tokens spell: they are joined.

    Source: [Cortes] 4.2. Oracle: tokenizers.decoders.Fuse.
    """
    return "".join(tokens)
