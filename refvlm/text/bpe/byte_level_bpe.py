r"""Byte-level BPE: any text as token ids and back, with nothing but Python.

    text --NFC, cut--> " red" --UTF-8--> 20 72 65 64 --as characters--> "Ġred"
         --merged by rank--> "Ġred" --looked up--> 266

Every text is bytes and every byte is a token, so nothing is unknown. With Qwen2's
vocabulary and merges these are Qwen2's ids. The models use `Tokenizer`, which gives
the same ids through a compiled library, and through this where that is not installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Self

from ..description import Document
from ..documents import (
    beyond,
    check_step,
    check_switches,
    part,
    read_merges,
    with_markers,
)
from ..normal_forms import normal_form
from ..subwords import Subwords
from .byte_level import byte_alphabet, check_alphabet, token_bytes
from .byte_pairs import Pair, bpe_encode, ranks_without
from .description import LETTERS, describe
from .word_cuts import split_gpt2_words, split_words

_LETTER = byte_alphabet()


def byte_letters(word: str) -> str:
    """The bytes of a word, each as its character.

    >>> byte_letters(" né")
    'ĠnÃ©'
    """
    return "".join(_LETTER[byte] for byte in word.encode("utf-8"))


class ByteLevelBPE(Subwords):
    """A vocabulary (token -> id), its merges, best first, and its markers.

    Source: [Cortes] 7.1; [MicroVLM-V] 3. Oracle: tokenizers.models.BPE,
    transformers.Qwen2Tokenizer.

    >>> letters = byte_alphabet().values()
    >>> vocabulary = {letter: number for number, letter in enumerate(letters)}
    >>> bpe = ByteLevelBPE(vocabulary | {"Ġr": 256}, [("Ġ", "r")])
    >>> bpe.tokens("a red"), bpe.decode(bpe.encode("a red"))
    (['a', 'Ġr', 'e', 'd'], 'a red')
    """

    is_byte_level = True

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Iterable[Pair],
        markers: Sequence[str] = (),
    ):
        super().__init__(vocabulary, markers)
        self.merges = [(left, right) for left, right in merges]
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}

    def words(self, text: str) -> list[str]:
        return split_words(normal_form("NFC", text))

    def cut(self, word: str) -> list[str]:
        return bpe_encode(byte_letters(word), self.ranks)

    def forget(self, names: Set[str]) -> None:
        self.ranks = ranks_without(names, self.ranks)

    def text_of(self, tokens: Sequence[str]) -> str:
        """Text. Bytes that are not UTF-8 become U+FFFD."""
        return b"".join(map(token_bytes, tokens)).decode("utf-8", errors="replace")

    def describe(self) -> Document:
        return describe(self.vocabulary, self.merges, self.markers)

    @classmethod
    def claims(cls, document: Mapping[str, Any]) -> bool:
        return document["model"].get("type", "BPE") == "BPE"

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], markers: Mapping[str, int], origin: str
    ) -> Self:
        ours = describe({}, [])
        for step in ("normalizer", "pre_tokenizer"):
            check_step(document, step, ours[step], origin)
        return cls(*read_byte_pairs(document, markers, origin))


class GPT2BPE(ByteLevelBPE):
    """The same with GPT-2's cut, and the bytes of a text as they are.

    With `prefix_space`, a text that begins otherwise is given a space in front.

    Source: [Cortes] 7.1. Oracle: transformers.GPT2Tokenizer.
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Iterable[Pair],
        markers: Sequence[str] = (),
        prefix_space: bool = False,
    ):
        super().__init__(vocabulary, merges, markers)
        self.prefix_space = prefix_space

    def words(self, text: str) -> list[str]:
        spaced = self.prefix_space and text and text[0] != " "
        return split_gpt2_words(f" {text}" if spaced else text)

    def describe(self) -> Document:
        cut = {**LETTERS, "use_regex": True, "add_prefix_space": self.prefix_space}
        described = describe(self.vocabulary, self.merges, self.markers)
        return {**described, "normalizer": None, "pre_tokenizer": cut}

    @classmethod
    def claims(cls, document: Mapping[str, Any]) -> bool:
        cut = document.get("pre_tokenizer")
        is_bpe = document["model"].get("type", "BPE") == "BPE"
        return is_bpe and isinstance(cut, dict) and cut.get("type") == "ByteLevel"

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], markers: Mapping[str, int], origin: str
    ) -> Self:
        check_step(document, "normalizer", None, origin)
        spaced = part(document["pre_tokenizer"], "add_prefix_space", bool, origin)
        # Older files leave out what was always so.
        cut = {"use_regex": True, **document["pre_tokenizer"]}
        ours = {**LETTERS, "use_regex": True, "add_prefix_space": spaced}
        check_step({"pre_tokenizer": cut}, "pre_tokenizer", ours, origin)
        return cls(*read_byte_pairs(document, markers, origin), spaced)


def read_byte_pairs(
    document: Mapping[str, Any], markers: Mapping[str, int], origin: str
) -> tuple[dict[str, int], list[Pair], tuple[str, ...]]:
    """The vocabulary, merges and markers of a file whose tokens spell bytes."""
    model, decoder = document["model"], document.get("decoder")
    if not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
        raise beyond(origin, "decoder", decoder)
    check_switches(model, {"merges", "fuse_unk"}, origin)
    vocabulary = with_markers(part(model, "vocab", dict, origin), markers, origin)
    check_alphabet(vocabulary.get, origin)
    return vocabulary, read_merges(model, vocabulary, origin), tuple(markers)
