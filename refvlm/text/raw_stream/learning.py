"""What is learnt from texts on a raw stream: the counts of its words, and BPE's merges.

Whatever a text is cut into later, a token is learnt within a word: it begins with the
visible space or has none. So merges that are learnt from words, counted once each, are
those that a whole text as one word would be cut by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ...arguments import check_whole, several
from ..bpe.byte_pairs import bpe_train
from ..errors import NoRoomError, valid_text
from ..subwords import any_of, check_names
from ..tokenizer import Tokenizer
from .raw_bpe import RawStreamBPE
from .spelled_bytes import BYTE_TOKENS
from .stream import LLAMA, SPACE, RawStream

MARKERS = ("<unk>", "<s>", "</s>")
LONGEST_WORD = 512  # a longer one is learnt from in parts


def train_raw_bpe(
    texts: Iterable[str],
    vocabulary_size: int,
    markers: Sequence[str] = MARKERS,
    stream: RawStream = LLAMA,
    byte_fallback: bool = True,
) -> Tokenizer:
    """BPE on a raw stream, learnt from texts, ready to use and save.

    Source: [Cortes] 4.2. Oracle: tokenizers.Tokenizer, which reads what is saved.
    """
    learnt = learn_raw_bpe(texts, vocabulary_size, markers, stream, byte_fallback)
    return Tokenizer.of(learnt, "the trained tokenizer")


def learn_raw_bpe(
    texts: Iterable[str],
    vocabulary_size: int,
    markers: Sequence[str] = MARKERS,
    stream: RawStream = LLAMA,
    byte_fallback: bool = True,
) -> RawStreamBPE:
    """The vocabulary and the merges of `train_raw_bpe`, as they are.

    The ids are: the markers, the first of which stands for what is unknown; the 256
    bytes, if they are to stand for it instead; the characters of the texts; the merges.
    A marker in a text parts what is before it from what is after, and is not learnt
    from.

    Source: [Cortes] 4.2. Oracle: `bpe_train`; tokenizers.Tokenizer, which reads it.

    >>> learnt = learn_raw_bpe(["red red"], 12, byte_fallback=False)
    >>> learnt.merges
    [('e', 'd'), ('r', 'ed'), ('▁', 'red')]
    """
    counts = count_words("learn_raw_bpe", texts, markers, stream)
    fixed = first_tokens(
        "learn_raw_bpe", vocabulary_size, markers, byte_fallback, counts
    )
    merges = bpe_train(counts, vocabulary_size - len(fixed))
    tokens = [*fixed, *map("".join, merges)]
    known = {token: number for number, token in enumerate(tokens)}
    if len(known) < len(tokens):
        clash = next(name for name in fixed if tokens.count(name) > 1)
        raise ValueError(f"{clash!r} is how a piece of a word of the texts is spelled")
    stream = stream.with_bytes() if byte_fallback else stream
    return RawStreamBPE(
        known, merges, stream, markers[0], byte_fallback, markers=markers
    )


def count_words(
    function: str, texts: Iterable[str], markers: Sequence[str], stream: RawStream
) -> Counter[str]:
    """How often each word of the stream occurs, between the markers.

    >>> count_words("", ["to be<s>to  do"], ["<s>"], RawStream())
    Counter({'▁to': 2, '▁be': 1, '▁': 1, '▁do': 1})
    """
    marker, stream = any_of(check_names(markers)), replace(stream, cut=True)
    counts: Counter[str] = Counter()
    for text in several(function, "texts", texts):
        for number, piece in enumerate(marker.split(valid_text(text))[::2]):
            for word in stream.words(stream.normal(piece), number == 0):
                for start in range(0, len(word), LONGEST_WORD):
                    counts[word[start : start + LONGEST_WORD]] += 1
    return counts


def first_tokens(
    function: str,
    vocabulary_size: int,
    markers: Sequence[str],
    byte_fallback: bool,
    counts: Counter[str],
) -> list[str]:
    """The tokens that there have to be: markers, bytes, characters."""
    check_whole(function, vocabulary_size=vocabulary_size)
    letters = sorted(characters(counts, byte_fallback))
    tokens = [*markers, *(BYTE_TOKENS if byte_fallback else []), *letters]
    if not markers:
        raise ValueError(f"{function}: markers has to begin with one for the unknown")
    if len(set(tokens)) < len(tokens):
        raise ValueError(
            f"{function}: a marker is spelled like a character of the texts or a byte"
        )
    if vocabulary_size < len(tokens):
        parts = (
            f"{len(markers)} markers{', 256 bytes' if byte_fallback else ''} and "
            f"{len(letters)} characters of the texts"
        )
        raise NoRoomError(function, vocabulary_size, parts, len(tokens))
    return tokens


def characters(counts: Counter[str], byte_fallback: bool) -> set[str]:
    """Those of the words. Where bytes stand for the rest, the space is none of these:
    it is made visible, and is made one again, before bytes are characters."""
    return set().union(*counts, SPACE if byte_fallback else "")
