r"""Tokenizers of our own: byte-level BPE and CLIP's, learnt from texts.

    texts --cut into words, counted--> {"Ġred": 31, "Ġcircle": 20, ...}
          --bpe_train--> merges        markers, 256 bytes, merges: the ids

The byte-level cut is Qwen2's, and so is what comes before it, Unicode's composed form
(NFC), so that transformers' class for that model, which always composes, gives the same
ids as the file that is saved. Decoding gives a text back in composed form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ...arguments import check_whole, several
from ..chat import END, IMAGE, NOTHING, START
from ..errors import NoRoomError, valid_text
from ..normal_forms import normal_form
from ..subwords import any_of, check_names
from ..tokenizer import Tokenizer
from . import clip_bpe
from .byte_level import byte_alphabet
from .byte_level_bpe import ByteLevelBPE, byte_letters
from .byte_pairs import bpe_train
from .clip_bpe import CLIPBPE
from .word_cuts import split_words

MARKERS = (NOTHING, START, END, IMAGE)
CLIP_MARKERS = (clip_bpe.START, clip_bpe.END)


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
    function, letters = "learn_byte_level", sorted(byte_alphabet().values())
    pieces = unmarked_texts(function, texts, markers, letters)
    room = _room(function, vocabulary_size, markers, letters)
    merges = bpe_train(count_words(pieces), room)
    tokens = [*markers, *letters, *map("".join, merges)]
    return ByteLevelBPE(_numbered(tokens, markers), merges, markers)


def train_clip_bpe(
    texts: Iterable[str], vocabulary_size: int, markers: Sequence[str] = CLIP_MARKERS
) -> Tokenizer:
    """CLIP's encoding with at most so many tokens, ready to use and save.

    Source: [Cortes] 4.2. Oracle: transformers.CLIPTokenizer, which reads what is saved.
    """
    learnt = learn_clip_bpe(texts, vocabulary_size, markers)
    return Tokenizer.of(learnt, "the trained tokenizer")


def learn_clip_bpe(
    texts: Iterable[str], vocabulary_size: int, markers: Sequence[str] = CLIP_MARKERS
) -> CLIPBPE:
    """The vocabulary and merges of `train_clip_bpe`, as they are.

    The ids are: the 256 bytes within a word, the 256 at its end, the merges, and the
    markers last. A marker in a text parts what is before it from what is after.

    Source: [Cortes] 4.2. Oracle: `bpe_train`; transformers.CLIPTokenizer, which reads
    what is saved.

    >>> learn_clip_bpe(["Red, red, blue"], 516).merges
    [('e', 'd</w>'), ('r', 'ed</w>')]
    """
    function, letters = "learn_clip_bpe", clip_bpe.alphabet()
    pieces = unmarked_texts(function, texts, markers, letters)
    room = _room(function, vocabulary_size, markers, letters)
    counts: Counter[tuple[str, ...]] = Counter()
    for text, times in pieces.items():
        for word in clip_bpe.clip_words(text):
            counts[tuple(clip_bpe.spell(word))] += times
    merges = bpe_train(counts, room)
    tokens = [*letters, *map("".join, merges), *markers]
    return CLIPBPE(_numbered(tokens, markers), merges, markers)


def unmarked_texts(
    function: str, texts: Iterable[str], markers: Sequence[str], letters: Sequence[str]
) -> Counter[str]:
    """What stands between the markers of the texts, and how often.

    >>> unmarked_texts("", ["red<s>red"], ["<s>"], [])
    Counter({'red': 2})
    """
    marker = any_of(check_names(markers, letters))
    pieces: Counter[str] = Counter()
    for text in several(function, "texts", texts):
        pieces.update(marker.split(valid_text(text))[::2])
    return pieces


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


def _room(function, vocabulary_size, markers, letters):
    """How many merges there may be besides the tokens that there have to be."""
    check_whole(function, vocabulary_size=vocabulary_size)
    fixed = len(markers) + len(letters)
    if vocabulary_size < fixed:
        parts = f"{len(letters)} bytes and {len(markers)} markers"
        raise NoRoomError(function, vocabulary_size, parts, fixed)
    return vocabulary_size - fixed


def _numbered(tokens, markers):
    """Each token with its place as its id."""
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if len(vocabulary) < len(tokens):
        clash = next(name for name in markers if tokens.count(name) > 1)
        raise ValueError(f"the marker {clash!r} is how a word of the texts is spelled")
    return vocabulary
