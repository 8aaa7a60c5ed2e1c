r"""Byte-level BPE: any text as token ids and back, with nothing but Python.

    text --NFC, cut--> " red" --UTF-8--> 20 72 65 64 --as characters--> "Ġred"
         --merged by rank--> "Ġred" --looked up--> 266

Every text is bytes and every byte is a token, so nothing is unknown. With Qwen2's
vocabulary and merges these are Qwen2's ids. The models use `Tokenizer`, which gives
the same ids through a compiled library, and through this where that is not installed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from .byte_level import byte_alphabet, token_bytes
from .byte_pairs import Pair, bpe_encode
from .errors import TokenizerError, valid_text
from .word_cuts import split_words

_LETTER = byte_alphabet()


def byte_letters(word: str) -> str:
    """The bytes of a word, each as its character.

    >>> byte_letters(" né")
    'ĠnÃ©'
    """
    return "".join(_LETTER[byte] for byte in word.encode("utf-8"))


class ByteLevelBPE:
    """A vocabulary (token -> id), its merges, best first, and its markers.

    Source: [Cortes] 7.1; [MicroVLM-V] 3. Oracle: tokenizers.models.BPE,
    transformers.Qwen2Tokenizer.

    >>> letters = byte_alphabet().values()
    >>> vocabulary = {letter: number for number, letter in enumerate(letters)}
    >>> bpe = ByteLevelBPE(vocabulary | {"Ġr": 256}, [("Ġ", "r")])
    >>> bpe.tokens("a red"), bpe.decode(bpe.encode("a red"))
    (['a', 'Ġr', 'e', 'd'], 'a red')
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Iterable[Pair],
        markers: Sequence[str] = (),
    ):
        self.vocabulary, self.markers = dict(vocabulary), tuple(markers)
        self.merges = [(left, right) for left, right in merges]
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.token_of = {number: token for token, number in self.vocabulary.items()}
        # Where two markers begin, the longer is meant.
        longest_first = sorted(map(re.escape, self.markers), key=len, reverse=True)
        self._marker = re.compile(f"({'|'.join(longest_first)})")

    def __len__(self) -> int:
        return len(self.vocabulary)

    def tokens(self, text: str) -> list[str]:
        """The tokens of plain text, as the vocabulary spells them."""
        composed = unicodedata.normalize("NFC", valid_text(text))
        return [
            token
            for word in split_words(composed)
            for token in bpe_encode(byte_letters(word), self.ranks)
        ]

    def encode(self, text: str, markers: bool = True) -> list[int]:
        """Token ids. With `markers=False`, no text whatever becomes a marker."""
        ids = []
        for number, piece in enumerate(self.pieces(text) if markers else [text]):
            tokens = [piece] if number % 2 else self.tokens(piece)
            ids += [self.vocabulary[token] for token in tokens]
        return ids

    def pieces(self, text: str) -> list[str]:
        """Text, marker, text, marker, ..., text."""
        text = valid_text(text)
        return self._marker.split(text) if self.markers else [text]

    def decode(self, ids: Iterable[int]) -> str:
        """Text. Bytes that are not UTF-8 become U+FFFD."""
        try:
            tokens = [self.token_of[number] for number in ids]
        except KeyError as absent:
            raise TokenizerError(f"the vocabulary has no id {absent}") from None
        return b"".join(map(token_bytes, tokens)).decode("utf-8", errors="replace")
