r"""BERT's tokenizer: any text as pieces of words and back, with nothing but Python.

    "A red cubicle" --cleaned, cut--> a red cubicle
                    --longest pieces--> a red cub ##icle --looked up--> 5 30 77 81

A word with a letter that was never seen is one [UNK], whole; capitals, accents and the
width of spaces are lost. A text stands in a frame: [CLS] text [SEP].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, Self

from ...arguments import is_whole
from ..description import Document, document, framing
from ..documents import beyond, check_step, check_switches, part, read_added
from ..subwords import Subwords
from .bert_words import bert_normalize, bert_words
from .pieces import LONGEST, PREFIX, wordpiece_encode

UNKNOWN, START, END, NOTHING, MASK = "[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"
MARKERS = (NOTHING, UNKNOWN, START, END, MASK)
NORMALIZER: dict[str, Any] = {
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}
LARGEST = 512  # characters in a token of a file; a word takes so many looks a letter
CUT = {"type": "BertPreTokenizer"}
# How the decoder mends what the cut took apart, within one token and the space before.
MENDED = (
    *((f" {sign}", sign) for sign in (".", "?", "!", ",")),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    *((f" {end}", end) for end in ("'s", "'ve", "'re")),
)


class WordPiece(Subwords):
    """A vocabulary (token -> id), its markers, and what is done to a text before.

    `known` is what words are cut into; `added` are the markers beyond it.
    `normalizer` are options of `bert_normalize`; a word of more than `longest_word`
    characters is `unknown`; with `cleanup`, the decoder takes out the spaces before
    signs.

    Source: [Cortes] 4.2. Oracle: tokenizers.models.WordPiece,
    transformers.BertTokenizer.

    >>> tokens = ["[UNK]", "cub", "##icle", "a", "?"]
    >>> pieces = WordPiece({token: number for number, token in enumerate(tokens)})
    >>> pieces.tokens("A cubicle?"), pieces.decode([3, 1, 2, 4])
    (['a', 'cub', '##icle', '?'], 'a cubicle?')
    """

    unknown: str

    def __init__(
        self,
        known: Mapping[str, int],
        markers: Sequence[str] = (),
        added: Mapping[str, int] | None = None,
        *,
        normalizer: Mapping[str, Any] = NORMALIZER,
        unknown: str = UNKNOWN,
        longest_word: int = LONGEST,
        cleanup: bool = True,
    ):
        super().__init__({**known, **(added or {})}, markers)
        if unknown not in self.vocabulary:
            raise ValueError(
                f"WordPiece: no token is {unknown!r:.60}, for words of unknown "
                "letters: add it, or say which one is `unknown`"
            )
        self.known = dict(known)
        self.normalizer, self.cleanup = dict(normalizer), cleanup
        self.unknown, self.longest_word = unknown, longest_word
        self.longest_token = max(map(len, self.known), default=0)

    def words(self, text: str) -> list[str]:
        return bert_words(bert_normalize(text, **self.normalizer))

    def cut(self, word: str) -> list[str]:
        longest = self.longest_word, self.longest_token
        return wordpiece_encode(word, self.known, self.unknown, *longest)

    def forget(self, names: Set[str]) -> None:
        self.known = {t: n for t, n in self.known.items() if t not in names}

    def text_of(self, tokens: Sequence[str]) -> str:
        """Words with spaces between, and, mended, without those before a sign."""
        texts = [
            token.removeprefix(PREFIX)
            if number and token.startswith(PREFIX)
            else f" {token}" * bool(number) or token
            for number, token in enumerate(tokens)
        ]
        return "".join(map(_mend, texts) if self.cleanup else texts)

    def describe(self) -> Document:
        numbers = self.vocabulary
        model = {
            "type": "WordPiece",
            "unk_token": self.unknown,
            "continuing_subword_prefix": PREFIX,
            "max_input_chars_per_word": self.longest_word,
            "vocab": self.known,
        }
        framed = {START, END} <= numbers.keys()
        return document(
            model,
            [(name, numbers[name]) for name in self.markers],
            normalizer={"type": "BertNormalizer", **self.normalizer},
            pre_tokenizer=CUT,
            post_processor=framing((START, numbers[START]), (END, numbers[END]))
            if framed
            else None,
            decoder={"type": "WordPiece", "prefix": PREFIX, "cleanup": self.cleanup},
        )

    @classmethod
    def claims(cls, document: Mapping[str, Any]) -> bool:
        return document["model"].get("type") == "WordPiece"

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], markers: Mapping[str, int], origin: str
    ) -> Self:
        model = document["model"]
        check_step(document, "pre_tokenizer", CUT, origin)
        check_switches(
            model,
            {"unk_token", "continuing_subword_prefix", "max_input_chars_per_word"},
            origin,
        )
        if model.get("continuing_subword_prefix") != PREFIX:
            raise beyond(origin, "model", {"continuing_subword_prefix": "not ##"})
        longest = model.get("max_input_chars_per_word")
        if not is_whole(longest) or longest < 0:
            raise beyond(origin, "model", {"max_input_chars_per_word": longest})
        known = part(model, "vocab", dict, origin)
        largest = min(longest, max(map(len, known), default=0))
        if largest > LARGEST:
            raise beyond(
                origin, "model", f"a word with {largest} characters in a token"
            )
        added = read_added(known, markers, origin)
        unknown = part(model, "unk_token", str, origin)
        if unknown not in {**known, **added}:
            raise beyond(origin, "model", {"unk_token": unknown})
        return cls(
            known,
            tuple(markers),
            added,
            normalizer=_read_normalizer(document, origin),
            unknown=unknown,
            longest_word=longest,
            cleanup=_read_cleanup(document, origin),
        )


def _mend(text: str) -> str:
    for apart, together in MENDED:
        text = text.replace(apart, together)
    return text


def _read_normalizer(document, origin):
    """The options of BERT's normaliser, true or false; accents may be left open."""
    step = part(document, "normalizer", dict, origin)
    options = {name: step.get(name) for name in NORMALIZER}
    if options["strip_accents"] is None:
        options["strip_accents"] = options["lowercase"]
    known = step.keys() <= {"type", *NORMALIZER}
    if not known or not all(isinstance(value, bool) for value in options.values()):
        raise beyond(origin, "normalizer", step)
    if step.get("type") != "BertNormalizer":
        raise beyond(origin, "normalizer", step)
    return {name: step.get(name) for name in NORMALIZER}


def _read_cleanup(document, origin):
    step = part(document, "decoder", dict, origin)
    if step.get("type") != "WordPiece" or step.get("prefix") != PREFIX:
        raise beyond(origin, "decoder", step)
    return part(step, "cleanup", bool, origin)
