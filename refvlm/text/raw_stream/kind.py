"""What tokenizers of a raw stream share, whatever cuts its words into pieces."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from ..description import Document, document
from ..documents import beyond, part
from ..errors import TokenizerError, valid_text
from ..subwords import Subwords, any_of
from .description import describe_stream
from .spelled_bytes import BYTE_TOKENS, byte_tokens
from .stream import RawStream


class RawStreamSubwords(Subwords):
    """A vocabulary on a raw stream: what is unknown is bytes, or one token for all.

    `known` is what texts are cut into, with the token for what is `unknown` and, for
    `byte_fallback`, the 256 bytes; `added` are the markers beyond it. Markers in `late`
    are looked for in the normal form of a text, the others in the text itself.
    """

    normalizes_markers = True

    def __init__(
        self,
        known: Mapping[str, int],
        stream: RawStream,
        unknown: str | None,
        byte_fallback: bool = False,
        markers: Sequence[str] = (),
        added: Mapping[str, int] | None = None,
        late: Iterable[str] = (),
    ):
        super().__init__({**known, **(added or {})}, markers)
        self.known, self.stream, self.unknown = dict(known), stream, unknown
        self.byte_fallback, self.late = byte_fallback, frozenset(late)
        self._early_marker = any_of(set(self.markers) - self.late)
        self._late_marker = any_of(self.late)

    @abstractmethod
    def model(self) -> dict[str, Any]:
        """The model in its `tokenizer.json`."""

    def words(self, text: str) -> list[str]:
        return self.stream.words(self.stream.normal(text))

    def forget(self, names: Set[str]) -> None:
        self.known = {t: n for t, n in self.known.items() if t not in names}

    def for_unknown(self, text: str) -> list[str]:
        """The tokens for what is unknown: its bytes, or one for all of it."""
        spelled = byte_tokens(text) if self.byte_fallback else []
        if spelled and self.known.keys() >= set(spelled):
            return spelled
        if self.unknown is None:
            raise TokenizerError(
                f"no piece has the character {text[0]!r}, and the vocabulary has no "
                "token for what is unknown"
            )
        return [self.unknown]

    def text_of(self, tokens: Sequence[str]) -> str:
        return self.stream.text_of(tokens)

    def marked(self, text: str) -> Iterator[str]:
        first = True  # whether this is where the text begins
        for number, early in enumerate(self._early_marker.split(valid_text(text))):
            normal = early if number % 2 else self.stream.normal(early)
            late = [normal] if number % 2 else self._late_marker.split(normal)
            for at, piece in enumerate(late):
                if (number + at) % 2:
                    yield piece
                else:
                    for word in self.stream.words(piece, first):
                        yield from self.cut(word)
                first = first and not piece

    def describe(self) -> Document:
        names = [(name, self.vocabulary[name]) for name in self.markers]
        return document(self.model(), names, **describe_stream(self.stream))


def read_late(document: Mapping[str, Any], stream: RawStream, origin: str) -> list[str]:
    """The markers that are looked for in the normal form of a text.

    One that the normal form itself would change has two spellings, and versions of the
    library do not agree which one decodes.
    """
    late = [m["content"] for m in document["added_tokens"] if m["normalized"]]
    for name in late:
        if stream.prefix == "twice" or stream.normal(name) != name:
            raise beyond(origin, "added token", {name: "normalized"})
    return late


def check_unknown(
    model: Mapping[str, Any], known: Mapping[str, int], unknown: str | None, origin: str
) -> bool:
    """Whether bytes stand for what is unknown; they and `unknown` have to be there."""
    fallback = part({"byte_fallback": False, **model}, "byte_fallback", bool, origin)
    wanted = BYTE_TOKENS if fallback else []
    wanted = wanted if unknown is None else [*wanted, unknown]
    absent = [name for name in wanted if name not in known]
    if absent:
        raise TokenizerError(
            f"{origin}: its vocab has no {absent[0]!r:.80}, which stands for what is "
            "unknown: download the file again"
        )
    return fallback
