r"""CLIP's byte-pair encoding: small letters, and a mark where a word ends.

    "A  red Cube" --NFC, small letters, cut--> a red cube
                  --bytes, the last marked--> r e d</w> --merged--> red</w>

White space is lost; the last token of a word says that it is the last, and is another
token than the same letters within a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Self

from ..description import Document, document, framing
from ..documents import (
    beyond,
    check_step,
    check_switches,
    part,
    read_merges,
    with_markers,
)
from ..errors import TokenizerError, valid_text
from ..normal_forms import normal_form
from ..subwords import Subwords
from .byte_level import byte_alphabet, token_bytes
from .byte_level_bpe import byte_letters
from .byte_pairs import Pair, bpe_encode, ranks_without
from .description import LETTERS, bpe_model
from .word_cuts import Kinds, split_clip_words

# In order: an English contraction, a run of letters, one digit, or a run of signs.
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
WORD_END = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"
NORMAL_FORM = {
    "type": "Sequence",
    "normalizers": [
        {"type": "NFC"},
        {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
        {"type": "Lowercase"},
    ],
}
AS_BYTES = {**LETTERS, "add_prefix_space": True, "use_regex": True}
DECODER = {
    "type": "Sequence",
    "decoders": [
        AS_BYTES,
        {"type": "Replace", "pattern": {"Regex": WORD_END + r"\z"}, "content": ""},
        {"type": "Replace", "pattern": {"String": WORD_END}, "content": " "},
    ],
}
_SMALL = Kinds(str.lower)  # letter by letter: Python's own looks at a word's end


class CLIPBPE(Subwords):
    """A vocabulary (token -> id), its merges, best first, and its markers.

    `names` are markers that the cut keeps apart from signs behind them, also where they
    are not meant; `spaced` is whether decoding makes spaces of the marks.

    Source: [Cortes] 4.2. Oracle: transformers.CLIPTokenizer.

    >>> letters = byte_alphabet().values()
    >>> tokens = [*letters, *(letter + "</w>" for letter in letters), "red</w>", "re"]
    >>> numbers = {token: number for number, token in enumerate(tokens)}
    >>> clip = CLIPBPE(numbers, [("r", "e"), ("re", "d</w>")])
    >>> clip.tokens("Red reds"), clip.decode(clip.encode("  Red reds"))
    (['red</w>', 're', 'd', 's</w>'], 'red reds')
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Iterable[Pair],
        markers: Sequence[str] = (),
        *,
        names: Sequence[str] = (),
        spaced: bool = True,
    ):
        super().__init__(vocabulary, markers)
        self.merges = [(left, right) for left, right in merges]
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.names, self.spaced = tuple(names), spaced
        self.is_byte_level = not spaced

    def words(self, text: str) -> list[str]:
        return clip_words(text, self.names)

    def cut(self, word: str) -> list[str]:
        return bpe_encode(spell(word), self.ranks)

    def forget(self, names: Set[str]) -> None:
        self.ranks = ranks_without(names, self.ranks)

    def text_of(self, tokens: Sequence[str]) -> str:
        """Text. Bytes that are not UTF-8 become U+FFFD."""
        text = b"".join(map(token_bytes, tokens)).decode("utf-8", errors="replace")
        if not self.spaced:
            return text
        return text.removesuffix(WORD_END).replace(WORD_END, " ")

    def describe(self) -> Document:
        numbers = self.vocabulary
        ends = [(name, numbers[name]) for name in (START, END) if name in numbers]
        switches = {"end_of_word_suffix": WORD_END}
        if END in numbers:
            switches["unk_token"] = END
        return document(
            bpe_model(numbers, self.merges, **switches),
            [(name, numbers[name]) for name in self.markers],
            normalizer=NORMAL_FORM,
            pre_tokenizer=cut(self.names),
            post_processor=framing(*ends) if len(ends) == 2 else None,
            decoder=DECODER if self.spaced else AS_BYTES,
        )

    @classmethod
    def claims(cls, document: Mapping[str, Any]) -> bool:
        model = document["model"]
        is_bpe = model.get("type", "BPE") == "BPE"
        return is_bpe and model.get("end_of_word_suffix") == WORD_END

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], markers: Mapping[str, int], origin: str
    ) -> Self:
        model = document["model"]
        check_step(document, "normalizer", NORMAL_FORM, origin)
        names = next((n for n in ((), (START, END)) if _is_cut(document, n)), None)
        if names is None:
            raise beyond(origin, "pre_tokenizer", document.get("pre_tokenizer"))
        decoder = document.get("decoder")
        spaced = not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel"
        if spaced:
            check_step(document, "decoder", DECODER, origin)
        known = {"merges", "fuse_unk", "end_of_word_suffix", "unk_token"}
        check_switches(model, known, origin)
        vocabulary = with_markers(part(model, "vocab", dict, origin), markers, origin)
        merges = read_merges(model, vocabulary, origin)
        absent = [letter for letter in alphabet() if letter not in vocabulary]
        if absent:
            raise TokenizerError(
                f"{origin}: its vocab has no {absent[0]!r}, nor {len(absent) - 1} more "
                "of the bytes within and at the end of a word: it is damaged"
            )
        return cls(vocabulary, merges, tuple(markers), names=names, spaced=spaced)


def clip_words(text: str, names: Sequence[str] = ()) -> list[str]:
    """The words of a text in small letters, composed.

    >>> clip_words("The  CAFE\\u0301's")
    ['the', 'café', "'s"]
    """
    small = normal_form("NFC", valid_text(text)).translate(_SMALL)
    return split_clip_words(small, names)


def spell(word: str) -> list[str]:
    """The bytes of a word, each as its character; the last bears the mark.

    >>> spell("red")
    ['r', 'e', 'd</w>']
    """
    letters = byte_letters(word)
    return [*letters[:-1], letters[-1] + WORD_END]


def alphabet() -> list[str]:
    """The 256 bytes within a word, and the 256 at its end."""
    letters = list(byte_alphabet().values())
    return [*letters, *(letter + WORD_END for letter in letters)]


def cut(names: Sequence[str] = ()) -> dict[str, Any]:
    """The step of a `tokenizer.json` that cuts words out of a text."""
    pattern = "|".join([*(re.escape(name) for name in names), CLIP_WORDS])
    words = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed"}
    letters = {**LETTERS, "use_regex": True}
    return {"type": "Sequence", "pretokenizers": [{**words, "invert": True}, letters]}


def _is_cut(document, names):
    try:
        check_step(document, "pre_tokenizer", cut(names), "")
    except TokenizerError:
        return False
    return True
