"""The unigram tokenizer: a raw stream, cut into the likeliest pieces."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Self

from ...arguments import is_number
from ..documents import beyond, check_switches, is_id, part, read_added
from ..errors import TokenizerError
from ..raw_stream.description import read_stream
from ..raw_stream.kind import RawStreamSubwords, check_unknown, read_late
from ..raw_stream.stream import SENTENCE_PIECE, RawStream
from .segmentation import Scores, unigram_viterbi

LONGEST = 512  # characters in a piece; SentencePiece makes none that is longer
LARGEST = 1e9  # of a score: a sum of a million of them is still exact


class Unigram(RawStreamSubwords):
    """piece -> log p; the place of a piece is its id.

    Neighbours that are unknown are one token together.

    Source: [Cortes] 4.2. Oracle: tokenizers.models.Unigram.

    >>> scores = {"<unk>": 0.0, "▁": -3.0, "▁un": -3.0, "like": -4.0, "ly": -3.0}
    >>> unigram = Unigram(scores, markers=["<unk>"])
    >>> unigram.tokens("unlikely éé"), unigram.decode(unigram.encode("unlikely"))
    (['▁un', 'like', 'ly', '▁', '<unk>'], 'unlikely')
    """

    def __init__(
        self,
        scores: Mapping[str, float],
        stream: RawStream = SENTENCE_PIECE,
        unknown: str | None = "<unk>",
        byte_fallback: bool = False,
        markers: Sequence[str] = (),
        added: Mapping[str, int] | None = None,
        late: Iterable[str] = (),
    ):
        known = {piece: number for number, piece in enumerate(scores)}
        super().__init__(known, stream, unknown, byte_fallback, markers, added, late)
        self.scores = Scores(scores)

    def cut(self, word: str) -> list[str]:
        tokens: list[str] = []
        unknown: list[str] = []
        for piece in unigram_viterbi(word, self.scores):
            if piece not in self.scores or piece == self.unknown:
                unknown.append(piece)
                continue
            tokens += self._unknown_together(unknown)
            unknown = []
            tokens.append(piece)
        return tokens + self._unknown_together(unknown)

    def forget(self, names: Set[str]) -> None:
        super().forget(names)
        self.scores = Scores({p: s for p, s in self.scores.items() if p not in names})

    def _unknown_together(self, pieces: list[str]) -> list[str]:
        text = "".join(pieces)
        if not text or text in self.scores:
            return [text] if text else []
        return self.for_unknown(text)

    def model(self) -> dict[str, Any]:
        return {
            "type": "Unigram",
            "unk_id": None if self.unknown is None else self.known[self.unknown],
            "vocab": [[piece, score] for piece, score in self.scores.items()],
            "byte_fallback": self.byte_fallback,
        }

    @classmethod
    def claims(cls, document: Mapping[str, Any]) -> bool:
        return document["model"].get("type") == "Unigram"

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], markers: Mapping[str, int], origin: str
    ) -> Self:
        stream, model = read_stream(document, origin), document["model"]
        check_switches(model, {"unk_id", "byte_fallback"}, origin)
        scores = _read_scores(model, origin)
        known = {piece: number for number, piece in enumerate(scores)}
        added = read_added(known, markers, origin)
        unk_id = model.get("unk_id")
        if unk_id is not None and not (is_id(unk_id) and unk_id < len(scores)):
            raise TokenizerError(
                f"{origin}: its unk_id is {unk_id!r:.80}, but its vocab has "
                f"{len(scores)} pieces: download the file again"
            )
        unknown = None if unk_id is None else list(scores)[unk_id]
        fallback = check_unknown(model, known, unknown, origin)
        late = read_late(document, stream, origin)
        return cls(scores, stream, unknown, fallback, tuple(markers), added, late)


def _read_scores(model: Mapping[str, Any], origin: str) -> dict[str, float]:
    scores: dict[str, float] = {}
    for row in part(model, "vocab", list, origin):
        piece, score = row if isinstance(row, list) and len(row) == 2 else (None, None)
        if (
            not isinstance(piece, str)
            or not piece
            or piece in scores
            or not is_number(score)
            or isinstance(score, bool)
            or not math.fabs(score) <= LARGEST
        ):
            raise TokenizerError(
                f"{origin}: its vocab has {row!r:.80}, where a piece that is not there "
                "already and its score should stand: download the file again"
            )
        if len(piece) > LONGEST:
            raise beyond(origin, "model", f"a piece of {len(piece)} characters")
        scores[piece] = score
    return scores
