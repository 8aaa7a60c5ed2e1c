"""The kinds of tokenizer that our own engine reads, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..bpe.byte_level_bpe import GPT2BPE, ByteLevelBPE
from ..bpe.clip_bpe import CLIPBPE
from ..documents import beyond, part, read_markers
from ..raw_stream.raw_bpe import RawStreamBPE
from ..subwords import Subwords
from ..unigram.unigram import Unigram
from ..word_piece.word_piece import WordPiece

# The first that claims a file reads it: a kind that is told by its steps stands before
# one that takes whatever is left.
KINDS: tuple[type[Subwords], ...] = (
    Unigram,
    WordPiece,
    RawStreamBPE,
    CLIPBPE,
    GPT2BPE,
    ByteLevelBPE,
)


def read_subwords(
    document: Mapping[str, Any], markers: Mapping[str, int], origin: str
) -> Subwords:
    """What a `tokenizer.json` describes, by the kind that claims it."""
    model = part(document, "model", dict, origin)
    for kind in KINDS:
        if kind.claims(document):
            if not kind.normalizes_markers:
                read_markers(document, origin, ("special",))
            return kind.from_document(document, markers, origin)
    raise beyond(origin, "model", model.get("type"))
