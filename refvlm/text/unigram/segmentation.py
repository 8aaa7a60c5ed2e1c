r"""The unigram model: of all ways to cut a word into known pieces, the likeliest.

    P(x_1 ... x_m) = p(x_1) p(x_2) ... p(x_m)        each x a piece, together the word

    u n l i k e l y     pieces end where others begin: the ways through this lattice
    |un-|like---|ly-|   are the segmentations. What follows finds the likeliest, the n
    |u|n|li-|ke-|ly-|   likeliest, or one at random.

Every character that is no piece itself is an unknown piece of one character, 10 below
the least score: no known way loses to it. For a word of n characters there are at most
n · (longest piece) pieces in the lattice, and that is the time that each takes.

Kudo, Subword Regularization; Kudo and Richardson, SentencePiece.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from ...arguments import check_whole, is_number

UNKNOWN_PENALTY = 10.0
Edge = tuple[int, float]  # where a piece begins or ends, and its log p


class Scores(dict[str, float]):
    """piece -> log p, and how long the pieces are that begin with a character."""

    def __init__(self, scores: Mapping[str, float]):
        super().__init__(scores)
        lengths: dict[str, set[int]] = defaultdict(set)
        for piece, score in self.items():
            if not piece or not is_number(score) or not math.isfinite(score):
                raise ValueError(
                    f"a score is the log of a probability of a piece, but {piece!r:.40}"
                    f" has {score!r:.40}"
                )
            lengths[piece[0]].add(len(piece))
        self.lengths = {first: sorted(several) for first, several in lengths.items()}
        self.unknown = min(self.values(), default=0.0) - UNKNOWN_PENALTY

    @classmethod
    def of(cls, scores: Mapping[str, float]) -> Scores:
        return scores if isinstance(scores, cls) else cls(scores)

    def leaving(self, word: str, start: int) -> list[Edge]:
        """(end, log p) of each piece that begins there, a character alone among them.

        >>> Scores({"l": -4.0, "li": -3.0, "like": -2.0}).leaving("unlikely", 2)
        [(3, -4.0), (4, -3.0), (6, -2.0)]
        """
        edges: list[Edge] = []
        for length in self.lengths.get(word[start], ()):
            score = self.get(word[start : start + length])
            if score is not None and start + length <= len(word):
                edges.append((start + length, score))
        if not edges or edges[0][0] > start + 1:
            edges.append((start + 1, self.unknown))
        return edges

    def arriving(self, word: str) -> list[list[Edge]]:
        """For each place in the word, (start, log p) of each piece that ends there."""
        edges: list[list[Edge]] = [[] for _ in range(len(word) + 1)]
        for start in range(len(word)):
            for end, score in self.leaving(word, start):
                edges[end].append((start, score))
        return edges


def unigram_viterbi(word: str, scores: Mapping[str, float]) -> list[str]:
    r"""The pieces of the likeliest segmentation, $\arg\max_x \sum_i \log p(x_i)$:
    $\text{best}(j) = \max_i \text{best}(i) + \log p(\text{word}_{i:j})$.

    Of ways that are equally good, the one whose last piece is longest, then the one
    before it. An unknown character is a piece of its own here.

    Source: [Cortes] 4.2. Oracle: tokenizers.models.Unigram.

    >>> scores = {"un": -3, "like": -4, "likely": -6, "unlike": -8, "ly": -3}
    >>> unigram_viterbi("unlikely", scores)
    ['un', 'likely']
    """
    scores = Scores.of(scores)
    best, back = [0.0] + [-math.inf] * len(word), [0] * (len(word) + 1)
    for start in range(len(word)):
        here = best[start]
        for end, score in scores.leaving(word, start):
            if here + score > best[end]:
                best[end], back[end] = here + score, start
    return _pieces(word, back)


def _pieces(word, back):
    """The pieces, read from the end: the last begins at back[end], and so on."""
    pieces, end = [], len(word)
    while end:
        pieces.append(word[back[end] : end])
        end = back[end]
    return pieces[::-1]


def unigram_n_best(
    word: str, scores: Mapping[str, float], count: int
) -> list[tuple[float, list[str]]]:
    r"""(log P, pieces) of the `count` likeliest segmentations, best first.

    Where one best way was kept to each place in the word, `count` are; what is equally
    good is in the order of `unigram_viterbi`, whose answer is the first.

    Source: [Cortes] 4.2. Oracle: `unigram_viterbi`, enumeration.

    >>> scores = {"un": -3, "like": -4, "likely": -6, "unlike": -8, "ly": -3}
    >>> for log_p, pieces in unigram_n_best("unlikely", scores, 3):
    ...     print(log_p, *pieces)
    -9.0 un likely
    -10.0 un like ly
    -11.0 unlike ly
    """
    check_whole("unigram_n_best", least=1, count=count)
    # A way is (log P, the way before its last piece, where the last piece begins).
    ways: list[list] = [[(0.0, None, 0)]]
    for edges in Scores.of(scores).arriving(word)[1:]:
        longer = (
            (way[0] + score, way, start)
            for start, score in edges
            for way in ways[start]
        )
        ways.append(heapq.nlargest(count, longer, key=lambda way: way[0]))
    return [(way[0], _spelled(word, way)) for way in ways[-1]]


def _spelled(word, way):
    pieces, end = [], len(word)
    while end:
        _, before, start = way
        pieces.append(word[start:end])
        way, end = before, start
    return pieces[::-1]


def unigram_sample(
    word: str,
    scores: Mapping[str, float],
    alpha: float,
    rng: np.random.Generator,
    n_best: int | None = None,
) -> list[str]:
    r"""One segmentation at random: $P(x \mid \text{word}) \propto
    \prod_i p(x_i)^\alpha$.

    Trained on a cut that varies, a model learns what a word is made of. With alpha = 1
    cuts are drawn as often as the model believes in them, with 0 all alike, and with a
    large alpha only the best. All are drawn from, or the `n_best` alone.

    The ways to each place are summed up from the left, $F(j) = \sum_i F(i)
    p(\text{word}_{i:j})^\alpha$. Then the pieces are drawn from the last to the first:
    the one before place j begins at i with chance $F(i) p(\text{word}_{i:j})^\alpha /
    F(j)$, by one uniform number each.

    Source: [Cortes] 4.2. Oracle: enumeration; tokenizers.models.Unigram(alpha=...).

    >>> rng = np.random.default_rng(0)
    >>> scores = {"un": -3, "like": -4, "likely": -6, "unlike": -8, "ly": -3}
    >>> [" ".join(unigram_sample("unlikely", scores, 0.5, rng)) for _ in range(3)]
    ['unlike ly', 'un likely', 'un like ly']
    """
    if not is_number(alpha) or not 0 <= alpha < math.inf:
        raise ValueError(f"unigram_sample: alpha is {alpha!r:.40}, not a number from 0")
    if not isinstance(rng, np.random.Generator):
        raise ValueError(
            f"unigram_sample: rng is {rng!r:.40}: give np.random.default_rng(seed)"
        )
    if n_best is not None:
        ways = unigram_n_best(word, scores, n_best)
        return ways[_drawn([alpha * log_p for log_p, _ in ways], rng)][1]
    arriving = [
        [(start, alpha * score) for start, score in edges]
        for edges in Scores.of(scores).arriving(word)
    ]
    forward, back = _forward(arriving), [0] * (len(word) + 1)
    end = len(word)
    while end:
        starts = arriving[end]
        drawn = _drawn([forward[start] + score for start, score in starts], rng)
        back[end] = starts[drawn][0]
        end = back[end]
    return _pieces(word, back)


def _drawn(logs, rng):
    """Which of several, each with a chance in proportion to exp(log)."""
    total = log_sum_exp(logs)
    if not math.isfinite(total):
        raise ValueError("unigram_sample: alpha is so large that all chances are 0")
    left = rng.random()
    for number, log in enumerate(logs):
        left -= math.exp(log - total)
        if left < 0:
            return number
    return max(range(len(logs)), key=logs.__getitem__)  # what rounding has left over


def unigram_log_probability(word: str, scores: Mapping[str, float]) -> float:
    r"""$\log P(\text{word}) = \log \sum_x \prod_i p(x_i)$ over all segmentations x.

    Source: [Cortes] 4.2. Oracle: enumeration.

    >>> scores = {"a": math.log(0.5), "b": math.log(0.3), "ab": math.log(0.2)}
    >>> round(math.exp(unigram_log_probability("ab", scores)), 12)
    0.35
    """
    return _forward(Scores.of(scores).arriving(word))[-1]


def unigram_expected_counts(word: str, scores: Mapping[str, float]) -> dict[str, float]:
    r"""piece -> how often it is expected in the word, over all its segmentations:
    $\sum_{i:j} F(i)\, p(\text{word}_{i:j})\, B(j) / P(\text{word})$.

    F(i) sums the ways from the front to i, B(j) those from j to the end; both are kept
    as logarithms, which no long word drives to 0.

    Source: [Cortes] 4.2. Oracle: enumeration.

    >>> scores = {"a": math.log(0.5), "b": math.log(0.3), "ab": math.log(0.2)}
    >>> counts = unigram_expected_counts("ab", scores)
    >>> {piece: round(count, 3) for piece, count in counts.items()}
    {'a': 0.429, 'ab': 0.571, 'b': 0.429}
    """
    scores = Scores.of(scores)
    leaving = [scores.leaving(word, start) for start in range(len(word))]
    forward, backward = _forward(scores.arriving(word)), [0.0]
    for edges in leaving[::-1]:
        ways = [backward[len(word) - end] + score for end, score in edges]
        backward.append(log_sum_exp(ways))
    backward.reverse()
    counts: dict[str, float] = defaultdict(float)
    for start, edges in enumerate(leaving):
        for end, score in edges:
            log = forward[start] + score + backward[end] - forward[-1]
            counts[word[start:end]] += math.exp(log)
    return dict(sorted(counts.items()))


def _forward(arriving):
    """For each place, the log of the sum over all ways to it."""
    forward = [0.0]
    for edges in arriving[1:]:
        forward.append(log_sum_exp([forward[start] + score for start, score in edges]))
    return forward


def log_sum_exp(logs: list[float]) -> float:
    """log(exp(a) + exp(b) + ...), where exp(a) alone may be too small for a float.

    >>> round(log_sum_exp([-1000.0, -1000.0]) + 1000, 6)  # log 2
    0.693147
    """
    largest = max(logs)
    if largest == -math.inf:
        return largest
    return largest + math.log(math.fsum(math.exp(log - largest) for log in logs))
