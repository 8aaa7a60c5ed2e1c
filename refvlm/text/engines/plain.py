"""Our own engine: a `tokenizer.json` of any kind, with nothing but Python.

It takes the place of the `tokenizers` library where that is not installed, and gives
the same ids. What it cannot do it does not do by half: a file that asks for another
normal form, cut or model is refused, and the library recommended.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...checkpoint.documents import parse_object
from ..description import added_token
from ..documents import read_markers
from ..errors import TokenizerError
from .engine import Engine
from .frames import read_frame
from .kinds import read_subwords


class PlainEngine(Engine):
    """A kind of `Subwords`, as a file describes it.

    Source: [Cortes] 7.1. Oracle: tokenizers.Tokenizer.
    """

    def __init__(self, document: dict[str, Any], origin: str):
        self.document, self.origin = document, origin
        self.markers = read_markers(document, origin)
        added = document["added_tokens"]
        self.hidden = {fields["id"] for fields in added if fields["special"]}
        self.subwords = read_subwords(document, self.markers, origin)
        self.is_byte_level = self.subwords.is_byte_level

    @classmethod
    def from_json(cls, text: str, origin: str) -> PlainEngine:
        return cls(parse_object(text, origin, TokenizerError), origin)

    def __len__(self) -> int:
        return len(self.subwords)

    def encode(self, text: str, markers: bool) -> list[int]:
        return self.subwords.encode(text, markers)

    def decode(self, ids: Sequence[int], markers: bool) -> str:
        hidden = set() if markers else self.hidden
        token_of = self.subwords.token_of
        return self.subwords.decode(i for i in ids if i in token_of and i not in hidden)

    def token_id(self, token: str) -> int | None:
        return self.subwords.vocabulary.get(token)

    def token(self, token_id: int) -> str | None:
        return self.subwords.token_of.get(token_id)

    def frame(self) -> tuple[list[int], list[int]]:
        return read_frame(self.document.get("post_processor"), self.origin)

    def with_markers(self, markers: Sequence[tuple[int, Mapping[str, Any]]]) -> Engine:
        listed = [added_token(token_id, **marker) for token_id, marker in markers]
        added = sorted([*self.document["added_tokens"], *listed], key=lambda m: m["id"])
        return PlainEngine({**self.document, "added_tokens": added}, self.origin)

    def to_json(self) -> str:
        return json.dumps(self.document, indent=2, ensure_ascii=False)
