"""A tokenizer of our own: WordPiece, learnt from texts.

texts --cleaned, cut into words, counted--> {"red": 31, "circle": 20, ...}
      --wordpiece_train--> merges      markers, letters, what the merges make: the ids
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ...arguments import check_whole, several
from ..bpe.learning import unmarked_texts
from ..errors import NoRoomError
from ..subwords import check_names
from ..tokenizer import Tokenizer
from .bert_words import bert_normalize, bert_words
from .pieces import LONGEST, PREFIX, join, wordpiece_train
from .word_piece import MARKERS, NORMALIZER, UNKNOWN, WordPiece


def train_word_piece(
    texts: Iterable[str],
    vocabulary_size: int,
    markers: Sequence[str] = MARKERS,
    at_least: int = 1,
) -> Tokenizer:
    """A WordPiece tokenizer with at most so many tokens, ready to use and save.

    Source: [Cortes] 4.2. Oracle: tokenizers.Tokenizer, which reads what is saved.
    """
    learnt = learn_word_piece(texts, vocabulary_size, markers, at_least)
    return Tokenizer.of(learnt, "the trained tokenizer")


def learn_word_piece(
    texts: Iterable[str],
    vocabulary_size: int,
    markers: Sequence[str] = MARKERS,
    at_least: int = 1,
) -> WordPiece:
    """The vocabulary of `train_word_piece`, as it is.

    The ids are: the markers, each letter of the texts at the beginning of a word and
    within one, then what the merges make. It stays smaller than asked when there is
    nothing left to merge that occurs `at_least` so often. A marker in a text parts what
    is before it from what is after, and is not learnt from.

    Source: [Cortes] 4.2. Oracle: `wordpiece_train_by_definition`.

    >>> learnt = learn_word_piece(["hug hugs pug"], 16, ["[UNK]"])
    >>> list(learnt.vocabulary)[11:]
    ['##ug', 'hug', 'pug', 'hugs']
    """
    name = "learn_word_piece"
    texts = several(name, "texts", texts)
    check_whole(name, vocabulary_size=vocabulary_size)
    markers = check_names(markers)
    if UNKNOWN not in markers:
        raise ValueError(f"markers must have {UNKNOWN!r}, for words of unknown letters")
    for marker in markers:
        if bert_words(bert_normalize(marker)) == [marker]:
            raise ValueError(f"the marker {marker!r} is a word that a text may say")
    counts = count_words(texts, markers)
    letters = sorted(set().union(*counts))
    start = [*markers, *letters, *(PREFIX + letter for letter in letters)]
    if vocabulary_size < len(start):
        parts = (
            f"{len(markers)} markers and {len(letters)} letters (each at the beginning "
            "of a word and within one)"
        )
        raise NoRoomError(name, vocabulary_size, parts, len(start))
    merges = wordpiece_train(counts, vocabulary_size - len(start), at_least)
    tokens = [*start, *map(join, merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if len(vocabulary) < len(tokens):
        clash = next(name for name in markers if tokens.count(name) > 1)
        raise ValueError(f"the marker {clash!r} is how a piece of a word is spelled")
    return WordPiece(vocabulary, markers)


def count_words(texts: Iterable[str], markers: Sequence[str] = ()) -> Counter[str]:
    """How often each word occurs, as BERT cuts them; what is too long is no word.

    >>> count_words(["Red, red"]) == {"red": 2, ",": 1}
    True
    """
    counts: Counter[str] = Counter()
    for text, times in unmarked_texts("count_words", texts, markers, []).items():
        for word in bert_words(bert_normalize(text, **NORMALIZER)):
            if len(word) <= LONGEST:
                counts[word] += times
    return counts
