r"""A tokenizer of our own: byte-level BPE, learnt from texts.

    texts --cut into words, counted--> {"Ġred": 31, "Ġcircle": 20, ...}
          --bpe_train--> merges        markers, 256 bytes, merges: the ids

The cut is Qwen2's, and so is what comes before it, Unicode's composed form (NFC), so
that transformers' class for that model, which always composes, gives the same ids as
the file that is saved. Decoding gives a text back in composed form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ...arguments import check_whole
from ..chat import END, IMAGE, NOTHING, START
from ..normal_forms import normal_form
from ..tokenizer import Tokenizer
from .byte_level import byte_alphabet
from .byte_level_bpe import ByteLevelBPE, byte_letters
from .byte_pairs import bpe_train
from .word_cuts import split_words

MARKERS = (NOTHING, START, END, IMAGE)


def train_byte_level(
    texts: Iterable[str], vocabulary_size: int, markers: Sequence[str] = MARKERS
) -> Tokenizer:
    """A byte-level BPE tokenizer with at most so many tokens, ready to use and save.

    Source: [Cortes] 4.2, 7.1. Oracle: tokenizers.trainers.BpeTrainer.
    """
    learnt = learn_byte_level(texts, vocabulary_size, markers)
    return Tokenizer.of(learnt, "the trained tokenizer")


def learn_byte_level(
    texts: Iterable[str], vocabulary_size: int, markers: Sequence[str] = MARKERS
) -> ByteLevelBPE:
    """The vocabulary and merges of `train_byte_level`, as they are.

    The ids are: the markers, the 256 bytes in the order of their characters, then the
    merges. It stays smaller than asked when there is nothing left to merge. A marker in
    a text parts what is before it from what is after, and is not learnt from.

    Source: [Cortes] 4.2, 7.1. Oracle: tokenizers.trainers.BpeTrainer.

    >>> learn_byte_level(["red, red, blue"], 262).merges
    [('e', 'd'), ('r', 'ed')]
    """
    if isinstance(texts, str):
        raise ValueError("texts is one str: give a list of texts")
    start = [*_checked_markers(markers), *sorted(byte_alphabet().values())]
    check_whole("train_byte_level", vocabulary_size=vocabulary_size)
    if vocabulary_size < len(start):
        raise ValueError(
            f"vocabulary_size is {vocabulary_size}, but the 256 bytes and "
            f"{len(markers)} markers are {len(start)} tokens already"
        )
    unlearnt = ByteLevelBPE({}, [], markers)
    pieces: Counter[str] = Counter()
    for text in texts:
        pieces.update(unlearnt.pieces(text)[::2])
    merges = bpe_train(count_words(pieces), vocabulary_size - len(start))
    tokens = [*start, *("".join(pair) for pair in merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if len(vocabulary) < len(tokens):
        clash = next(name for name in markers if tokens.count(name) > 1)
        raise ValueError(f"the marker {clash!r} is how a word of the texts is spelled")
    return ByteLevelBPE(vocabulary, merges, markers)


def count_words(texts: Counter[str]) -> Counter[str]:
    """How often each word occurs, spelled in the characters that stand for bytes.

    >>> count_words(Counter({"a red": 2, " red": 1})) == {"a": 2, "Ġred": 3}
    True
    """
    counts: Counter[str] = Counter()
    for text, times in texts.items():
        for word in split_words(normal_form("NFC", text)):
            counts[byte_letters(word)] += times
    return counts


def _checked_markers(markers):
    if isinstance(markers, str) or not all(isinstance(m, str) and m for m in markers):
        raise ValueError(f"markers is {markers!r:.60}, but must be a list of names")
    if len({*markers, *byte_alphabet().values()}) < len(markers) + 256:
        raise ValueError("two markers are the same, or one is a byte's character")
    return markers
