r"""Learning a unigram model: too many pieces, how likely each is, and fewer, in turns.

    seed:   every character, and the substrings seen often
    E-step: how often is each piece expected in the words, over all their cuts?
    M-step: its probability is its share of all that is expected
    prune:  drop the pieces without which the words would be written almost as well

A vocabulary of the likeliest pieces is not what is wanted: `the` is likely, and so is
`th`, which is useless beside it. What a piece is worth is what its loss would cost.

Kudo, Subword Regularization. SentencePiece and the tokenizers library take digamma
functions of the counts in the M-step, a prior that favours few pieces; here it is the
plain share, as in the paper, so that no step lowers the likelihood.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from ...arguments import check_whole
from ..bpe.byte_pairs import check_counts
from .lattices import Lattices
from .seeds import seed_pieces
from .segmentation import Scores

SEEDS = 20  # pieces to begin with, for each that is to remain
KEPT = 0.75  # the share that a pruning keeps
ROUNDS = 2  # of E-step and M-step before each pruning
LONGEST_WORD = 512  # a longer one is learnt from in parts
LEAST_COUNT = 0.5  # a character that longer pieces took over keeps so much
TINY = 1e-300  # for a count of 0, whose logarithm is none


def unigram_train(
    words: Mapping[str, int], vocabulary_size: int, longest: int = 16
) -> dict[str, float]:
    """piece -> log p, likeliest first, from words and how often each occurs.

    There are at most so many pieces, of at most `longest` characters; fewer where the
    words have no more substrings that occur twice. Every character of the words stays.

    Source: [Cortes] 4.2. Oracle: tokenizers.trainers.UnigramTrainer.

    >>> scores = unigram_train({"low": 5, "lower": 2, "newest": 6, "widest": 3}, 14)
    >>> [piece for piece in scores if len(piece) > 1]
    ['newest', 'low', 'widest', 'lower']
    """
    check_whole("unigram_train", least=1, longest=longest)
    check_whole("unigram_train", least=1, vocabulary_size=vocabulary_size)
    words = _parted(words)
    seeds = seed_pieces(words, SEEDS * vocabulary_size, longest)
    letters = sum(len(piece) == 1 for piece in seeds)
    if vocabulary_size < letters:
        raise ValueError(
            f"unigram_train: vocabulary_size is {vocabulary_size}, but the words have "
            f"{letters} characters, each of which is a piece"
        )
    if not seeds:
        return {}
    pieces = np.array(list(seeds), object)
    log_p = log_shares(np.array(list(seeds.values()), float))
    times = np.array(list(words.values()), float)
    lattices = Lattices(list(words), list(seeds))
    others = Lattices(list(seeds), list(seeds), whole=False)
    there = np.arange(len(pieces))  # of the seeds, which are still there
    while True:
        for _ in range(ROUNDS):
            counts, _ = lattices.expected_counts(log_p, times)
            log_p = log_shares(counts)
        if len(pieces) <= vocabulary_size:
            break
        loss = losses(counts, others, there)
        size = max(vocabulary_size, int(KEPT * len(pieces)))
        kept = np.zeros(len(pieces), bool)
        kept[np.argsort(-loss, kind="stable")[:size]] = True
        lattices.keep(kept)
        others.keep(kept)
        pieces, log_p, there = pieces[kept], log_shares(counts[kept]), there[kept]
    counts = np.maximum(counts, LEAST_COUNT)
    order = np.argsort(-counts, kind="stable")
    return dict(zip(pieces[order], log_shares(counts)[order].tolist()))


def unigram_em_step(
    words: Mapping[str, int], scores: Mapping[str, float]
) -> tuple[dict[str, float], float]:
    r"""Scores that make the words likelier, and log P of the words by those given.

    The E-step expects how often each piece is used, $c(x) = \sum_w n(w) \, E[\#x \mid
    w]$; the M-step takes for its probability its share, $p(x) = c(x) / \sum_y c(y)$.

    Source: [Cortes] 4.2. Oracle: `unigram_expected_counts`.

    >>> scores = {"a": -1.0, "b": -1.0, "ab": -1.0}
    >>> for _ in range(3):
    ...     scores, log_p = unigram_em_step({"ab": 3, "a": 1}, scores)
    ...     print(round(log_p, 3))
    -3.06
    -2.944
    -2.549
    """
    words, scores = _parted(words), Scores(scores)
    absent = {c for word in words for c in word} - scores.keys()
    if absent:
        raise ValueError(
            f"unigram_em_step: the character {min(absent)!r} of the words is no piece: "
            "every one has to be"
        )
    if not words:
        return dict(scores), 0.0
    lattices = Lattices(list(words), list(scores))
    times = np.array(list(words.values()), float)
    log_p = np.array(list(scores.values()), float)
    counts, likelihood = lattices.expected_counts(log_p, times)
    return dict(zip(scores, log_shares(counts).tolist())), likelihood


def losses(counts: np.ndarray, others: Lattices, there: np.ndarray) -> np.ndarray:
    r"""For each piece, the log likelihood that the words would lose with it:
    $c(x) \, (\log p(x) - \max \sum_y \log p'(y))$.

    The sum is over the pieces of the best other way to write x; each is likelier then,
    $p'(y) = (c(y) + c(x)) / \sum c$, as it stands for x too. A character has no other.
    """
    with_own = np.zeros(len(others.last))
    with_own[there] = counts
    word = np.searchsorted(others.last, others.starts)
    ways = counts[others.pieces] + with_own[word]
    total = counts.sum()
    best = others.best(np.log(np.maximum(ways, TINY) / total))[there]
    character = best == -np.inf
    lost = counts * (log_shares(counts) - np.where(character, 0, best))
    return np.where(character, np.inf, lost)


def log_shares(counts: np.ndarray) -> np.ndarray:
    """The log of each count's share of all; of no count at all, a number far below."""
    counts = np.maximum(counts, TINY)
    return np.log(counts / counts.sum())


def _parted(words):
    """The words, checked, and those that are too long in parts."""
    check_counts(words)
    check_counts(words)
    parted: Counter[str] = Counter()
    for word, times in words.items():
        for start in range(0, len(word), LONGEST_WORD):
            parted[word[start : start + LONGEST_WORD]] += times
    return dict(sorted(parted.items()))
