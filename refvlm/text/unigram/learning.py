"""A tokenizer of our own: unigram on a raw stream, learnt from texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..raw_stream.learning import MARKERS, count_words, first_tokens
from ..raw_stream.spelled_bytes import BYTE_TOKENS
from ..raw_stream.stream import SENTENCE_PIECE, SPACE, RawStream
from ..tokenizer import Tokenizer
from .training import unigram_train
from .unigram import Unigram


def train_unigram(
    texts: Iterable[str],
    vocabulary_size: int,
    markers: Sequence[str] = MARKERS,
    stream: RawStream = SENTENCE_PIECE,
    byte_fallback: bool = False,
) -> Tokenizer:
    """A unigram tokenizer, learnt from texts, ready to use and save.

    Source: [Cortes] 4.2. Oracle: tokenizers.Tokenizer, which reads what is saved.
    """
    learnt = learn_unigram(texts, vocabulary_size, markers, stream, byte_fallback)
    return Tokenizer.of(learnt, "the trained tokenizer")


def learn_unigram(
    texts: Iterable[str],
    vocabulary_size: int,
    markers: Sequence[str] = MARKERS,
    stream: RawStream = SENTENCE_PIECE,
    byte_fallback: bool = False,
) -> Unigram:
    """The pieces and scores of `train_unigram`, as they are.

    The ids are: the markers, the first of which stands for what is unknown; the 256
    bytes, if they are to stand for it instead; the pieces, likeliest first. What is no
    piece of the texts has the score 0 if it is a marker, and the least if a byte: where
    a text spells the name of a byte, it is the byte, as in the library.

    Source: [Cortes] 4.2. Oracle: tokenizers.trainers.UnigramTrainer.

    >>> learnt = learn_unigram(["a red cube, a red ball, a red star"], 24)
    >>> learnt.tokens("a red bear")
    ['▁a', '▁red', '▁', 'b', 'e', 'a', 'r']
    """
    name = "learn_unigram"
    counts = count_words(name, texts, markers, stream)
    fixed = first_tokens(name, vocabulary_size, markers, byte_fallback, counts)
    letters = set().union(*counts)
    learnt = unigram_train(counts, max(1, vocabulary_size - len(fixed) + len(letters)))
    least = min(learnt.values(), default=0.0)
    scores = dict.fromkeys(markers, 0.0)
    scores |= dict.fromkeys(BYTE_TOKENS if byte_fallback else [], least)
    # A piece may be spelled like a marker where a normal form makes it so.
    scores |= {piece: log_p for piece, log_p in learnt.items() if piece not in scores}
    if byte_fallback:
        scores.setdefault(SPACE, least)
        stream = stream.with_bytes()
    return Unigram(scores, stream, markers[0], byte_fallback, markers)
